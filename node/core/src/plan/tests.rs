use std::sync::Arc;

use super::*;
use crate::answer::{Report, ScannedPod, Stage, Submission};
use proptest::prelude::*;
use serde_json::json;

fn pod(status: serde_json::Value) -> Pod {
    serde_json::from_value(json!({
        "metadata": {"name": "p", "namespace": "ns", "uid": "u"},
        "spec": {"containers": [{"name": "c"}], "restartPolicy": "Never"},
        "status": status,
    }))
    .unwrap()
}

fn deleted(mut pod: Pod, grace: i64) -> Pod {
    pod.metadata.deletion_timestamp = Some(status::time(1));
    pod.metadata.deletion_grace_period_seconds = Some(grace);
    pod
}

fn report(stage: Stage) -> Report {
    Report {
        uid: "u".into(),
        seq: 1,
        time: 5,
        job: "7".into(),
        host: "c1".into(),
        ip: None,
        stage,
        reason: None,
        message: String::new(),
        containers: vec![],
        events: vec![],
    }
}

fn observed(remote: Option<RemotePod>) -> Observed {
    let mut observed = Observed::default();
    observed.scanned(BTreeMap::new(), 0);
    if let Some(remote) = remote {
        let scan = ScannedPod {
            uid: "u".into(),
            job: remote.job,
            claim: remote.claimed.then(|| "7:0".into()),
            submitting: remote.submitting,
            stop: false,
            namespace: "ns".into(),
            name: "p".into(),
            report: remote.report,
            said: remote.said,
            content: remote.content,
        };
        observed.rescanned(&["u".into()], BTreeMap::from([("u".into(), scan)]), remote.scanned_at);
    }
    observed
}

fn with_job() -> RemotePod {
    RemotePod {
        job: Some("7".into()),
        ..RemotePod::default()
    }
}

fn job(state: JobState) -> Job {
    Job {
        uid: Some("u".into()),
        id: "7".into(),
        state,
        start: None,
        end: None,
        exit: None,
        host: None,
        reason: None,
        text: "X".into(),
    }
}

fn listed(mut observed: Observed, state: JobState, at: i64) -> Observed {
    observed.listed(vec![job(state)], at);
    observed
}

fn run(pod: Option<Pod>, observed: &Observed, memo: Memo, now: i64) -> Plan {
    let desired = pod.map(|pod| ("u".to_owned(), Arc::new(pod))).into_iter().collect();
    let ledger = BTreeMap::from([("u".to_owned(), memo)]);
    plan(Some(&desired), observed, &ledger, |_| None, now)
}

fn pending() -> Pod {
    pod(json!({"phase": "Pending"}))
}

#[test]
fn a_new_pod_is_submitted_once_the_cluster_is_known() {
    assert_eq!(run(Some(pending()), &observed(None), Memo::default(), 10).submit, ["u"]);
    let plan = run(Some(pending()), &Observed::default(), Memo::default(), 10);
    assert_eq!(plan, Plan::default(), "a failed look is not an empty cluster");
}

#[test]
fn before_the_api_has_told_all_pods_nothing_is_done() {
    let found = plan(
        None::<&BTreeMap<String, Arc<Pod>>>,
        &observed(Some(with_job())),
        &Ledger::new(),
        |_| None,
        10,
    );
    assert_eq!(found, Plan::default());
}

#[test]
fn what_is_under_way_is_not_begun_again() {
    let busy = Memo {
        busy: true,
        ..Memo::default()
    };
    assert!(
        run(Some(pending()), &observed(None), busy.clone(), 10)
            .submit
            .is_empty()
    );
    assert!(
        run(Some(deleted(pending(), 5)), &observed(Some(with_job())), busy, 10)
            .cancel
            .is_empty()
    );
}

#[test]
fn a_pod_that_was_submitted_and_is_not_there_is_lost_and_never_submitted_again() {
    let known = pod(json!({"phase": "Pending", "conditions": [{"type": status::SUBMITTED, "status": "True"}]}));
    let ran = pod(
        json!({"phase": "Running", "containerStatuses": [{"name": "c", "image": "", "imageID": "", "ready": true,
        "restartCount": 0, "state": {"running": {}}}]}),
    );
    for lost in [known, ran] {
        let plan = run(Some(lost), &observed(None), Memo::default(), 10);
        assert!(plan.submit.is_empty());
        let status = &plan.statuses[0].1;
        assert_eq!(status.phase.as_deref(), Some("Failed"));
        let ended = status.container_statuses.as_ref().unwrap()[0]
            .state
            .as_ref()
            .unwrap()
            .terminated
            .as_ref();
        assert_eq!(ended.unwrap().exit_code, 137);
        assert_eq!(ended.unwrap().reason.as_deref(), Some(status::UNKNOWN));
    }
}

