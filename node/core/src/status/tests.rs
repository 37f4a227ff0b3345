use super::*;
use crate::answer::{ContainerReport, ContainerStage, Ending};
use serde_json::json;

fn pod(policy: &str, init: bool) -> Pod {
    let mut spec =
        json!({"restartPolicy": policy, "containers": [{"name": "b", "image": "i"}, {"name": "a", "image": "i"}]});
    if init {
        spec["initContainers"] = json!([{"name": "i", "image": "i"}]);
    }
    serde_json::from_value(json!({
        "metadata": {"name": "p", "uid": "u", "generation": 3}, "spec": spec,
        "status": {"phase": "Pending", "qosClass": "BestEffort", "conditions": [{"type": "example.com/gate", "status": "True"}]},
    }))
    .unwrap()
}

fn container(name: &str, stage: ContainerStage, exit: Option<i32>) -> ContainerReport {
    ContainerReport {
        name: name.into(),
        init: matches!(name, "i" | "s"),
        sidecar: name == "s",
        stage,
        restarts: 0,
        run: Ending {
            started: Some(10),
            finished: exit.map(|_| 20),
            exit,
            ..Ending::default()
        },
        image_id: None,
        pull: None,
        message: String::new(),
        last: None,
        termination_message: None,
        last_message: None,
        started: stage == ContainerStage::Running,
        ready: stage == ContainerStage::Running,
    }
}

fn report(stage: Stage, reason: Option<&str>, containers: Vec<ContainerReport>) -> Report {
    Report {
        uid: "u".into(),
        seq: 1,
        time: 30,
        job: "7".into(),
        host: "c1".into(),
        ip: Some("10.0.0.1".into()),
        stage,
        reason: reason.map(str::to_owned),
        message: String::new(),
        containers,
        events: vec![],
    }
}

fn of(pod: &Pod, report: &Report) -> PodStatus {
    compute(
        pod,
        View::Reported { report, job: None },
        &BTreeMap::new(),
        Some("192.0.2.1"),
        100,
    )
}

fn phase(status: &PodStatus) -> &str {
    status.phase.as_deref().unwrap()
}

fn condition<'a>(status: &'a PodStatus, type_: &str) -> &'a k8s_openapi::api::core::v1::PodCondition {
    status
        .conditions
        .as_ref()
        .unwrap()
        .iter()
        .find(|c| c.type_ == type_)
        .unwrap()
}

use ContainerStage::{Running, Terminated, Waiting};

#[test]
fn phases_follow_the_kubelets_table() {
    let run = |stage, policy: &str, a: (ContainerStage, Option<i32>), b: (ContainerStage, Option<i32>)| {
        let containers = vec![container("a", a.0, a.1), container("b", b.0, b.1)];
        phase(&of(&pod(policy, false), &report(stage, None, containers))).to_owned()
    };
    let (running, ok, bad, waits) = (
        (Running, None),
        (Terminated, Some(0)),
        (Terminated, Some(1)),
        (Waiting, None),
    );
    for (expected, stage, policy, a, b) in [
        ("Pending", Stage::Starting, "Never", waits, waits),
        ("Pending", Stage::Running, "Never", running, waits),
        ("Running", Stage::Running, "Never", running, ok),
        ("Running", Stage::Running, "Always", ok, ok),
        ("Running", Stage::Running, "OnFailure", bad, ok),
        ("Succeeded", Stage::Ended, "Never", ok, ok),
        ("Failed", Stage::Ended, "Never", bad, ok),
        ("Failed", Stage::Ended, "OnFailure", bad, ok),
        ("Succeeded", Stage::Ended, "Always", ok, ok),
        ("Failed", Stage::Ended, "Never", waits, ok),
    ] {
        assert_eq!(run(stage, policy, a, b), expected, "{policy} {a:?} {b:?}");
    }
}

