//! The layer that a YAML file is: every value knows its line.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context;
use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Number, Value as Json};
use serde_saphyr::Spanned;

use super::schema;
use super::tree::{Entry, Source, Value};
use super::values::PATH;

/// Reads a file.
///
/// # Errors
/// It cannot be read, or is no YAML; the message has file and line.
pub fn read(path: &str) -> anyhow::Result<Entry> {
    let text = std::fs::read_to_string(path).with_context(|| format!("failed to read the configuration {path}"))?;
    parse(&text, PathBuf::from(path))
}

/// Reads a file's text.
pub fn parse(text: &str, path: PathBuf) -> anyhow::Result<Entry> {
    let options = serde_saphyr::options! {
        strict_booleans: true,
        with_snippet: false,
        // What a person wrote as 0123 or 1_000 was not meant as a number.
        leading_zero_numbers_as_strings: true,
        underscored_numbers_as_strings: true,
    };
    let found: Spanned<Raw> = serde_saphyr::from_str_with_options(text, options)
        .map_err(|error| anyhow::anyhow!("{}: {error}", path.display()))
        .context("the configuration is not YAML")?;
    let path = Arc::new(path);
    let entry = found.value.entry(found.referenced.line(), &path);
    match entry.value {
        Value::Null => Ok(Entry::empty(entry.source)),
        Value::Map(_) => Ok(entry),
        _ => anyhow::bail!("{}: the configuration has to be a map of keys", entry.source),
    }
}

/// A value as the parser gives it.
enum Raw {
    Scalar(Value),
    List(Vec<Spanned<Raw>>),
    Map(Vec<(Spanned<String>, Raw)>),
}

impl Raw {
    fn entry(self, line: u64, path: &Arc<PathBuf>) -> Entry {
        let value = match self {
            Self::Scalar(value) => value,
            Self::List(items) => {
                let items = items
                    .into_iter()
                    .map(|item| item.value.entry(item.referenced.line(), path));
                Value::List(items.collect())
            }
            Self::Map(keys) => {
                let keys = keys.into_iter().map(|(key, value)| {
                    let line = key.referenced.line();
                    (key.value, value.entry(line, path))
                });
                Value::Map(keys.collect())
            }
        };
        Entry::new(value, Source::File(Arc::clone(path), line))
    }
}

impl<'de> Deserialize<'de> for Raw {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(RawVisitor)
    }
}

struct RawVisitor;

impl<'de> Visitor<'de> for RawVisitor {
    type Value = Raw;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E>(self) -> Result<Raw, E> {
        Ok(Raw::Scalar(Value::Null))
    }

    fn visit_none<E>(self) -> Result<Raw, E> {
        Ok(Raw::Scalar(Value::Null))
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Raw, D::Error> {
        Raw::deserialize(deserializer)
    }

    fn visit_bool<E>(self, flag: bool) -> Result<Raw, E> {
        Ok(Raw::Scalar(Value::Bool(flag)))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Raw, E> {
        Ok(Raw::Scalar(Value::Number(number.into())))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Raw, E> {
        Ok(Raw::Scalar(Value::Number(number.into())))
    }

    fn visit_f64<E: serde::de::Error>(self, number: f64) -> Result<Raw, E> {
        let number = Number::from_f64(number).ok_or_else(|| E::custom("a number has to be finite"))?;
        Ok(Raw::Scalar(Value::Number(number)))
    }

    fn visit_str<E>(self, text: &str) -> Result<Raw, E> {
        Ok(Raw::Scalar(Value::Text(text.to_owned())))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Raw, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = access.next_element()? {
            items.push(item);
        }
        Ok(Raw::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Raw, A::Error> {
        let mut keys = Vec::new();
        while let Some(key) = access.next_entry()? {
            keys.push(key);
        }
        Ok(Raw::Map(keys))
    }
}

/// Makes paths absolute: `~/` is `home`; with a `base`, a relative path starts there.
pub fn resolve_paths(entry: &mut Entry, part: &Json, base: Option<&std::path::Path>, home: Option<&str>) {
    match &mut entry.value {
        Value::Text(text) if schema::format(part) == Some(PATH) => {
            if let (Some(rest), Some(home)) = (text.strip_prefix("~/"), home) {
                *text = format!("{home}/{rest}");
            } else if let Some(base) = base
                && !text.starts_with('~')
            {
                // `join` leaves an absolute path as it is.
                *text = base.join(text.as_str()).to_string_lossy().into_owned();
            }
        }
        Value::List(items) => {
            let part = schema::items(part);
            items.iter_mut().for_each(|item| resolve_paths(item, part, base, home));
        }
        Value::Map(keys) => {
            for (key, value) in keys {
                if let Some(part) = schema::properties(part).and_then(|properties| properties.get(key)) {
                    resolve_paths(value, part, base, home);
                }
            }
        }
        _ => {}
    }
}