#[test]
fn an_expected_start_is_told_in_steps() {
    let waits = |start| Job {
        start,
        reason: Some("resources".into()),
        text: "PENDING Resources".into(),
        ..job(JobState::Pending)
    };
    let said = |start| describe(&waits(Some(start)));
    assert_eq!(
        said(901),
        "job 7 waits in the queue: PENDING Resources, expected to start by 1970-01-01T00:30:00Z"
    );
    assert_eq!(said(901), said(1800));
    assert_eq!(describe(&waits(None)), "job 7 waits in the queue: PENDING Resources");
}

#[test]
fn a_terminal_pod_is_left_alone() {
    for phase in ["Succeeded", "Failed"] {
        let terminal = pod(json!({"phase": phase}));
        assert_eq!(
            run(Some(terminal), &observed(None), Memo::default(), 10),
            Plan::default()
        );
    }
}

#[test]
fn a_deadline_that_came_while_the_pod_runs_is_told_to_its_job() {
    let with = |stage, phase: &str, reason: Option<&str>| {
        let mut active = pod(json!({"phase": phase, "conditions": [
            {"type": "PodReadyToStartContainers", "status": "True", "lastTransitionTime": "1970-01-01T00:01:40Z"}]}));
        active.spec.as_mut().unwrap().active_deadline_seconds = Some(20);
        let remote = RemotePod {
            report: Some(Report {
                reason: reason.map(str::to_owned),
                ..report(stage)
            }),
            ..with_job()
        };
        move |memo, now| run(Some(active.clone()), &observed(Some(remote.clone())), memo, now)
    };
    let runs = with(Stage::Running, "Running", None);
    let early = runs(Memo::default(), 120);
    assert!(
        early.cancel.is_empty(),
        "its job knows the deadline that it was made with"
    );
    assert_eq!(early.wake_at, Some(120 + DEADLINE_S));
    let due = 120 + DEADLINE_S;
    assert_eq!(runs(Memo::default(), due).cancel, [("u".to_owned(), None)]);
    let told = Memo {
        told: Some(Told {
            grace: None,
            at: due,
            killed_at: None,
        }),
        ..Memo::default()
    };
    assert!(runs(told.clone(), due).cancel.is_empty(), "once is enough");
    let killed = runs(told, due + crate::translate::DEFAULT_GRACE_S + KILL_SLACK_S);
    assert_eq!(killed.kill, ["u"]);
    let stopping = with(Stage::Stopping, "Running", Some("Stopped"))(Memo::default(), due);
    assert!(stopping.cancel.is_empty(), "its job ends it already");
    let ended = with(Stage::Ended, "Running", Some("Stopped"))(Memo::default(), due);
    let status = &ended.statuses[0].1;
    assert_eq!(status.phase.as_deref(), Some("Failed"));
    assert_eq!(status.reason.as_deref(), Some("DeadlineExceeded"));
    let before = with(Stage::Ended, "Running", Some("Stopped"))(Memo::default(), 119);
    assert_eq!(before.statuses[0].1.reason, None, "it was told for another reason");
}

#[test]
fn an_obstacle_keeps_the_pod_pending_with_its_reason_until_its_time() {
    let memo = Memo {
        obstacle: Some(Obstacle {
            reason: "QueueLimit".into(),
            message: "too many jobs".into(),
            times: 1,
            not_before: 20,
        }),
        ..Memo::default()
    };
    let early = run(Some(pending()), &observed(None), memo.clone(), 10);
    assert!(early.submit.is_empty());
    assert_eq!(early.wake_at, Some(20));
    let status = &early.statuses[0].1;
    assert_eq!(status.phase.as_deref(), Some("Pending"));
    let waiting = status.container_statuses.as_ref().unwrap()[0]
        .state
        .as_ref()
        .unwrap()
        .waiting
        .as_ref()
        .unwrap();
    assert_eq!(waiting.reason.as_deref(), Some("QueueLimit"));
    assert_eq!(run(Some(pending()), &observed(None), memo, 20).submit, ["u"]);
}

