//! `exec`, `attach`, `port-forward` and `cp`: sessions in a pod that was left running.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};

use crate::here::{Here, Said, eventually, finish, pod, processes_with, signal};

/// A pod that runs, and can be entered.
fn running(objects: &[Value]) -> Here {
    let here = Here::new();
    let said = here.run(objects, &["--detach"]);
    assert_eq!(said.code, 0, "{said:?}");
    let name = objects[0]["metadata"]["name"].as_str().unwrap();
    eventually("the pod runs", || {
        here.towline(&["exec", name, "-c", "main", "--", "true"]).code == 0
    });
    here
}

/// A pod whose container has a standard input.
fn reading(name: &str, text: &str, fields: Value) -> Value {
    let mut pod = pod(name, text);
    let container = pod["spec"]["containers"][0].as_object_mut().unwrap();
    container.extend(fields.as_object().unwrap().clone());
    pod
}

/// Starts a command with pipes on all sides.
fn open(mut command: Command) -> Child {
    let command = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command.spawn().unwrap()
}

/// The same on a terminal of 33 lines and 77 columns, by a shell's line behind the program.
fn on_terminal(here: &Here, line: &str) -> Child {
    let program = env!("CARGO_BIN_EXE_towline");
    let text =
        format!("stty rows 33 cols 77; stty -g >before; '{program}' {line}; code=$?; stty -g >after; exit $code");
    let mut command = here.any_command("script");
    command.args(["-qefc", &text, "/dev/null"]).env("SHELL", "/bin/sh");
    command.current_dir(here.home.path());
    open(command)
}

/// Reads until a text has come.
fn until(child: &mut Child, text: &str) -> String {
    let stdout = child.stdout.as_mut().unwrap();
    let mut got = Vec::new();
    let mut byte = [0];
    while !String::from_utf8_lossy(&got).contains(text) {
        let count = stdout.read(&mut byte).unwrap();
        assert!(count > 0, "no {text:?} in {:?}", String::from_utf8_lossy(&got));
        got.push(byte[0]);
    }
    String::from_utf8_lossy(&got).into_owned()
}

fn send(child: &mut Child, text: &str) {
    let stdin = child.stdin.as_mut().unwrap();
    stdin.write_all(text.as_bytes()).unwrap();
    stdin.flush().unwrap();
}

fn piped(here: &Here, words: &[&str], input: &[u8]) -> Said {
    let mut child = open(here.command(words));
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_vec();
    let writer = std::thread::spawn(move || stdin.write_all(&input));
    let said = child.wait_with_output().unwrap().into();
    writer.join().unwrap().unwrap();
    said
}

#[test]
fn a_command_has_its_words_its_streams_and_its_code() {
    let here = running(&[pod("one", "exec sleep 600")]);
    let script = r#"printf '%s|' "$@"; echo oops >&2; exit 7"#;
    let said = here.towline(&["exec", "one", "--", "sh", "-c", script, "-", "it's", "$(b)", "", "-it"]);
    assert_eq!(
        (said.code, said.text().as_str(), said.err.as_str()),
        (7, "it's|$(b)||-it|", "oops\n")
    );

    let sent: Vec<u8> = (0..5u32 << 20).map(|at| (at ^ (at >> 9)) as u8).collect();
    let said = piped(
        &here,
        &["exec", "-i", "one", "--", "sh", "-c", "cat; echo end >&2"],
        &sent,
    );
    assert!(
        said.code == 0 && said.out == sent && said.err == "end\n",
        "{}",
        said.err
    );
    // Without -i there is nothing to read.
    let said = piped(&here, &["exec", "one", "--", "cat"], b"");
    assert!(said.code == 0 && said.out.is_empty(), "{said:?}");

    let said = here.towline(&["exec", "one", "--", "no-such-command"]);
    assert!(said.code == 127 && said.err.contains("no-such-command"), "{said:?}");
    let said = here.towline(&["exec", "two", "--", "true"]);
    assert!(said.code == 1 && said.err.contains("no pod"), "{said:?}");
    let said = here.towline(&["exec", "one", "-c", "other", "--", "true"]);
    assert!(said.code == 1 && said.err.contains("no container other"), "{said:?}");
    // As kubectl has it, for -t is a terminal here.
    let said = piped(&here, &["exec", "-it", "one", "--", "tty"], b"");
    assert!(said.code == 1 && said.err.contains("Unable to use a TTY"), "{said:?}");
}

