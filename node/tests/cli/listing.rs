//! `run --detach`, and the commands that look after what it leaves.

use crate::here::{Here, eventually, pod};

#[test]
fn a_detached_pod_is_listed_followed_cancelled_and_collected() {
    let here = Here::new();
    let said = here.run(
        &[
            pod("long", "echo one; exec sleep 600"),
            pod("short", "echo two; exit 3"),
        ],
        &["--detach"],
    );
    assert_eq!(said.code, 0, "{said:?}");
    let text = said.text();
    let uids: Vec<&str> = text.lines().collect();
    assert_eq!(uids.len(), 2);

    let status = |name: &str| {
        let said = here.towline(&["ps", "-o", "json"]);
        let pods = said.json();
        let found = pods.as_array().unwrap().iter().find(|pod| pod["name"] == name).cloned();
        found.unwrap_or_else(|| panic!("no {name} in {said:?}"))
    };
    eventually("both have started", || {
        status("long")["status"] == "Running" && status("short")["ended"] == true
    });
    let short = status("short");
    assert_eq!(
        (&short["status"], &short["containers"][0]["exitCode"]),
        (&"Error".into(), &3.into())
    );
    assert_eq!(short["uid"].as_str().unwrap(), uids[1]);

    let table = here.towline(&["ps"]).text();
    assert!(table.starts_with("UID") && table.lines().count() == 3, "{table}");
    assert!(table.contains(&uids[0][..8]) && table.contains("Running"), "{table}");
    let wide = here.towline(&["ps", "-A", "-o", "wide"]).text();
    assert!(
        wide.starts_with("AGENT") && wide.contains(uids[0]) && wide.contains("main=terminated:3"),
        "{wide}"
    );
    assert!(here.towline(&["ps", "-o", "yaml"]).text().contains("name: short"));

    assert_eq!(here.towline(&["logs", "long"]).text(), "one\n");
    assert_eq!(here.towline(&["logs", "-f", &uids[1][..8]]).text(), "two\n");
    let stamped = here.towline(&["logs", "--timestamps", uids[1]]).text();
    assert!(stamped.starts_with("20") && stamped.ends_with("Z two\n"), "{stamped}");
    assert_eq!(here.towline(&["logs", "--tail", "0", uids[1]]).text(), "");
    let said = here.towline(&["logs", "--previous", uids[1]]);
    assert!(said.code == 1 && said.err.contains("no such log"), "{said:?}");

    let said = here.towline(&["cancel", "long", uids[1]]);
    assert!(said.code == 0 && said.err.contains("is over already"), "{said:?}");
    eventually("the end", || status("long")["ended"] == true);
    assert_eq!(status("long")["status"], "Stopped");

    let dry = here.towline(&["gc", "--older-than", "0s", "--dry-run", "-o", "json"]);
    assert_eq!(
        dry.json()
            .as_array()
            .unwrap()
            .iter()
            .filter(|item| item["removed"] == true)
            .count(),
        2,
        "{dry:?}"
    );
    assert_eq!(here.pods().len(), 2);
    let kept = here.towline(&["gc", "--older-than", "1d"]);
    assert!(kept.text().contains("kept"), "{kept:?}");
    let said = here.towline(&["gc", "--older-than", "0"]);
    assert!(said.code == 0 && said.text().contains(uids[0]), "{said:?}");
    assert!(here.pods().is_empty());
    assert_eq!(here.towline(&["gc"]).text(), "nothing is left\n");
}

/// Changes what a pod's last report says about its container `main`: the fields after its name.
fn rewrite_report(here: &Here, change: impl Fn(&mut Vec<String>)) {
    let report = here.pods()[0].join("report");
    let text = std::fs::read_to_string(&report).unwrap();
    let changed: String = text
        .lines()
        .map(|line| {
            let mut fields: Vec<String> = line.split('\u{1f}').map(str::to_owned).collect();
            change(&mut fields);
            fields.join("\u{1f}") + "\n"
        })
        .collect();
    std::fs::write(report, changed).unwrap();
}

#[test]
fn a_clock_that_is_ahead_keeps_nothing_from_being_collected() {
    let here = Here::new();
    assert_eq!(here.run(&[pod("p", "true")], &["--keep"]).code, 0);
    rewrite_report(&here, |fields| {
        if fields[0] == "container" {
            fields[6] = (fields[6].parse::<i64>().unwrap() + 3600).to_string();
        }
    });
    let dry = here
        .towline(&["gc", "--older-than", "0s", "--dry-run", "-o", "json"])
        .json();
    assert_eq!(
        (&dry[0]["kind"], &dry[0]["removed"]),
        (&"pod".into(), &true.into()),
        "{dry}"
    );
    assert!(dry[0]["why"].as_str().unwrap().ends_with("for 0s"), "{dry}");
    let later = here
        .towline(&["gc", "--older-than", "1s", "--dry-run", "-o", "json"])
        .json();
    assert_eq!(later[0]["removed"], false, "{later}");
}

#[test]
fn what_is_ended_by_force_was_cancelled_and_is_not_lost() {
    let here = Here::new();
    assert_eq!(here.run(&[pod("p", "exec sleep 600")], &["--detach"]).code, 0);
    let status = || here.towline(&["ps", "-o", "json"]).json()[0].clone();
    eventually("it runs", || status()["status"] == "Running");
    let said = here.towline(&["cancel", "--force", "p"]);
    assert_eq!(said.code, 0, "{said:?}");
    eventually("its end", || status()["ended"] == true);
    assert_eq!(status()["status"], "Cancelled", "{}", status());
}

#[test]
fn a_pod_that_is_not_there_is_an_error() {
    let here = Here::new();
    for words in [&["logs", "nobody"][..], &["cancel", "nobody"]] {
        let said = here.towline(words);
        assert!(
            said.code == 1 && said.err.contains("there is no pod \"nobody\""),
            "{said:?}"
        );
    }
}

#[test]
fn this_machine_can_be_checked() {
    let here = Here::new();
    let said = here.towline(&["check", "--runtime", "none", "-o", "json"]);
    assert_eq!(said.code, 0, "{said:?}");
    let findings = said.json();
    let find = |what: &str| {
        findings
            .as_array()
            .unwrap()
            .iter()
            .find(|finding| finding["what"] == what)
            .cloned()
            .unwrap()
    };
    assert_eq!(find("directory")["state"], "found");
    assert_eq!(find("shared directory")["needed"], true);
    // A directory that cannot be made.
    let file = here.file("file", "");
    let said = here.towline(&["check", "--root", &format!("{file}/below")]);
    assert_eq!(said.code, 1, "{said:?}");
    assert!(
        said.text().contains("missing   directory") && said.text().contains("--root"),
        "{said:?}"
    );
}
