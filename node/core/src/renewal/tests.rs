use serde_json::{Value, json};

use super::*;
use crate::bundle::Bundle;
use crate::translate::{Site, translate};
use crate::volumes::{Token, tokens};

const NOW: i64 = 1_000_000;

fn pod(volumes: Value) -> Pod {
    serde_json::from_value(json!({
        "metadata": {"name": "p", "namespace": "n", "uid": "u", "labels": {"a": "1"}},
        "spec": {"containers": [{"name": "c", "image": "i"}], "volumes": volumes}
    }))
    .unwrap()
}

fn with_everything() -> Pod {
    pod(json!([
        {"name": "config", "configMap": {"name": "c"}},
        {"name": "secret", "secret": {"secretName": "s", "optional": true}},
        {"name": "api", "projected": {"sources": [
            {"serviceAccountToken": {"path": "token", "expirationSeconds": 600}},
            {"configMap": {"name": "root"}}]}},
        {"name": "own", "downwardAPI": {"items": [{"path": "labels", "fieldRef": {"fieldPath": "metadata.labels"}}]}},
        {"name": "scratch", "emptyDir": {}}
    ]))
}

fn config_map(references: &mut References, name: &str, version: &str, value: &str) {
    let object = json!({"metadata": {"name": name, "resourceVersion": version}, "data": {"key": value}});
    let object = serde_json::from_value(object).unwrap();
    references.config_maps.insert(name.to_owned(), object);
}

fn references(pod: &Pod) -> References {
    let mut references = References::default();
    config_map(&mut references, "c", "1", "one");
    config_map(&mut references, "root", "1", "ca");
    for wanted in tokens(pod) {
        let token = Token::new(
            "first".into(),
            NOW + wanted.expiration_seconds,
            wanted.expiration_seconds,
        );
        references.tokens.insert(wanted, token);
    }
    references
}

fn bundle(pod: &Pod, references: &References) -> Bundle {
    translate(pod, references, &Site::default()).unwrap()
}

fn names(stale: &Stale) -> Vec<&str> {
    stale.volumes.iter().map(String::as_str).collect()
}

#[test]
fn what_was_sent_with_the_pod_is_up_to_date() {
    let pod = with_everything();
    let references = references(&pod);
    let there = Content::of(&bundle(&pod, &references)).unwrap();
    assert_eq!(there.generation, 0);
    assert_eq!(there.renew_at, Some(NOW + 480));
    assert_eq!(
        there.volumes.keys().collect::<Vec<_>>(),
        ["api", "config", "own", "secret"]
    );
    assert_eq!(compare(&pod, &references, None, &there, NOW), Stale::default());
}

#[test]
fn only_what_has_changed_is_sent() {
    let mut pod = with_everything();
    let mut references = references(&pod);
    let there = Content::of(&bundle(&pod, &references)).unwrap();
    config_map(&mut references, "c", "2", "two");
    pod.metadata.labels = Some(BTreeMap::from([("a".into(), "2".into())]));
    let stale = compare(&pod, &references, None, &there, NOW);
    assert_eq!((names(&stale), stale.tokens), (vec!["config", "own"], false));
    let update = Update::new(&pod, &references, &there, &stale, 77).unwrap();
    assert_eq!(
        update.entries["volumes/config/..towline_77/key"],
        Entry::File(0o644, b"two".to_vec())
    );
    assert!(!update.entries.keys().any(|path| path.contains("volumes/api")));
    assert_eq!(
        (update.content.generation, update.content.renew_at),
        (77, there.renew_at)
    );
    assert_eq!(
        update.entries["content"],
        Entry::File(0o600, format!("{}\n", update.content).into_bytes())
    );
    assert_eq!(compare(&pod, &references, None, &update.content, NOW), Stale::default());
}