#[test]
fn a_submission_without_an_answer_is_looked_up_before_it_is_repeated() {
    let unknown = RemotePod {
        submitting: true,
        ..RemotePod::default()
    };
    let mut seen = observed(Some(unknown));
    let nothing = run(Some(pending()), &seen, Memo::default(), 10);
    assert!(nothing.submit.is_empty() && nothing.forget.is_empty());
    seen.listed(vec![], 10);
    assert_eq!(
        run(Some(pending()), &seen, Memo::default(), 10 + RESUBMIT_S - 1).wake_at,
        Some(10 + RESUBMIT_S)
    );
    seen.listed(vec![], 10 + RESUBMIT_S);
    // Even then the directory is read once more: the job may have begun without anybody noticing.
    assert_eq!(
        run(Some(pending()), &seen, Memo::default(), 10 + RESUBMIT_S).rescan,
        ["u"]
    );
    let unknown = RemotePod {
        submitting: true,
        scanned_at: 10 + RESUBMIT_S,
        ..RemotePod::default()
    };
    let mut seen = observed(Some(unknown));
    seen.listed(vec![], 10);
    seen.listed(vec![], 10 + RESUBMIT_S);
    assert_eq!(
        run(Some(pending()), &seen, Memo::default(), 10 + RESUBMIT_S).forget,
        ["u"]
    );
    // But never one that a job has claimed.
    let claimed = RemotePod {
        claimed: true,
        scanned_at: 10 + RESUBMIT_S,
        ..RemotePod::default()
    };
    let mut seen = observed(Some(claimed));
    seen.listed(vec![], 10);
    seen.listed(vec![], 10 + RESUBMIT_S);
    let plan = run(Some(pending()), &seen, Memo::default(), 10 + RESUBMIT_S);
    assert!(plan.forget.is_empty());
    assert_eq!(plan.statuses[0].1.phase.as_deref(), Some("Failed"));
}

#[test]
fn a_job_that_died_is_judged_only_after_its_directory_was_read_again() {
    let started = RemotePod {
        claimed: true,
        ..with_job()
    };
    let dead = listed(observed(Some(started.clone())), JobState::NodeFail, 10);
    assert_eq!(
        run(Some(pending()), &dead, Memo::default(), 11).wake_at,
        Some(10 + SETTLE_S)
    );
    assert_eq!(
        run(Some(pending()), &dead, Memo::default(), 10 + SETTLE_S).rescan,
        ["u"]
    );
    let read = RemotePod {
        scanned_at: 10 + SETTLE_S,
        ..started
    };
    let dead = listed(observed(Some(read)), JobState::NodeFail, 10);
    let plan = run(Some(pending()), &dead, Memo::default(), 10 + SETTLE_S);
    assert_eq!(plan.statuses[0].1.phase.as_deref(), Some("Failed"));
    assert_eq!(plan.statuses[0].1.reason.as_deref(), Some("NodeFailure"));
}

#[test]
fn deletion_tells_waits_kills_and_lets_go_only_when_nothing_can_run() {
    let running = RemotePod {
        report: Some(report(Stage::Running)),
        ..with_job()
    };
    let seen = observed(Some(running));
    let doomed = deleted(pod(json!({"phase": "Running"})), 5);
    assert_eq!(
        run(Some(doomed.clone()), &seen, Memo::default(), 10).cancel,
        [("u".to_owned(), Some(5))]
    );
    let told = |grace, at| Memo {
        told: Some(Told {
            grace: Some(grace),
            at,
            killed_at: None,
        }),
        ..Memo::default()
    };
    let waits = run(Some(doomed.clone()), &seen, told(5, 10), 12);
    assert_eq!(
        (waits.cancel.len(), waits.delete.len(), waits.wake_at),
        (0, 0, Some(15 + KILL_SLACK_S))
    );
    assert_eq!(
        run(Some(doomed.clone()), &seen, told(30, 10), 12).cancel,
        [("u".to_owned(), Some(5))]
    );
    assert_eq!(
        run(Some(doomed.clone()), &seen, told(5, 10), 15 + KILL_SLACK_S).kill,
        ["u"]
    );
    let ended = RemotePod {
        report: Some(report(Stage::Ended)),
        ..with_job()
    };
    let seen = observed(Some(ended));
    let plan = run(Some(doomed), &seen, told(5, 10), 14);
    assert!(plan.delete.is_empty(), "first the API has to know how it ended");
    let terminal = Pod {
        status: Some(plan.statuses[0].1.clone()),
        ..deleted(pending(), 5)
    };
    assert_eq!(run(Some(terminal), &seen, told(5, 10), 14).delete, ["u"]);
}

