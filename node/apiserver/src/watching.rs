//! A watch that never ends by itself: it survives errors, and starts again when the session's client was replaced.

use std::fmt::Debug;
use std::time::Duration;

use futures::StreamExt;
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, Client, Resource};
use serde::de::DeserializeOwned;
use tracing::{debug, info, warn};

use crate::Session;
use crate::error::chain;

/// How long one watch request lives; a dead connection is noticed a few seconds later.
pub(crate) const WATCH_LIFE: Duration = Duration::from_secs(90);

/// The configuration of our watches.
pub(crate) fn config() -> watcher::Config {
    watcher::Config::default().timeout(WATCH_LIFE.as_secs() as u32)
}

/// A watch of one object.
pub(crate) fn named(name: &str) -> watcher::Config {
    config().fields(&format!("metadata.name={name}"))
}

/// Hands every event to `apply`, for ever. Errors are logged, once per series, and retried with back-off.
pub(crate) async fn follow<K>(
    session: &Session,
    what: &str,
    api: impl Fn(Client) -> Api<K>,
    config: watcher::Config,
    mut apply: impl FnMut(watcher::Event<K>),
) where
    K: Resource + Clone + Debug + DeserializeOwned + Send + 'static,
{
    let mut failing = false;
    loop {
        let mut replaced = session.changed();
        let stream = watcher::watcher(api(session.client()), config.clone()).default_backoff();
        let mut stream = std::pin::pin!(stream);
        loop {
            let event = tokio::select! {
                _ = replaced.changed() => break,
                event = stream.next() => event,
            };
            match event {
                Some(Ok(event)) => {
                    if failing && !matches!(event, watcher::Event::Init) {
                        failing = false;
                        info!(node = session.node(), "watching {what} again");
                    }
                    apply(event.modify(|object| object.meta_mut().managed_fields = None));
                }
                Some(Err(error)) if failing => {
                    debug!(node = session.node(), "still no watch of {what}: {}", chain(&error))
                }
                Some(Err(error)) => {
                    failing = true;
                    warn!(
                        node = session.node(),
                        server = session.server(),
                        "failed to watch {what}; trying on: {}",
                        chain(&error)
                    );
                }
                None => break,
            }
        }
    }
}
