//! From everything that is said to what holds.

use std::path::Path;

use anyhow::Context;
use serde_json::Value as Json;

use super::check::check;
use super::derive;
use super::file;
use super::flags::{Flags, variable};
use super::model::Config;
use super::node::Node;
use super::path::Place;
use super::problem::{Problem, none_of};
use super::schema::{self, schema};
use super::spoken::{Spoken, command_line, environment};
use super::tree::{Entry, Source, Value};
use super::validate::validate;

/// What holds, and where each value comes from.
#[derive(Debug)]
pub struct Effective {
    /// What holds.
    pub config: Config,
    /// The same, with sources.
    tree: Entry,
}

/// Reads the file if one is named, the environment and the flags.
///
/// # Errors
/// One message with everything that is wrong: which value, where it was said, and what would be right.
pub fn load(flags: &Flags) -> anyhow::Result<Effective> {
    load_with(flags, &|name| std::env::var(name).ok())
}

/// [`load`] with another environment.
pub fn load_with(flags: &Flags, variables: &dyn Fn(&str) -> Option<String>) -> anyhow::Result<Effective> {
    let root = schema();
    let home = variables("HOME");
    let named = flags
        .config
        .clone()
        .or_else(|| variables(&variable("config")).filter(|path| !path.is_empty()));
    let mut file = match &named {
        Some(path) => file::read(path)?,
        None => Entry::empty(Source::Default),
    };
    let base = named.as_deref().and_then(|path| std::path::absolute(path).ok());
    file::resolve_paths(
        &mut file,
        &root,
        base.as_deref().and_then(Path::parent),
        home.as_deref(),
    );
    let mut spoken = [environment(variables, &root), command_line(flags, &root)];
    for layer in &mut spoken {
        file::resolve_paths(&mut layer.tree, &root, None, home.as_deref());
    }
    none_of(&problems_of_layers(&file, &spoken, &root))?;

    let mut tree = defaults(&Config::default(), &root)?;
    tree.overlay(file);
    for layer in &spoken {
        tree.overlay(layer.tree.clone());
    }
    let bare = defaults(&Node::default(), schema::items(schema::at(&root, "nodes")))?;
    let problems = derive::nodes(&mut tree, &bare, &spoken);
    none_of(&problems)?;
    derive::rest(&mut tree, variables);

    let read: Result<Config, _> = serde_path_to_error::deserialize(tree.to_json());
    let problems = match &read {
        Ok(config) => validate(config, &tree),
        Err(error) => {
            let place = Place::from(error.path());
            vec![Problem {
                source: tree.source_of(&place).clone(),
                message: error.inner().to_string(),
                place,
            }]
        }
    };
    none_of(&problems)?;
    Ok(Effective { config: read?, tree })
}

fn problems_of_layers(file: &Entry, spoken: &[Spoken], root: &Json) -> Vec<Problem> {
    let node = schema::items(schema::at(root, "nodes"));
    let mut problems = check(file, root, &Place::default(), root);
    for layer in spoken {
        problems.extend(layer.problems.iter().cloned());
        problems.extend(check(&layer.tree, root, &Place::default(), root));
        problems.extend(check(&layer.each_node, node, &Place::from("nodes"), root));
    }
    problems
}

/// A layer of defaults. What has a default in words has no value yet.
fn defaults(values: &impl serde::Serialize, part: &Json) -> anyhow::Result<Entry> {
    let values = serde_json::to_value(values).context("failed to write down the defaults")?;
    let mut tree = Entry::from_json(values, &Source::Default);
    forget(&mut tree, part);
    Ok(tree)
}

fn forget(entry: &mut Entry, part: &Json) {
    match &mut entry.value {
        value if part.get("x-default").is_some() => *value = Value::Null,
        Value::Map(keys) => {
            for (key, below) in keys {
                forget(below, schema::at(part, key));
            }
        }
        _ => {}
    }
}

impl Effective {
    /// All values with their sources.
    pub(super) fn tree(&self) -> &Entry {
        &self.tree
    }
}