#[test]
fn containers_are_sorted_and_foreign_fields_stay() {
    let found = of(
        &pod("Never", false),
        &report(
            Stage::Running,
            None,
            vec![container("b", Running, None), container("a", Running, None)],
        ),
    );
    let names: Vec<_> = found
        .container_statuses
        .as_ref()
        .unwrap()
        .iter()
        .map(|c| c.name.as_str())
        .collect();
    assert_eq!(names, ["a", "b"]);
    assert_eq!(found.qos_class.as_deref(), Some("BestEffort"));
    assert_eq!(condition(&found, "example.com/gate").status, "True");
    assert_eq!(condition(&found, "Ready").status, "True");
    assert_eq!(condition(&found, "Ready").observed_generation, Some(3));
    assert_eq!(condition(&found, SUBMITTED).message.as_deref(), Some("job 7"));
    assert_eq!(found.pod_ip.as_deref(), Some("10.0.0.1"));
    assert_eq!(found.host_ip.as_deref(), Some("192.0.2.1"));
}

#[test]
fn a_transition_time_moves_only_with_its_status() {
    let mut pod = pod("Never", false);
    let running = report(
        Stage::Running,
        None,
        vec![container("a", Running, None), container("b", Running, None)],
    );
    pod.status = Some(of(&pod, &running));
    let later = compute(
        &pod,
        View::Reported {
            report: &running,
            job: None,
        },
        &BTreeMap::new(),
        Some("192.0.2.1"),
        500,
    );
    assert_eq!(Some(&later), pod.status.as_ref());
}

#[test]
fn until_it_starts_a_pod_waits_as_on_a_kubelet() {
    for (init, expected) in [(false, "ContainerCreating"), (true, "PodInitializing")] {
        let view = View::Waiting {
            reason: "ContainerCreating",
            message: "job 7 waits",
            job: Some("7"),
            queue: None,
        };
        let found = compute(&pod("Never", init), view, &BTreeMap::new(), None, 100);
        let waiting = found.container_statuses.as_ref().unwrap()[0]
            .state
            .as_ref()
            .unwrap()
            .waiting
            .as_ref()
            .unwrap();
        assert_eq!(waiting.reason.as_deref(), Some(expected));
        assert_eq!(phase(&found), "Pending");
        assert_eq!(
            condition(&found, "Initialized").status,
            if init { "False" } else { "True" }
        );
        assert_eq!(condition(&found, "Ready").reason.as_deref(), Some("ContainersNotReady"));
    }
}

#[test]
fn a_job_that_died_makes_running_containers_unknown_and_never_successful() {
    let last = report(
        Stage::Running,
        None,
        vec![container("a", Running, None), container("b", Terminated, Some(0))],
    );
    let job = Job {
        uid: None,
        id: "7".into(),
        state: JobState::OutOfMemory,
        start: None,
        end: Some(40),
        exit: None,
        host: None,
        reason: None,
        text: "OUT_OF_MEMORY".into(),
    };
    let view = View::Died {
        report: Some(&last),
        job: Some(&job),
        said: Some("exceeded memory limit"),
    };
    let found = compute(&pod("Never", false), view, &BTreeMap::new(), None, 100);
    assert_eq!((phase(&found), found.reason.as_deref()), ("Failed", Some("OOMKilled")));
    assert!(
        found.message.as_ref().unwrap().ends_with("exceeded memory limit"),
        "{:?}",
        found.message
    );
    let ended = |n: usize| {
        let list = found.container_statuses.as_ref().unwrap();
        list[n].state.as_ref().unwrap().terminated.clone().unwrap()
    };
    assert_eq!(
        (ended(0).exit_code, ended(0).reason.as_deref()),
        (137, Some("OOMKilled"))
    );
    assert_eq!(ended(0).finished_at, Some(time(40)));
    assert_eq!((ended(1).exit_code, ended(1).reason.as_deref()), (0, Some("Completed")));
}

