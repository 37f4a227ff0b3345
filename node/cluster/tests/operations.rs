//! Every operation on this machine: the real scripts, batch system `host`, no container runtime.
#![allow(clippy::unwrap_used, reason = "tests")]

mod common;

use std::collections::BTreeMap;
use std::time::Duration;

use common::{Machine, pod, wait_until, wait_until_ended};
use tokio::io::AsyncReadExt;
use towline_cluster::{CancelMode, Cluster, Error, Fate, LogRange, LogStart, Scripts};
use towline_core::answer::{JobState, Stage, Submission, Updated};
use towline_core::bundle::Bundle;
use towline_core::content::Content;
use towline_core::k8s_openapi::api::core::v1::Pod;
use towline_core::renewal::{Update, compare};
use towline_core::translate::{References, Site, translate};

const A: &str = "00000000-0000-4000-8000-00000000000a";
const B: &str = "00000000-0000-4000-8000-00000000000b";

async fn text_of(cluster: &Cluster, uid: &str, range: LogRange) -> String {
    let mut process = cluster.log(uid, "main", range).await.unwrap();
    let mut text = String::new();
    process.stdout.read_to_string(&mut text).await.unwrap();
    assert!(process.wait().await.unwrap().success());
    text
}

#[tokio::test]
async fn a_pod_goes_all_the_way() {
    let machine = Machine::new();
    let cluster = machine.connect().await.unwrap();
    assert_eq!(cluster.batch(), "host");
    let (facts, partitions) = cluster.probe().await.unwrap();
    assert!(facts.get("kernel").is_some() && partitions.len() == 1);

    let bundles = [
        pod(A, "for n in 1 2 3; do echo line $n; done; exit 7"),
        pod(B, "echo other"),
    ];
    let submitted = cluster.submit(&bundles).await.unwrap();
    assert!(matches!(&submitted[A], Submission::Submitted { .. }), "{submitted:?}");
    assert_eq!(submitted.len(), 2);
    let again = cluster.submit(&bundles[..1]).await.unwrap();
    assert!(matches!(&again[A], Submission::Exists { job: Some(_) }), "{again:?}");

    let (reports, names) = wait_until_ended(&cluster, &[A, B]).await;
    let report = &reports[A];
    assert_eq!(report.stage, Stage::Ended);
    assert_eq!(report.containers[0].run.exit, Some(7));
    let after = cluster.look(&names).await.unwrap();
    assert!(after.names.is_empty(), "{after:?}");

    let scanned = cluster.scan(&[]).await.unwrap();
    assert_eq!(scanned.keys().collect::<Vec<_>>(), [A, B]);
    assert_eq!(scanned[A].report.as_ref().unwrap().stage, Stage::Ended);
    let one = cluster.scan(&[B.to_owned(), "never-there".to_owned()]).await.unwrap();
    assert_eq!(one.keys().collect::<Vec<_>>(), [B]);

    let whole = LogRange {
        run: -1,
        start: LogStart::Offset(0),
        length: None,
        follow: true,
    };
    assert_eq!(text_of(&cluster, A, whole).await, "line 1\nline 2\nline 3\n");
    let part = LogRange {
        start: LogStart::Offset(5),
        length: Some(4),
        follow: false,
        ..whole
    };
    assert_eq!(text_of(&cluster, A, part).await, "1\nli");
    let last = LogRange {
        start: LogStart::LastLines(1),
        follow: false,
        ..whole
    };
    assert_eq!(text_of(&cluster, A, last).await, "line 3\n");
    let index = cluster.log_index(A, "main", -1).await.unwrap();
    assert_eq!((index.run, index.size, index.ended), (0, 21, true));
    assert_eq!(index.rows.last().unwrap().1, 21);
    let none = cluster.log_index(A, "nosuch", -1).await.unwrap_err();
    assert_eq!(none.exit_code(), Some(66), "{none}");
    assert!(!none.outcome_unknown());

    cluster.remove(&[A.to_owned(), B.to_owned()]).await.unwrap();
    assert!(cluster.scan(&[]).await.unwrap().is_empty());
}

/// A pod that ends when its volume `v` says `two`, and what its volume is made of.
fn with_volume(machine: &Machine, uid: &str) -> (Pod, References, Bundle) {
    let file = machine.root().join(format!("agents/test/pods/{uid}/volumes/v/key"));
    let text = format!("until grep -q two {}; do sleep 0.1; done", file.display());
    let pod: Pod = serde_json::from_value(serde_json::json!({
        "metadata": {"name": "test", "namespace": "default", "uid": uid},
        "spec": {"restartPolicy": "Never", "volumes": [{"name": "v", "configMap": {"name": "c"}}],
                 "containers": [{"name": "main", "image": "-", "command": ["sh", "-c", text]}]},
    }))
    .unwrap();
    let references = config("one");
    let site = Site {
        agent: "test".to_owned(),
        runtime: "none".to_owned(),
        ..Site::default()
    };
    let bundle = translate(&pod, &references, &site).unwrap();
    (pod, references, bundle)
}

