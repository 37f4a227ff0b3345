//! What pods refer to.

use k8s_openapi::api::core::v1::Pod;
use towline_core::translate::References;

use crate::{Error, Session};

/// A reference could not be read (absence is not an error): try again later.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// The list of services is not complete yet.
    #[error("the list of services of {server} is not complete yet")]
    NotSynced {
        /// The API server.
        server: String,
    },
    /// A request failed.
    #[error(transparent)]
    Api(#[from] Error),
}

/// Reads what pods refer to.
#[derive(Clone)]
pub struct ReferenceReader {}

impl ReferenceReader {
    /// Starts the one watch that is needed: services.
    pub fn new(_sessions: &[Session]) -> Self {
        todo!()
    }

    /// Reads everything that a pod refers to.
    ///
    /// # Errors
    /// Something could not be read for a reason other than absence.
    pub async fn fetch(&self, _session: &Session, _pod: &Pod) -> Result<References, FetchError> {
        todo!()
    }
}
