//! Keeps the Node and its Lease.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Node;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::Api;
use kube::api::{Patch, PatchParams, PostParams};
use kube::runtime::watcher::Event;
use rand::Rng;
use tokio::sync::{Mutex, mpsc, watch};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::node::instance::Instance;
use crate::node::lease::Holder;
use crate::node::{NodeDescription, applied, conditions, object};
use crate::watching::{follow, named};
use crate::{Error, Session};

/// Shortest time between two rounds of writing: somebody who undoes our changes must not make us spin.
const BREATH: Duration = Duration::from_secs(1);
/// Pauses after errors grow to this.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// Keeps the Node and its Lease in the background until its token is cancelled. The Node itself is never deleted.
pub struct NodeKeeper {
    failed: Mutex<mpsc::Receiver<Error>>,
}

impl NodeKeeper {
    /// Registers the node; returns when it exists with Ready=True and a Lease.
    ///
    /// A name whose Lease another process holds is waited for until that process renews it (refused) or it expires
    /// (taken over), 40 s at most.
    ///
    /// # Errors
    /// [`Error::Taken`] when another live holder has the name; what the API server refused.
    pub async fn start(
        session: Session,
        description: watch::Receiver<NodeDescription>,
        cancel: CancellationToken,
    ) -> Result<Self, Error> {
        let instance = Instance::claim(&session)?;
        let id = instance.id.clone();
        let holder = Holder {
            session: session.clone(),
            instance: id.clone(),
        };
        let lease = holder.acquire().await?;
        let (failed, receiver) = mpsc::channel(1);
        let (owner_sender, owner) = watch::channel(None);
        // Before registration, which may take longer than the lease lasts.
        let stop = cancel.child_token();
        let leash = stop.clone();
        tokio::spawn(async move {
            let _instance = instance;
            if let Some(error) = leash.run_until_cancelled(holder.keep(lease, owner)).await {
                // Nobody listens after the process has begun to stop.
                let _ = failed.send(error).await;
                leash.cancel();
            }
        });
        let mut writer = Writer {
            instance: id,
            session,
            current: Arc::new(watch::Sender::new(None)),
            owner: owner_sender,
            taints_refused: false,
        };
        let first = description.borrow().clone();
        if let Err(error) = writer.reconcile(&first).await {
            stop.cancel();
            return Err(error);
        }
        info!(node = writer.session.node(), "the node is registered and ready");
        tokio::spawn(async move {
            let _ = stop.run_until_cancelled(writer.run(description)).await;
        });
        Ok(Self {
            failed: Mutex::new(receiver),
        })
    }

    /// Ends only when the node can be kept no longer (its name was taken over): the process has to stop.
    pub async fn failed(&self) -> Error {
        match self.failed.lock().await.recv().await {
            Some(error) => error,
            None => std::future::pending().await,
        }
    }
}

struct Writer {
    session: Session,
    instance: String,
    /// The Node as last seen, by our own writes or by the watch, whichever is newer.
    current: Arc<watch::Sender<Option<Node>>>,
    owner: watch::Sender<Option<OwnerReference>>,
    taints_refused: bool,
}

impl Writer {
    fn api(&self) -> Api<Node> {
        Api::all(self.session.client())
    }

    fn what(&self, verb: &str) -> String {
        format!("{verb} node {}", self.session.node())
    }

    fn saw(&self, node: Node) {
        self.owner.send_replace(object::owner(&node));
        see(&self.current, node);
    }

    async fn run(mut self, mut description: watch::Receiver<NodeDescription>) {
        let (session, current) = (self.session.clone(), Arc::clone(&self.current));
        let watching = async move {
            let mut listed = false;
            let config = named(session.node());
            follow::<Node>(&session, "the node", Api::all, config, |event| match event {
                Event::Init => listed = false,
                Event::InitApply(node) | Event::Apply(node) => {
                    listed = true;
                    see(&current, node);
                }
                Event::InitDone if !listed => {
                    current.send_replace(None);
                }
                Event::InitDone => {}
                Event::Delete(node) => forget(&current, &node),
            })
            .await;
        };
        let writing = async move {
            let mut node = self.current.subscribe();
            let mut pause = BREATH;
            let mut described = true;
            loop {
                let wanted = description.borrow_and_update().clone();
                node.borrow_and_update();
                let wait = match self.reconcile(&wanted).await {
                    Ok(()) => {
                        pause = BREATH;
                        tokio::time::sleep(BREATH).await;
                        // A little late, so that the status is due when it is looked at.
                        Duration::try_from(conditions::HEARTBEAT).unwrap_or(BREATH) + jitter()
                    }
                    Err(error) => {
                        warn!(
                            node = self.session.node(),
                            "failed to keep the node; trying on: {error}"
                        );
                        tokio::time::sleep(pause).await;
                        pause = (pause * 2).min(LONGEST_PAUSE);
                        Duration::ZERO
                    }
                };
                tokio::select! {
                    () = tokio::time::sleep(wait) => {}
                    // Once nobody describes the node any more it stays as it was.
                    changed = description.changed(), if described => described = changed.is_ok(),
                    _ = node.changed() => {}
                }
            }
        };
        tokio::join!(watching, writing);
    }

