//! What can go wrong, sorted by what a caller may do about it.

use std::sync::Arc;

use towline_core::protocol::BadAnswer;
use towline_ssh::ExitStatus;

/// An error of an operation on the cluster.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The far side could not be asked, or its answer was lost.
    #[error(transparent)]
    Remote(#[from] towline_ssh::Error),
    /// A script said that it could not do its work.
    #[error("failed to {what} on {host}: the script ended with {status}: {stderr}")]
    Script {
        /// What was to be done.
        what: &'static str,
        /// The far side.
        host: String,
        /// How it ended: 64 wrong usage, 66 no such thing, 70 it could not be done, 75 it may go away by itself.
        status: ExitStatus,
        /// Its own words.
        stderr: String,
    },
    /// A script's answer cannot be used: it was cut, or something on the far side writes into it.
    #[error("failed to {what} on {host}: {source}; standard error: {stderr:?}")]
    Answer {
        /// What was to be done.
        what: &'static str,
        /// The far side.
        host: String,
        /// What is wrong with the answer.
        source: BadAnswer,
        /// What came beside it.
        stderr: String,
    },
    /// Somebody else works in the agent's directory.
    #[error(
        "agent {agent} on {host} belongs to {owner:?} and not to {we:?}: choose another agent's name, or, if that owner is gone for good, remove {directory}/owner on {host}"
    )]
    Owned {
        /// The far side.
        host: String,
        /// The agent's name.
        agent: String,
        /// The agent's directory.
        directory: String,
        /// Whom it belongs to.
        owner: String,
        /// Who we are.
        we: String,
    },
    /// The caller asked for something that cannot be.
    #[error("{0}")]
    Invalid(String),
    /// A file of this machine.
    #[error("failed to {what}: {source}")]
    Local {
        /// What was to be done.
        what: String,
        /// What came back.
        source: std::io::Error,
    },
    /// It went wrong for several callers at once.
    #[error(transparent)]
    Shared(Arc<Error>),
}

impl Error {
    /// The operation may have had an effect, wholly or in part; only a look can tell.
    pub fn outcome_unknown(&self) -> bool {
        match self {
            Self::Remote(error) => error.outcome_unknown(),
            Self::Script { status, .. } => !matches!(status, ExitStatus::Code(64 | 66 | 69 | 75 | 127)),
            Self::Answer { .. } => true,
            Self::Shared(error) => error.outcome_unknown(),
            Self::Owned { .. } | Self::Invalid(_) | Self::Local { .. } => false,
        }
    }

    /// A person has to do something; trying again by itself is useless or harmful.
    pub fn is_permanent(&self) -> bool {
        match self {
            Self::Remote(error) => error.is_permanent(),
            Self::Script { status, .. } => *status == ExitStatus::Code(64),
            Self::Answer { source, .. } => matches!(source, BadAnswer::Version(_)),
            Self::Shared(error) => error.is_permanent(),
            Self::Owned { .. } | Self::Invalid(_) | Self::Local { .. } => true,
        }
    }

    /// The exit code of a script that failed.
    pub fn exit_code(&self) -> Option<u32> {
        match self {
            Self::Script {
                status: ExitStatus::Code(code),
                ..
            } => Some(*code),
            Self::Shared(error) => error.exit_code(),
            _ => None,
        }
    }
}
