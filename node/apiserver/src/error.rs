//! What can go wrong with an API server, sorted by what a caller may do about it.

use std::path::{Path, PathBuf};
use std::time::Duration;

/// An error of this crate.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The credentials cannot be used as they are; trying again changes nothing.
    #[error("failed to use {what}: {why}")]
    Credentials {
        /// Which file or source.
        what: String,
        /// What is wrong with it and what to do.
        why: String,
    },
    /// The API server answered with an error, or could not be reached.
    #[error("failed to {what} on {server}: {why}{}", if hint.is_empty() { String::new() } else { format!("; {hint}") })]
    Api {
        /// Verb and object.
        what: String,
        /// The API server.
        server: String,
        /// HTTP status; `None` when no answer came.
        code: Option<u16>,
        /// What came back.
        why: String,
        /// What to do about it; may be empty.
        hint: String,
    },
    /// The API server did not answer in time.
    #[error("failed to {what} on {server}: no answer within {} s", after.as_secs())]
    Timeout {
        /// Verb and object.
        what: String,
        /// The API server.
        server: String,
        /// How long it was waited for.
        after: Duration,
    },
    /// Somebody else holds the name of this node.
    #[error("the name of node {node} on {server} is held by {holder}: {why}")]
    Taken {
        /// The node's name.
        node: String,
        /// The API server.
        server: String,
        /// Who holds it.
        holder: String,
        /// How that is known and what to do.
        why: String,
    },
    /// A file of the node's state cannot be read or written.
    #[error("failed to {what} {}: {source}", path.display())]
    State {
        /// What was tried.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// What came back.
        source: std::io::Error,
    },
    /// A certificate or key cannot be made or understood, or the cluster will not sign it.
    #[error("failed to {what}: {why}")]
    Certificate {
        /// What was tried.
        what: String,
        /// What is wrong.
        why: String,
    },
}

impl Error {
    /// The HTTP status of the answer, if one came.
    pub fn code(&self) -> Option<u16> {
        match self {
            Self::Api { code, .. } => *code,
            _ => None,
        }
    }

    /// Whether the object is not there.
    pub fn is_not_found(&self) -> bool {
        self.code() == Some(404)
    }

    /// Whether somebody else changed or made the object in between, or it is not the expected one.
    pub fn is_conflict(&self) -> bool {
        self.code() == Some(409)
    }

    /// Whether we may not do this.
    pub fn is_forbidden(&self) -> bool {
        self.code() == Some(403)
    }

    /// Whether we were not recognised at all.
    pub fn is_unauthorized(&self) -> bool {
        self.code() == Some(401)
    }

    pub(crate) fn credentials(what: impl Into<String>, why: impl Into<String>) -> Self {
        Self::Credentials {
            what: what.into(),
            why: why.into(),
        }
    }

    pub(crate) fn certificate(what: impl Into<String>, why: impl std::fmt::Display) -> Self {
        Self::Certificate {
            what: what.into(),
            why: why.to_string(),
        }
    }

    pub(crate) fn state(what: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::State { what, path, source }
    }

    pub(crate) fn api(what: &str, server: &str, error: &kube::Error) -> Self {
        let (code, why, hint) = match error {
            kube::Error::Api(status) => (
                Some(status.code),
                format!("{} ({})", status.message, status.code),
                hint(status.code, &status.message),
            ),
            other => (None, chain(other), ""),
        };
        Self::Api {
            what: what.to_owned(),
            server: server.to_owned(),
            code,
            why,
            hint: hint.to_owned(),
        }
    }
}

/// What a person can do about an answer.
fn hint(code: u16, message: &str) -> &'static str {
    match code {
        401 => "the API server does not know these credentials: they have expired, or belong to another cluster",
        403 if message.contains("not allowed to modify taints") => {
            "NodeRestriction lets no node change its own taints: an administrator can"
        }
        403 if message.contains("labels") && message.contains("not allowed") => {
            "NodeRestriction refuses these labels: take them out of the configuration and let an administrator set them"
        }
        403 if message.contains("no relationship found") => {
            "the Node authorizer lets a node read only what the pods bound to it refer to"
        }
        403 => "these credentials lack a permission: compare with deploy/rbac.yaml, or use a node's certificate",
        _ => "",
    }
}

/// An error with its causes on one line; HTTP errors hide the interesting part in the last one.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        next = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use kube::core::Status;

    fn answered(code: u16, message: &str) -> Error {
        let status = Status::failure(message, "").with_code(code);
        Error::api("patch node n", "https://a:6443", &kube::Error::Api(status.boxed()))
    }

    #[test]
    fn an_error_says_what_was_tried_where_what_came_back_and_what_to_do() {
        let text = answered(
            403,
            "nodes \"n\" is forbidden: node \"n\" is not allowed to modify taints",
        )
        .to_string();
        for part in ["patch node n", "https://a:6443", "forbidden", "403", "administrator"] {
            assert!(text.contains(part), "{part} is missing in {text}");
        }
        let missing = answered(403, "User \"u\" cannot patch resource \"nodes\"").to_string();
        assert!(missing.contains("deploy/rbac.yaml"), "{missing}");
        let plain = answered(404, "nodes \"n\" not found");
        assert!(plain.is_not_found());
        assert!(!plain.to_string().ends_with("; "));
    }
}