#[test]
fn an_interrupt_ends_the_command_as_well() {
    let here = running(&[pod("one", "exec sleep 600")]);
    for (name, code) in [("INT", 130), ("TERM", 143)] {
        let marker = format!("interrupted-{name}-{}", std::process::id());
        let words = ["exec", "one", "--", "sh", "-c", "trap '' TERM; sleep 600; :", &marker];
        let child = open(here.command(&words));
        eventually("it runs", || {
            let found = processes_with(&marker);
            found.iter().any(|line| line.starts_with("sh -c trap"))
        });
        signal(&child, name);
        assert_eq!(finish(child).code, code);
        eventually("nothing is left", || processes_with(&marker).is_empty());
    }
}

#[test]
fn a_terminal_has_our_size_takes_what_is_typed_and_is_given_back() {
    let here = running(&[pod("one", "exec sleep 600")]);
    let script = r#"until [ "$(stty size)" = "33 77" ]; do sleep 0.1; done; trap "echo caught; exit 6" INT; echo ready; while :; do sleep 0.1; done"#;
    let mut child = on_terminal(&here, &format!("exec -it one -- sh -c '{script}'"));
    until(&mut child, "ready");
    send(&mut child, "\x03");
    until(&mut child, "caught");
    assert_eq!(finish(child).code, 6);
    let modes = |name: &str| std::fs::read_to_string(here.path(name)).unwrap();
    assert_eq!(modes("before"), modes("after"));
}

#[test]
fn an_input_that_is_kept_open_is_there_for_everybody_who_attaches() {
    let text = "while read -r line; do echo \"<$line>\"; done; echo ended";
    let here = running(&[reading("one", text, json!({"stdin": true}))]);
    for round in ["first", "second"] {
        let mut child = open(here.command(&["attach", "-i", "one"]));
        send(&mut child, &format!("{round}\n"));
        until(&mut child, &format!("<{round}>\n"));
        signal(&child, "INT");
        assert_eq!(finish(child).code, 130);
    }
    // Its end is nobody's to say.
    let mut child = open(here.command(&["attach", "-i", "one"]));
    send(&mut child, "third\n");
    drop(child.stdin.take());
    until(&mut child, "<third>\n");
    assert!(child.try_wait().unwrap().is_none());
    assert_eq!(here.towline(&["cancel", "--force", "one"]).code, 0);
    finish(child);
    let log = here.towline(&["logs", "one"]).text();
    assert!(log.starts_with("<first>\n<second>\n<third>\n"), "{log:?}");
}

#[test]
fn an_input_that_is_given_away_once_ends_with_who_has_it() {
    let fields = json!({"stdin": true, "stdinOnce": true});
    let here = running(&[reading("one", "cat; echo ended; exit 3", fields.clone())]);
    let said = piped(&here, &["attach", "-i", "one"], b"all of it\n");
    assert_eq!((said.code, said.text().as_str()), (0, "all of it\nended\n"), "{said:?}");

    let here = running(&[reading("two", "cat; echo ended; exec sleep 600", fields)]);
    let mut child = open(here.command(&["attach", "-i", "two"]));
    send(&mut child, "x\n");
    until(&mut child, "x\n");
    child.kill().unwrap();
    child.wait().unwrap();
    eventually("its end is seen", || {
        here.towline(&["logs", "two"]).text() == "x\nended\n"
    });
    let said = piped(&here, &["attach", "-i", "two"], b"");
    assert!(said.code == 1 && said.err.contains("standard input"), "{said:?}");
}

#[test]
fn a_container_without_an_input_is_only_looked_at() {
    let here = running(&[pod(
        "one",
        "until [ -e go ]; do sleep 0.1; done; echo told; exec sleep 600",
    )]);
    let said = piped(&here, &["attach", "-i", "one"], b"");
    assert!(said.code == 1 && said.err.contains("has no standard input"), "{said:?}");
    let mut child = open(here.command(&["attach", "one"]));
    // Whoever attaches sees what comes from then on: that it has begun shows in its process on the cluster.
    let home = here.home.path().to_string_lossy().into_owned();
    eventually("it looks", || {
        processes_with("pod/log").iter().any(|line| line.contains(&home))
    });
    assert_eq!(here.towline(&["exec", "one", "--", "touch", "go"]).code, 0);
    until(&mut child, "told\n");
    signal(&child, "INT");
    assert_eq!(finish(child).code, 130);
    assert_eq!(here.towline(&["exec", "one", "--", "true"]).code, 0, "it goes on");
}

