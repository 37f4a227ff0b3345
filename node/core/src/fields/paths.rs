//! Every path that a type of the API has, found out by reading it from a document that answers any question.
//!
//! The types of k8s-openapi tell serde their fields when they are read. The reader here notes them and offers a value for
//! each, whatever its type, so that no field of a new version of the API can be forgotten by the table of decisions.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::fmt;

use serde::de::value::StrDeserializer;
use serde::de::{DeserializeOwned, DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};

/// The paths of all leaves of a type: `a.b`, `list[].c`, and `map.*` for a map with free keys.
pub fn of<T: DeserializeOwned>() -> BTreeSet<String> {
    read::<T>(None).1
}

/// A value of a type that says something at one of its [paths](of) and nothing anywhere else.
pub fn along<T: DeserializeOwned>(path: &str) -> T {
    read(Some(path)).0
}

fn read<T: DeserializeOwned>(along: Option<&str>) -> (T, BTreeSet<String>) {
    let found = RefCell::new(BTreeSet::new());
    let reader = Reader {
        path: String::new(),
        along,
        found: &found,
    };
    match T::deserialize(reader) {
        Ok(value) => (value, found.into_inner()),
        Err(error) => panic!("failed to read a type of the API by itself: {error}"),
    }
}

#[derive(Debug)]
struct Error(String);

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Error {}

impl serde::de::Error for Error {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self(message.to_string())
    }
}

struct Reader<'a> {
    path: String,
    /// The only path of which there is something to read; `None`: all.
    along: Option<&'a str>,
    found: &'a RefCell<BTreeSet<String>>,
}

impl Reader<'_> {
    fn leaf(&self) {
        self.found.borrow_mut().insert(self.path.clone());
    }

    fn below(&self, path: String) -> Self {
        Self {
            path,
            along: self.along,
            found: self.found,
        }
    }

    fn field(&self, name: &str) -> String {
        match self.path.as_str() {
            "" => name.to_owned(),
            path => format!("{path}.{name}"),
        }
    }

    fn has(&self, field: &str) -> bool {
        let rest = self.along.map(|along| along.strip_prefix(&self.field(field)));
        rest.is_none_or(|rest| rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '['])))
    }
}

macro_rules! leaves {
    ($($name:ident => $visit:ident($value:expr);)*) => {
        $(fn $name<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
            self.leaf();
            visitor.$visit($value)
        })*
    };
}

impl<'de> Deserializer<'de> for Reader<'_> {
    type Error = Error;

    leaves! {
        deserialize_any => visit_i64(1);
        deserialize_bool => visit_bool(true);
        deserialize_i32 => visit_i32(1);
        deserialize_i64 => visit_i64(1);
        deserialize_f64 => visit_f64(1.0);
        deserialize_str => visit_str("2000-01-01T00:00:00Z");
        deserialize_string => visit_str("2000-01-01T00:00:00Z");
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_seq(Elements(Some(self)))
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_map(Fields {
            rest: ["*"].iter(),
            now: "",
            reader: self,
        })
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        visitor.visit_map(Fields {
            rest: fields.iter(),
            now: "",
            reader: self,
        })
    }

    serde::forward_to_deserialize_any! {
        i8 i16 i128 u8 u16 u32 u64 u128 f32 char bytes byte_buf unit unit_struct tuple tuple_struct enum identifier ignored_any
    }
}

struct Elements<'a>(Option<Reader<'a>>);

impl<'de> SeqAccess<'de> for Elements<'_> {
    type Error = Error;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Error> {
        let Some(list) = self.0.take() else { return Ok(None) };
        let path = format!("{}[]", list.path);
        seed.deserialize(list.below(path)).map(Some)
    }
}

struct Fields<'a> {
    rest: std::slice::Iter<'static, &'static str>,
    now: &'static str,
    reader: Reader<'a>,
}

impl<'de> MapAccess<'de> for Fields<'_> {
    type Error = Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Error> {
        let Some(field) = self.rest.find(|field| self.reader.has(field)) else {
            return Ok(None);
        };
        self.now = field;
        seed.deserialize(StrDeserializer::<Error>::new(field)).map(Some)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Error> {
        if self.now.is_empty() {
            return Err(Error::custom("a value without a key"));
        }
        seed.deserialize(self.reader.below(self.reader.field(self.now)))
    }
}
