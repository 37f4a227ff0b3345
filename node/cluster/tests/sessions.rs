//! Sessions in containers and connections to their ports, on this machine.
#![allow(clippy::unwrap_used, reason = "tests")]

mod common;

use std::time::Duration;

use common::{Machine, pod, wait_until};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use towline_cluster::{Cluster, Input, Session};
use towline_core::answer::Stage;
use towline_ssh::remote::Reader;
use towline_ssh::{ExitStatus, Size, Terminal};

const A: &str = "00000000-0000-4000-8000-00000000000a";

/// A pod whose container `main` runs.
async fn running(machine: &Machine, text: &str) -> Cluster {
    let cluster = machine.connect().await.unwrap();
    cluster.submit(&[pod(A, text)]).await.unwrap();
    wait_until(&cluster, &[A], |report| report.stage == Stage::Running).await;
    for _ in 0..200 {
        let pid = std::fs::read_to_string(machine.root().join(format!("agents/test/pods/{A}/run/main.pid")));
        if pid.is_ok_and(|pid| !pid.trim().is_empty()) {
            return cluster;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("the container does not run");
}

async fn enter(cluster: &Cluster, script: &str, input: Input) -> Session {
    let command = ["sh", "-c", script, "it's", "a\nb $(x)", ""].map(str::to_owned);
    cluster.enter(A, "main", &command, input).await.unwrap()
}

async fn all(mut from: Reader) -> Vec<u8> {
    let mut out = Vec::new();
    from.read_to_end(&mut out).await.unwrap();
    out
}

fn runs(marker: &str) -> bool {
    std::fs::read_dir("/proc").unwrap().flatten().any(|entry| {
        let line = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
        line.split(|byte| *byte == 0).any(|word| word == marker.as_bytes())
    })
}

async fn eventually(what: &str, holds: impl Fn() -> bool) {
    for _ in 0..400 {
        if holds() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("{what}");
}

fn session_files(machine: &Machine) -> usize {
    let run = machine.root().join(format!("agents/test/pods/{A}/run"));
    let names = std::fs::read_dir(run).unwrap().flatten().map(|entry| entry.file_name());
    names
        .filter(|name| name.to_string_lossy().starts_with("session."))
        .count()
}

#[tokio::test(flavor = "multi_thread")]
async fn words_outputs_and_exit_code_come_through_and_nothing_is_left() {
    let machine = Machine::new();
    let cluster = running(&machine, "exec sleep 600").await;
    let script = r#"printf '%s|' "$0" "$@"; cat; echo oops >&2; exit 7"#;
    let session = enter(&cluster, script, Input::None).await;
    assert!(session.stdin.is_none() && session.size.is_none());
    let (out, err) = tokio::join!(all(session.stdout), all(session.stderr));
    assert_eq!(String::from_utf8(out).unwrap(), "it's|a\nb $(x)||");
    assert_eq!(String::from_utf8(err).unwrap(), "oops\n");
    assert_eq!(session.end.wait().await.unwrap(), ExitStatus::Code(7));
    eventually("a file is left", || session_files(&machine) == 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_input_passes_byte_for_byte_and_its_end_is_not_the_session_s() {
    let machine = Machine::new();
    let cluster = running(&machine, "exec sleep 600").await;
    // What comes after the input's end takes longer than the first looks for the client.
    let session = enter(&cluster, "cat; sleep 2; echo end >&2; exit 3", Input::Open).await;
    let sent: Vec<u8> = (0..20u32 << 20).map(|at| (at ^ (at >> 9)) as u8).collect();
    let mut stdin = session.stdin.unwrap();
    let expected = sent.clone();
    let writer = tokio::spawn(async move {
        stdin.write_all(&sent).await.unwrap();
        stdin.shutdown().await.unwrap();
    });
    let (out, err) = tokio::join!(all(session.stdout), all(session.stderr));
    writer.await.unwrap();
    assert!(out == expected, "{} of {} bytes", out.len(), expected.len());
    assert_eq!(err, b"end\n");
    assert_eq!(session.end.wait().await.unwrap(), ExitStatus::Code(3));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_terminal_has_its_size_and_takes_another() {
    let machine = Machine::new();
    let cluster = running(&machine, "exec sleep 600").await;
    let terminal = Terminal {
        kind: "vt100".to_owned(),
        size: Size { columns: 91, rows: 31 },
    };
    let script = "tty -s && stty size; trap 'stty size; exit 4' WINCH; read -r line; echo \"<$line>\"; while :; do sleep 0.05; done";
    let mut session = enter(&cluster, script, Input::Terminal(terminal)).await;
    let mut stdin = session.stdin.take().unwrap();
    stdin.write_all(b"typed\r").await.unwrap();
    let mut out = Vec::new();
    while !String::from_utf8_lossy(&out).contains("<typed>\r\n") {
        assert!(
            session.stdout.read_buf(&mut out).await.unwrap() > 0,
            "{}",
            String::from_utf8_lossy(&out)
        );
    }
    let shown = String::from_utf8(out).unwrap();
    assert!(shown.contains("31 91\r\n") && !shown.contains("towline"), "{shown:?}");
    session
        .size
        .as_ref()
        .unwrap()
        .send(Size { columns: 100, rows: 50 })
        .unwrap();
    assert_eq!(String::from_utf8(all(session.stdout).await).unwrap(), "50 100\r\n");
    assert_eq!(session.end.wait().await.unwrap(), ExitStatus::Code(4));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_is_dropped_leaves_no_process() {
    let machine = Machine::new();
    let cluster = running(&machine, "exec sleep 600").await;
    let terminal = Terminal {
        kind: "vt100".to_owned(),
        size: Size::default(),
    };
    for (number, input) in [Input::None, Input::Open, Input::Terminal(terminal)]
        .into_iter()
        .enumerate()
    {
        let marker = format!("session-{number}-{:x}", rand::random::<u64>());
        let session = enter(
            &cluster,
            &format!("sh -c 'trap \"\" TERM; sleep 600; :' {marker}; :"),
            input,
        )
        .await;
        eventually("it did not start", || runs(&marker)).await;
        drop(session);
        eventually(&format!("it is still there: {number}"), || !runs(&marker)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_container_that_does_not_run_is_said() {
    let machine = Machine::new();
    let cluster = running(&machine, "exec sleep 600").await;
    let command = ["true".to_owned()];
    for (uid, container) in [(A, "other"), ("00000000-0000-4000-8000-00000000000b", "main")] {
        let error = cluster
            .enter(uid, container, &command, Input::None)
            .await
            .err()
            .unwrap();
        assert_eq!(error.exit_code(), Some(66), "{error}");
        assert!(error.to_string().contains("does not run"), "{error}");
    }
    let session = cluster
        .enter(A, "main", &["no-such-command".to_owned()], Input::None)
        .await
        .unwrap();
    let (_, err) = tokio::join!(all(session.stdout), all(session.stderr));
    assert!(String::from_utf8_lossy(&err).contains("no-such-command"), "{err:?}");
    assert_eq!(session.end.wait().await.unwrap(), ExitStatus::Code(127));
    let failed = machine.root().join(format!("agents/test/pods/{A}/run/main.failed"));
    assert!(
        std::fs::read(failed).unwrap_or_default().is_empty(),
        "the container did not fail"
    );
    let error = cluster.enter(A, "main", &[], Input::None).await.err().unwrap();
    assert!(!error.outcome_unknown(), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_end_of_the_pod_ends_the_session_with_a_word_about_it() {
    let machine = Machine::new();
    let cluster = running(&machine, "exec sleep 600").await;
    let session = enter(&cluster, "kill -KILL $PPID; sleep 1", Input::None).await;
    let (_, error) = tokio::join!(all(session.stdout), session.end.wait());
    let error = error.unwrap_err();
    assert!(error.outcome_unknown(), "{error}");
}

/// A port that answers with what it was sent, backwards, once the sending has ended.
async fn backwards() -> u16 {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut got = Vec::new();
                stream.read_to_end(&mut got).await.unwrap();
                got.reverse();
                stream.write_all(&got).await.unwrap();
            });
        }
    });
    port
}

#[tokio::test(flavor = "multi_thread")]
async fn a_port_is_reached_with_forwarding_and_without() {
    let machine = Machine::new();
    let cluster = running(&machine, "exec sleep 600").await;
    let port = backwards().await;
    for tools in [None, Some(["perl", "python3"]), Some(["python3", "perl"])] {
        if let Some([with, without]) = tools {
            machine.forbid_forwarding();
            machine.hide(without, with);
        }
        let mut sent: Vec<u8> = (0..3u32 << 20).map(|at| (at ^ (at >> 9)) as u8).collect();
        let mut connection = cluster.forward(A, None, port).await.unwrap();
        connection.write_all(&sent).await.unwrap();
        connection.shutdown().await.unwrap();
        let mut got = Vec::new();
        connection.read_to_end(&mut got).await.unwrap();
        sent.reverse();
        assert!(got == sent, "{tools:?}: {} of {}", got.len(), sent.len());
        let nobody = std::net::TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap()
            .port();
        let error = cluster.forward(A, None, nobody).await.err().unwrap().to_string();
        assert!(error.contains("refused"), "{tools:?}: {error}");
    }
}

/// A port whose only connection is held open and says `half`, until this is dropped.
async fn half() -> (u16, tokio::task::JoinHandle<tokio::net::TcpStream>) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let accepted = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        stream.write_all(b"half").await.unwrap();
        stream
    });
    (port, accepted)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_relayed_connection_that_is_cut_does_not_look_ended() {
    let machine = Machine::new();
    machine.forbid_forwarding();
    let cluster = running(&machine, "exec sleep 600").await;
    let (port, accepted) = half().await;
    let mut connection = cluster.forward(A, None, port).await.unwrap();
    let mut got = [0; 4];
    connection.read_exact(&mut got).await.unwrap();
    assert_eq!(&got, b"half");
    // The tool itself and what it has forked, not the scripts that it was started by.
    for entry in std::fs::read_dir("/proc").unwrap().flatten() {
        let line = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
        let mut words = line.split(|byte| *byte == 0);
        let by_a_shell = words.next().is_some_and(|word| word.ends_with(b"sh"));
        if !by_a_shell && words.any(|word| word == port.to_string().as_bytes()) {
            let pid = entry.file_name().into_string().unwrap();
            std::process::Command::new("kill")
                .args(["-KILL", &pid])
                .status()
                .unwrap();
        }
    }
    let error = connection.read(&mut got).await.unwrap_err();
    assert!(error.to_string().contains("relay"), "{error}");
    drop(accepted.await.unwrap());
}
