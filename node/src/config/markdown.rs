//! `docs/configuration.md`, made from the schema, so that it cannot say anything else than the program.

use serde_json::Value as Json;

use super::flags::{Meaning, PLACES, TARGET};
use super::schema::{self, schema};

const HEAD: &str = include_str!("configuration.md");

/// The text of `docs/configuration.md`.
pub fn markdown() -> String {
    let root = schema();
    let mut text = HEAD.to_owned();
    section(&root, "", "", &mut text);
    text
}

/// A table of the keys that hold values, then a section for each key that holds keys.
fn section(part: &Json, path: &str, at: &str, text: &mut String) {
    let mut groups = Vec::new();
    let mut rows = String::new();
    for (key, below) in schema::properties(part).into_iter().flatten() {
        let here = |prefix: &str| {
            if prefix.is_empty() {
                key.clone()
            } else {
                format!("{prefix}.{key}")
            }
        };
        let inner = if schema::is(below, "array") {
            schema::items(below)
        } else {
            below
        };
        let list = if schema::is(below, "array") { "[]" } else { "" };
        if schema::properties(inner).is_some() {
            groups.push((here(path) + list, here(at), below, inner));
            continue;
        }
        let flag = flag(&here(at)).map(|flag| format!("`{flag}`")).unwrap_or_default();
        let description = description(below);
        rows += &format!(
            "| `{key}` | {} | {} | {flag} | {description} |\n",
            cell(&schema::expected(below)),
            default(below)
        );
    }
    if !rows.is_empty() {
        *text += "\n| key | value | default | flag | |\n|---|---|---|---|---|\n";
        *text += &rows;
    }
    for (path, at, below, inner) in groups {
        // What holds for each node is explained once, at the nodes.
        *text += &format!("\n## `{path}`\n\n{}\n", description(below));
        if let Some(words) = below.get("x-default").and_then(Json::as_str) {
            *text += &format!("Default: {words}.\n");
        }
        if at != "nodeDefaults" {
            section(inner, &path, &at, text);
        }
    }
}

fn default(part: &Json) -> String {
    match (part.get("x-default").and_then(Json::as_str), part.get("default")) {
        (Some(words), _) => cell(words),
        (None, Some(Json::String(text))) => format!("`{}`", cell(text)),
        (None, Some(value)) => format!("`{}`", cell(&value.to_string())),
        (None, None) => "has to be said".to_owned(),
    }
}

fn description(part: &Json) -> String {
    let words = part.get("description").and_then(Json::as_str).unwrap_or_default();
    cell(&words.split_whitespace().collect::<Vec<_>>().join(" "))
}

fn cell(text: &str) -> String {
    text.replace('|', "\\|")
}

fn flag(path: &str) -> Option<String> {
    let found = PLACES.iter().find(|(_, meaning)| match meaning {
        Meaning::Key(key) => *key == path,
        Meaning::EachNode(key) => path.strip_prefix("nodes.") == Some(key),
        Meaning::Name => path == "nodes.name",
        Meaning::Partitions => path == "nodes.partition",
        Meaning::Labels => path == "nodes.labels",
        Meaning::Taints => path == "nodes.taints",
        Meaning::NoTaint => false,
    });
    found.map(|(flag, _)| {
        if *flag == TARGET {
            "TARGET".to_owned()
        } else {
            format!("--{flag}")
        }
    })
}
