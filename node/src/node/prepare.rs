//! From a pod of the API to what is sent: admission, references, translation.

use std::collections::BTreeMap;
use std::sync::Arc;

use k8s_openapi::api::core::v1::Pod;
use towline_apiserver::Session;
use towline_apiserver::references::{ReferenceReader, Together};
use towline_core::admission;
use towline_core::bundle::Bundle;
use towline_core::events::Event;
use towline_core::pulling;
use towline_core::renewal::Seen;
use towline_core::translate::{Fault, Rejection, translate};

use super::site::NodeSite;

/// Why a pod is not submitted now.
#[derive(Debug)]
pub enum Unready {
    /// It can never run here.
    Rejected(Rejection),
    /// Something is missing or does not answer: later.
    Later {
        /// CamelCase.
        reason: &'static str,
        /// For a person.
        message: String,
    },
}

impl Unready {
    /// The agent itself failed over this pod. The panic's own words are in the log.
    pub fn defect() -> Self {
        Self::Later {
            reason: "InternalError",
            message: "the agent has failed over this pod, which is a defect: its log says where".to_owned(),
        }
    }
}

/// A pod that can be sent.
#[derive(Debug)]
pub struct Prepared {
    /// Its directory.
    pub bundle: Bundle,
    /// What its volumes were made from.
    pub seen: Seen,
    /// What may be wrong with it.
    pub warning: Option<Event>,
}

/// Reads what a pod refers to and translates it.
///
/// # Errors
/// [`Unready`].
pub async fn prepare(
    pod: &Arc<Pod>,
    session: &Session,
    references: &ReferenceReader,
    together: &Together,
    node: &NodeSite,
) -> Result<Prepared, Unready> {
    if let Some(message) = admission::daemon_set(pod, &node.site.policy) {
        return Err(Unready::Later {
            reason: "DaemonSetNotRun",
            message,
        });
    }
    let found = references
        .fetch(session, pod, together)
        .await
        .map_err(|error| Unready::Later {
            reason: "ContainerCreating",
            message: error.to_string(),
        })?;
    let bundle = translate(pod, &found, &node.site).map_err(|fault| match fault {
        Fault::Rejected(rejection) => Unready::Rejected(rejection),
        Fault::Incomplete { message } => Unready::Later {
            reason: "CreateContainerConfigError",
            message,
        },
    })?;
    let seen = Seen::new(pod, &found, None);
    let warning = pod.spec.as_ref().and_then(|spec| pulling::missing(spec, &found));
    Ok(Prepared { bundle, seen, warning })
}

/// Whether the node has room for a pod beside those that it has taken, which are then counted with it.
///
/// # Errors
/// The kubelet's rejection.
pub fn admit(pod: &Pod, used: &mut BTreeMap<String, u64>, node: &NodeSite) -> Result<(), Rejection> {
    admission::admit(pod, used, &node.facts)?;
    count(pod, used);
    Ok(())
}

/// Adds what a pod takes.
pub fn count(pod: &Pod, used: &mut BTreeMap<String, u64>) {
    for (name, amount) in admission::requests(pod) {
        let sum = used.entry(name).or_default();
        *sum = sum.saturating_add(amount);
    }
}
