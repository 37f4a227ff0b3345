//! What holds for commands, streams and connections wherever they run: the same suite over SSH and over this machine.

use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use towline_ssh::{Command, Error, ExitStatus, Local, Remote, Size, Terminal, upload};

use crate::sshd::{Sshd, eventually, runs};

fn sh(script: &str) -> Command {
    Command::new("sh").args(["-c", script])
}

fn unique(name: &str) -> String {
    format!("{name}-{:x}", rand::random::<u64>())
}

macro_rules! suite {
    ($($test:ident),* $(,)?) => {
        mod here {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $test() {
                super::$test(std::sync::Arc::new(super::Local::default())).await;
            })*
        }
        mod over_ssh {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $test() {
                let sshd = super::Sshd::start("");
                super::$test(sshd.ssh()).await;
            })*
        }
    };
}

suite!(
    input_outputs_and_exit_code_come_through,
    words_and_variables_are_never_interpreted,
    a_missing_program_ends_with_127,
    the_shell_keeps_commands_apart,
    a_shell_command_has_no_input,
    too_much_output_is_an_error_and_not_a_cut,
    a_command_that_takes_too_long_is_ended_with_its_children,
    a_shell_command_that_takes_too_long_is_ended_and_the_next_one_works,
    a_command_that_nobody_waits_for_any_more_is_ended,
    tens_of_megabytes_pass_in_both_directions,
    many_commands_at_once_all_end_well,
    a_stream_ends_with_its_input,
    a_stream_carries_both_outputs_and_the_exit_code,
    a_killed_process_says_so_and_leaves_nothing_behind,
    a_dropped_process_leaves_nothing_behind,
    a_process_with_grace_ends_what_it_has_elsewhere,
    a_terminal_is_one_it_has_its_size_and_takes_another,
    a_terminal_that_is_dropped_hangs_up,
    a_connection_reaches_a_port_and_ends_in_both_directions,
    a_port_that_nobody_listens_on_is_a_failed_connection,
    an_upload_arrives_whole,
    an_upload_that_is_cut_is_an_error,
);

async fn input_outputs_and_exit_code_come_through(remote: Arc<dyn Remote>) {
    let output = remote
        .run(sh("cat; echo oops >&2; exit 7").stdin("one\ntwo"))
        .await
        .unwrap();
    assert_eq!(output.status, ExitStatus::Code(7));
    assert_eq!(
        (output.stdout.as_slice(), output.stderr.as_slice()),
        (&b"one\ntwo"[..], &b"oops\n"[..])
    );
}

async fn words_and_variables_are_never_interpreted(remote: Arc<dyn Remote>) {
    let words = [
        "",
        "-n",
        "a b",
        "it's",
        "\"",
        "$HOME",
        "$(id)",
        "`id`",
        "a\nb",
        "!!",
        "\\n",
        "*",
        "~",
        "é\u{1f}\u{7f}",
        "%s",
    ];
    let expected: String = words.iter().map(|word| format!("{word}\0")).collect();
    let script = r#"printf '%s\0' "$@"; printf '%s' "$V""#;
    let command = sh(script).arg("x").args(words).env("V", "v'\n$(x)!");
    let expected = expected + "v'\n$(x)!";
    for output in [
        remote.run(command.clone()).await.unwrap(),
        remote.shell(command.clone()).await.unwrap(),
    ] {
        assert_eq!(String::from_utf8(output.stdout).unwrap(), expected);
    }
    let long = "x".repeat(100_000);
    let output = remote.run(Command::new("printf").args(["%s", &long])).await.unwrap();
    assert_eq!(output.stdout.len(), long.len());
}

async fn a_missing_program_ends_with_127(remote: Arc<dyn Remote>) {
    for output in [
        remote.run(Command::new("/no/such/program")).await.unwrap(),
        remote.shell(Command::new("/no/such/program")).await.unwrap(),
    ] {
        assert_eq!(output.status, ExitStatus::Code(127));
    }
}

