//! What holds, written down with the source of each value: as YAML that can be used as a file again, or as JSON.

use serde_json::{Value as Json, json};

use super::effective::Effective;
use super::schema::{self, schema};
use super::tree::{Entry, Value};

/// Comments begin in the same column where lines are not longer than this.
const COMMENTS_AT_MOST: usize = 60;

impl Effective {
    /// YAML with the source of each value as a comment.
    pub fn to_yaml(&self) -> String {
        let mut lines = Vec::new();
        block(self.tree(), &schema(), 0, &mut lines);
        let widths = lines.iter().map(|line: &Line| line.text.chars().count());
        let column = widths.filter(|width| *width <= COMMENTS_AT_MOST).max().unwrap_or(0);
        let written = lines.iter().map(|line| match &line.comment {
            Some(comment) => format!("{:column$}  # {comment}\n", line.text),
            None => format!("{}\n", line.text),
        });
        written.collect()
    }

    /// JSON in which each value is `{value, source}`.
    pub fn to_json(&self) -> Json {
        sourced(self.tree(), &schema())
    }
}

struct Line {
    text: String,
    comment: Option<String>,
}

/// Whether an entry is written in one line.
fn is_leaf(value: &Value) -> bool {
    match value {
        Value::List(items) => items.is_empty(),
        Value::Map(keys) => keys.is_empty(),
        _ => true,
    }
}

fn comment(entry: &Entry, part: &Json) -> String {
    let words = part.get("x-default").and_then(Json::as_str);
    match (&entry.value, &entry.source, words) {
        (Value::Null, _, Some(words)) => format!("default: {words}"),
        (_, source, _) => source.to_string(),
    }
}

fn block(entry: &Entry, part: &Json, indent: usize, lines: &mut Vec<Line>) {
    let margin = " ".repeat(indent);
    match &entry.value {
        Value::Map(keys) => {
            for (key, below) in keys {
                let part = below_key(part, key);
                let key = scalar(&Value::Text(key.clone()));
                if is_leaf(&below.value) {
                    lines.push(Line {
                        text: format!("{margin}{key}: {}", scalar(&below.value)),
                        comment: Some(comment(below, part)),
                    });
                } else {
                    lines.push(Line {
                        text: format!("{margin}{key}:"),
                        comment: None,
                    });
                    block(below, part, indent + 2, lines);
                }
            }
        }
        Value::List(items) => {
            for item in items {
                let first = lines.len();
                if is_leaf(&item.value) {
                    lines.push(Line {
                        text: format!("{margin}  {}", scalar(&item.value)),
                        comment: Some(comment(item, schema::items(part))),
                    });
                } else {
                    block(item, schema::items(part), indent + 2, lines);
                }
                // The item's first line gets the dash.
                lines[first].text.replace_range(indent..=indent, "-");
            }
        }
        _ => {}
    }
}

fn below_key<'a>(part: &'a Json, key: &str) -> &'a Json {
    let known = schema::properties(part).and_then(|properties| properties.get(key));
    known.or_else(|| schema::values(part)).unwrap_or(&Json::Null)
}

/// A value in one line. YAML reads what JSON writes.
fn scalar(value: &Value) -> String {
    match value {
        Value::Text(text) => match serde_saphyr::to_string(text) {
            Ok(plain) if plain.trim_end().lines().count() == 1 => plain.trim_end().to_owned(),
            _ => Json::from(text.as_str()).to_string(),
        },
        Value::Null => "null".to_owned(),
        Value::Bool(flag) => flag.to_string(),
        Value::Number(number) => number.to_string(),
        Value::List(_) => "[]".to_owned(),
        Value::Map(_) => "{}".to_owned(),
    }
}

fn sourced(entry: &Entry, part: &Json) -> Json {
    match &entry.value {
        Value::Map(keys) if !keys.is_empty() => {
            let keys = keys
                .iter()
                .map(|(key, below)| (key.clone(), sourced(below, below_key(part, key))));
            Json::Object(keys.collect())
        }
        Value::List(items) if !items.is_empty() => {
            let part = schema::items(part);
            Json::Array(items.iter().map(|item| sourced(item, part)).collect())
        }
        _ => json!({ "value": entry.to_json(), "source": comment(entry, part) }),
    }
}
