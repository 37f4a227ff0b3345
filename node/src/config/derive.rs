//! What follows from other values: the list of nodes, their names, the agent's name, the directory for keys.

use towline_ssh::Target;

use super::path::Place;
use super::problem::Problem;
use super::spoken::Spoken;
use super::tree::{Entry, Source, Value};

/// The name of a node when nothing is known to name it after.
const FALLBACK: &str = "towline";

/// Lays everything that is said about a node on top of each other, in the order of its strength, for each node, and
/// names those that have no name. `bare` is a node that nothing is said about.
pub fn nodes(tree: &mut Entry, bare: &Entry, spoken: &[Spoken]) -> Vec<Problem> {
    let defaults = tree
        .take("nodeDefaults")
        .unwrap_or_else(|| Entry::empty(Source::Default));
    let list = tree.take("nodes").unwrap_or_else(|| Entry::empty(Source::Default));
    let source = list.source.clone();
    let mut listed = match list.value {
        Value::List(items) => items,
        _ => Vec::new(),
    };
    if listed.is_empty() {
        listed.push(Entry::empty(Source::Default));
    }
    let mut problems = Vec::new();
    let alone = listed.len() == 1;
    let said = spoken.iter().rev().find_map(|layer| layer.name.clone());
    let base = said.clone().unwrap_or_else(|| name_of_target(tree));
    let nodes = listed.into_iter().enumerate().map(|(index, own)| {
        let mut node = bare.clone();
        node.source = own.source.clone();
        node.overlay(defaults.clone());
        node.overlay(own);
        spoken.iter().for_each(|layer| node.overlay(layer.each_node.clone()));
        let named = has(&node, "name");
        match &said {
            Some(said) if alone => node.insert("name", said.clone()),
            Some(said) if named => problems.push(Problem {
                source: said.source.clone(),
                place: Place::from("nodes").index(index).key("name"),
                message: format!("one name cannot be given to several nodes that have names: change them at {source}"),
            }),
            _ if named => {}
            _ => {
                let name = name_with_partition(&base, &node, alone);
                node.insert("name", name);
            }
        }
        node
    });
    let nodes = nodes.collect();
    tree.insert("nodes", Entry::new(Value::List(nodes), source));
    problems
}

/// The agent is named after the first node; keys lie where the user keeps what programs remember.
pub fn rest(tree: &mut Entry, variables: &dyn Fn(&str) -> Option<String>) {
    if !has(tree, "cluster.agent") {
        let first = tree
            .at(&Place::from("nodes").index(0).key("name"))
            .map(|name| name.value.clone());
        let agent = Entry::new(first.unwrap_or(Value::Null), Source::Derived("the first node's name"));
        tree.put("cluster.agent", agent);
    }
    if !has(tree, "kubernetes.stateDir") {
        let variable = |name: &str| variables(name).filter(|value| value.starts_with('/'));
        let (directory, source) = match (variable("XDG_STATE_HOME"), variable("HOME")) {
            (Some(state), _) => (
                format!("{state}/towline"),
                Source::Environment("XDG_STATE_HOME".to_owned()),
            ),
            (None, Some(home)) => (format!("{home}/.local/state/towline"), Source::Default),
            (None, None) => ("/var/lib/towline".to_owned(), Source::Default),
        };
        tree.put("kubernetes.stateDir", Entry::new(Value::Text(directory), source));
    }
}

fn has(entry: &Entry, path: &str) -> bool {
    entry
        .at(&Place::from(path))
        .is_some_and(|entry| entry.value != Value::Null)
}

fn text<'a>(entry: &'a Entry, key: &str) -> Option<&'a str> {
    match &entry.get(key)?.value {
        Value::Text(text) => Some(text),
        _ => None,
    }
}

fn name_of_target(tree: &Entry) -> Entry {
    let name = text(tree, "target")
        .and_then(|target| Target::parse(target).ok())
        .map(|target| {
            match target.host.parse::<std::net::IpAddr>() {
                // An address is no name, and its dots would make it look like one.
                Ok(address) => format!("{FALLBACK}-{}", name_from(&address.to_string(), false)),
                Err(_) => name_from(&target.host, true),
            }
        });
    match name.filter(|name| !name.is_empty()) {
        Some(name) => Entry::new(Value::Text(name), Source::Derived("the target")),
        None => Entry::new(Value::Text(FALLBACK.to_owned()), Source::Default),
    }
}

fn name_with_partition(base: &Entry, node: &Entry, alone: bool) -> Entry {
    match (&base.value, text(node, "partition")) {
        (Value::Text(base), Some(partition)) if !alone => Entry::new(
            Value::Text(format!("{base}-{}", name_from(partition, false))),
            Source::Derived("the name and the partition"),
        ),
        _ => base.clone(),
    }
}

/// What of a text can be in a node's name.
fn name_from(text: &str, dots: bool) -> String {
    let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || dots && c == '.';
    let name: String = text
        .to_lowercase()
        .chars()
        .map(|c| if fits(c) { c } else { '-' })
        .collect();
    name.trim_matches(['-', '.']).to_owned()
}