#[test]
fn a_failed_init_container_leaves_the_others_waiting() {
    let over = report(
        Stage::Ended,
        Some("Error"),
        vec![
            container("i", Terminated, Some(3)),
            container("a", Waiting, None),
            container("b", Waiting, None),
        ],
    );
    let found = of(&pod("Never", true), &over);
    assert_eq!(phase(&found), "Failed");
    let waits = |c: &k8s_openapi::api::core::v1::ContainerStatus| c.state.as_ref().unwrap().waiting.is_some();
    assert!(found.container_statuses.as_ref().unwrap().iter().all(waits));
    assert_eq!(condition(&found, "Initialized").status, "False");
}

#[test]
fn what_the_batch_system_ended_has_failed_whatever_its_containers_said() {
    let over = report(
        Stage::Ended,
        Some("Terminated"),
        vec![container("a", Terminated, Some(0)), container("b", Terminated, Some(0))],
    );
    let found = of(&pod("Never", false), &over);
    assert_eq!((phase(&found), found.reason.as_deref()), ("Failed", Some("Terminated")));
    assert_eq!(condition(&found, "DisruptionTarget").status, "True");
    let exceeded = Report {
        reason: Some("WalltimeExceeded".to_owned()),
        ..over
    };
    let found = of(&pod("Never", false), &exceeded);
    assert_eq!(
        (phase(&found), found.reason.as_deref()),
        ("Failed", Some("WalltimeExceeded"))
    );
    let disrupted = found
        .conditions
        .iter()
        .flatten()
        .find(|one| one.type_ == "DisruptionTarget");
    assert!(
        disrupted.is_none(),
        "it would be run once more by who runs again what was disrupted"
    );
}

#[test]
fn who_fills_more_than_its_limit_is_evicted() {
    let mut over = report(
        Stage::Ended,
        Some("Evicted"),
        vec![
            container("a", Terminated, Some(137)),
            container("b", Terminated, Some(0)),
        ],
    );
    over.message = "Usage of EmptyDir volume \"v\" exceeds the limit \"1Mi\".".into();
    let found = of(&pod("Always", false), &over);
    assert_eq!((phase(&found), found.reason.as_deref()), ("Failed", Some("Evicted")));
    assert_eq!(found.message.as_deref(), Some(over.message.as_str()));
    assert!(found.conditions.unwrap().iter().all(|c| c.type_ != "DisruptionTarget"));
}

#[test]
fn an_exit_code_that_nobody_knows_is_no_success() {
    let over = report(
        Stage::Ended,
        None,
        vec![container("a", Terminated, None), container("b", Terminated, Some(0))],
    );
    assert_eq!(phase(&of(&pod("Never", false), &over)), "Failed");
}

fn with_sidecar(policy: &str) -> Pod {
    let mut pod = pod(policy, false);
    let spec = json!([{"name": "s", "image": "i", "restartPolicy": "Always"}, {"name": "i", "image": "i"}]);
    pod.spec.as_mut().unwrap().init_containers = serde_json::from_value(spec).unwrap();
    pod
}

