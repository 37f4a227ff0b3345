//! How a command gets past a login shell that nobody chose.
//!
//! The host hands what we ask for to the account's login shell: bash, csh, fish. So we ask for one constant that all of
//! them read alike, and send the command itself on standard input, to `/bin/sh`. POSIX's `read` takes byte by byte from a
//! pipe, so what follows the first line is left for the command.

use crate::command::Command;
use crate::error::Error;
use crate::frame::Token;

/// What the login shell is asked to run.
pub const LAUNCHER: &str = r#"/bin/sh -c 'IFS= read -r c && eval "$c"'"#;

/// The variable that stands for a line break, which the first line cannot hold.
const BREAK: &str = "_towline_break";

/// A command as one line without its line break: a line break can only stand between single quotes there, and is taken
/// out of them.
pub fn one_line(command: &Command) -> Result<String, Error> {
    let text = command.to_shell()?;
    if !text.contains('\n') {
        return Ok(text);
    }
    let text = text.replace('\n', &format!("'\"${BREAK}\"'"));
    Ok(format!("{BREAK}=$(printf '\\n.'); {BREAK}=${{{BREAK}%.}}; {text}"))
}

/// The first line of input for a command that then takes the place of the shell.
pub fn command(command: &Command, token: &Token) -> Result<String, Error> {
    let begin = match command.terminal {
        Some(_) => token.print_begin_of_one(),
        None => token.print_begin(),
    };
    Ok(format!("{begin}; {}\n", one_line(command)?))
}

/// The first line of input for a shell that reads the rest of its input as commands.
pub fn shell(token: &Token) -> String {
    format!("{}; exec /bin/sh\n", token.print_begin())
}

/// A command for such a shell.
pub fn in_shell(command: &Command, token: &Token) -> Result<String, Error> {
    Ok(format!(
        "{}; ({}) </dev/null; {}\n",
        token.print_begin(),
        one_line(command)?,
        token.print_end()
    ))
}

/// The first line of input that sends a signal to a process and all of its group. The group is looked up: the login shell may lead it.
pub fn kill_group(process: u32, signal: &str) -> String {
    format!(
        "if read -r s 2>/dev/null </proc/{process}/stat; then set -- ${{s##*) }}; g=$3; \
         else g=$(ps -o pgid= -p {process}); fi; test -n \"$g\" && kill -s {signal} -- -$((g))\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::io::Write;
    use std::process::Stdio;

    const SHELLS: &[&[&str]] = &[
        &["dash", "-c"],
        &["bash", "-c"],
        &["busybox", "sh", "-c"],
        &["csh", "-c"],
        &["fish", "-c"],
    ];

    fn through(login: &[&str], input: &[u8]) -> std::process::Output {
        let mut child = std::process::Command::new(login[0])
            .args(&login[1..])
            .arg(LAUNCHER)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{} is needed by this test: {error}", login[0]));
        child.stdin.take().unwrap().write_all(input).unwrap();
        child.wait_with_output().unwrap()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(12))]
        #[test]
        fn words_input_and_code_get_through_every_login_shell(
            words in proptest::collection::vec("[^\0]{0,30}", 0..4),
            value in "[ -~\n\t]{0,30}",
            input in proptest::collection::vec(any::<u8>(), 0..200),
        ) {
            let script = r#"printf '%s\0' "$@" "$V"; cat; exit 7"#;
            let line = Command::new("sh").args(["-c", script, "x"]).args(words.clone()).env("V", value.clone());
            let mut expected = Vec::new();
            for word in words.iter().chain([&value]) {
                expected.extend(word.bytes().chain([0]));
            }
            expected.extend(&input);
            for login in SHELLS {
                let token = Token::random();
                let mut text = command(&line, &token).unwrap().into_bytes();
                prop_assert_eq!(text.iter().filter(|byte| **byte == b'\n').count(), 1);
                text.extend(&input);
                let output = through(login, &text);
                let mut frame = crate::frame::Frame::to_the_end(&token, 1 << 20);
                frame.push(&output.stdout);
                prop_assert!(frame.take() == expected, "{:?}: {:?}", login, output);
                prop_assert_eq!(output.status.code(), Some(7));
            }
        }
    }

    #[test]
    fn a_shell_gives_each_command_its_own_frame() {
        let start = Token::random();
        let (one, two) = (Token::random(), Token::random());
        let mut input = shell(&start);
        // A command that reads must not eat the next one, and one that ends its shell must not end ours.
        input += &in_shell(&Command::new("cat"), &one).unwrap();
        input += &in_shell(&Command::new("sh").args(["-c", "echo 'a\nb'; exit 3"]), &two).unwrap();
        for login in SHELLS {
            let output = through(login, input.as_bytes());
            for (token, code, body) in [(&one, "0", &b""[..]), (&two, "3", b"a\nb\n")] {
                let mut frame = crate::frame::Frame::to_the_mark(token, 1000);
                frame.push(&output.stdout);
                assert_eq!(frame.ended(), Some(code), "{login:?} {output:?}");
                assert_eq!(frame.take(), body);
            }
        }
    }
}