#[test]
fn a_pod_that_only_the_cluster_has_is_confirmed_before_it_is_ended() {
    let running = RemotePod {
        report: Some(report(Stage::Running)),
        ..with_job()
    };
    let seen = observed(Some(running));
    assert_eq!(run(None, &seen, Memo::default(), 10).confirm, ["u"]);
    let gone = Memo {
        gone_since: Some(5),
        ..Memo::default()
    };
    assert_eq!(run(None, &seen, gone.clone(), 10).cancel, [("u".to_owned(), None)]);
    let ended = RemotePod {
        report: Some(report(Stage::Ended)),
        ..with_job()
    };
    let seen = observed(Some(ended));
    let lingers = run(None, &seen, gone.clone(), 10);
    assert_eq!(
        (lingers.forget.len(), lingers.wake_at),
        (0, Some(5 + LINGER_S)),
        "its log may still be read"
    );
    assert_eq!(run(None, &seen, gone, 5 + LINGER_S).forget, ["u"]);
}

#[test]
fn a_pod_deleted_before_it_was_submitted_fails_and_goes() {
    let plan = run(Some(deleted(pending(), 0)), &observed(None), Memo::default(), 10);
    assert!(plan.submit.is_empty());
    assert_eq!(plan.statuses[0].1.phase.as_deref(), Some("Failed"));
    let failed = deleted(pod(json!({"phase": "Failed"})), 0);
    assert_eq!(run(Some(failed), &observed(None), Memo::default(), 10).delete, ["u"]);
}

#[test]
fn a_rejected_pod_fails_with_the_reason() {
    let memo = Memo {
        rejection: Some(Rejection {
            reason: "UnsupportedField".into(),
            message: "no".into(),
        }),
        ..Memo::default()
    };
    let plan = run(Some(pending()), &observed(None), memo, 10);
    let status = &plan.statuses[0].1;
    assert_eq!(
        (status.phase.as_deref(), status.reason.as_deref()),
        (Some("Failed"), Some("UnsupportedField"))
    );
}

fn any_remote() -> impl Strategy<Value = Option<(RemotePod, Option<JobState>)>> {
    let stage = prop_oneof![Just(None), Just(Some(Stage::Running)), Just(Some(Stage::Ended))];
    let state = prop_oneof![
        Just(None),
        Just(Some(JobState::Pending)),
        Just(Some(JobState::Running)),
        Just(Some(JobState::Completed)),
        Just(Some(JobState::Gone)),
        Just(Some(JobState::Unknown))
    ];
    let remote =
        (any::<bool>(), any::<bool>(), stage, state, 0i64..400).prop_map(|(job, claimed, stage, state, at)| {
            let remote = RemotePod {
                job: job.then(|| "7".into()),
                submitting: !job,
                claimed,
                report: stage.map(report),
                scanned_at: at,
                ..RemotePod::default()
            };
            (remote, state)
        });
    proptest::option::of(remote)
}

proptest! {
    /// Statuses that have been written, and effects that are under way, are planned no more.
    #[test]
    fn planning_again_yields_nothing_new(remote in any_remote(), deleting: bool, now in 0i64..400) {
        let mut seen = observed(remote.clone().map(|(remote, _)| remote));
        match remote.and_then(|(_, state)| state) {
            Some(state) => seen = listed(seen, state, 10),
            None => seen.listed(vec![], 10),
        }
        let mut pod = if deleting { deleted(pending(), 5) } else { pending() };
        let first = run(Some(pod.clone()), &seen, Memo::default(), now);
        if let Some((_, status)) = first.statuses.first() {
            pod.status = Some(status.clone());
        }
        let busy = Memo { busy: true, ..Memo::default() };
        let second = run(Some(pod.clone()), &seen, busy, now);
        prop_assert_eq!(&second.statuses, &vec![]);
        prop_assert!(second.submit.is_empty() && second.cancel.is_empty() && second.delete.is_empty());
        // A pod that is on the cluster is never submitted, and one that may run is never let go.
        if !seen.pods().is_empty() {
            prop_assert!(first.submit.is_empty());
        }
        if seen.pods().get("u").is_some_and(|remote| !remote.ended() && remote.over_since.is_none() && remote.unfound_since.is_none()) {
            prop_assert!(first.delete.is_empty() && first.forget.is_empty());
        }
    }
}

#[test]
fn a_second_submission_of_the_same_answer_changes_nothing() {
    let mut seen = observed(None);
    seen.submitting("u", "ns", "p", 9);
    seen.submitted("u", Some(&Submission::Submitted { job: "7".into() }), 5);
    seen.submitted("u", Some(&Submission::Exists { job: None }), 6);
    assert_eq!(seen.pods()["u"].job.as_deref(), Some("7"));
}