#[test]
fn a_sidecar_neither_holds_a_pod_open_nor_fails_it() {
    let run = |stage, policy: &str, s, i: (ContainerStage, Option<i32>), a: (ContainerStage, Option<i32>)| {
        let containers = vec![
            s,
            container("i", i.0, i.1),
            container("a", a.0, a.1),
            container("b", a.0, a.1),
        ];
        let found = of(&with_sidecar(policy), &report(stage, None, containers));
        let conditions =
            ["Initialized", "ContainersReady", "Ready"].map(|name| condition(&found, name).status == "True");
        (phase(&found).to_owned(), conditions)
    };
    let up = || container("s", Running, None);
    let starting = || ContainerReport {
        started: false,
        ready: false,
        ..up()
    };
    let again = || ContainerReport {
        last: Some(Ending::default()),
        ..container("s", Waiting, None)
    };
    let (waits, done, running, bad) = (
        (Waiting, None),
        (Terminated, Some(0)),
        (Running, None),
        (Terminated, Some(1)),
    );
    let seen = |phase: &str, conditions| (phase.to_owned(), conditions);
    let (none, begun, all) = ([false; 3], [true, false, false], [true; 3]);
    assert_eq!(
        run(Stage::Starting, "Never", starting(), waits, waits),
        seen("Pending", none)
    );
    assert_eq!(run(Stage::Starting, "Never", up(), done, waits), seen("Pending", begun));
    assert_eq!(run(Stage::Running, "Never", up(), done, running), seen("Running", all));
    assert_eq!(
        run(Stage::Running, "Never", again(), done, running),
        seen("Running", begun)
    );
    assert_eq!(run(Stage::Stopping, "Never", up(), done, done), seen("Running", begun));
    let ended = container("s", Terminated, Some(143));
    assert_eq!(
        run(Stage::Ended, "Never", ended.clone(), done, done),
        seen("Succeeded", begun)
    );
    assert_eq!(
        run(Stage::Ended, "Never", ended.clone(), done, bad),
        seen("Failed", begun)
    );
    assert_eq!(run(Stage::Ended, "Always", ended, bad, waits).0, "Failed");
}

#[test]
fn a_container_is_as_ready_as_its_probes_say() {
    let mut slow = container("a", Running, None);
    slow.ready = false;
    let found = of(
        &pod("Always", false),
        &report(Stage::Running, None, vec![slow.clone(), container("b", Running, None)]),
    );
    let a = &found.container_statuses.as_ref().unwrap()[0];
    assert_eq!((a.started, a.ready, phase(&found)), (Some(true), false, "Running"));
    let ready = condition(&found, "Ready");
    assert_eq!(
        (ready.reason.as_deref(), ready.message.as_deref()),
        (Some("ContainersNotReady"), Some("containers with unready status: [a]"))
    );
    slow.started = false;
    let found = of(&pod("Always", false), &report(Stage::Running, None, vec![slow]));
    assert_eq!(found.container_statuses.unwrap()[0].started, Some(false));
}

#[test]
fn a_containers_own_policy_decides_about_the_pod() {
    let mut pod = pod("Never", false);
    let spec = pod.spec.as_mut().unwrap();
    spec.containers[0].restart_policy = Some("Always".to_owned());
    let again = ContainerReport {
        last: Some(Ending {
            exit: Some(1),
            ..Ending::default()
        }),
        ..container("b", Waiting, None)
    };
    let found = of(
        &pod,
        &report(Stage::Running, None, vec![container("a", Terminated, Some(0)), again]),
    );
    assert_eq!(phase(&found), "Running");
}

#[test]
fn a_restarted_container_shows_its_last_run() {
    let mut again = container("a", Waiting, None);
    again.restarts = 2;
    again.run = Ending {
        reason: Some("CrashLoopBackOff".into()),
        ..Ending::default()
    };
    again.last = Some(Ending {
        exit: Some(4),
        ..Ending::default()
    });
    again.last_message = Some("there is no command x".into());
    let found = of(
        &pod("Always", false),
        &report(Stage::Running, None, vec![again, container("b", Running, None)]),
    );
    assert_eq!(phase(&found), "Running");
    let a = &found.container_statuses.as_ref().unwrap()[0];
    assert_eq!(
        a.state.as_ref().unwrap().waiting.as_ref().unwrap().reason.as_deref(),
        Some("CrashLoopBackOff")
    );
    assert_eq!(a.last_state.as_ref().unwrap().terminated.as_ref().unwrap().exit_code, 4);
    assert_eq!(a.restart_count, 2);
    // The run that ended is the third one; the container waits for its fourth.
    let last = a.last_state.as_ref().unwrap().terminated.as_ref().unwrap();
    assert_eq!(last.message.as_deref(), Some("there is no command x"));
    assert_eq!(last.container_id.as_deref(), Some("towline://u-a-2"));
}

