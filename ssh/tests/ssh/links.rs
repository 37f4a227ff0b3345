//! Links that are slow, shared, lost and found again.

use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use towline_ssh::{Command, Error, LinkState, Options, Remote, Ssh};

use crate::sshd::{Sshd, eventually, runs};

fn sh(script: &str) -> Command {
    Command::new("sh").args(["-c", script])
}

async fn answers(ssh: &Ssh) {
    let output = ssh
        .shell(Command::new("echo").arg("here").timeout(Duration::from_secs(20)))
        .await
        .unwrap();
    assert_eq!(output.stdout, b"here\n");
    let output = ssh
        .run(Command::new("echo").arg("here").timeout(Duration::from_secs(20)))
        .await
        .unwrap();
    assert_eq!(output.stdout, b"here\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn readers_that_stop_delay_neither_commands_nor_other_streams() {
    let sshd = Sshd::start("");
    let ssh = sshd.ssh();
    let stopped = [
        ssh.open(Command::new("yes")).await.unwrap(),
        ssh.open(Command::new("yes")).await.unwrap(),
    ];
    tokio::time::sleep(Duration::from_millis(500)).await;
    answers(&ssh).await;
    let mut process = ssh.open(sh("head -c 30000000 /dev/zero")).await.unwrap();
    let mut got = Vec::new();
    process.stdout.read_to_end(&mut got).await.unwrap();
    assert_eq!(got.len(), 30_000_000);
    // What was stopped goes on where it was.
    for mut process in stopped {
        let mut got = vec![0; 8 << 20];
        process.stdout.read_exact(&mut got).await.unwrap();
        assert!(got.chunks(2).all(|pair| pair == b"y\n"));
        process.kill().await;
    }
    answers(&ssh).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_share_connections_only_when_there_are_many_and_idle_ones_are_closed() {
    let sshd = Sshd::start("");
    let ssh = Ssh::new(Options {
        bulk_connections: 2,
        bulk_idle: Duration::from_millis(200),
        ..sshd.options()
    })
    .unwrap();
    ssh.connect_now().await.unwrap();
    assert_eq!(sshd.connections(), 1, "nothing is opened before it is needed");
    let mut processes = Vec::new();
    for _ in 0..20 {
        processes.push(ssh.open(Command::new("cat")).await.unwrap());
    }
    assert_eq!(
        ssh.bulk_connections(),
        3,
        "two to begin with, and one more when they were full"
    );
    processes.truncate(1);
    drop(processes);
    eventually("idle connections stay open", || sshd.connections() == 1).await;
    answers(&ssh).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_nobody_reads_any_more_gives_its_connection_free() {
    let sshd = Sshd::start("");
    let ssh = Ssh::new(Options {
        bulk_idle: Duration::from_millis(100),
        ..sshd.options()
    })
    .unwrap();
    // A process whose output fills every buffer, and a connection that the other side never ends.
    let process = ssh.open(Command::new("yes")).await.unwrap();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let forward = ssh
        .connect("127.0.0.1", listener.local_addr().unwrap().port())
        .await
        .unwrap();
    let (mut other_side, _) = listener.accept().await.unwrap();
    let flood = tokio::spawn(async move {
        let zeros = vec![0; 1 << 20];
        while tokio::io::AsyncWriteExt::write_all(&mut other_side, &zeros)
            .await
            .is_ok()
        {}
    });
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!(ssh.bulk_connections(), 2);
    drop((process, forward));
    eventually("a connection is left", || sshd.connections() == 1).await;
    flood.await.unwrap();
    answers(&ssh).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_link_is_an_unknown_outcome_and_is_found_again() {
    let mut sshd = Sshd::start("");
    let ssh = sshd.ssh();
    answers(&ssh).await;
    let marker = format!("lost-{:x}", rand::random::<u64>());
    let waiting = |command: Command| {
        let ssh = Arc::clone(&ssh);
        tokio::spawn(async move { (ssh.run(command).await, ssh) })
    };
    // It ends by itself when its input does: nothing can be killed over a lost link.
    let run = waiting(sh(&format!("sh -c 'sleep 2' {marker}")));
    let other = Arc::clone(&ssh);
    let shell = tokio::spawn(async move { other.shell(sh("sleep 2")).await });
    let mut process = ssh.open(Command::new("cat")).await.unwrap();
    eventually("it did not start", || runs(&marker)).await;
    sshd.kill();
    for error in [
        run.await.unwrap().0.unwrap_err(),
        shell.await.unwrap().unwrap_err(),
        process.wait().await.unwrap_err(),
    ] {
        assert!(matches!(error, Error::OutcomeUnknown { .. }), "{error}");
    }
    let mut link = ssh.link();
    link.wait_for(|link| matches!(link, LinkState::Down { .. }))
        .await
        .unwrap();
    // Down: every call answers at once, and says that nothing was started.
    for _ in 0..50 {
        let error = ssh.run(Command::new("true")).await.unwrap_err();
        assert!(
            matches!(error, Error::Connect { .. }) && !error.is_permanent(),
            "{error}"
        );
    }
    sshd.up();
    // As a loop does that asks again and again.
    for round in 0.. {
        match ssh.run(Command::new("true")).await {
            Ok(_) => break,
            Err(error) if round > 200 => panic!("{error}"),
            Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
        }
    }
    assert!(matches!(&*ssh.link().borrow(), LinkState::Up { .. }));
    answers(&ssh).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_is_lost_with_the_link_does_not_look_ended() {
    let mut sshd = Sshd::start("");
    let ssh = sshd.ssh();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let mut forward = ssh.connect("127.0.0.1", port).await.unwrap();
    let (mut other_side, _) = listener.accept().await.unwrap();
    other_side.write_all(b"half").await.unwrap();
    let mut got = [0; 4];
    forward.read_exact(&mut got).await.unwrap();
    assert_eq!(&got, b"half");
    sshd.kill();
    let error = forward.read(&mut got).await.unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset, "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_hangs_is_noticed() {
    let sshd = Sshd::start("");
    let lines = format!(
        " IdentityFile {}\n ServerAliveInterval 1\n ServerAliveCountMax 1",
        sshd.text("key")
    );
    let ssh = Ssh::new(sshd.configured(&lines)).unwrap();
    answers(&ssh).await;
    sshd.signal("STOP");
    let error = ssh.run(Command::new("true")).await.unwrap_err();
    sshd.signal("CONT");
    assert!(error.to_string().contains("stopped answering"), "{error}");
    assert!(matches!(&*ssh.link().borrow(), LinkState::Down { .. }));
}

#[tokio::test]
async fn a_host_that_is_not_there_is_not_asked_again_at_once() {
    let mut sshd = Sshd::start("");
    sshd.kill();
    let ssh = sshd.ssh();
    let first = ssh.connect_now().await.unwrap_err();
    assert!(matches!(first, Error::Connect { .. }), "{first}");
    let second = ssh.connect_now().await.unwrap_err();
    assert!(second.to_string().contains("tried again in"), "{second}");
    assert!(matches!(&*ssh.link().borrow(), LinkState::Down { .. }));
}

#[tokio::test]
async fn a_host_that_does_not_answer_is_given_up_in_time() {
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let sshd = Sshd::prepare();
    let ssh = Ssh::new(Options {
        target: format!("x@127.0.0.1:{}", silent.local_addr().unwrap().port()),
        connect_timeout: Some(Duration::from_millis(200)),
        ..sshd.options()
    })
    .unwrap();
    let error = ssh.connect_now().await.unwrap_err();
    assert!(matches!(error, Error::Connect { .. }), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn new_keys_are_agreed_on_under_load() {
    let sshd = Sshd::start("RekeyLimit 1M");
    let ssh = sshd.ssh();
    let input: Vec<u8> = (0..20u32 << 20).map(|at| (at ^ (at >> 7)) as u8).collect();
    let traffic = (0..3).map(|_| {
        let (ssh, input) = (Arc::clone(&ssh), input.clone());
        tokio::spawn(async move {
            let output = ssh.run(Command::new("cat").stdin(input.clone())).await.unwrap();
            assert!(output.stdout == input);
        })
    });
    let traffic: Vec<_> = traffic.collect();
    // Also on the control connection.
    for _ in 0..10 {
        let output = ssh.run(sh("head -c 3000000 /dev/zero")).await.unwrap();
        assert_eq!(output.stdout.len(), 3_000_000);
        answers(&ssh).await;
    }
    for task in traffic {
        task.await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_server_s_limit_on_sessions_is_kept() {
    let sshd = Sshd::start("MaxSessions 3");
    let ssh = sshd.ssh();
    answers(&ssh).await;
    let commands = (0..64).map(|number| {
        let ssh = Arc::clone(&ssh);
        tokio::spawn(async move {
            let output = ssh.run(Command::new("echo").arg(number.to_string())).await.unwrap();
            assert_eq!(output.stdout, format!("{number}\n").into_bytes());
        })
    });
    for command in commands.collect::<Vec<_>>() {
        command.await.unwrap();
    }
    assert_eq!(sshd.connections(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_beyond_the_limits_wait_for_a_place_and_all_get_one() {
    // Fewer sessions than connections are filled with, and far more streams than there are places.
    let sshd = Sshd::start("MaxSessions 3");
    let options = Options {
        bulk_connections: 1,
        max_bulk_connections: 3,
        ..sshd.options()
    };
    let ssh = Arc::new(Ssh::new(options).unwrap());
    let streams = (0..50).map(|number: u32| {
        let ssh = Arc::clone(&ssh);
        tokio::spawn(async move {
            let command = sh(&format!("sleep 0.3; echo {number}")).timeout(Duration::from_secs(60));
            let mut process = ssh.open(command).await.unwrap();
            let mut out = String::new();
            process.stdout.read_to_string(&mut out).await.unwrap();
            assert_eq!(out, format!("{number}\n"));
            assert!(process.wait().await.unwrap().success());
        })
    });
    let streams: Vec<_> = streams.collect();
    for stream in streams {
        stream.await.unwrap();
    }
    assert!(ssh.bulk_connections() <= 3, "{}", ssh.bulk_connections());
    let held: Vec<_> = open_many(&ssh, 30).await;
    let refused = held.iter().filter(|opened| opened.is_err()).count();
    assert!(
        refused >= 30 - 9,
        "{refused} refused: more streams than the host allows"
    );
    answers(&ssh).await;
}

/// Opens so many streams that stay open, with little patience.
async fn open_many(ssh: &Arc<Ssh>, count: usize) -> Vec<Result<towline_ssh::Process, Error>> {
    let opening = (0..count).map(|_| {
        let ssh = Arc::clone(ssh);
        tokio::spawn(async move { ssh.open(Command::new("cat").timeout(Duration::from_secs(3))).await })
    });
    let mut out = Vec::new();
    for opened in opening.collect::<Vec<_>>() {
        out.push(opened.await.unwrap());
    }
    out
}

#[tokio::test]
async fn closing_ends_everything_and_the_next_use_opens_it_again() {
    let sshd = Sshd::start("");
    let ssh = sshd.ssh();
    answers(&ssh).await;
    let mut process = ssh.open(Command::new("cat")).await.unwrap();
    ssh.close().await;
    assert!(process.wait().await.unwrap_err().outcome_unknown());
    eventually("a connection is left", || sshd.connections() == 0).await;
    answers(&ssh).await;
}

#[tokio::test]
async fn dropping_the_last_handle_closes_all_connections() {
    let sshd = Sshd::start("");
    let ssh = sshd.ssh();
    answers(&ssh).await;
    drop(ssh);
    eventually("a connection is left", || sshd.connections() == 0).await;
}

#[tokio::test]
async fn forwarding_that_the_host_forbids_is_said() {
    let sshd = Sshd::start("AllowTcpForwarding no");
    let ssh = sshd.ssh();
    let error = ssh.connect("127.0.0.1", sshd.port).await.err().unwrap();
    assert!(error.to_string().contains("does not allow forwarding"), "{error}");
}

#[tokio::test]
async fn the_name_tells_account_host_and_port() {
    let sshd = Sshd::prepare();
    let name = sshd.ssh().name();
    assert_eq!(name, format!("{}@127.0.0.1:{}", crate::sshd::user(), sshd.port));
}
