//! Pods, what they refer to, their statuses and events.

use std::collections::BTreeMap;

use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::{ConfigMap, Event, PodStatus, Secret};
use kube::Api;
use kube::api::{ListParams, Patch, PatchParams, PostParams};
use serde_json::json;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use towline_apiserver::events::{Kind, Recorder};
use towline_apiserver::node::NodeKeeper;
use towline_apiserver::pods::Desired;
use towline_apiserver::references::{ReferenceReader, Together};
use towline_apiserver::status::{self, Written};
use towline_core::events::Event as PodEvent;

use crate::cluster::{Cluster, description, eventually};

fn status_of(value: serde_json::Value) -> PodStatus {
    serde_json::from_value(value).unwrap()
}

async fn make_objects(cluster: &Cluster) {
    let (admin, namespace) = (cluster.admin.clone(), cluster.name.as_str());
    let maps: Api<ConfigMap> = Api::namespaced(admin.clone(), namespace);
    let mut map = ConfigMap {
        data: Some(BTreeMap::from([("key".to_owned(), "value".to_owned())])),
        ..ConfigMap::default()
    };
    map.metadata.name = Some("settings".to_owned());
    maps.create(&PostParams::default(), &map).await.unwrap();
    let secrets: Api<Secret> = Api::namespaced(admin, namespace);
    for name in ["mine", "others"] {
        let mut secret = Secret {
            data: Some(BTreeMap::from([("key".to_owned(), ByteString(b"hush".to_vec()))])),
            ..Secret::default()
        };
        secret.metadata.name = Some(name.to_owned());
        secrets.create(&PostParams::default(), &secret).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a Kubernetes API server: KUBECONFIG"]
async fn a_bound_pod_is_seen_read_for_reported_and_deleted_and_a_stolen_identity_reads_nothing_else() {
    let cluster = Cluster::new("pods").await;
    cluster.namespace().await;
    make_objects(&cluster).await;
    let session = cluster.session().await;
    let cancel = CancellationToken::new();
    let (_say, heard) = watch::channel(description(&cluster.name));
    let _keeper = NodeKeeper::start(session.clone(), heard, cancel.clone()).await.unwrap();
    let mut desired = Desired::start(vec![session.clone()], cancel.clone());
    eventually("the first complete list", async || desired.snapshot()).await;
    assert!(desired.snapshot().unwrap().is_empty());
    let reader = ReferenceReader::new(std::slice::from_ref(&session));

    let made = cluster
        .bound_pod(
            "p",
            json!({
                "containers": [{
                    "name": "c", "image": "busybox:1",
                    "env": [{"name": "A", "valueFrom": {"configMapKeyRef": {"name": "settings", "key": "key"}}}],
                    "envFrom": [{"secretRef": {"name": "mine"}}, {"configMapRef": {"name": "absent", "optional": true}}],
                }],
            }),
        )
        .await;
    let uid = made.metadata.uid.clone().unwrap();
    // At once, while the authorizer may not know of the binding yet.
    let found = reader.fetch(&session, &made, &Together::default()).await.unwrap();
    assert_eq!(found.config_maps["settings"].data.as_ref().unwrap()["key"], "value");
    assert!(!found.config_maps.contains_key("absent"));
    assert!(
        found.config_maps.contains_key("kube-root-ca.crt"),
        "of the token's volume"
    );
    assert_eq!(found.secrets["mine"].data.as_ref().unwrap()["key"].0, b"hush");
    assert_eq!(found.tokens.len(), 1);
    assert!(
        found
            .services
            .iter()
            .any(|service| service.metadata.name.as_deref() == Some("kubernetes"))
    );

    let secrets: Api<Secret> = Api::namespaced(session.client(), &cluster.name);
    for (what, error) in [
        ("a secret of nobody's pod", secrets.get("others").await.err()),
        ("all secrets", secrets.list(&ListParams::default()).await.err()),
    ] {
        assert!(
            matches!(error, Some(kube::Error::Api(status)) if status.code == 403),
            "{what}"
        );
    }

    desired.changed().await;
    let seen = eventually("the pod", async || desired.snapshot()?.get(&uid).cloned()).await;
    assert_eq!(seen.session, 0);

    // A status, with a foreign condition that stays.
    let foreign = json!({"status": {"conditions": [{"type": "example.com/gate", "status": "True"}]}});
    cluster
        .pods()
        .patch_status("p", &PatchParams::default(), &Patch::Strategic(foreign))
        .await
        .unwrap();
    let running = status_of(json!({
        "phase": "Running", "startTime": "2026-01-01T00:00:00Z", "podIP": "10.1.1.1", "podIPs": [{"ip": "10.1.1.1"}],
        "hostIP": "127.0.0.1", "hostIPs": [{"ip": "127.0.0.1"}],
        "conditions": [{"type": "Ready", "status": "True"}, {"type": "PodScheduled", "status": "True"}],
        "containerStatuses": [{"name": "c", "image": "busybox:1", "imageID": "", "ready": true, "started": true, "restartCount": 0,
            "state": {"running": {"startedAt": "2026-01-01T00:00:00Z"}}}],
    }));
    assert_eq!(
        status::write(&session, &seen.pod, &running).await.unwrap(),
        Written::Done
    );
    let now = cluster.pods().get("p").await.unwrap();
    assert_eq!(
        status::write(&session, &now, &running).await.unwrap(),
        Written::Unchanged
    );
    let mut moved = running.clone();
    moved.pod_ip = Some("10.1.1.2".to_owned());
    moved.pod_ips = status_of(json!({"podIPs": [{"ip": "10.1.1.2"}]})).pod_ips;
    assert_eq!(status::write(&session, &now, &moved).await.unwrap(), Written::Done);
    let after = cluster.pods().get("p").await.unwrap().status.unwrap();
    assert_eq!(after.pod_ips.unwrap().len(), 1, "replaced, not added");
    assert!(
        after
            .conditions
            .unwrap()
            .iter()
            .any(|condition| condition.type_ == "example.com/gate")
    );

    // Another pod of this name is never written and never deleted.
    let mut stranger = now.clone();
    stranger.metadata.uid = Some("00000000-0000-0000-0000-000000000000".to_owned());
    assert_eq!(
        status::write(&session, &stranger, &status_of(json!({"phase": "Failed"})))
            .await
            .unwrap(),
        Written::Gone
    );
    status::delete(&session, &cluster.name, "p", "00000000-0000-0000-0000-000000000000", 0)
        .await
        .unwrap();
    assert!(!status::confirm_gone(&session, &cluster.name, "p", &uid).await.unwrap());

    // Deletion: somebody asks, we see it, we end it.
    cluster
        .pods()
        .delete("p", &kube::api::DeleteParams::default().grace_period(30))
        .await
        .unwrap();
    eventually("the wish to delete", async || {
        desired.snapshot()?.get(&uid)?.pod.metadata.deletion_timestamp.clone()
    })
    .await;
    status::delete(&session, &cluster.name, "p", &uid, 0).await.unwrap();
    assert!(status::confirm_gone(&session, &cluster.name, "p", &uid).await.unwrap());
    eventually("no pod", async || desired.snapshot().filter(|pods| pods.is_empty())).await;
    status::delete(&session, &cluster.name, "p", &uid, 0).await.unwrap();
    assert_eq!(status::write(&session, &now, &moved).await.unwrap(), Written::Gone);
    cancel.cancel();
    cluster.clean().await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a Kubernetes API server: KUBECONFIG"]
async fn repeated_events_are_counted_as_a_nodes_are() {
    let cluster = Cluster::new("events").await;
    cluster.namespace().await;
    let session = cluster.session().await;
    let cancel = CancellationToken::new();
    let pod = cluster
        .bound_pod("p", json!({"containers": [{"name": "c", "image": "busybox:1"}]}))
        .await;
    let recorder = Recorder::new(cancel.clone());
    recorder.publish(
        &session,
        &pod,
        &PodEvent::warning("BackOff", "waiting for the batch system"),
    );
    let events: Api<Event> = Api::namespaced(cluster.admin.clone(), &cluster.name);
    let about = ListParams::default().fields("reason=BackOff");
    let seen = |count: i32| {
        let (events, about) = (events.clone(), about.clone());
        async move || {
            let found = events.list(&about).await.unwrap().items;
            (found.len() == 1 && found[0].count == Some(count)).then(|| found[0].clone())
        }
    };
    eventually("the event", seen(1)).await;
    recorder.publish(
        &session,
        &pod,
        &PodEvent::warning("BackOff", "waiting for the batch system"),
    );
    let event = eventually("the count", seen(2)).await;
    assert_eq!(event.type_.as_deref(), Some("Warning"));
    assert_eq!(event.involved_object.uid, pod.metadata.uid);
    recorder.publish_node(&session, Kind::Normal, "Starting", &cluster.name);
    let of_nodes: Api<Event> = Api::namespaced(cluster.admin.clone(), "default");
    let about = ListParams::default().fields(&format!("involvedObject.name={}", cluster.name));
    eventually("the node's event", async || {
        of_nodes.list(&about).await.unwrap().items.into_iter().next()
    })
    .await;
    cancel.cancel();
    cluster.clean().await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a Kubernetes API server: KUBECONFIG"]
async fn two_hundred_statuses_at_once_are_written() {
    let cluster = Cluster::new("many").await;
    cluster.namespace().await;
    let session = cluster.session().await;
    let cancel = CancellationToken::new();
    let desired = Desired::start(vec![session.clone()], cancel.clone());
    let spec = json!({"automountServiceAccountToken": false, "containers": [{"name": "c", "image": "busybox:1"}]});
    for n in 0..200 {
        cluster.bound_pod(&format!("p{n}"), spec.clone()).await;
    }
    let pods = eventually("all pods", async || desired.snapshot().filter(|pods| pods.len() == 200)).await;
    let done = status_of(json!({"phase": "Succeeded"}));
    let begun = std::time::Instant::now();
    let writes = pods.values().map(|bound| status::write(&session, &bound.pod, &done));
    let written = futures::future::join_all(writes).await;
    println!("200 statuses in {:?}", begun.elapsed());
    assert!(written.into_iter().all(|result| result.unwrap() == Written::Done));
    eventually("all of them done", async || {
        let pods = desired.snapshot()?;
        let phase = |status: &PodStatus| status.phase.as_deref() == Some("Succeeded");
        pods.values()
            .all(|bound| bound.pod.status.as_ref().is_some_and(phase))
            .then_some(())
    })
    .await;
    cancel.cancel();
    cluster.clean().await;
}
