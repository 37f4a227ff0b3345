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
pub(crate) const WATCH_LIFE: Duration = Duration::from_secs(120);

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

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::sync::{Arc, Mutex};

    use http::{Request, Response};
    use k8s_openapi::api::core::v1::Pod;
    use kube::client::Body;
    use serde_json::json;
    use tower_test::mock::{Handle, pair};

    use super::*;

    type Server = Handle<Request<Body>, Response<Body>>;

    fn client() -> (Client, Server) {
        let (service, server) = pair();
        (Client::new(service, "default"), server)
    }

    /// Answers a list with one pod.
    async fn list(server: &mut Server, name: &str) {
        let (request, respond) = server.next_request().await.unwrap();
        assert!(
            !request.uri().query().unwrap_or_default().contains("watch="),
            "{}",
            request.uri()
        );
        let list = json!({
            "apiVersion": "v1", "kind": "PodList", "metadata": {"resourceVersion": "1"},
            "items": [{"metadata": {"name": name, "resourceVersion": "1"}}],
        });
        respond.send_response(Response::new(Body::from(list.to_string().into_bytes())));
    }

    /// Takes a watch request and keeps it open.
    async fn watch(server: &mut Server) -> tower_test::mock::SendResponse<Response<Body>> {
        let (request, respond) = server.next_request().await.unwrap();
        assert!(
            request.uri().query().unwrap_or_default().contains("watch="),
            "{}",
            request.uri()
        );
        respond
    }

    #[tokio::test]
    async fn a_watch_starts_again_with_the_new_client_and_survives_errors() {
        let (first, mut old) = client();
        let session = Session::for_test("hpc", first, Path::new("/"));
        let seen = Arc::new(Mutex::new(Vec::new()));
        let task = {
            let (session, seen) = (session.clone(), Arc::clone(&seen));
            tokio::spawn(async move {
                follow::<Pod>(&session, "pods", Api::all, config(), |event| {
                    seen.lock().unwrap().push(event.to_string())
                })
                .await;
            })
        };
        list(&mut old, "a").await;
        let _open = watch(&mut old).await;
        let (second, mut new) = client();
        session.replace_for_test(second);
        let (_, respond) = new.next_request().await.unwrap();
        respond.send_response(Response::builder().status(500).body(Body::empty()).unwrap());
        list(&mut new, "b").await;
        let _open = watch(&mut new).await;
        assert!(!task.is_finished());
        let expected = ["Init", "InitApply(a)", "InitDone", "Init", "InitApply(b)", "InitDone"];
        let mut seen = seen.lock().unwrap().clone();
        seen.dedup();
        assert_eq!(seen, expected);
    }
}
