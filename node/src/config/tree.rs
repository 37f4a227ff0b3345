//! A tree of values that know where they come from: what every layer of the configuration is.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use serde_json::{Number, Value as Json};

use super::path::{Place, Step};

/// Where a value comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// Nobody said otherwise.
    Default,
    /// It follows from other values; the text says from which.
    Derived(&'static str),
    /// A line of the configuration file.
    File(Arc<PathBuf>, u64),
    /// An environment variable.
    Environment(String),
    /// A flag.
    CommandLine(String),
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::Derived(from) => write!(f, "derived from {from}"),
            Self::File(path, line) => write!(f, "{}:{line}", path.display()),
            Self::Environment(name) => write!(f, "environment {name}"),
            Self::CommandLine(flag) => write!(f, "command line {flag}"),
        }
    }
}

/// A value and where it comes from.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// The value.
    pub value: Value,
    /// Where it comes from.
    pub source: Source,
}

/// A value as YAML and JSON have it, with sources all the way down. Maps keep their order.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// Nothing: as if the key were absent.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A number.
    Number(Number),
    /// Text.
    Text(String),
    /// A list.
    List(Vec<Entry>),
    /// A map.
    Map(Vec<(String, Entry)>),
}

impl Entry {
    /// A value from one source.
    pub fn new(value: Value, source: Source) -> Self {
        Self { value, source }
    }

    /// A map without keys.
    pub fn empty(source: Source) -> Self {
        Self::new(Value::Map(Vec::new()), source)
    }

    /// A whole tree from one source.
    pub fn from_json(json: Json, source: &Source) -> Self {
        let value = match json {
            Json::Null => Value::Null,
            Json::Bool(flag) => Value::Bool(flag),
            Json::Number(number) => Value::Number(number),
            Json::String(text) => Value::Text(text),
            Json::Array(items) => Value::List(items.into_iter().map(|item| Self::from_json(item, source)).collect()),
            Json::Object(keys) => {
                let keys = keys
                    .into_iter()
                    .map(|(key, value)| (key, Self::from_json(value, source)));
                Value::Map(keys.collect())
            }
        };
        Self::new(value, source.clone())
    }

    /// The values alone. Keys without a value are left out.
    pub fn to_json(&self) -> Json {
        match &self.value {
            Value::Null => Json::Null,
            Value::Bool(flag) => Json::Bool(*flag),
            Value::Number(number) => Json::Number(number.clone()),
            Value::Text(text) => Json::String(text.clone()),
            Value::List(items) => Json::Array(items.iter().map(Self::to_json).collect()),
            Value::Map(keys) => {
                let keys = keys.iter().filter(|(_, entry)| entry.value != Value::Null);
                Json::Object(keys.map(|(key, entry)| (key.clone(), entry.to_json())).collect())
            }
        }
    }

    /// What stands under a key of a map.
    pub fn get(&self, key: &str) -> Option<&Self> {
        match &self.value {
            Value::Map(keys) => keys.iter().find(|(name, _)| name == key).map(|(_, entry)| entry),
            _ => None,
        }
    }

    /// Takes a key out of a map.
    pub fn take(&mut self, key: &str) -> Option<Self> {
        let Value::Map(keys) = &mut self.value else { return None };
        let found = keys.iter().position(|(name, _)| name == key)?;
        Some(keys.remove(found).1)
    }

    /// Puts a value under one key of a map, whatever characters the key has.
    pub fn insert(&mut self, key: &str, entry: Self) {
        let Value::Map(keys) = &mut self.value else { return };
        match keys.iter_mut().find(|(name, _)| name == key) {
            Some((_, found)) => *found = entry,
            None => keys.push((key.to_owned(), entry)),
        }
    }

    /// Puts a value under a path of keys with dots between them; maps are made where there are none.
    pub fn put(&mut self, path: &str, entry: Self) {
        let (key, rest) = path
            .split_once('.')
            .map_or((path, None), |(key, rest)| (key, Some(rest)));
        if !matches!(self.value, Value::Map(_)) {
            self.value = Value::Map(Vec::new());
        }
        let Value::Map(keys) = &mut self.value else { return };
        let found = match keys.iter().position(|(name, _)| name == key) {
            Some(found) => found,
            None => {
                keys.push((key.to_owned(), Self::empty(entry.source.clone())));
                keys.len() - 1
            }
        };
        match rest {
            Some(rest) => keys[found].1.put(rest, entry),
            None => keys[found].1 = entry,
        }
    }

    /// Lays another layer on top: maps key by key, everything else as a whole. What has no value changes nothing.
    pub fn overlay(&mut self, upper: Self) {
        match (&mut self.value, upper) {
            (_, Self { value: Value::Null, .. }) => {}
            (
                Value::Map(lower),
                Self {
                    value: Value::Map(upper),
                    source,
                },
            ) => {
                if lower.is_empty() {
                    self.source = source;
                }
                for (key, entry) in upper {
                    match lower.iter_mut().find(|(name, _)| *name == key) {
                        Some((_, found)) => found.overlay(entry),
                        None => lower.push((key, entry)),
                    }
                }
            }
            (_, upper) => *self = upper,
        }
    }

    /// What stands at a place.
    pub fn at(&self, place: &Place) -> Option<&Self> {
        place
            .steps()
            .iter()
            .try_fold(self, |entry, step| match (step, &entry.value) {
                (Step::Index(index), Value::List(items)) => items.get(*index),
                (Step::Key(key), _) => entry.get(key),
                (Step::Index(_), _) => None,
            })
    }

    /// Where the value at a place comes from, or what is there of the way to it.
    pub fn source_of(&self, place: &Place) -> &Source {
        let mut entry = self;
        for step in place.steps() {
            entry = match (step, &entry.value) {
                (Step::Index(index), Value::List(items)) if *index < items.len() => &items[*index],
                (Step::Key(key), _) if entry.get(key).is_some() => entry.get(key).unwrap_or(entry),
                _ => break,
            };
        }
        &entry.source
    }
}
