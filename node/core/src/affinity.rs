//! Whether a pod's node affinity lets it run on a node.
//!
//! Source: `k8s.io/component-helpers/scheduling/corev1/nodeaffinity/nodeaffinity.go`.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{NodeSelectorRequirement, NodeSelectorTerm, PodSpec};

/// Whether a node of this name with these labels is what the pod's selector and its required affinity ask for.
pub fn matches(spec: &PodSpec, name: &str, labels: &BTreeMap<String, String>) -> bool {
    let selected = |(key, value): (&String, &String)| labels.get(key) == Some(value);
    let mut selector = spec.node_selector.iter().flatten();
    let required = spec
        .affinity
        .as_ref()
        .and_then(|affinity| affinity.node_affinity.as_ref())
        .and_then(|affinity| affinity.required_during_scheduling_ignored_during_execution.as_ref());
    selector.all(selected)
        && required.is_none_or(|required| {
            required
                .node_selector_terms
                .iter()
                .any(|term| holds(term, name, labels))
        })
}

/// A term that says nothing holds nowhere.
fn holds(term: &NodeSelectorTerm, name: &str, labels: &BTreeMap<String, String>) -> bool {
    let expressions = term.match_expressions.as_deref().unwrap_or_default();
    let fields = term.match_fields.as_deref().unwrap_or_default();
    let name = BTreeMap::from([("metadata.name".to_owned(), name.to_owned())]);
    !(expressions.is_empty() && fields.is_empty())
        && expressions.iter().all(|one| is_met(one, labels))
        && fields.iter().all(|one| is_met(one, &name))
}

fn is_met(requirement: &NodeSelectorRequirement, of: &BTreeMap<String, String>) -> bool {
    let found = of.get(&requirement.key);
    let values = requirement.values.as_deref().unwrap_or_default();
    let compare = |holds: fn(i64, i64) -> bool| match (found.map(|text| text.parse()), values) {
        (Some(Ok(found)), [wanted]) => wanted.parse().is_ok_and(|wanted| holds(found, wanted)),
        _ => false,
    };
    match requirement.operator.as_str() {
        "In" => found.is_some_and(|found| values.contains(found)),
        "NotIn" => found.is_none_or(|found| !values.contains(found)),
        "Exists" => found.is_some(),
        "DoesNotExist" => found.is_none(),
        "Gt" => compare(|found, wanted| found > wanted),
        "Lt" => compare(|found, wanted| found < wanted),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn runs(terms: Value) -> bool {
        let labels = BTreeMap::from([("zone", "a"), ("cores", "64")].map(|(key, value)| (key.into(), value.into())));
        let spec: PodSpec = serde_json::from_value(json!({"containers": [], "affinity": {"nodeAffinity":
            {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": terms}}}}))
        .unwrap();
        matches(&spec, "n", &labels)
    }

    #[test]
    fn each_operator_decides() {
        let one = |key: &str, operator: &str, values: Value| {
            runs(json!([{"matchExpressions": [{"key": key, "operator": operator, "values": values}]}]))
        };
        for (key, operator, values, expected) in [
            ("zone", "In", json!(["b", "a"]), true),
            ("zone", "In", json!(["b"]), false),
            ("else", "In", json!(["a"]), false),
            ("zone", "NotIn", json!(["b"]), true),
            ("zone", "NotIn", json!(["a"]), false),
            ("else", "NotIn", json!(["a"]), true),
            ("zone", "Exists", json!([]), true),
            ("else", "Exists", json!([]), false),
            ("zone", "DoesNotExist", json!([]), false),
            ("else", "DoesNotExist", json!([]), true),
            ("cores", "Gt", json!(["63"]), true),
            ("cores", "Gt", json!(["64"]), false),
            ("cores", "Lt", json!(["65"]), true),
            ("cores", "Lt", json!(["64"]), false),
            ("zone", "Gt", json!(["1"]), false),
            ("zone", "Else", json!(["a"]), false),
        ] {
            assert_eq!(
                one(key, operator, values.clone()),
                expected,
                "{key} {operator} {values}"
            );
        }
    }

    #[test]
    fn one_term_is_enough_and_an_empty_one_is_none() {
        let has = |key: &str| json!({"key": key, "operator": "Exists"});
        let named = |name: &str| json!([{"key": "metadata.name", "operator": "In", "values": [name]}]);
        assert!(runs(
            json!([{"matchExpressions": [has("else")]}, {"matchExpressions": [has("zone")]}])
        ));
        assert!(!runs(json!([{"matchExpressions": [has("else"), has("zone")]}])));
        assert!(!runs(json!([{}])));
        assert!(!runs(json!([])));
        assert!(runs(json!([{"matchFields": named("n")}])));
        assert!(!runs(json!([{"matchFields": named("m")}])));
    }
}
