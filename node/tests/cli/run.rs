//! `towline run`.

use std::io::Read;
use std::process::Command;

use serde_json::{Value, json};

use crate::here::{Here, Said, eventually, finish, pod, processes_with, signal};

#[test]
fn the_exit_code_is_the_containers_and_nothing_is_left() {
    let here = Here::new();
    let said = here.run(&[pod("seven", "echo out; echo err >&2; exit 7")], &[]);
    assert_eq!(said.code, 7, "{said:?}");
    assert_eq!(said.text(), "out\nerr\n");
    assert!(said.err.contains("seven: container main ended with code 7"), "{said:?}");
    assert!(here.pods().is_empty());
    let said = here.run(&[pod("fine", "true")], &["--keep", "--quiet"]);
    assert_eq!((said.code, said.err.as_str()), (0, ""), "{said:?}");
    assert_eq!(here.pods().len(), 1);
}

#[test]
fn a_manifest_is_read_from_standard_input() {
    let here = Here::new();
    let file = here.manifest(&[pod("p", "echo hello")]);
    let output = here
        .any_command("sh")
        .args([
            "-c",
            "\"$0\" run --runtime none -f - <\"$1\"",
            env!("CARGO_BIN_EXE_towline"),
            &file,
        ])
        .output()
        .unwrap();
    let said = Said::from(output);
    assert_eq!((said.code, said.text().as_str()), (0, "hello\n"), "{said:?}");
}

#[test]
fn init_containers_come_first_and_one_that_fails_is_the_end() {
    let here = Here::new();
    let note = here.path("note").to_string_lossy().into_owned();
    let mut with_init = pod("init", &format!("cat {note}"));
    with_init["spec"]["initContainers"] = json!([
        {"name": "one", "image": "-", "command": ["sh", "-c", format!("echo 1 >>{note}")]},
        {"name": "two", "image": "-", "command": ["sh", "-c", format!("echo 2 >>{note}")]},
    ]);
    let said = here.run(&[with_init.clone()], &[]);
    assert_eq!(
        (said.code, said.text().as_str()),
        (0, "[init/main] 1\n[init/main] 2\n"),
        "{said:?}"
    );
    with_init["spec"]["initContainers"][0]["command"] = json!(["sh", "-c", "echo broken; exit 9"]);
    let said = here.run(&[with_init], &[]);
    assert_eq!(
        (said.code, said.text().as_str()),
        (9, "[init/one] broken\n"),
        "{said:?}"
    );
}

#[test]
fn config_maps_and_secrets_reach_environment_and_files() {
    let here = Here::new();
    let target = here.path("mnt");
    std::fs::create_dir(&target).unwrap();
    let target = target.to_string_lossy().into_owned();
    let config = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}, "data": {"KEY": "from $(map)", "file": "in a\nfile"}});
    let secret =
        json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}, "stringData": {"word": "pa$$'\"word"}});
    let mut pod = pod("p", "printf '%s|' \"$KEY\" \"$WORD\" \"$BOTH\"");
    pod["spec"]["containers"][0]["envFrom"] = json!([{"configMapRef": {"name": "c"}}]);
    pod["spec"]["containers"][0]["env"] = json!([
        {"name": "WORD", "valueFrom": {"secretKeyRef": {"name": "s", "key": "word"}}},
        {"name": "BOTH", "value": "<$(WORD)>"},
    ]);
    let said = here.run(&[config.clone(), secret.clone(), pod.clone()], &[]);
    assert_eq!(
        (said.code, said.text().as_str()),
        (0, "from $(map)|pa$$'\"word|<pa$$'\"word>|"),
        "{said:?}"
    );

    // Files need a mount namespace; where there is none, the pod says so.
    pod["spec"]["containers"][0]["command"] =
        json!(["sh", "-c", format!("cat {target}/file; echo; cat {target}/word")]);
    pod["spec"]["containers"][0]["volumeMounts"] = json!([{"name": "v", "mountPath": target}]);
    pod["spec"]["volumes"] =
        json!([{"name": "v", "projected": {"sources": [{"configMap": {"name": "c"}}, {"secret": {"name": "s"}}]}}]);
    let said = here.run(&[config, secret, pod], &[]);
    let namespaces = Command::new("unshare")
        .args(["-r", "-m", "true"])
        .status()
        .is_ok_and(|status| status.success());
    if namespaces {
        assert_eq!(
            (said.code, said.text().as_str()),
            (0, "in a\nfile\npa$$'\"word"),
            "{said:?}"
        );
    } else {
        assert_eq!(said.code, 126, "{said:?}");
        assert!(said.err.contains("no mount namespace"), "{said:?}");
    }
}