    /// Makes the Node as described: creates it if it is not there, and writes what is different.
    async fn reconcile(&mut self, description: &NodeDescription) -> Result<(), Error> {
        let known = self.current.borrow().clone();
        let node = match known {
            Some(node) => node,
            None => self.register(description).await?,
        };
        let outcome = self.bring_up_to_date(node, description).await;
        if let Err(error) = &outcome
            && error.is_not_found()
        {
            warn!(
                node = self.session.node(),
                "somebody deleted the node: registering it again"
            );
            self.current.send_replace(None);
            let node = self.register(description).await?;
            return self.bring_up_to_date(node, description).await;
        }
        outcome
    }

    async fn register(&self, description: &NodeDescription) -> Result<Node, Error> {
        let name = self.session.node();
        let api = self.api();
        let wanted = object::create(name, &self.instance, description, Timestamp::now());
        let params = PostParams::default();
        let created = self
            .session
            .call(&self.what("create"), api.create(&params, &wanted))
            .await;
        let node = match created {
            Ok(node) => {
                info!(node = name, "the node was created");
                node
            }
            Err(error) if error.is_conflict() => self.session.call(&self.what("get"), api.get(name)).await?,
            Err(error) => return Err(error),
        };
        self.saw(node.clone());
        Ok(node)
    }

    async fn bring_up_to_date(&mut self, node: Node, description: &NodeDescription) -> Result<(), Error> {
        let node = self.write_metadata(node, description).await?;
        let missing = if self.taints_refused {
            applied::missing_taints(&node, description)
        } else {
            Vec::new()
        };
        let Some(patch) = object::status_patch(&node, description, &missing, Timestamp::now()) else {
            return Ok(());
        };
        let api = self.api();
        let params = PatchParams::default();
        let what = self.what("patch the status of");
        let written = self
            .session
            .call(
                &what,
                api.patch_status(self.session.node(), &params, &Patch::Strategic(patch)),
            )
            .await?;
        self.saw(written);
        Ok(())
    }

    async fn write_metadata(&mut self, mut node: Node, description: &NodeDescription) -> Result<Node, Error> {
        let name = self.session.node().to_owned();
        let mut tries = 0;
        loop {
            let with_taints = !self.taints_refused;
            let Some(patch) = object::metadata_patch(&node, &self.instance, description, with_taints) else {
                return Ok(node);
            };
            let has_taints = patch.get("spec").is_some();
            let api = self.api();
            let params = PatchParams::default();
            let what = self.what("patch");
            match self
                .session
                .call(&what, api.patch(&name, &params, &Patch::Merge(patch)))
                .await
            {
                Ok(written) => {
                    self.saw(written.clone());
                    return Ok(written);
                }
                Err(error) if error.is_forbidden() && has_taints => {
                    warn!(node = name, "the node's taints stay as they are: {error}");
                    self.taints_refused = true;
                }
                Err(error) if error.is_conflict() && tries < 5 => {
                    tries += 1;
                    node = self.session.call(&self.what("get"), api.get(&name)).await?;
                    self.saw(node.clone());
                }
                Err(error) => return Err(error),
            }
        }
    }
}

/// Takes note of a Node unless a newer one is known.
fn see(current: &watch::Sender<Option<Node>>, node: Node) {
    current.send_if_modified(|known| {
        let newer = known.as_ref().is_none_or(|known| {
            known.metadata.uid != node.metadata.uid
                || match (version(&node), version(known)) {
                    (Some(new), Some(old)) => new > old,
                    _ => true,
                }
        });
        if newer {
            *known = Some(node);
        }
        newer
    });
}

fn forget(current: &watch::Sender<Option<Node>>, gone: &Node) {
    current.send_if_modified(|known| {
        let this = known
            .as_ref()
            .is_some_and(|known| known.metadata.uid == gone.metadata.uid);
        if this {
            *known = None;
        }
        this
    });
}

/// Versions of one object grow, and are numbers in every API server that has nodes.
fn version(node: &Node) -> Option<u128> {
    node.metadata.resource_version.as_deref()?.parse().ok()
}

fn jitter() -> Duration {
    Duration::from_millis(rand::rng().random_range(100..5_000))
}
