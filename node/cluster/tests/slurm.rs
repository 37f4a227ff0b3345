//! The operations that ask a batch system, against the fake Slurm of `remote-scripts/tests`.
#![allow(clippy::unwrap_used, reason = "tests")]

mod common;

use std::collections::BTreeMap;
use std::time::Duration;

use common::{Machine, pod, wait_until, wait_until_ended};
use towline_cluster::{CancelMode, render};
use towline_core::answer::{JobState, Stage, Submission};

const A: &str = "00000000-0000-4000-8000-00000000000a";

#[tokio::test]
async fn slurm_is_found_and_runs_a_pod() {
    let machine = Machine::with_slurm();
    let cluster = machine.connect().await.unwrap();
    assert_eq!(cluster.batch(), "slurm");
    let (_, partitions) = cluster.probe().await.unwrap();
    assert!(!partitions.is_empty());
    let submitted = cluster.submit(&[pod(A, "exit 3")]).await.unwrap();
    let Submission::Submitted { job } = &submitted[A] else {
        panic!("{submitted:?}")
    };
    let (reports, _) = wait_until_ended(&cluster, &[A]).await;
    assert_eq!(&reports[A].job, job);
    let mut state = JobState::Running;
    for _ in 0..1200 {
        let jobs = cluster.list(std::slice::from_ref(job)).await.unwrap();
        let found = jobs.iter().find(|found| &found.id == job).unwrap();
        assert_eq!(found.uid.as_deref(), Some(A));
        state = found.state;
        if state.ended() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(state, JobState::Failed);
}

#[tokio::test]
async fn a_refusal_says_whether_it_may_be_tried_again() {
    let machine = Machine::with_slurm();
    let cluster = machine.connect().await.unwrap();
    machine.slurm_mode("refuse Job violates accounting/QOS policy");
    let submitted = cluster.submit(&[pod(A, "true")]).await.unwrap();
    assert!(
        matches!(&submitted[A], Submission::Refused { retry: true, .. }),
        "{submitted:?}"
    );
    machine.slurm_mode("refuse invalid partition specified: x");
    let submitted = cluster.submit(&[pod(A, "true")]).await.unwrap();
    assert!(
        matches!(&submitted[A], Submission::Refused { retry: false, .. }),
        "{submitted:?}"
    );
}

#[tokio::test]
async fn a_submission_without_an_answer_is_found_in_the_queue() {
    let machine = Machine::with_slurm();
    let cluster = machine.connect().await.unwrap();
    machine.slurm_mode("lost");
    let submitted = cluster.submit(&[pod(A, "exec sleep 600")]).await.unwrap();
    assert!(matches!(&submitted[A], Submission::Unknown { .. }), "{submitted:?}");
    let jobs = cluster.list(&[]).await.unwrap();
    assert_eq!(jobs.len(), 1);
    assert_eq!(jobs[0].uid.as_deref(), Some(A));
    wait_until(&cluster, &[A], |report| report.stage == Stage::Running).await;
    let cancelled = cluster
        .cancel(CancelMode::Soft, &[(A.to_owned(), Some(1))])
        .await
        .unwrap();
    assert_eq!(cancelled, BTreeMap::from([(A.to_owned(), None)]));
    wait_until_ended(&cluster, &[A]).await;
}

#[tokio::test]
async fn a_batch_system_that_is_away_has_not_lost_its_jobs() {
    let machine = Machine::with_slurm();
    let cluster = machine.connect().await.unwrap();
    machine.slurm_mode("hold");
    cluster.submit(&[pod(A, "true")]).await.unwrap();
    assert_eq!(cluster.list(&[]).await.unwrap()[0].state, JobState::Pending);
    machine.slurm_down(true);
    let error = cluster.list(&[]).await.unwrap_err();
    assert_eq!(error.exit_code(), Some(70), "{error}");
    machine.slurm_down(false);
    cluster.cancel(CancelMode::Soft, &[(A.to_owned(), None)]).await.unwrap();
    assert_eq!(cluster.list(&[]).await.unwrap()[0].state, JobState::Cancelled);
}

#[tokio::test]
async fn the_batch_command_is_rendered_without_a_batch_system() {
    let bundle = pod(A, "true");
    let words = render(
        &towline_cluster::Scripts::embedded(),
        "slurm",
        "/far/.towline",
        "run",
        &bundle,
    )
    .await
    .unwrap();
    assert!(words.iter().any(|word| word == "sbatch"), "{words:?}");
    assert!(words.contains(&format!("--job-name=towline-run-{A}")));
    assert!(words.contains(&format!("--output=/far/.towline/agents/run/pods/{A}/supervisor.log")));
    let scripts = towline_cluster::Scripts::embedded().directory("/far/.towline");
    assert!(words.contains(&format!("{scripts}/batch/slurm/job")));
}

#[tokio::test]
async fn the_cluster_renders_what_it_would_run() {
    let machine = Machine::with_slurm();
    let cluster = machine.connect().await.unwrap();
    let words = cluster.render(&pod(A, "true")).await.unwrap();
    let path = words.iter().find(|word| word.starts_with("PATH=")).unwrap();
    assert!(path.contains("slurm/bin:"), "{path}");
    assert!(words.contains(&format!("--job-name=towline-test-{A}")));
    assert!(cluster.scan(&[]).await.unwrap().is_empty());
}