#[test]
fn every_byte_of_arguments_and_environment_arrives() {
    let here = Here::new();
    let words = [
        "",
        " ",
        "-n",
        "--",
        "-rf /",
        "$(touch /tmp/never)",
        "`id`",
        "a'b\"c\\d",
        "line\nbreak\n",
        "\n",
        "tab\tbell\u{7}esc\u{1b}[31m\u{1f}\u{7f}",
        "ünïcode ☃ 𝄞",
        "*?[x] ~ ! # & ; | < >",
        "$$(KEPT) %s %d \\n",
    ];
    let long: String = (0..100_000)
        .map(|n| char::from(b' ' + u8::try_from(n % 95).unwrap()))
        .collect();
    let mut arguments: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
    arguments.push(long.replace('$', "_"));
    let out = here.path("out");
    let script = format!("printf '%s\\0' \"$@\" >{0}; env -0 >{0}.env", out.display());
    let mut pod = pod("bytes", "");
    pod["spec"]["containers"][0]["command"] = json!(["sh", "-c", script, "sh"]);
    pod["spec"]["containers"][0]["args"] = json!(arguments);
    let env: Vec<Value> = arguments
        .iter()
        .enumerate()
        .map(|(n, value)| json!({"name": format!("V{n}"), "value": value}))
        .collect();
    pod["spec"]["containers"][0]["env"] = json!(env);
    let said = here.run(&[pod], &[]);
    assert_eq!(said.code, 0, "{said:?}");
    // Only `$$` has a meaning of its own: it is one dollar sign.
    let expected: Vec<String> = arguments.iter().map(|word| word.replace("$$", "$")).collect();
    let got = String::from_utf8(std::fs::read(&out).unwrap()).unwrap();
    let got: Vec<&str> = got.strip_suffix('\0').unwrap().split('\0').collect();
    assert_eq!(got.len(), expected.len());
    for (got, expected) in got.iter().zip(&expected) {
        assert!(got == expected, "{:.200?} is not {:.200?}", got, expected);
    }
    let environment = String::from_utf8(std::fs::read(here.path("out.env")).unwrap()).unwrap();
    for (n, expected) in expected.iter().enumerate() {
        let wanted = format!("V{n}={expected}");
        assert!(environment.split('\0').any(|entry| entry == wanted), "{wanted:.200?}");
    }
}

#[test]
fn an_interrupt_cancels_and_leaves_no_process() {
    let here = Here::new();
    let mark = format!("98765.{}", std::process::id());
    let text = format!("trap 'echo asked; exit 0' TERM; echo up; sleep {mark} & wait");
    let mut child = here.start(&[pod("long", &text)]);
    let mut stdout = child.stdout.take().unwrap();
    let mut seen = [0; 3];
    stdout.read_exact(&mut seen).unwrap();
    assert_eq!(&seen, b"up\n");
    assert!(!processes_with(&mark).is_empty());
    signal(&child, "INT");
    let said = finish(child);
    assert_eq!(said.code, 130, "{said:?}");
    let mut rest = String::new();
    stdout.read_to_string(&mut rest).unwrap();
    assert_eq!(rest, "asked\n");
    eventually("the end of the container", || processes_with(&mark).is_empty());
    eventually("the end of the supervisor", || {
        processes_with(&here.path(".towline").to_string_lossy()).is_empty()
    });
    assert!(here.pods().is_empty());
}

#[test]
fn a_second_interrupt_ends_what_does_not_want_to_end() {
    let here = Here::new();
    let mark = format!("87654.{}", std::process::id());
    let mut deaf = pod(
        "deaf",
        &format!("trap '' TERM; echo up; while :; do sleep {mark}; done"),
    );
    deaf["spec"]["terminationGracePeriodSeconds"] = json!(600);
    let mut child = here.start(&[deaf]);
    let mut seen = [0; 3];
    child.stdout.take().unwrap().read_exact(&mut seen).unwrap();
    signal(&child, "TERM");
    eventually("the stop file", || {
        here.pods().iter().any(|pod| pod.join("stop").exists())
    });
    signal(&child, "TERM");
    let said = finish(child);
    assert_eq!(said.code, 143, "{said:?}");
    eventually("the end of the container", || processes_with(&mark).is_empty());
}

