//! What a client is told at the end. Source: the kubelet's `ServeExec` and `ServeAttach`. There is always something to be
//! told: no word at all is success to a client.

use serde_json::json;
use towline_ssh::ExitStatus;

/// How it ended.
#[derive(Debug, PartialEq, Eq)]
pub enum Ending {
    /// Well.
    Success,
    /// With another code than 0.
    Code(u32),
    /// In a way that is nobody's exit code.
    Failure(String),
}

impl Ending {
    /// Of a process. A signal is a code as a shell would have it.
    pub fn of(status: &ExitStatus) -> Self {
        match status {
            ExitStatus::Code(0) => Self::Success,
            ExitStatus::Code(code) => Self::Code(*code),
            ExitStatus::Signal(name) => match signal(name) {
                Some(number) => Self::Code(128 + number),
                None => Self::Failure(format!("the command was ended by signal {name}")),
            },
        }
    }

    /// What goes to the error stream: an object from version 4 on, before that words, and none if all is well.
    pub fn bytes(&self, object: bool) -> Vec<u8> {
        let message = match self {
            Self::Success => String::new(),
            Self::Code(code) => format!("command terminated with non-zero exit code: exit status {code}"),
            Self::Failure(why) => format!("Internal error occurred: {why}"),
        };
        if !object {
            return message.into();
        }
        let status = match self {
            Self::Success => json!({"metadata": {}, "status": "Success"}),
            Self::Code(code) => json!({
                "metadata": {},
                "status": "Failure",
                "message": message,
                "reason": "NonZeroExitCode",
                "details": {"causes": [{"reason": "ExitCode", "message": code.to_string()}]},
            }),
            Self::Failure(why) => json!({
                "metadata": {},
                "status": "Failure",
                "message": message,
                "reason": "InternalError",
                "details": {"causes": [{"message": why}]},
                "code": 500,
            }),
        };
        status.to_string().into()
    }
}

/// The number of a signal that is known by its name without `SIG`, as it is on the machines that clusters are made of.
fn signal(name: &str) -> Option<u32> {
    const NAMES: [&str; 31] = [
        "HUP", "INT", "QUIT", "ILL", "TRAP", "ABRT", "BUS", "FPE", "KILL", "USR1", "SEGV", "USR2", "PIPE", "ALRM",
        "TERM", "STKFLT", "CHLD", "CONT", "STOP", "TSTP", "TTIN", "TTOU", "URG", "XCPU", "XFSZ", "VTALRM", "PROF",
        "WINCH", "IO", "PWR", "SYS",
    ];
    let found = NAMES.iter().position(|known| *known == name)?;
    Some(found as u32 + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_exit_code_is_told_as_the_kubelet_tells_it() {
        let code = Ending::of(&ExitStatus::Code(7));
        let object = |bytes: Vec<u8>| serde_json::from_slice::<serde_json::Value>(&bytes).unwrap();
        assert_eq!(
            object(code.bytes(true)),
            json!({"metadata": {}, "status": "Failure", "reason": "NonZeroExitCode",
                "message": "command terminated with non-zero exit code: exit status 7",
                "details": {"causes": [{"reason": "ExitCode", "message": "7"}]}})
        );
        assert_eq!(
            code.bytes(false),
            b"command terminated with non-zero exit code: exit status 7"
        );
        let success = Ending::of(&ExitStatus::Code(0));
        assert_eq!(
            object(success.bytes(true)),
            json!({"metadata": {}, "status": "Success"})
        );
        assert_eq!(success.bytes(false), b"");
    }

    #[test]
    fn a_signal_is_the_code_that_a_shell_makes_of_it() {
        for (name, code) in [("KILL", 137), ("TERM", 143), ("SEGV", 139), ("HUP", 129), ("SYS", 159)] {
            assert_eq!(Ending::of(&ExitStatus::Signal(name.to_owned())), Ending::Code(code));
        }
        let other = Ending::of(&ExitStatus::Signal("RTMIN".to_owned()));
        assert!(matches!(other, Ending::Failure(_)), "{other:?}");
    }

    #[test]
    fn a_failure_without_a_code_is_an_internal_error() {
        let failure = Ending::Failure("the link was lost".to_owned()).bytes(true);
        let status: serde_json::Value = serde_json::from_slice(&failure).unwrap();
        assert_eq!(
            (&status["reason"], &status["code"]),
            (&json!("InternalError"), &json!(500))
        );
        assert_eq!(status["message"], "Internal error occurred: the link was lost");
    }
}