#[test]
fn what_was_added_has_a_state_of_its_own_and_none_of_the_pods() {
    let mut pod = pod("Never", false);
    let spec = pod.spec.as_mut().unwrap();
    spec.ephemeral_containers = serde_json::from_value(json!([
        {"name": "looker", "image": "i"}, {"name": "bad", "image": "i"}, {"name": "late", "image": "i"}
    ]))
    .unwrap();
    let running = report(
        Stage::Running,
        None,
        vec![
            container("a", Running, None),
            container("b", Running, None),
            container("looker", Terminated, Some(3)),
        ],
    );
    let problem = Rejection {
        reason: "UnsupportedField".to_owned(),
        message: "why".to_owned(),
    };
    let problems = BTreeMap::from([("bad".to_owned(), problem)]);
    let view = View::Reported {
        report: &running,
        job: None,
    };
    let found = compute(&pod, view, &problems, None, 100);
    assert_eq!(found.phase.as_deref(), Some("Running"));
    let states: Vec<_> = found.ephemeral_container_statuses.unwrap();
    let names: Vec<&str> = states.iter().map(|status| status.name.as_str()).collect();
    assert_eq!(names, ["bad", "late", "looker"]);
    assert!(states.iter().all(|status| !status.ready && status.started.is_none()));
    let waits = |n: usize| states[n].state.clone().unwrap().waiting.unwrap().reason.unwrap();
    assert_eq!(
        (waits(0).as_str(), waits(1).as_str()),
        ("UnsupportedField", "ContainerCreating")
    );
    assert_eq!(states[2].state.clone().unwrap().terminated.unwrap().exit_code, 3);
}

#[test]
fn a_pod_is_not_over_while_what_was_added_still_runs() {
    let mut pod = pod("Never", false);
    pod.spec.as_mut().unwrap().ephemeral_containers =
        serde_json::from_value(json!([{"name": "looker", "image": "i"}])).unwrap();
    let phase = |stage: Stage, looker: ContainerStage| {
        let ended = || Some(0);
        let all = vec![
            container("a", Terminated, ended()),
            container("b", Terminated, ended()),
            container("looker", looker, (looker == Terminated).then_some(9)),
        ];
        of(&pod, &report(stage, None, all)).phase.unwrap()
    };
    assert_eq!(phase(Stage::Stopping, Running), "Running");
    assert_eq!(phase(Stage::Ended, Terminated), "Succeeded");
}

#[test]
fn a_pod_in_the_queue_says_why_until_its_job_starts() {
    let job = |reason: &str| Job {
        uid: Some("u".into()),
        id: "7".into(),
        state: JobState::Pending,
        start: None,
        end: None,
        exit: None,
        host: None,
        reason: Some(reason.into()),
        text: "PENDING".into(),
    };
    let waiting = |pod: &Pod, job: Option<&Job>| {
        let view = View::Waiting {
            reason: "ContainerCreating",
            message: "job 7 waits",
            job: Some("7"),
            queue: job,
        };
        compute(pod, view, &BTreeMap::new(), None, 100)
    };
    let mut pod = pod("Never", false);
    let short = waiting(&pod, None);
    assert!(short.conditions.iter().flatten().all(|one| one.type_ != QUEUED));
    for (reason, expected) in [
        ("resources", "Resources"),
        ("limit", "JobCannotStart"),
        ("other", "Pending"),
    ] {
        let found = waiting(&pod, Some(&job(reason)));
        let queued = condition(&found, QUEUED);
        assert_eq!(
            (
                queued.status.as_str(),
                queued.reason.as_deref(),
                queued.message.as_deref()
            ),
            ("True", Some(expected), Some("job 7 waits"))
        );
        pod.status = Some(found);
    }
    let found = of(&pod, &report(Stage::Running, None, vec![container("a", Running, None)]));
    assert_eq!(condition(&found, QUEUED).status, "False");
}