#[test]
fn a_deadline_has_its_own_exit_code() {
    let here = Here::new();
    let mut late = pod("late", "exec sleep 600");
    late["spec"]["activeDeadlineSeconds"] = json!(1);
    let said = here.run(&[late], &[]);
    assert_eq!(said.code, 124, "{said:?}");
    assert!(said.err.contains("deadline"), "{said:?}");
}

fn job(spec: Value, text: &str) -> Value {
    let template = json!({"spec": {"restartPolicy": "Never", "containers": [{"name": "main", "image": "-", "command": ["sh", "-c", text]}]}});
    let mut job = json!({"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "j"}, "spec": spec});
    job["spec"]["template"] = template;
    job
}

#[test]
fn an_indexed_job_runs_every_index() {
    let here = Here::new();
    let spec = json!({"completions": 4, "parallelism": 2, "completionMode": "Indexed"});
    let said = here.run(&[job(spec, "echo index $JOB_COMPLETION_INDEX")], &[]);
    assert_eq!(said.code, 0, "{said:?}");
    let text = said.text();
    let mut lines: Vec<&str> = text.lines().map(|line| line.split_once("] ").unwrap().1).collect();
    lines.sort_unstable();
    assert_eq!(lines, ["index 0", "index 1", "index 2", "index 3"]);
    assert!(text.lines().all(|line| line.starts_with("[j-")));
}

#[test]
fn a_job_that_fails_too_often_ends_with_its_containers_code() {
    let here = Here::new();
    let said = here.run(&[job(json!({"backoffLimit": 0}), "exit 5")], &[]);
    assert_eq!(said.code, 5, "{said:?}");
    assert!(said.err.contains("Job j failed: BackoffLimitExceeded"), "{said:?}");
}

#[test]
fn what_has_no_command_needs_a_runtime() {
    let here = Here::new();
    let mut pod = pod("p", "");
    pod["spec"]["containers"][0] = json!({"name": "main", "image": "busybox"});
    let said = here.run(&[pod.clone()], &[]);
    assert_eq!(said.code, 125, "{said:?}");
    assert!(said.err.contains("NoCommand"), "{said:?}");
    pod["spec"]["containers"][0]["command"] = json!(["/no/such/command"]);
    let said = here.run(&[pod], &[]);
    assert!(matches!(said.code, 126 | 127), "{said:?}");
}

#[test]
fn a_batch_system_of_the_sites_own_is_used_like_ours() {
    let here = Here::new();
    let ours = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../remote-scripts/batch/host");
    let theirs = here.path("site/batch/mine");
    std::fs::create_dir_all(&theirs).unwrap();
    for entry in std::fs::read_dir(ours).unwrap() {
        let from = entry.unwrap().path();
        let mut text = std::fs::read_to_string(&from)
            .unwrap()
            .replace("batch/host/", "batch/mine/");
        if from.ends_with("job") {
            text = text.replace("exec ", "echo 'started by mine'\nexec ");
        }
        std::fs::write(theirs.join(from.file_name().unwrap()), text).unwrap();
    }
    let site = here.path("site").to_string_lossy().into_owned();
    let said = here.run(
        &[pod("p", "echo out; exit 4")],
        &["--keep", "--batch", "mine", "--scripts", &site],
    );
    assert_eq!((said.code, said.text().as_str()), (4, "out\n"), "{said:?}");
    let log = std::fs::read_to_string(here.pods()[0].join("supervisor.log")).unwrap();
    assert!(log.contains("started by mine"), "{log}");
    // And so it is by the configuration of a node.
    let file = here.file("towline.yaml", "cluster: {scripts: site, batch: mine}\n");
    let said = here.towline(&["config", "--config", &file]);
    assert!(said.code == 0 && said.text().contains(&site), "{said:?}");
    let said = here.towline(&["config", "--config", &file, "--scripts", "/no/such"]);
    assert!(said.code == 1 && said.err.contains("/no/such"), "{said:?}");
}
