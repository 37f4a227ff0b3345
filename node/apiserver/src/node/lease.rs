//! The node's Lease: that we live, and that nobody else is this node.
//!
//! `holderIdentity` is the node's name, as the control plane expects; which process it is stands in an annotation. Every
//! write carries the resourceVersion of the last one, so that a second process cannot take the lease unnoticed.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta, OwnerReference};
use kube::Api;
use kube::api::PostParams;
use tokio::sync::watch;
use tokio::time::MissedTickBehavior;
use tracing::{info, warn};

use crate::node::object::INSTANCE;
use crate::{Error, Session};

/// Where node leases live.
const NAMESPACE: &str = "kube-node-lease";
/// How long a lease counts without renewal.
const DURATION: SignedDuration = SignedDuration::from_secs(40);
/// How often it is renewed.
const PERIOD: Duration = Duration::from_secs(10);
/// How long a renewal may take. kube's own retries may wait for minutes.
const LIMIT: Duration = Duration::from_secs(5);
/// How often a lease that somebody else holds is looked at.
const LOOK: Duration = Duration::from_secs(2);

/// Who holds a lease.
#[derive(Debug, PartialEq, Eq)]
enum Held {
    /// We do, or nobody does any more.
    Free,
    /// Somebody else does.
    Other { holder: String, left: Duration },
}

fn held(lease: &Lease, instance: &str, now: Timestamp) -> Held {
    let ours = lease.metadata.annotations.as_ref().and_then(|all| all.get(INSTANCE));
    if ours.is_some_and(|id| id == instance) {
        return Held::Free;
    }
    let Some(spec) = &lease.spec else { return Held::Free };
    let Some(renewed) = &spec.renew_time else {
        return Held::Free;
    };
    let duration = spec
        .lease_duration_seconds
        .map_or(DURATION, |seconds| SignedDuration::from_secs(seconds.into()));
    let left = duration - now.duration_since(renewed.0);
    match Duration::try_from(left) {
        Ok(left) if !left.is_zero() => Held::Other {
            holder: match ours {
                Some(id) => format!("another instance ({id})"),
                None => format!(
                    "another program (holder {:?} without {INSTANCE}: a kubelet?)",
                    spec.holder_identity.as_deref().unwrap_or_default()
                ),
            },
            left,
        },
        _ => Held::Free,
    }
}

/// The lease as it should be now; what it was before tells what has to be kept.
fn renewed(old: Option<&Lease>, node: &str, instance: &str, owner: Option<&OwnerReference>, now: Timestamp) -> Lease {
    let mut metadata = old.map(|lease| lease.metadata.clone()).unwrap_or_else(|| ObjectMeta {
        name: Some(node.to_owned()),
        namespace: Some(NAMESPACE.to_owned()),
        ..ObjectMeta::default()
    });
    metadata.managed_fields = None;
    metadata
        .annotations
        .get_or_insert_with(BTreeMap::new)
        .insert(INSTANCE.to_owned(), instance.to_owned());
    if let Some(owner) = owner {
        metadata.owner_references = Some(vec![owner.clone()]);
    }
    let mut spec: LeaseSpec = old.and_then(|lease| lease.spec.clone()).unwrap_or_default();
    spec.holder_identity = Some(node.to_owned());
    spec.lease_duration_seconds = Some(DURATION.as_secs() as i32);
    spec.renew_time = Some(MicroTime(now));
    Lease {
        metadata,
        spec: Some(spec),
    }
}

/// Takes and renews the lease of a session's node.
pub(crate) struct Holder {
    pub session: Session,
    pub instance: String,
}

impl Holder {
    fn api(&self) -> Api<Lease> {
        Api::namespaced(self.session.vital_client(), NAMESPACE)
    }

    fn what(&self, verb: &str) -> String {
        format!("{verb} lease {NAMESPACE}/{}", self.session.node())
    }

    async fn get(&self) -> Result<Option<Lease>, Error> {
        let api = self.api();
        self.session
            .call_within(LIMIT, &self.what("get"), api.get_opt(self.session.node()))
            .await
    }

    async fn put(&self, old: Option<&Lease>, owner: Option<&OwnerReference>) -> Result<Lease, Error> {
        let node = self.session.node();
        let lease = renewed(old, node, &self.instance, owner, Timestamp::now());
        let (api, params) = (self.api(), PostParams::default());
        if old.is_some() {
            let what = self.what("renew");
            self.session
                .call_within(LIMIT, &what, api.replace(node, &params, &lease))
                .await
        } else {
            let what = self.what("create");
            self.session
                .call_within(LIMIT, &what, api.create(&params, &lease))
                .await
        }
    }

    fn taken(&self, holder: String, why: &str) -> Error {
        Error::Taken {
            node: self.session.node().to_owned(),
            server: self.session.server().to_owned(),
            holder,
            why: format!("{why}; stop it, or choose another name"),
        }
    }