fn config(value: &str) -> References {
    let object = serde_json::json!({"metadata": {"name": "c"}, "data": {"key": value}});
    References {
        config_maps: BTreeMap::from([("c".to_owned(), serde_json::from_value(object).unwrap())]),
        ..References::default()
    }
}

#[tokio::test]
async fn changed_volumes_reach_all_pods_by_one_command() {
    let machine = Machine::new();
    let cluster = machine.connect().await.unwrap();
    let pods = [with_volume(&machine, A), with_volume(&machine, B)];
    let bundles = pods.each_ref().map(|(_, _, bundle)| bundle.clone());
    cluster.submit(&bundles).await.unwrap();
    let there = cluster.scan(&[]).await.unwrap()[A].content.clone().unwrap();
    assert_eq!(Some(&there), Content::of(&bundles[0]).as_ref());
    let update = |pod: &Pod, now_ms| {
        let references = config("two");
        let stale = compare(pod, &references, None, &there, 0);
        Update::new(pod, &references, &there, &stale, now_ms).unwrap()
    };
    let updates = pods.each_ref().map(|(pod, ..)| update(pod, 7));
    let before = machine.commands();
    // Its answer is lost, so it is sent again, later: what is there already is no trouble.
    machine.cut_answers(Some(0));
    assert!(cluster.update(&updates).await.unwrap_err().outcome_unknown());
    machine.cut_answers(None);
    let again = pods.each_ref().map(|(pod, ..)| update(pod, 8));
    let answer = cluster.update(&again).await.unwrap();
    assert_eq!(machine.commands() - before, 2);
    for (update, uid) in again.iter().zip([A, B]) {
        assert_eq!(answer[uid], Updated::Holds(update.content.clone()));
    }
    wait_until_ended(&cluster, &[A, B]).await;
    assert_eq!(
        cluster.scan(&[]).await.unwrap()[A].content.as_ref(),
        Some(&again[0].content)
    );
    machine.cut_uploads(Some(600));
    let error = cluster.update(&updates).await.unwrap_err();
    assert!(error.to_string().contains("nothing was changed"), "{error}");
    machine.cut_uploads(None);
    cluster.remove(&[A.to_owned(), B.to_owned()]).await.unwrap();
    assert_eq!(cluster.update(&updates).await.unwrap()[A], Updated::Absent);
}