#[test]
fn tokens_are_replaced_in_time_and_with_what_stands_beside_them() {
    let pod = with_everything();
    let mut references = references(&pod);
    let there = Content::of(&bundle(&pod, &references)).unwrap();
    assert!(!tokens_due(&there, NOW + 479) && tokens_due(&there, NOW + 480));
    let stale = compare(&pod, &references, None, &there, NOW + 480);
    assert_eq!((names(&stale), stale.tokens), (vec!["api"], true));
    for token in references.tokens.values_mut() {
        *token = Token::new("second".into(), NOW + 1080, 600);
    }
    let update = Update::new(&pod, &references, &there, &stale, 5).unwrap();
    assert_eq!(
        update.entries["volumes/api/..towline_5/token"],
        Entry::File(0o644, b"second".to_vec())
    );
    assert_eq!(update.content.renew_at, Some(NOW + 960));
    config_map(&mut references, "root", "2", "other");
    let stale = compare(&pod, &references, None, &update.content, NOW + 480);
    assert_eq!((names(&stale), stale.tokens), (vec!["api"], true));
    references.tokens.clear();
    assert!(Update::new(&pod, &references, &update.content, &stale, 6).is_err());
}

#[test]
fn what_is_missing_stays_as_it_is_and_what_is_optional_becomes_empty() {
    let pod = with_everything();
    let mut references = references(&pod);
    let secret = json!({"metadata": {"name": "s"}, "data": {"k": "eA=="}});
    references
        .secrets
        .insert("s".into(), serde_json::from_value(secret).unwrap());
    let there = Content::of(&bundle(&pod, &references)).unwrap();
    references.secrets.clear();
    references.config_maps.remove("c");
    references.config_maps.remove("root");
    let stale = compare(&pod, &references, None, &there, NOW + 480);
    assert_eq!(names(&stale), ["secret"]);
    assert_eq!(stale.problems["config"], "configmap \"c\" not found");
    assert!(stale.problems.contains_key("api"));
}

#[test]
fn what_is_immutable_stays_whoever_deletes_it() {
    let pod = with_everything();
    let mut references = references(&pod);
    references.config_maps.get_mut("c").unwrap().immutable = Some(true);
    let there = Content::of(&bundle(&pod, &references)).unwrap();
    let seen = Seen::new(&pod, &references, None);
    references.config_maps.remove("c");
    assert_eq!(compare(&pod, &references, Some(&seen), &there, NOW), Stale::default());
    assert_eq!(Seen::new(&pod, &references, Some(&seen)), seen);
    assert!(
        compare(&pod, &references, None, &there, NOW)
            .problems
            .contains_key("config")
    );
}

#[test]
fn a_generation_is_never_used_twice() {
    let pod = with_everything();
    let references = references(&pod);
    let there = Content {
        generation: 90,
        ..Content::of(&bundle(&pod, &references)).unwrap()
    };
    let update = Update::new(&pod, &references, &there, &Stale::default(), 80).unwrap();
    assert_eq!(update.content.generation, 91);
}

#[test]
fn objects_are_read_only_where_a_version_is_another() {
    let mut pod = with_everything();
    let mut references = references(&pod);
    references.config_maps.get_mut("root").unwrap().immutable = Some(true);
    let seen = Seen::new(&pod, &references, None);
    let all: Vec<Object> = asked(&pod, None).into_iter().collect();
    assert_eq!(all.len(), 3);
    let asked: Vec<Object> = asked(&pod, Some(&seen)).into_iter().collect();
    assert_eq!(asked, [(Kind::ConfigMap, "c".into()), (Kind::Secret, "s".into())]);
    let versions = |config: &'static str| {
        move |object: &Object| match object.1.as_str() {
            "c" => Some(Version::At(config.into())),
            "s" => Some(Version::Absent),
            other => panic!("{other} was asked for"),
        }
    };
    assert_eq!(outdated(&pod, Some(&seen), versions("1")), Some(false));
    assert_eq!(outdated(&pod, Some(&seen), versions("2")), Some(true));
    assert_eq!(outdated(&pod, Some(&seen), |_| None), None, "not known is not changed");
    pod.metadata.annotations = Some(BTreeMap::from([("b".into(), "1".into())]));
    assert_eq!(outdated(&pod, Some(&seen), versions("1")), Some(true));
}
