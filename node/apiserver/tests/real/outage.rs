//! The way to the API server is lost, without a word.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use k8s_openapi::api::coordination::v1::Lease;
use kube::Api;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use towline_apiserver::node::NodeKeeper;
use towline_apiserver::pods::Desired;
use towline_apiserver::{Credentials, Session};

use crate::cluster::{Cluster, condition, description, eventually};

/// A hop that can swallow everything: connections stay open and carry nothing, also those made before, also afterwards.
struct Hop {
    port: u16,
    swallowing: Arc<AtomicBool>,
}

impl Hop {
    async fn before(server: String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let swallowing = Arc::new(AtomicBool::new(false));
        let flag = Arc::clone(&swallowing);
        tokio::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                let (server, flag) = (server.clone(), Arc::clone(&flag));
                tokio::spawn(async move {
                    let far = TcpStream::connect(server).await.unwrap();
                    let ((near_in, near_out), (far_in, far_out)) = (near.into_split(), far.into_split());
                    let lost = Arc::new(AtomicBool::new(false));
                    tokio::join!(
                        carry(near_in, far_out, &flag, &lost),
                        carry(far_in, near_out, &flag, &lost)
                    );
                });
            }
        });
        Self { port, swallowing }
    }
}

async fn carry(
    mut from: impl AsyncReadExt + Unpin,
    mut to: impl AsyncWriteExt + Unpin,
    swallowing: &AtomicBool,
    lost: &AtomicBool,
) {
    let mut buffer = [0; 16_384];
    while let Ok(count @ 1..) = from.read(&mut buffer).await {
        if swallowing.load(Ordering::SeqCst) || lost.load(Ordering::SeqCst) {
            lost.store(true, Ordering::SeqCst);
            continue;
        }
        if to.write_all(&buffer[..count]).await.is_err() {
            break;
        }
    }
    if lost.load(Ordering::SeqCst) {
        std::future::pending::<()>().await;
    }
    let _ = to.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a Kubernetes API server: KUBECONFIG"]
async fn connections_that_hang_are_left_and_nothing_is_missed() {
    let cluster = Cluster::new("outage").await;
    cluster.namespace().await;
    drop(cluster.session().await);
    let Credentials::Bootstrap { kubeconfig } = cluster.bootstrap() else {
        unreachable!()
    };
    let text = std::fs::read_to_string(kubeconfig).unwrap();
    let at = text.find("https://").unwrap() + "https://".len();
    let end = at + text[at..].find(['"', '\n', '/']).unwrap();
    let hop = Hop::before(text[at..end].to_owned()).await;
    let path = cluster.state.path().join("hop.kubeconfig");
    std::fs::write(&path, format!("{}127.0.0.1:{}{}", &text[..at], hop.port, &text[end..])).unwrap();
    let credentials = Credentials::Bootstrap { kubeconfig: path };
    let session = Session::connect(&cluster.name, &credentials, cluster.state.path())
        .await
        .unwrap();

    let cancel = CancellationToken::new();
    let (_say, heard) = watch::channel(description(&cluster.name));
    let _keeper = NodeKeeper::start(session.clone(), heard, cancel.clone()).await.unwrap();
    let desired = Desired::start(vec![session.clone()], cancel.clone());
    let spec = json!({"automountServiceAccountToken": false, "containers": [{"name": "c", "image": "busybox:1"}]});
    let first = cluster.bound_pod("before", spec.clone()).await.metadata.uid.unwrap();
    eventually("the first pod", async || {
        desired.snapshot()?.contains_key(&first).then_some(())
    })
    .await;

    hop.swallowing.store(true, Ordering::SeqCst);
    let second = cluster.bound_pod("during", spec).await.metadata.uid.unwrap();
    tokio::time::sleep(Duration::from_secs(15)).await;
    let pods = desired.snapshot().unwrap();
    assert!(
        pods.contains_key(&first) && !pods.contains_key(&second),
        "not knowing is not an empty list"
    );

    hop.swallowing.store(false, Ordering::SeqCst);
    let leases: Api<Lease> = Api::namespaced(cluster.admin.clone(), "kube-node-lease");
    let renewed = async || leases.get(&cluster.name).await.unwrap().spec.unwrap().renew_time;
    let old = renewed().await;
    eventually("a renewal", async || (renewed().await > old).then_some(())).await;
    eventually("the second pod", async || {
        desired.snapshot()?.contains_key(&second).then_some(())
    })
    .await;
    assert!(desired.snapshot().unwrap().contains_key(&first));
    assert_eq!(condition(&cluster.node().await, "Ready"), Some("True"));
    cancel.cancel();
    cluster.clean().await;
}