#[test]
fn an_end_of_the_reading_is_not_taken_for_the_end_of_the_container() {
    let here = running(&[pod("one", "exec sleep 600")]);
    let child = open(here.command(&["attach", "one"]));
    let reading = format!("pod/log {}", here.home.path().display());
    eventually("it looks", || !processes_with(&reading).is_empty());
    for entry in std::fs::read_dir("/proc").unwrap().flatten() {
        let words = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
        if String::from_utf8_lossy(&words).replace('\0', " ").contains(&reading) {
            let pid = entry.file_name().into_string().unwrap();
            Command::new("kill").args(["-TERM", &pid]).status().unwrap();
        }
    }
    let said = finish(child);
    assert_eq!(said.code, 1, "{said:?}");
    assert!(said.err.contains("follow what a container writes"), "{said:?}");
}

#[test]
fn a_container_on_a_terminal_is_attached_to_with_ours() {
    let text = "[ -t 0 ] && [ -t 1 ] && echo \"on $TERM\"; trap 'stty size; exit 4' INT; while :; do read -r line && echo \"<$line>\"; done";
    let here = running(&[reading("one", text, json!({"stdin": true, "tty": true}))]);
    let mut child = on_terminal(&here, "attach -it one");
    send(&mut child, "typed\r");
    until(&mut child, "<typed>\r\n");
    // Its size is told before what is typed afterwards; a signal is its own.
    eventually("it has our size", || {
        here.towline(&[
            "exec",
            "one",
            "--",
            "sh",
            "-c",
            "stty size <\"$(cat .towline/agents/run/pods/*/run/main.tty)\"",
        ])
        .text()
        .trim()
            == "33 77"
    });
    send(&mut child, "\x03");
    until(&mut child, "33 77");
    assert_eq!(finish(child).code, 0);
    let log = here.towline(&["logs", "one"]).text();
    // What is typed is echoed by the container's terminal, once.
    assert!(log.starts_with("on xterm\r\ntyped\r\n<typed>\r\n"), "{log:?}");
    let listed = || here.towline(&["ps", "-o", "json"]).json()[0]["containers"][0]["exitCode"].clone();
    eventually("its own code", || listed() == json!(4));
}

#[test]
fn a_terminal_s_container_ends_within_its_grace_and_leaves_nothing() {
    let marker = format!("left-on-a-terminal-{}", std::process::id());
    let text = format!(
        "sh -c 'trap \"\" HUP TERM; sleep 600; :' {marker} & trap 'echo told; exit 9' TERM; echo up; while :; do sleep 0.1; done"
    );
    let here = running(&[reading("one", &text, json!({"stdin": true, "tty": true}))]);
    eventually("it is up", || here.towline(&["logs", "one"]).text().contains("up"));
    assert_eq!(here.towline(&["cancel", "one"]).code, 0);
    eventually("it was told", || here.towline(&["logs", "one"]).text().contains("told"));
    let listed = || here.towline(&["ps", "-o", "json"]).json()[0]["containers"][0]["exitCode"].clone();
    eventually("its own code", || listed() == json!(9));
    eventually("nothing is left", || processes_with(&format!(" {marker}")).is_empty());
}

/// A port that answers with what it was sent, backwards, once the sending has ended.
fn backwards() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            std::thread::spawn(move || {
                let mut stream = stream.unwrap();
                let mut got = Vec::new();
                stream.read_to_end(&mut got).unwrap();
                got.reverse();
                stream.write_all(&got).unwrap();
            });
        }
    });
    port
}