    /// Takes the lease. One that somebody else seems to hold is watched until it is renewed, which proves that they
    /// live, or expires.
    ///
    /// # Errors
    /// [`Error::Taken`] once they are known to live; what the API server refused.
    pub async fn acquire(&self) -> Result<Lease, Error> {
        let mut seen: Option<MicroTime> = None;
        loop {
            let found = self.get().await?;
            if let Some(lease) = &found
                && let Held::Other { holder, left } = held(lease, &self.instance, Timestamp::now())
            {
                let renew_time = lease.spec.as_ref().and_then(|spec| spec.renew_time.clone());
                match &seen {
                    Some(before) if renew_time.as_ref() != Some(before) => {
                        return Err(self.taken(holder, "its lease was renewed just now"));
                    }
                    Some(_) => {}
                    None => {
                        info!(
                            node = self.session.node(),
                            "the node's lease is held by {holder} for another {} s: waiting whether they renew it",
                            left.as_secs() + 1
                        );
                        seen = renew_time;
                    }
                }
                tokio::time::sleep(left.min(LOOK)).await;
                continue;
            }
            match self.put(found.as_ref(), None).await {
                Err(error) if error.is_conflict() || error.is_not_found() => continue,
                result => return result,
            }
        }
    }

    /// Renews the lease; returns only when somebody else took it.
    pub async fn keep(&self, lease: Lease, owner: watch::Receiver<Option<OwnerReference>>) -> Error {
        let mut last = Some(lease);
        let (mut failing, mut hung) = (false, false);
        let mut ticks = tokio::time::interval_at(tokio::time::Instant::now() + PERIOD, PERIOD);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            // A try within the period that failed is followed by another one soon: the lease must not run out.
            while let Err(error) = self.renew(&mut last, &owner).await {
                if matches!(error, Error::Taken { .. }) {
                    return error;
                }
                hung |= matches!(error, Error::Timeout { .. });
                if !failing {
                    failing = true;
                    warn!(
                        node = self.session.node(),
                        "failed to renew the node's lease; trying on: {error}"
                    );
                }
                tokio::time::sleep(LOOK).await;
            }
            if std::mem::take(&mut failing) {
                info!(node = self.session.node(), "the node's lease is renewed again");
            }
            // The other connections were made before: what hung this one hangs them still.
            if std::mem::take(&mut hung)
                && let Err(error) = self.session.reconnect()
            {
                warn!(
                    node = self.session.node(),
                    "failed to leave the connections that hang: {error}"
                );
            }
        }
    }

    async fn renew(
        &self,
        last: &mut Option<Lease>,
        owner: &watch::Receiver<Option<OwnerReference>>,
    ) -> Result<(), Error> {
        let reference = owner.borrow().clone();
        match self.put(last.as_ref(), reference.as_ref()).await {
            Ok(lease) => {
                *last = Some(lease);
                Ok(())
            }
            // Deleted with its Node, or changed: by an earlier write of ours whose answer was lost, or by another.
            Err(error) if error.is_not_found() || error.is_conflict() => {
                let found = self.get().await?;
                if let Some(lease) = &found
                    && let Held::Other { holder, .. } = held(lease, &self.instance, Timestamp::now())
                {
                    return Err(self.taken(holder, "it took the lease while ours was not renewed"));
                }
                *last = Some(self.put(found.as_ref(), reference.as_ref()).await?);
                Ok(())
            }
            Err(error) => Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_700_000_000 + second).unwrap()
    }

    #[test]
    fn a_live_lease_of_somebody_else_is_taken_and_an_expired_one_is_free() {
        let lease = renewed(None, "hpc", "a", None, at(0));
        assert_eq!(held(&lease, "a", at(1)), Held::Free);
        assert_eq!(held(&lease, "b", at(40)), Held::Free);
        let Held::Other { holder, left } = held(&lease, "b", at(10)) else {
            panic!("it must be held")
        };
        assert_eq!(left, Duration::from_secs(30));
        assert!(holder.contains("instance (a)"), "{holder}");
    }

    #[test]
    fn the_lease_of_a_kubelet_is_respected_too() {
        let mut lease = renewed(None, "hpc", "a", None, at(0));
        lease.metadata.annotations = None;
        let Held::Other { holder, .. } = held(&lease, "a", at(10)) else {
            panic!("it must be held")
        };
        assert!(holder.contains("kubelet"), "{holder}");
    }

    #[test]
    fn a_renewal_keeps_the_version_and_adds_the_owner() {
        let mut lease = renewed(None, "hpc", "a", None, at(0));
        lease.metadata.resource_version = Some("7".to_owned());
        let owner = OwnerReference {
            kind: "Node".to_owned(),
            ..OwnerReference::default()
        };
        let next = renewed(Some(&lease), "hpc", "a", Some(&owner), at(10));
        assert_eq!(next.metadata.resource_version.as_deref(), Some("7"));
        assert_eq!(next.metadata.owner_references, Some(vec![owner]));
        let spec = next.spec.unwrap();
        assert_eq!(spec.holder_identity.as_deref(), Some("hpc"));
        assert_eq!(spec.lease_duration_seconds, Some(40));
        assert_eq!(spec.renew_time, Some(MicroTime(at(10))));
    }
}
