//! The schema of the configuration, made from the types, and ways to look into it.

use schemars::generate::SchemaSettings;
use serde_json::{Map, Value as Json};

use super::model::Config;

/// The JSON schema, without references. `x-default` says in words what an absent key means.
pub fn schema() -> Json {
    let settings = SchemaSettings::draft2020_12().with(|settings| settings.inline_subschemas = true);
    let mut schema = settings.into_generator().into_root_schema_for::<Config>().to_value();
    tidy(&mut schema);
    schema
}

/// Leaves out defaults that say nothing: of whole groups of keys, and where words say more.
fn tidy(schema: &mut Json) {
    let Some(keys) = schema.as_object_mut() else { return };
    let group = keys.contains_key("properties");
    if group || keys.contains_key("x-default") || keys.get("default").is_some_and(Json::is_null) {
        keys.shift_remove("default");
    }
    let below = keys
        .iter_mut()
        .filter(|(key, _)| ["properties", "items", "additionalProperties"].contains(&key.as_str()));
    for (key, child) in below {
        match child.as_object_mut() {
            Some(properties) if key == "properties" => properties.values_mut().for_each(tidy),
            _ => tidy(child),
        }
    }
}

/// The keys of a map.
pub fn properties(schema: &Json) -> Option<&Map<String, Json>> {
    schema.get("properties")?.as_object()
}

/// The schema of the values of a map with free keys.
pub fn values(schema: &Json) -> Option<&Json> {
    schema.get("additionalProperties").filter(|values| values.is_object())
}

/// The schema of the items of a list.
pub fn items(schema: &Json) -> &Json {
    schema.get("items").unwrap_or(&Json::Null)
}

/// What stands under keys with dots between them; in a list it is the items that are looked into.
pub fn at<'a>(schema: &'a Json, path: &str) -> &'a Json {
    path.split('.')
        .filter(|key| !key.is_empty())
        .fold(schema, |schema, key| {
            let schema = if is(schema, "array") { items(schema) } else { schema };
            properties(schema).and_then(|keys| keys.get(key)).unwrap_or(&Json::Null)
        })
}

/// The types that a value may have; `null` is not one of them, for any key may have no value.
pub fn types(schema: &Json) -> Vec<&str> {
    let named = match schema.get("type") {
        Some(Json::String(one)) => vec![one.as_str()],
        Some(Json::Array(several)) => several.iter().filter_map(Json::as_str).collect(),
        _ => Vec::new(),
    };
    named.into_iter().filter(|name| *name != "null").collect()
}

/// Whether a value may have a type.
pub fn is(schema: &Json, kind: &str) -> bool {
    types(schema).contains(&kind)
}

/// The `format` of a text.
pub fn format(schema: &Json) -> Option<&str> {
    schema.get("format").and_then(Json::as_str)
}

/// The only values there are.
pub fn choices(schema: &Json) -> Option<Vec<&str>> {
    Some(
        schema
            .get("enum")?
            .as_array()?
            .iter()
            .filter_map(Json::as_str)
            .collect(),
    )
}

/// What a value has to be, in words.
pub fn expected(schema: &Json) -> String {
    if let Some(choices) = choices(schema) {
        return format!("one of {}", choices.join(", "));
    }
    let one = |kind: &str| match (kind, format(schema)) {
        ("string", Some("time-span")) => "a duration (30s, 1h30m, 1-00:00:00)".to_owned(),
        ("string", Some("quantity")) => "a quantity (64, 500m, 1.5Gi)".to_owned(),
        ("string", Some("ip")) => "an IP address".to_owned(),
        ("string", Some("path")) => "a path".to_owned(),
        ("string", _) => "text".to_owned(),
        ("integer", _) => {
            let bound = |key: &str| schema.get(key).and_then(Json::as_u64);
            match (bound("minimum"), bound("maximum")) {
                (Some(from), Some(to)) => format!("a whole number from {from} to {to}"),
                _ => "a whole number".to_owned(),
            }
        }
        ("number", _) => "a number".to_owned(),
        ("boolean", _) => "true or false".to_owned(),
        ("array", _) => format!("a list, each item {}", expected(items(schema))),
        ("object", _) => match values(schema) {
            Some(values) => format!("a map from names to {}", expected(values)),
            None => "a map of keys".to_owned(),
        },
        (other, _) => other.to_owned(),
    };
    // A quantity may be a number as well, which its words say already.
    let types = types(schema);
    let words = types
        .iter()
        .take(if format(schema).is_some() { 1 } else { 9 })
        .map(|kind| one(kind));
    words.collect::<Vec<_>>().join(" or ")
}