#[test]
fn a_port_is_forwarded_until_an_interrupt() {
    let here = running(&[pod("one", "exec sleep 600")]);
    let (there, nobody) = (backwards(), TcpListener::bind("127.0.0.1:0").unwrap());
    let closed = nobody.local_addr().unwrap().port();
    drop(nobody);
    let words = [
        "port-forward",
        "one",
        &format!(":{there}"),
        &format!(":{closed}"),
        "-o",
        "json",
    ];
    let mut child = open(here.command(&words));
    let mut text = String::new();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    while !text.ends_with(']') {
        text.push_str(&lines.next().unwrap().unwrap());
    }
    let listed: Value = serde_json::from_str(&text).unwrap();
    let port = |remote: u16| {
        let mut found = listed.as_array().unwrap().iter();
        let found = found.find(|one| one["remotePort"] == remote && one["address"] == "127.0.0.1");
        u16::try_from(found.unwrap()["localPort"].as_u64().unwrap()).unwrap()
    };
    let talks: Vec<_> = (0..5)
        .map(|_| {
            let port = port(there);
            std::thread::spawn(move || {
                let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
                let mut sent = vec![b'x'; 300_000];
                sent[0] = b'y';
                stream.write_all(&sent).unwrap();
                stream.shutdown(Shutdown::Write).unwrap();
                let mut got = Vec::new();
                stream.read_to_end(&mut got).unwrap();
                sent.reverse();
                assert!(got == sent, "{} bytes", got.len());
            })
        })
        .collect();
    for talk in talks {
        talk.join().unwrap();
    }
    let mut stream = TcpStream::connect(("127.0.0.1", port(closed))).unwrap();
    assert_eq!(stream.read_to_end(&mut Vec::new()).unwrap_or(0), 0);
    signal(&child, "INT");
    let said = finish(child);
    assert_eq!(said.code, 0, "{said:?}");
    assert!(
        said.err.contains(&format!("failed to forward to port {closed}")),
        "{said:?}"
    );
    // A port that is taken here is said at once.
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let said = here.towline(&["port-forward", "one", &format!("{port}:80")]);
    assert!(said.code == 1 && said.err.contains("failed to listen"), "{said:?}");
}

#[test]
fn files_go_in_and_come_out() {
    let here = running(&[pod("one", "exec sleep 600")]);
    let (tree, inside, back) = (here.path("tree"), here.path("inside"), here.path("back"));
    std::fs::create_dir_all(tree.join("deep/er")).unwrap();
    std::fs::create_dir(&inside).unwrap();
    std::fs::write(tree.join("deep/er/file"), vec![7; 3_000_000]).unwrap();
    std::fs::write(tree.join("-odd $(name)"), "odd").unwrap();
    std::os::unix::fs::symlink("/etc/passwd", tree.join("link")).unwrap();
    let text = |path: &std::path::Path| path.to_string_lossy().into_owned();
    let there = |path: &str| format!("one:{}/{path}", text(&inside));

    // Into a directory that is there, and under another name.
    for (to, at) in [("", "tree"), ("named", "named")] {
        let said = here.towline(&["cp", &text(&tree), &there(to)]);
        assert_eq!(said.code, 0, "{said:?}");
        let at = inside.join(at);
        assert_eq!(std::fs::read(at.join("deep/er/file")).unwrap(), vec![7; 3_000_000]);
        assert_eq!(std::fs::read_to_string(at.join("-odd $(name)")).unwrap(), "odd");
        assert_eq!(
            std::fs::read_link(at.join("link")).unwrap().to_str(),
            Some("/etc/passwd")
        );
    }
    // A directory's content comes back; its links do not.
    let said = here.towline(&["cp", &there("tree"), &text(&back)]);
    assert!(said.code == 0 && said.err.contains("skipping symlink"), "{said:?}");
    assert_eq!(std::fs::read(back.join("deep/er/file")).unwrap(), vec![7; 3_000_000]);
    assert!(back.join("link").symlink_metadata().is_err());
    // One file, as a name and into a directory.
    for (to, at) in [(back.join("new"), "new"), (back.clone(), "-odd $(name)")] {
        let said = here.towline(&["cp", &there("tree/-odd $(name)"), &text(&to)]);
        assert!(said.code == 0 && said.err.is_empty(), "{said:?}");
        assert_eq!(std::fs::read_to_string(back.join(at)).unwrap(), "odd");
    }
    for (from, to, why) in [
        (there("none"), text(&back), "tar in the container ended"),
        (text(&here.path("none")), there(""), "failed to read"),
        (text(&tree), there("no/such/directory"), "tar in the container ended"),
        (there("a"), there("b"), "path of this machine"),
        (text(&tree), text(&back), "has to be in a pod"),
    ] {
        let said = here.towline(&["cp", &from, &to]);
        assert!(said.code == 1 && said.err.contains(why), "{from} {to}: {said:?}");
    }
}