#[tokio::test]
async fn a_running_pod_is_listed_and_cancelled() {
    let machine = Machine::new();
    let cluster = machine.connect().await.unwrap();
    cluster
        .submit(&[pod(A, "echo up; exec sleep 600"), pod(B, "exec sleep 600")])
        .await
        .unwrap();
    wait_until(&cluster, &[A, B], |report| report.stage == Stage::Running).await;
    let job = cluster.scan(&[A.to_owned()]).await.unwrap()[A].job.clone().unwrap();
    let jobs = cluster.list(&[job.clone(), "1:1".to_owned()]).await.unwrap();
    let states: BTreeMap<_, _> = jobs.iter().map(|job| (job.id.as_str(), job.state)).collect();
    assert_eq!(states[job.as_str()], JobState::Running);
    assert_eq!(states["1:1"], JobState::Gone);

    let soft = cluster
        .cancel(CancelMode::Soft, &[(A.to_owned(), Some(1))])
        .await
        .unwrap();
    assert_eq!(soft, BTreeMap::from([(A.to_owned(), None)]));
    let hard = cluster.cancel(CancelMode::Hard, &[(B.to_owned(), None)]).await.unwrap();
    assert_eq!(hard, BTreeMap::from([(B.to_owned(), None)]));
    let (reports, _) = wait_until_ended(&cluster, &[A]).await;
    assert_eq!(reports[A].reason.as_deref(), Some("Stopped"));
    for _ in 0..1200 {
        if cluster.list(&[]).await.unwrap().is_empty() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("jobs are still running: {:?}", cluster.list(&[]).await);
}

#[tokio::test]
async fn more_names_than_a_command_line_carries_are_no_trouble() {
    let machine = Machine::new();
    let cluster = machine.connect().await.unwrap();
    let many: Vec<String> = (0..4000).map(|n| format!("00000000-0000-4000-8000-{n:012}")).collect();
    assert!(cluster.scan(&many).await.unwrap().is_empty());
    cluster.remove(&many).await.unwrap();
    let names: Vec<String> = many.iter().map(|uid| format!("{uid}.00000001")).collect();
    assert!(cluster.look(&names).await.unwrap().names.is_empty());
    let pods: Vec<_> = many.iter().map(|uid| (uid.clone(), None)).collect();
    assert_eq!(cluster.cancel(CancelMode::Soft, &pods).await.unwrap().len(), 4000);
    assert_eq!(cluster.list(&many).await.unwrap().len(), 4000);
}

#[tokio::test]
async fn a_corrupt_report_is_put_aside_and_the_others_are_read() {
    let machine = Machine::new();
    let cluster = machine.connect().await.unwrap();
    let spool = machine.root().join("agents/test/spool");
    std::fs::write(
        spool.join("new").join(format!("{A}.00000001")),
        "towline\u{1f}1\npod\u{1f}",
    )
    .unwrap();
    std::fs::write(spool.join("new").join(format!("{A}.00000002")), [0xff, 0xfe, b'\n', 0]).unwrap();
    cluster.submit(&[pod(B, "true")]).await.unwrap();
    let (reports, names) = wait_until_ended(&cluster, &[B]).await;
    assert!(!reports.contains_key(A));
    // What one look has returned the next one puts away.
    cluster.look(&names).await.unwrap();
    assert_eq!(std::fs::read_dir(spool.join("bad")).unwrap().count(), 2);
}

#[tokio::test]
async fn an_agent_of_somebody_else_is_left_alone() {
    let machine = Machine::new();
    machine.connect().await.unwrap();
    let mut options = machine.options();
    options.owner = "somebody else".to_owned();
    let error = Cluster::connect(machine.remote(), options).await.unwrap_err();
    let Error::Owned { owner, .. } = &error else {
        panic!("{error}")
    };
    assert_eq!(owner, "tests");
    assert!(error.is_permanent());
    let mut options = machine.options();
    options.agent = "other".to_owned();
    options.owner = "somebody else".to_owned();
    let other = Cluster::connect(machine.remote(), options).await.unwrap();
    let agents: BTreeMap<_, _> = other
        .agents()
        .await
        .unwrap()
        .into_iter()
        .map(|agent| (agent.name, agent.owner))
        .collect();
    assert_eq!(agents["test"].as_deref(), Some("tests"));
    assert_eq!(agents["other"].as_deref(), Some("somebody else"));
}

#[tokio::test]
async fn two_that_connect_at_once_share_one_upload() {
    let machine = Machine::new();
    let (one, two) = tokio::join!(machine.connect(), machine.connect());
    let (one, two) = (one.unwrap(), two.unwrap());
    assert_eq!(one.scripts(), two.scripts());
    let versions: Vec<_> = std::fs::read_dir(machine.root().join("scripts")).unwrap().collect();
    assert_eq!(versions.len(), 1, "{versions:?}");
}

#[tokio::test]
async fn a_version_that_is_there_costs_one_command() {
    let machine = Machine::new();
    machine.connect().await.unwrap();
    let before = machine.commands();
    machine.connect().await.unwrap();
    assert_eq!(machine.commands() - before, 1);
}

#[tokio::test]
async fn scripts_that_were_lost_in_part_are_brought_back() {
    let machine = Machine::new();
    let cluster = machine.connect().await.unwrap();
    let lost = std::path::Path::new(cluster.scripts()).join("pod/supervisor");
    std::fs::remove_file(&lost).unwrap();
    machine.connect().await.unwrap();
    assert_eq!(
        std::fs::read(&lost).unwrap(),
        Scripts::embedded().files()["pod/supervisor"].1
    );
}

#[tokio::test]
async fn an_upload_that_was_cut_is_never_used() {
    let machine = Machine::new();
    for cut in [0, 600, 30_000, 100_000] {
        machine.cut_uploads(Some(cut));
        let error = machine.connect().await.unwrap_err();
        assert_eq!(error.exit_code(), Some(70), "{error}");
        let left = std::fs::read_dir(machine.root().join("scripts")).unwrap().count();
        assert_eq!(left, 0, "a cut after {cut} bytes");
    }
    machine.cut_uploads(None);
    let cluster = machine.connect().await.unwrap();
    machine.cut_uploads(Some(3000));
    let error = cluster.submit(&[pod(A, "true")]).await.unwrap_err();
    assert!(error.to_string().contains("nothing was taken"), "{error}");
    assert!(!error.outcome_unknown());
    assert!(cluster.scan(&[]).await.unwrap().is_empty());
}

#[tokio::test]
async fn banners_are_passed_over_and_noise_within_is_an_error() {
    let machine = Machine::new();
    let cluster = machine.connect().await.unwrap();
    machine.noise_before("Welcome to the cluster!\nend\u{1f}3\n");
    assert!(cluster.scan(&[]).await.unwrap().is_empty());
    machine.connect().await.unwrap();
    machine.noise_within("You have mail\n");
    let error = cluster.scan(&[]).await.unwrap_err();
    assert!(
        matches!(error, Error::Answer { .. }) && error.outcome_unknown(),
        "{error}"
    );
    assert!(error.to_string().contains("read the pods' directories"), "{error}");
}

#[tokio::test]
async fn an_answer_that_was_cut_is_no_answer() {
    let machine = Machine::new();
    let cluster = machine.connect().await.unwrap();
    cluster.submit(&[pod(A, "true")]).await.unwrap();
    wait_until_ended(&cluster, &[A]).await;
    for cut in [0, 5, 12, 40, 200] {
        machine.cut_answers(Some(cut));
        let error = cluster.scan(&[]).await.unwrap_err();
        assert!(matches!(error, Error::Answer { .. }), "after {cut} bytes: {error}");
    }
    machine.cut_answers(None);
    assert_eq!(cluster.scan(&[]).await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_lost_answer_to_a_submission_is_found_by_a_scan() {
    let machine = Machine::new();
    let cluster = machine.connect().await.unwrap();
    machine.cut_answers(Some(0));
    let error = cluster.submit(&[pod(A, "true")]).await.unwrap_err();
    assert!(error.outcome_unknown(), "{error}");
    machine.cut_answers(None);
    assert!(cluster.scan(&[A.to_owned()]).await.unwrap()[A].job.is_some());
    let again = cluster.submit(&[pod(A, "true")]).await.unwrap();
    assert!(matches!(&again[A], Submission::Exists { job: Some(_) }), "{again:?}");
}

#[tokio::test]
async fn what_cannot_be_asked_is_refused_before_it_is_sent() {
    let machine = Machine::new();
    for (agent, owner) in [("../x", "o"), ("", "o"), ("a", ""), ("a", "two\nlines")] {
        let mut options = machine.options();
        (options.agent, options.owner) = (agent.to_owned(), owner.to_owned());
        let error = Cluster::connect(machine.remote(), options).await.unwrap_err();
        assert!(matches!(error, Error::Invalid(_)), "{error}");
    }
    assert_eq!(machine.commands(), 0);
    let mut options = machine.options();
    options.batch = Some("nosuch".to_owned());
    let error = Cluster::connect(machine.remote(), options).await.unwrap_err();
    assert!(error.to_string().contains("no batch system \"nosuch\""), "{error}");
}

#[tokio::test]
async fn a_compute_node_is_looked_at_from_inside() {
    let machine = Machine::new();
    let cluster = machine.connect().await.unwrap();
    let facts = cluster.check(&[], &[]).await.unwrap();
    assert_eq!(facts.get("root_visible"), Some("yes"));
    assert!(facts.get("userns").is_some());
}

#[tokio::test]
async fn scripts_that_vanish_under_a_connection_are_brought_back() {
    let machine = Machine::new();
    let cluster = machine.connect().await.unwrap();
    std::fs::remove_dir_all(cluster.scripts()).unwrap();
    assert!(cluster.look(&[]).await.unwrap().names.is_empty());
    std::fs::remove_dir_all(cluster.scripts()).unwrap();
    let submitted = cluster.submit(&[pod(A, "true")]).await.unwrap();
    assert!(matches!(&submitted[A], Submission::Submitted { .. }), "{submitted:?}");
    wait_until_ended(&cluster, &[A]).await;
}

#[tokio::test]
async fn what_nobody_needs_is_swept() {
    let machine = Machine::new();
    let cluster = machine.connect().await.unwrap();
    let other = machine.root().join("scripts/0123456789abcdef");
    std::fs::create_dir(&other).unwrap();
    let kept = cluster.sweep(Duration::from_secs(3600), false).await.unwrap();
    assert!(matches!(&kept[0].fate, Fate::Kept(_)), "{kept:?}");
    let dry = cluster.sweep(Duration::ZERO, true).await.unwrap();
    assert!(dry[0].fate == Fate::Removed && other.exists(), "{dry:?}");
    let gone = cluster.sweep(Duration::ZERO, false).await.unwrap();
    assert!(gone[0].fate == Fate::Removed && !other.exists(), "{gone:?}");
    assert!(std::path::Path::new(cluster.scripts()).exists());
}
