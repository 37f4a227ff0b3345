//! A layer against the schema: keys that do not exist, with the nearest one that does, and values of the wrong type.

use serde_json::Value as Json;

use super::path::Place;
use super::problem::Problem;
use super::schema;
use super::tree::{Entry, Value};

/// Checks what stands at `place` against its part of the schema.
pub fn check(entry: &Entry, part: &Json, place: &Place, root: &Json) -> Vec<Problem> {
    let mut checker = Checker {
        root,
        problems: Vec::new(),
    };
    checker.visit(entry, part, place);
    checker.problems
}

struct Checker<'a> {
    root: &'a Json,
    problems: Vec<Problem>,
}

impl Checker<'_> {
    fn visit(&mut self, entry: &Entry, part: &Json, place: &Place) {
        match &entry.value {
            Value::Null => {}
            Value::Map(keys) if schema::is(part, "object") => {
                for (key, value) in keys {
                    let below = place.key(key.as_str());
                    let known = schema::properties(part).and_then(|properties| properties.get(key));
                    match known.or_else(|| schema::values(part)) {
                        Some(part) => self.visit(value, part, &below),
                        None => self.say(value, &below, unknown(key, part, place, self.root)),
                    }
                }
                let required = part.get("required").and_then(Json::as_array).into_iter().flatten();
                for key in required.filter_map(Json::as_str).filter(|key| entry.get(key).is_none()) {
                    self.say(entry, place, format!("the key {key} is missing"));
                }
            }
            Value::List(items) if schema::is(part, "array") => {
                for (index, item) in items.iter().enumerate() {
                    self.visit(item, schema::items(part), &place.index(index));
                }
            }
            value if fits(value, part) => {}
            value => {
                let quotes = match value {
                    Value::Bool(_) | Value::Number(_) if schema::is(part, "string") => ": write it in quotes",
                    _ => "",
                };
                let message = format!("expected {}, found {}{quotes}", schema::expected(part), found(value));
                self.say(entry, place, message);
            }
        }
    }

    fn say(&mut self, entry: &Entry, place: &Place, message: String) {
        self.problems.push(Problem {
            source: entry.source.clone(),
            place: place.clone(),
            message,
        });
    }
}

fn fits(value: &Value, part: &Json) -> bool {
    match value {
        Value::Bool(_) => schema::is(part, "boolean"),
        Value::Text(text) => {
            schema::is(part, "string") && schema::choices(part).is_none_or(|choices| choices.contains(&text.as_str()))
        }
        Value::Number(number) => {
            let bound = |key: &str| part.get(key).and_then(Json::as_u64);
            let within = |number: u64| {
                bound("minimum").is_none_or(|least| number >= least)
                    && bound("maximum").is_none_or(|most| number <= most)
            };
            schema::is(part, "number") || schema::is(part, "integer") && number.as_u64().is_some_and(within)
        }
        Value::Null | Value::List(_) | Value::Map(_) => false,
    }
}

fn found(value: &Value) -> String {
    match value {
        Value::Null => "nothing".to_owned(),
        Value::Bool(flag) => flag.to_string(),
        Value::Number(number) => number.to_string(),
        Value::Text(text) => format!("{text:?}"),
        Value::List(_) => "a list".to_owned(),
        Value::Map(_) => "a map".to_owned(),
    }
}

/// Says that there is no such key, and which one may be meant.
fn unknown(key: &str, part: &Json, place: &Place, root: &Json) -> String {
    let here: Vec<&str> = schema::properties(part)
        .into_iter()
        .flatten()
        .map(|(key, _)| key.as_str())
        .collect();
    if let Some(nearest) = nearest(key, &here) {
        return format!("there is no such key: did you mean {}?", place.key(nearest));
    }
    let mut everywhere = Vec::new();
    collect(root, "", &mut everywhere);
    let leaf = |path: &str| path.rsplit('.').next().unwrap_or_default().to_owned();
    let leaves: Vec<String> = everywhere.iter().map(|path| leaf(path)).collect();
    let leaves: Vec<&str> = leaves.iter().map(String::as_str).collect();
    // (The one that lies least deep, if there are several.)
    let depth = |path: &&String| path.matches('.').count();
    let elsewhere = nearest(key, &leaves)
        .and_then(|nearest| everywhere.iter().filter(|path| leaf(path) == nearest).min_by_key(depth));
    match elsewhere {
        Some(path) => format!("there is no such key: did you mean {path}?"),
        None => format!("there is no such key: there are {}", here.join(", ")),
    }
}

/// All keys with dots between them.
fn collect(part: &Json, path: &str, into: &mut Vec<String>) {
    let part = if schema::is(part, "array") {
        schema::items(part)
    } else {
        part
    };
    for (key, below) in schema::properties(part).into_iter().flatten() {
        let path = if path.is_empty() {
            key.clone()
        } else {
            format!("{path}.{key}")
        };
        into.push(path.clone());
        collect(below, &path, into);
    }
}

/// The nearest of some names, if it is near enough to be a slip.
fn nearest<'a>(name: &str, among: &[&'a str]) -> Option<&'a str> {
    let plain = |text: &str| text.to_lowercase().replace(['-', '_'], "");
    let distance = |other: &str| strsim::damerau_levenshtein(&plain(name), &plain(other));
    let nearest = among
        .iter()
        .map(|other| (distance(other), *other))
        .min_by_key(|(distance, _)| *distance)?;
    (nearest.0 <= (name.chars().count() / 3).max(1)).then_some(nearest.1)
}
