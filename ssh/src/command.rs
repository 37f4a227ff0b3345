//! A command and what came of it.

use std::time::Duration;

use bytes::Bytes;

use crate::error::Error;
use crate::quote::{is_identifier, quote};
use crate::terminal::Terminal;

/// How long a command may take when nothing else is said.
pub const DEFAULT_TIMEOUT: Duration = Duration::from_secs(120);

/// How much of each output is kept when nothing else is said, in bytes.
pub const DEFAULT_OUTPUT_LIMIT: usize = 64 << 20;

/// A command to run: a program and its arguments. They are passed as they are; no shell interprets them.
#[derive(Clone, Debug)]
pub struct Command {
    pub(crate) words: Vec<String>,
    pub(crate) environment: Vec<(String, String)>,
    pub(crate) stdin: Bytes,
    pub(crate) timeout: Duration,
    pub(crate) output_limit: usize,
    pub(crate) terminal: Option<Terminal>,
    pub(crate) grace: Option<Duration>,
}

impl Command {
    /// A command without arguments.
    pub fn new(program: impl Into<String>) -> Self {
        Self {
            words: vec![program.into()],
            environment: Vec::new(),
            stdin: Bytes::new(),
            timeout: DEFAULT_TIMEOUT,
            output_limit: DEFAULT_OUTPUT_LIMIT,
            terminal: None,
            grace: None,
        }
    }

    /// Adds an argument.
    #[must_use]
    pub fn arg(mut self, word: impl Into<String>) -> Self {
        self.words.push(word.into());
        self
    }

    /// Adds arguments.
    #[must_use]
    pub fn args(mut self, words: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.words.extend(words.into_iter().map(Into::into));
        self
    }

    /// Sets a variable of its environment. It is not secret from the far side's administrators.
    #[must_use]
    pub fn env(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.environment.push((name.into(), value.into()));
        self
    }

    /// What it reads on standard input; then the input ends.
    #[must_use]
    pub fn stdin(mut self, content: impl Into<Bytes>) -> Self {
        self.stdin = content.into();
        self
    }

    /// How long it may take. After that its outcome is unknown. For a stream: how long it may take to start.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// How many bytes of each of its outputs are taken at most.
    #[must_use]
    pub fn output_limit(mut self, bytes: usize) -> Self {
        self.output_limit = bytes;
        self
    }

    /// Gives it a terminal; for [`crate::Remote::open`] only.
    #[must_use]
    pub fn terminal(mut self, terminal: Terminal) -> Self {
        self.terminal = Some(terminal);
        self
    }

    /// When it is given up, its input ends and its process group gets a TERM; only what is still there after this time is
    /// killed. For commands that have something to end elsewhere; for [`crate::Remote::open`] only.
    #[must_use]
    pub fn grace(mut self, grace: Duration) -> Self {
        self.grace = Some(grace);
        self
    }

    /// The command as text for a POSIX shell, every word quoted.
    ///
    /// # Errors
    /// A word with a NUL byte, or a variable whose name no shell can export.
    pub fn to_shell(&self) -> Result<String, Error> {
        let mut out = String::new();
        for (name, value) in &self.environment {
            if !is_identifier(name) {
                return Err(Error::Invalid(format!(
                    "{name:?} cannot be the name of an exported variable"
                )));
            }
            out.push_str(&format!("export {name}={}; ", quote(value)));
        }
        let words: Vec<String> = self.words.iter().map(|word| quote(word)).collect();
        out.push_str("exec ");
        out.push_str(&words.join(" "));
        if out.contains('\0') {
            return Err(Error::Invalid(format!(
                "{} has a NUL byte in one of its words",
                self.summary()
            )));
        }
        Ok(out)
    }

    /// The first words, for messages.
    pub fn summary(&self) -> String {
        let text = self.words.join(" ");
        let mut short: String = text
            .chars()
            .map(|c| if c.is_control() { ' ' } else { c })
            .take(100)
            .collect();
        if short.len() < text.len() {
            short.push('…');
        }
        format!("`{short}`")
    }
}

/// How a process ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ExitStatus {
    /// It ended with this code.
    Code(u32),
    /// A signal ended it; the name without `SIG`.
    Signal(String),
}

impl ExitStatus {
    /// It ended with code 0.
    pub fn success(&self) -> bool {
        *self == Self::Code(0)
    }
}

impl std::fmt::Display for ExitStatus {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Code(code) => write!(f, "exit code {code}"),
            Self::Signal(name) => write!(f, "signal {name}"),
        }
    }
}

/// A finished command.
#[derive(Clone, Debug)]
pub struct Output {
    /// How it ended.
    pub status: ExitStatus,
    /// Its standard output.
    pub stdout: Vec<u8>,
    /// Its standard error.
    pub stderr: Vec<u8>,
}