async fn the_shell_keeps_commands_apart(remote: Arc<dyn Remote>) {
    for round in 0..20 {
        let output = remote
            .shell(sh(&format!(
                "echo out{round}; printf err{round} >&2; cd /; exit {round}"
            )))
            .await
            .unwrap();
        assert_eq!(output.status, ExitStatus::Code(round));
        assert_eq!(String::from_utf8(output.stdout).unwrap(), format!("out{round}\n"));
        assert_eq!(String::from_utf8(output.stderr).unwrap(), format!("err{round}"));
    }
    let rounds = (0..20).map(|round| {
        let remote = Arc::clone(&remote);
        tokio::spawn(async move {
            let output = remote.shell(Command::new("echo").arg(round.to_string())).await.unwrap();
            assert_eq!(String::from_utf8(output.stdout).unwrap(), format!("{round}\n"));
        })
    });
    for round in rounds.collect::<Vec<_>>() {
        round.await.unwrap();
    }
}

async fn a_shell_command_has_no_input(remote: Arc<dyn Remote>) {
    for _ in 0..2 {
        let output = remote.shell(Command::new("cat")).await.unwrap();
        assert!(output.status.success() && output.stdout.is_empty());
    }
}

async fn too_much_output_is_an_error_and_not_a_cut(remote: Arc<dyn Remote>) {
    let command = sh("head -c 1001 /dev/zero").output_limit(1000);
    for error in [
        remote.run(command.clone()).await.unwrap_err(),
        remote.shell(command.clone()).await.unwrap_err(),
        remote.run(Command::new("yes").output_limit(1000)).await.unwrap_err(),
    ] {
        assert!(
            matches!(error, Error::TooMuchOutput { limit: 1000, .. }) && error.outcome_unknown(),
            "{error}"
        );
    }
    let output = remote
        .run(sh("head -c 1000 /dev/zero").output_limit(1000))
        .await
        .unwrap();
    assert_eq!(output.stdout.len(), 1000);
}

async fn a_command_that_takes_too_long_is_ended_with_its_children(remote: Arc<dyn Remote>) {
    remote.run(Command::new("true")).await.unwrap();
    let marker = unique("long");
    let script = format!("sh -c 'sleep 600; :' {marker}; :");
    let error = remote
        .run(sh(&script).timeout(Duration::from_millis(1500)))
        .await
        .unwrap_err();
    assert!(error.outcome_unknown() && !error.is_permanent(), "{error}");
    eventually("the child is still there", || !runs(&marker)).await;
}

async fn a_shell_command_that_takes_too_long_is_ended_and_the_next_one_works(remote: Arc<dyn Remote>) {
    let marker = unique("shell");
    remote.shell(Command::new("true")).await.unwrap();
    let script = format!("sh -c 'sleep 600; :' {marker}; :");
    let error = remote
        .shell(sh(&script).timeout(Duration::from_millis(1000)))
        .await
        .unwrap_err();
    assert!(error.outcome_unknown(), "{error}");
    let output = remote.shell(Command::new("echo").arg("next")).await.unwrap();
    assert_eq!(output.stdout, b"next\n");
    eventually("the child is still there", || !runs(&marker)).await;
}

async fn a_command_that_nobody_waits_for_any_more_is_ended(remote: Arc<dyn Remote>) {
    for shell in [false, true] {
        let marker = unique("dropped");
        let command = sh(&format!("sh -c 'sleep 600; :' {marker}; :"));
        let used = Arc::clone(&remote);
        let waiting = tokio::spawn(async move {
            match shell {
                true => used.shell(command).await,
                false => used.run(command).await,
            }
        });
        eventually("it did not start", || runs(&marker)).await;
        waiting.abort();
        eventually("the child is still there", || !runs(&marker)).await;
    }
    assert!(remote.shell(Command::new("true")).await.unwrap().status.success());
}

async fn tens_of_megabytes_pass_in_both_directions(remote: Arc<dyn Remote>) {
    let input: Vec<u8> = (0..30u32 << 20).map(|at| (at ^ (at >> 9)) as u8).collect();
    let output = remote.run(Command::new("cat").stdin(input.clone())).await.unwrap();
    assert!(
        output.stdout == input,
        "{} of {} bytes",
        output.stdout.len(),
        input.len()
    );
    let mut process = remote.open(Command::new("cat")).await.unwrap();
    let mut stdin = process.stdin.take().unwrap();
    let sent = input.clone();
    let writer = tokio::spawn(async move { stdin.write_all(&sent).await.unwrap() });
    let mut received = Vec::new();
    process.stdout.read_to_end(&mut received).await.unwrap();
    writer.await.unwrap();
    assert!(received == input, "{} of {} bytes", received.len(), input.len());
    assert!(process.wait().await.unwrap().success());
}

