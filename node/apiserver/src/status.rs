//! Statuses and deletions.

use k8s_openapi::api::core::v1::{Pod, PodStatus};

use crate::{Error, Session};

/// What a write did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Written {
    /// The status was changed.
    Done,
    /// It was the same already; nothing was sent.
    Unchanged,
    /// The pod is gone, or another one has its name.
    Gone,
}

/// Writes a status: merges it into what the pod has and sends what is different.
///
/// # Errors
/// What the API server refused.
pub async fn write(_session: &Session, _pod: &Pod, _status: &PodStatus) -> Result<Written, Error> {
    todo!()
}

/// Deletes a pod's object with this grace, if it still is this pod. Gone already is not an error.
///
/// # Errors
/// What the API server refused.
pub async fn delete(_session: &Session, _namespace: &str, _name: &str, _uid: &str, _grace: u32) -> Result<(), Error> {
    todo!()
}

/// Whether the pod is really gone: nothing has its name, or another pod has.
///
/// # Errors
/// The API server gave no answer: then it is not known.
pub async fn confirm_gone(_session: &Session, _namespace: &str, _name: &str, _uid: &str) -> Result<bool, Error> {
    todo!()
}
