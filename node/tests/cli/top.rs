//! `top`: what pods use.

use serde_json::Value;

use crate::here::{Here, eventually, pod};

#[test]
fn who_works_is_told_from_who_waits() {
    let here = Here::new();
    let pods = [pod("busy", "while :; do :; done"), pod("idle", "exec sleep 600")];
    assert_eq!(here.run(&pods, &["--detach"]).code, 0);
    let shown = || here.towline(&["top", "-o", "json"]).json();
    let of = |shown: &Value, name: &str, key: &str| {
        let found = shown.as_array().unwrap().iter().find(|pod| pod["name"] == name);
        found.and_then(|pod| pod["total"][key].as_u64())
    };
    // Two figures of each are needed.
    eventually("the figures", || {
        let shown = shown();
        let cpu = |name| of(&shown, name, "cpuMillis");
        cpu("busy").is_some_and(|busy| busy >= 20 && cpu("idle").is_some_and(|idle| idle < busy / 2))
    });
    let shown = shown();
    assert_eq!(shown[0]["name"], "busy", "{shown}");
    assert!(of(&shown, "idle", "memoryBytes").unwrap() > 10_000, "{shown}");
    assert_eq!(of(&shown, "busy", "processes"), Some(1), "{shown}");
    assert_eq!(shown[0]["containers"][0]["name"], "main", "{shown}");
    assert!(
        shown[0]["containers"][0]["cpuSeconds"].as_f64().unwrap() > 0.0,
        "{shown}"
    );

    let table = here.towline(&["top"]).text();
    assert!(
        table.starts_with("UID") && table.contains("busy") && table.contains("Mi"),
        "{table}"
    );
    let wide = here.towline(&["top", "-A", "-o", "wide"]).text();
    assert!(wide.starts_with("AGENT") && wide.contains("main="), "{wide}");
    assert!(here.towline(&["top", "-o", "yaml"]).text().contains("name: idle"));

    assert_eq!(here.towline(&["cancel", "busy", "idle"]).code, 0);
    eventually("the end", || {
        here.towline(&["top", "-o", "json"])
            .json()
            .as_array()
            .unwrap()
            .is_empty()
    });
}