async fn many_commands_at_once_all_end_well(remote: Arc<dyn Remote>) {
    let commands = (0..80).map(|number| {
        let remote = Arc::clone(&remote);
        tokio::spawn(async move {
            let output = remote.run(Command::new("cat").stdin(number.to_string())).await.unwrap();
            assert_eq!(String::from_utf8(output.stdout).unwrap(), number.to_string());
        })
    });
    for command in commands.collect::<Vec<_>>() {
        command.await.unwrap();
    }
}

async fn a_stream_ends_with_its_input(remote: Arc<dyn Remote>) {
    let mut process = remote.open(Command::new("cat")).await.unwrap();
    let mut stdin = process.stdin.take().unwrap();
    stdin.write_all(b"one\n").await.unwrap();
    stdin.flush().await.unwrap();
    let mut line = [0; 4];
    process.stdout.read_exact(&mut line).await.unwrap();
    assert_eq!(&line, b"one\n");
    stdin.shutdown().await.unwrap();
    assert!(process.wait().await.unwrap().success());
}

async fn a_stream_carries_both_outputs_and_the_exit_code(remote: Arc<dyn Remote>) {
    let mut process = remote.open(sh("echo out; echo err >&2; exit 9")).await.unwrap();
    let (mut out, mut err) = (String::new(), String::new());
    process.stdout.read_to_string(&mut out).await.unwrap();
    process.stderr.read_to_string(&mut err).await.unwrap();
    assert_eq!((out.as_str(), err.as_str()), ("out\n", "err\n"));
    assert_eq!(process.wait().await.unwrap(), ExitStatus::Code(9));
}

async fn a_killed_process_says_so_and_leaves_nothing_behind(remote: Arc<dyn Remote>) {
    let marker = unique("killed");
    let mut process = remote
        .open(sh(&format!("sh -c 'sleep 600; :' {marker}; :")))
        .await
        .unwrap();
    eventually("it did not start", || runs(&marker)).await;
    process.kill().await;
    assert_eq!(process.wait().await.unwrap(), ExitStatus::Signal("KILL".to_owned()));
    eventually("the child is still there", || !runs(&marker)).await;
}

async fn a_dropped_process_leaves_nothing_behind(remote: Arc<dyn Remote>) {
    let marker = unique("dropped");
    let process = remote
        .open(sh(&format!("yes; sh -c 'sleep 600; :' {marker}")))
        .await
        .unwrap();
    drop(process);
    let process = remote
        .open(sh(&format!("sh -c 'sleep 600; :' {marker}; :")))
        .await
        .unwrap();
    eventually("it did not start", || runs(&marker)).await;
    drop(process);
    eventually("the child is still there", || !runs(&marker)).await;
}

async fn a_process_with_grace_ends_what_it_has_elsewhere(remote: Arc<dyn Remote>) {
    let directory = tempfile::tempdir().unwrap();
    let (up, ended) = (directory.path().join("up"), directory.path().join("ended"));
    let marker = unique("grace");
    // In a session of its own, as on another host: no signal of ours reaches it.
    let script = format!(
        "setsid sh -c 'sleep 600; :' {marker} & trap : PIPE; trap \"kill -KILL -$!; sleep 1; echo >{}; exit\" TERM; echo >{}; while :; do sleep 0.1; done",
        ended.display(),
        up.display()
    );
    let process = remote.open(sh(&script).grace(Duration::from_secs(20))).await.unwrap();
    eventually("it did not start", || runs(&marker) && up.exists()).await;
    drop(process);
    eventually("what it started is still there", || !runs(&marker)).await;
    eventually("it was killed before it had ended", || ended.exists()).await;
}

fn terminal() -> Terminal {
    Terminal {
        kind: "vt100".to_owned(),
        size: Size { columns: 91, rows: 31 },
    }
}

