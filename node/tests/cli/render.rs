//! `towline render`.

use serde_json::json;

use crate::here::{Here, pod};

/// What changes from one call to the next.
fn without_uid(text: &str) -> String {
    let uid = text.split("UID ").nth(1).unwrap().split_whitespace().next().unwrap();
    text.replace(uid, "UID")
}

#[test]
fn what_is_shown_is_stable() {
    let here = Here::new();
    let config = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}, "data": {"text": "one\ntwo"}, "binaryData": {"bytes": "AAEC/w=="}});
    let mut pod = pod("shown", "echo $(A) \"$A\"");
    pod["metadata"]["annotations"] = json!({"towline.dev/walltime": "0:10:00", "towline.dev/partition": "debug"});
    pod["spec"]["containers"][0]["env"] = json!([{"name": "A", "value": "it's\ntwo lines"}]);
    pod["spec"]["containers"][0]["resources"] = json!({"limits": {"cpu": "1500m", "memory": "1Gi"}});
    pod["spec"]["containers"][0]["volumeMounts"] = json!([{"name": "v", "mountPath": "/etc/v"}]);
    pod["spec"]["volumes"] = json!([{"name": "v", "configMap": {"name": "c"}}]);
    let file = here.manifest(&[config, pod]);
    let words = [
        "render",
        "-f",
        &file,
        "--batch",
        "slurm",
        "--runtime",
        "apptainer",
        "--root",
        "/far/.towline",
    ];
    let said = here.towline(&words);
    assert_eq!(said.code, 0, "{said:?}");
    let text = without_uid(&said.text());
    // Environment of this machine, and the hash of the scripts.
    let hash = text
        .split("/far/.towline/scripts/")
        .nth(1)
        .unwrap()
        .split('/')
        .next()
        .unwrap()
        .to_owned();
    let at = text.find("env -i ").unwrap();
    let to = text.find("sbatch ").unwrap();
    let text = format!("{}ENVIRONMENT {}", &text[..at], &text[to..]).replace(&hash, "HASH");
    let golden = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/render.txt");
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&golden, &text).unwrap();
    }
    assert_eq!(
        text,
        std::fs::read_to_string(golden).unwrap(),
        "UPDATE_GOLDEN=1 writes it anew"
    );
    assert!(!here.path(".towline").exists());
}

#[test]
fn the_tar_stream_is_what_is_sent() {
    let here = Here::new();
    let file = here.manifest(&[pod("a", "true"), pod("b", "true")]);
    let said = here.towline(&["render", "-f", &file, "--runtime", "none", "-o", "tar"]);
    assert_eq!(said.code, 0, "{said:?}");
    let mut names = Vec::new();
    let tar = here.path("tar");
    std::fs::write(&tar, &said.out).unwrap();
    let output = std::process::Command::new("tar").arg("-tf").arg(&tar).output().unwrap();
    assert!(output.status.success());
    let text = String::from_utf8(output.stdout).unwrap();
    for line in text.lines() {
        names.push(line.split_once('/').map_or(line, |(_, below)| below));
    }
    assert_eq!(names.last(), Some(&"MANIFEST"));
    assert_eq!(
        names
            .iter()
            .filter(|name| **name == "containers/00-main/command")
            .count(),
        2,
        "{names:?}"
    );
    let json = here
        .towline(&["render", "-f", &file, "--runtime", "none", "-o", "json"])
        .json();
    assert_eq!(json.as_array().unwrap().len(), 2);
    assert_eq!(json[0]["command"][0], "setsid");
}