#[test]
fn a_pod_that_vanishes_while_it_is_submitted_is_ended_afterwards() {
    let mut seen = observed(None);
    seen.submitting("u", "ns", "p", 9);
    let busy = Memo {
        busy: true,
        ..Memo::default()
    };
    assert_eq!(run(None, &seen, busy.clone(), 10), Plan::default());
    let quick = run(Some(pending()), &seen, busy.clone(), 10);
    assert!(quick.statuses.is_empty() && quick.wake_at == Some(9 + QUICK_S));
    let slow = run(Some(pending()), &seen, busy, 9 + QUICK_S);
    assert_eq!(slow.statuses[0].1.phase.as_deref(), Some("Pending"));
    seen.submitted("u", Some(&Submission::Submitted { job: "7".into() }), 11);
    assert_eq!(run(None, &seen, Memo::default(), 12).confirm, ["u"]);
    let gone = Memo {
        gone_since: Some(12),
        ..Memo::default()
    };
    assert_eq!(run(None, &seen, gone, 12).cancel, [("u".to_owned(), None)]);
}

#[test]
fn after_a_submission_without_an_answer_the_directory_decides() {
    let mut seen = observed(None);
    seen.submitting("u", "ns", "p", 9);
    seen.submitted("u", None, 10);
    let plan = run(Some(pending()), &seen, Memo::default(), 11);
    assert!(plan.rescan == ["u"] && plan.submit.is_empty());
    seen.rescanned(&["u".into()], BTreeMap::new(), 12);
    assert_eq!(run(Some(pending()), &seen, Memo::default(), 13).submit, ["u"]);
}

#[test]
fn a_running_pod_whose_directory_is_gone_is_lost() {
    let mut seen = listed(observed(Some(with_job())), JobState::Completed, 10);
    let at = 10 + SETTLE_S;
    assert_eq!(run(Some(pending()), &seen, Memo::default(), at).rescan, ["u"]);
    seen.rescanned(&["u".into()], BTreeMap::new(), at);
    let known = pod(json!({"phase": "Pending", "conditions": [{"type": status::SUBMITTED, "status": "True"}]}));
    let plan = run(Some(known), &seen, Memo::default(), at);
    assert!(plan.rescan.is_empty() && plan.submit.is_empty());
    assert_eq!(plan.statuses[0].1.phase.as_deref(), Some("Failed"));
}

#[test]
fn a_job_is_given_up_only_by_a_batch_system_that_still_answers() {
    let running = RemotePod {
        claimed: true,
        ..with_job()
    };
    let mut seen = observed(Some(running));
    seen.listed(vec![], 10);
    let at = 10 + SETTLE_GONE_S;
    let silent = run(Some(pending()), &seen, Memo::default(), at);
    assert!(silent.rescan.is_empty() && silent.statuses.is_empty());
    assert!(silent.wake_at.is_some_and(|wake| wake > at));
    seen.listed(vec![], at);
    assert_eq!(run(Some(pending()), &seen, Memo::default(), at).rescan, ["u"]);
}

#[test]
fn a_young_pod_is_told_about_when_there_is_something_to_tell_or_it_takes_long() {
    let mut young = pending();
    young.metadata.creation_timestamp = Some(status::time(100));
    let at_once = run(Some(young.clone()), &observed(None), Memo::default(), 101);
    assert!(at_once.submit == ["u"] && at_once.statuses.is_empty());
    assert_eq!(at_once.wake_at, Some(100 + QUICK_S));
    let late = run(Some(young.clone()), &observed(None), Memo::default(), 100 + QUICK_S);
    assert!(late.submit == ["u"] && late.statuses.len() == 1);
    let refused = Memo {
        obstacle: Some(Obstacle {
            reason: "QueueLimit".into(),
            message: "full".into(),
            times: 1,
            not_before: 200,
        }),
        ..Memo::default()
    };
    assert_eq!(
        run(Some(young.clone()), &observed(None), refused, 101).statuses.len(),
        1
    );

    let seen = observed(Some(RemotePod {
        scanned_at: 101,
        ..with_job()
    }));
    let submitted = run(Some(young.clone()), &seen, Memo::default(), 102);
    assert!(submitted.statuses.is_empty() && submitted.wake_at == Some(101 + QUICK_S));
    assert_eq!(
        run(Some(young.clone()), &seen, Memo::default(), 101 + QUICK_S)
            .statuses
            .len(),
        1
    );
    let queued = listed(seen, JobState::Pending, 102);
    assert_eq!(run(Some(young), &queued, Memo::default(), 102).statuses.len(), 1);
}