async fn a_terminal_is_one_it_has_its_size_and_takes_another(remote: Arc<dyn Remote>) {
    // A long word: a line that is typed into a terminal could not hold it.
    let long = "x".repeat(20_000);
    let script = r#"test -t 0 && test -t 1 && test -t 2 && echo "all $TERM ${#1}"; stty size
        trap 'stty size; exit 5' WINCH; echo err >&2; while :; do sleep 0.05; done"#;
    let command = sh(script).args(["x", &long]).terminal(terminal());
    let mut process = remote.open(command).await.unwrap();
    let mut out = Vec::new();
    let mut buffer = [0; 1000];
    while !String::from_utf8_lossy(&out).contains("err") {
        let size = process.stdout.read(&mut buffer).await.unwrap();
        assert!(size > 0, "{}", String::from_utf8_lossy(&out));
        out.extend(&buffer[..size]);
    }
    assert_eq!(String::from_utf8_lossy(&out), "all vt100 20000\n31 91\nerr\n");
    process
        .size
        .as_ref()
        .unwrap()
        .send(Size { columns: 120, rows: 40 })
        .unwrap();
    let mut rest = String::new();
    process.stdout.read_to_string(&mut rest).await.unwrap();
    assert_eq!(rest, "40 120\n");
    assert_eq!(process.wait().await.unwrap(), ExitStatus::Code(5));
}

async fn a_terminal_that_is_dropped_hangs_up(remote: Arc<dyn Remote>) {
    let marker = unique("hangup");
    let script = format!("sh -c 'cat; :' {marker}; :");
    let process = remote.open(sh(&script).terminal(terminal())).await.unwrap();
    eventually("it did not start", || runs(&marker)).await;
    drop(process);
    eventually("it is still there", || !runs(&marker)).await;
}

async fn a_connection_reaches_a_port_and_ends_in_both_directions(remote: Arc<dyn Remote>) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let server = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut got = Vec::new();
        // The client ends its direction first and still reads the answer.
        stream.read_to_end(&mut got).await.unwrap();
        got.reverse();
        stream.write_all(&got).await.unwrap();
    });
    let mut stream = remote.connect("127.0.0.1", port).await.unwrap();
    let sent: Vec<u8> = (0..3_000_000u32).map(|at| at as u8).collect();
    stream.write_all(&sent).await.unwrap();
    stream.shutdown().await.unwrap();
    let mut got = Vec::new();
    stream.read_to_end(&mut got).await.unwrap();
    got.reverse();
    assert!(got == sent, "{} of {}", got.len(), sent.len());
    server.await.unwrap();
}

async fn a_port_that_nobody_listens_on_is_a_failed_connection(remote: Arc<dyn Remote>) {
    let port = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let Err(error) = remote.connect("127.0.0.1", port).await else {
        panic!("connected to a port without a listener")
    };
    assert!(matches!(error, Error::Connect { .. }), "{error}");
}

fn archive(content: &[u8]) -> Vec<u8> {
    let mut archive = tar::Builder::new(Vec::new());
    for (name, mode) in [("a/script", 0o700), ("a/it's $(x)", 0o600)] {
        let mut header = tar::Header::new_gnu();
        header.set_size(content.len() as u64);
        header.set_mode(mode);
        header.set_cksum();
        archive.append_data(&mut header, name, content).unwrap();
    }
    archive.into_inner().unwrap()
}

async fn an_upload_arrives_whole(remote: Arc<dyn Remote>) {
    use std::os::unix::fs::PermissionsExt;
    let directory = tempfile::tempdir().unwrap();
    let content: Vec<u8> = (0..3_000_000u32).map(|at| (at >> 3) as u8).collect();
    upload(
        remote.as_ref(),
        &directory.path().display().to_string(),
        archive(&content),
    )
    .await
    .unwrap();
    for (name, mode) in [("a/script", 0o700), ("a/it's $(x)", 0o600)] {
        let file = directory.path().join(name);
        assert!(std::fs::read(&file).unwrap() == content);
        assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, mode);
    }
}

async fn an_upload_that_is_cut_is_an_error(remote: Arc<dyn Remote>) {
    let directory = tempfile::tempdir().unwrap();
    let target = directory.path().display().to_string();
    let whole = archive(&[7; 100_000]);
    // In the middle of a file, and between two files, where tar itself would not notice.
    let between = whole.len() / 2 - 1024;
    for cut in [50_000, between - between % 512, whole.len() - 1024] {
        let error = upload(remote.as_ref(), &target, whole[..cut].to_vec())
            .await
            .unwrap_err();
        assert!(
            matches!(error, Error::Invalid(_)) || error.outcome_unknown(),
            "{cut}: {error}"
        );
    }
    assert!(upload(remote.as_ref(), "/no/such/directory", whole).await.is_err());
}
