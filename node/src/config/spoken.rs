//! The layers that environment variables and flags are: texts that are given the type of the key they stand for.

use serde_json::Value as Json;

use super::flags::{Flags, Meaning, PLACES, TARGET, variable};
use super::path::Place;
use super::problem::Problem;
use super::schema;
use super::tree::{Entry, Source, Value};

/// What environment variables or flags say.
#[derive(Debug)]
pub struct Spoken {
    /// Keys of the configuration.
    pub tree: Entry,
    /// Keys that hold for each node, whatever else says something about it.
    pub each_node: Entry,
    /// The name of the one node, or the beginning of the names of several.
    pub name: Option<Entry>,
    /// What cannot be understood.
    pub problems: Vec<Problem>,
}

/// The layer of the environment: `TOWLINE_SSH_CONFIG` is `--ssh-config`. Lists have spaces between their items.
pub fn environment(variables: &dyn Fn(&str) -> Option<String>, root: &Json) -> Spoken {
    let mut spoken = Spoken::nothing();
    for (flag, meaning) in PLACES {
        let name = variable(flag);
        let Some(text) = variables(&name).filter(|text| !text.is_empty()) else {
            continue;
        };
        let values = match is_list(meaning, root) {
            true => text.split_whitespace().map(str::to_owned).collect(),
            false => vec![text],
        };
        spoken.take(meaning, values, &Source::Environment(name), root);
    }
    spoken
}

/// The layer of the command line.
pub fn command_line(flags: &Flags, root: &Json) -> Spoken {
    let mut spoken = Spoken::nothing();
    for (flag, values) in flags.given() {
        let name = if flag == TARGET {
            "TARGET".to_owned()
        } else {
            format!("--{flag}")
        };
        let meaning = PLACES
            .iter()
            .find(|(other, _)| *other == flag)
            .map(|(_, meaning)| *meaning);
        if let Some(meaning) = meaning {
            spoken.take(meaning, values, &Source::CommandLine(name), root);
        }
    }
    spoken
}

fn is_list(meaning: Meaning, root: &Json) -> bool {
    match meaning {
        Meaning::Key(path) => schema::is(schema::at(root, path), "array"),
        Meaning::Partitions | Meaning::Labels | Meaning::Taints => true,
        Meaning::EachNode(_) | Meaning::Name | Meaning::NoTaint => false,
    }
}

impl Spoken {
    fn nothing() -> Self {
        Self {
            tree: Entry::empty(Source::Default),
            each_node: Entry::empty(Source::Default),
            name: None,
            problems: Vec::new(),
        }
    }

    fn take(&mut self, meaning: Meaning, values: Vec<String>, source: &Source, root: &Json) {
        let entry = |value| Entry::new(value, source.clone());
        let first = values.first().cloned().unwrap_or_default();
        match meaning {
            Meaning::Key(path) => {
                let part = schema::at(root, path);
                let value = match schema::is(part, "array") {
                    true => Value::List(values.into_iter().map(|text| entry(Value::Text(text))).collect()),
                    false => typed(&first, part),
                };
                self.tree.put(path, entry(value));
            }
            Meaning::EachNode(key) => self.each_node.put(key, entry(Value::Text(first))),
            Meaning::Name => self.name = Some(entry(Value::Text(first))),
            Meaning::Partitions => {
                let nodes = values.into_iter().map(|name| {
                    let mut node = Entry::empty(source.clone());
                    node.put("partition", entry(Value::Text(name)));
                    node
                });
                self.tree.put("nodes", entry(Value::List(nodes.collect())));
            }
            Meaning::Labels => {
                let mut labels = Entry::empty(source.clone());
                for text in values {
                    match text.split_once('=') {
                        Some((key, value)) => labels.insert(key, entry(Value::Text(value.to_owned()))),
                        None => self.wrong(source, "labels", &format!("{text:?} is no label: write KEY=VALUE")),
                    }
                }
                self.each_node.insert("labels", labels);
            }
            Meaning::Taints => {
                let mut taints = Vec::new();
                for text in values {
                    match taint(&text, source) {
                        Some(taint) => taints.push(taint),
                        None => self.wrong(
                            source,
                            "taints",
                            &format!("{text:?} is no taint: write KEY[=VALUE]:EFFECT"),
                        ),
                    }
                }
                self.each_node.put("taints", entry(Value::List(taints)));
            }
            Meaning::NoTaint => match typed(&first, &serde_json::json!({ "type": "boolean" })) {
                Value::Bool(true) => self.each_node.put("taints", entry(Value::List(Vec::new()))),
                Value::Bool(false) => {}
                _ => self.wrong(source, "taints", &format!("expected true or false, found {first:?}")),
            },
        }
    }

    fn wrong(&mut self, source: &Source, key: &str, message: &str) {
        self.problems.push(Problem {
            source: source.clone(),
            place: Place::from("nodes").key(key),
            message: message.to_owned(),
        });
    }
}

/// A text as the type that its key has; one that does not fit stays a text and is found by the check.
fn typed(text: &str, part: &Json) -> Value {
    let read = match text {
        "true" | "1" if schema::is(part, "boolean") => Some(Value::Bool(true)),
        "false" | "0" if schema::is(part, "boolean") => Some(Value::Bool(false)),
        text if schema::is(part, "integer") => text.parse::<u64>().ok().map(|number| Value::Number(number.into())),
        _ => None,
    };
    read.unwrap_or_else(|| Value::Text(text.to_owned()))
}

fn taint(text: &str, source: &Source) -> Option<Entry> {
    let (rest, effect) = text.rsplit_once(':')?;
    let (key, value) = rest
        .split_once('=')
        .map_or((rest, None), |(key, value)| (key, Some(value)));
    let keys = [("key", Some(key)), ("value", value), ("effect", Some(effect))];
    let mut taint = Entry::empty(source.clone());
    for (key, value) in keys {
        if let Some(value) = value {
            taint.insert(key, Entry::new(Value::Text(value.to_owned()), source.clone()));
        }
    }
    Some(taint)
}
