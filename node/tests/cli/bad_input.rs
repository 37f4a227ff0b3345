//! What cannot be run is said in words, before anything is sent.

use serde_json::json;

use crate::here::{Here, pod};

/// Runs a file and gives back what was said about it.
fn refusal(content: &str) -> String {
    let here = Here::new();
    let file = here.file("manifest.yaml", content);
    let said = here.towline(&["run", "--runtime", "none", "-f", &file]);
    assert_eq!(said.code, 125, "{said:?}");
    assert!(said.out.is_empty());
    let pods = here.path(".towline/agents/run/pods");
    assert!(!pods.exists() || here.pods().is_empty());
    said.err
}

#[test]
fn each_mistake_is_named() {
    for (content, expected) in [
        (
            "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: d}\n".to_owned(),
            "a Deployment of apps/v1",
        ),
        ("a: [".to_owned(), "it is not YAML"),
        ("{}".to_owned(), "no apiVersion"),
        ("".to_owned(), "there is no Pod and no Job in it"),
        (pod("Big", "true").to_string(), "\"Big\" cannot be the name of a Pod"),
        (pod("", "true").to_string(), "neither a name nor a generateName"),
    ] {
        let said = refusal(&content);
        assert!(said.contains(expected), "{content}: {said}");
        assert!(said.starts_with("error: "), "{said}");
    }
}

#[test]
fn unknown_and_unsupported_fields_are_named_with_their_path() {
    let mut one = pod("p", "true");
    one["spec"]["containers"][0]["comand"] = json!(["x"]);
    assert!(refusal(&one.to_string()).contains("unknown fields: spec.containers[0].comand"));
    let mut two = pod("p", "true");
    two["spec"]["hostPID"] = json!(true);
    let said = refusal(&two.to_string());
    assert!(said.contains("hostPID"), "{said}");
}

#[test]
fn what_is_referred_to_has_to_be_in_the_file() {
    let mut pod = pod("p", "true");
    pod["spec"]["containers"][0]["envFrom"] = json!([{"configMapRef": {"name": "gone"}}]);
    let said = refusal(&pod.to_string());
    assert!(
        said.contains("configmap \"gone\" not found") && said.contains("same file"),
        "{said}"
    );
}

#[test]
fn a_file_that_is_not_there_is_named() {
    let here = Here::new();
    let said = here.towline(&["run", "-f", "/no/such/file"]);
    assert!(
        said.code == 125 && said.err.contains("/no/such/file") && said.err.contains("No such file"),
        "{said:?}"
    );
}

#[test]
fn a_detached_job_needs_nobody_who_starts_further_pods() {
    let here = Here::new();
    let template =
        json!({"spec": {"restartPolicy": "Never", "containers": [{"name": "c", "image": "-", "command": ["true"]}]}});
    let job = json!({"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "j"}, "spec": {"completions": 3, "template": template}});
    let said = here.run(&[job], &["--detach"]);
    assert!(said.code == 125 && said.err.contains("--detach"), "{said:?}");
}

#[test]
fn what_the_api_server_would_refuse_is_refused() {
    let mut pod = pod("p", "true");
    pod["spec"]["restartPolicy"] = json!("Sometimes");
    pod["spec"]["containers"][0]["volumeMounts"] = json!([{"name": "gone", "mountPath": "/x"}]);
    let said = refusal(&pod.to_string());
    assert!(said.contains("InvalidPod"), "{said}");
    assert!(said.contains("\"Always\", \"OnFailure\", \"Never\""), "{said}");
    assert!(
        said.contains("spec.containers[0].volumeMounts[0].name: Not found: \"gone\""),
        "{said}"
    );
}

#[test]
fn a_runtime_or_a_batch_system_that_is_not_there_is_answered_with_those_that_are() {
    let here = Here::new();
    let file = here.manifest(&[pod("p", "true")]);
    for words in [
        &["run", "-f", &file, "--runtime", "docker"][..],
        &["render", "-f", &file, "--runtime", "docker"],
        &["check", "--runtime", "docker"],
        &["config", "--runtime", "docker"],
    ] {
        let said = here.towline(words);
        assert!(
            said.code != 0 && said.err.contains("apptainer, none"),
            "{words:?}: {said:?}"
        );
    }
    for words in [
        &["run", "-f", &file, "--runtime", "none", "--batch", "pbs"][..],
        &["render", "-f", &file, "--runtime", "none", "--batch", "pbs"],
        &["config", "--batch", "pbs"],
    ] {
        let said = here.towline(words);
        assert!(
            said.code != 0 && said.err.contains("host, slurm"),
            "{words:?}: {said:?}"
        );
    }
    assert!(!here.path(".towline").exists());
}

#[test]
fn one_target_is_enough() {
    let here = Here::new();
    let file = here.manifest(&[pod("p", "true")]);
    for command in [
        &["run", "-f", &file][..],
        &["render", "-f", &file],
        &["ps"],
        &["gc"],
        &["check"],
    ] {
        for (rest, expected) in [
            (&["local", "-t", "local"][..], "cannot be used with"),
            (&["-t", ""], "a value is required"),
            (&[""], "value"),
        ] {
            let said = here.towline(&[command, rest].concat());
            assert!(
                said.code == 2 && said.err.contains(expected),
                "{command:?} {rest:?}: {said:?}"
            );
        }
    }
    // The environment is weaker than both.
    let words = ["ps", "local"];
    let output = here
        .command(&words)
        .env("TOWLINE_TARGET", "nobody@127.0.0.1:1")
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
}

#[test]
fn an_identity_that_is_not_there_is_an_error() {
    let here = Here::new();
    let said = here.towline(&["ps", "nobody@127.0.0.1:1", "--identity", "/no/such/key"]);
    assert!(
        said.code == 1 && said.err.contains("/no/such/key") && said.err.contains("No such file"),
        "{said:?}"
    );
}
