//! The Node and its Lease.

use std::time::Duration;

use k8s_openapi::api::coordination::v1::Lease;
use kube::Api;
use kube::api::{DeleteParams, Patch, PatchParams};
use serde_json::json;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use towline_apiserver::node::NodeKeeper;

use crate::cluster::{Cluster, condition, description, eventually, has_taint, link, taint};

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a Kubernetes API server: KUBECONFIG"]
async fn a_node_is_ready_with_a_lease_and_comes_back_when_somebody_deletes_it() {
    let cluster = Cluster::new("keep").await;
    let session = cluster.session().await;
    let (say, heard) = watch::channel(description(&cluster.name));
    let cancel = CancellationToken::new();
    let keeper = NodeKeeper::start(session, heard, cancel.clone()).await.unwrap();

    let node = cluster.node().await;
    for (type_, status) in [
        ("Ready", "True"),
        ("MemoryPressure", "False"),
        ("DiskPressure", "False"),
        ("PIDPressure", "False"),
        ("NetworkUnavailable", "False"),
        ("ClusterReachable", "True"),
    ] {
        assert_eq!(condition(&node, type_), Some(status), "{type_}");
    }
    assert!(has_taint(&node, "towline.dev/node"));
    let status = node.status.as_ref().unwrap();
    assert_eq!(status.allocatable.as_ref().unwrap()["nvidia.com/gpu"].0, "2");
    assert_eq!(status.addresses.as_ref().unwrap().len(), 2);
    let leases: Api<Lease> = Api::namespaced(cluster.admin.clone(), "kube-node-lease");
    let first = leases.get(&cluster.name).await.unwrap().spec.unwrap();
    assert_eq!(first.holder_identity.as_deref(), Some(cluster.name.as_str()));
    let uid = node.metadata.uid.clone().unwrap();
    eventually("a renewal with the node as the owner", async || {
        let lease = leases.get(&cluster.name).await.unwrap();
        let owned = lease
            .metadata
            .owner_references
            .iter()
            .flatten()
            .any(|owner| owner.uid == uid);
        (owned && lease.spec.unwrap().renew_time > first.renew_time).then_some(())
    })
    .await;

    // Others' labels stay, ours follow the description, and a quiet node is left alone.
    let foreign = Patch::Merge(json!({"metadata": {"labels": {"team": "blue"}}}));
    cluster
        .nodes()
        .patch(&cluster.name, &PatchParams::default(), &foreign)
        .await
        .unwrap();
    say.send_modify(|description| {
        description.labels.remove("type");
        description.labels.insert("partition".to_owned(), "gpu".to_owned());
        description.capacity.remove("nvidia.com/gpu");
        description.allocatable.remove("nvidia.com/gpu");
        description.addresses.truncate(1);
    });
    let changed = eventually("the new description", async || {
        let node = cluster.node().await;
        let labels = node.metadata.labels.clone().unwrap();
        let status = node.status.clone().unwrap();
        let done = labels.get("partition").is_some_and(|value| value == "gpu")
            && !labels.contains_key("type")
            && !status.capacity.unwrap().contains_key("nvidia.com/gpu")
            && status.addresses.unwrap().len() == 1;
        done.then_some(node)
    })
    .await;
    assert_eq!(changed.metadata.labels.as_ref().unwrap()["team"], "blue");
    tokio::time::sleep(Duration::from_secs(3)).await;
    let settled = cluster.node().await.metadata.resource_version;
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert_eq!(
        cluster.node().await.metadata.resource_version,
        settled,
        "nothing is written when nothing changed"
    );

    // What the control plane doubts is said again.
    let doubt = Patch::Strategic(json!({"status": {"conditions": [{"type": "Ready", "status": "Unknown"}]}}));
    cluster
        .nodes()
        .patch_status(&cluster.name, &PatchParams::default(), &doubt)
        .await
        .unwrap();
    eventually("Ready=True again", async || {
        (condition(&cluster.node().await, "Ready") == Some("True")).then_some(())
    })
    .await;

    cluster
        .nodes()
        .delete(&cluster.name, &DeleteParams::default())
        .await
        .unwrap();
    eventually("the node anew, ready and leased", async || {
        let node = cluster.nodes().get_opt(&cluster.name).await.unwrap()?;
        let lease = leases.get_opt(&cluster.name).await.unwrap()?;
        let owner = lease.metadata.owner_references?.first()?.uid.clone();
        (node.metadata.uid != Some(uid.clone())
            && node.metadata.uid == Some(owner)
            && condition(&node, "Ready") == Some("True"))
        .then_some(())
    })
    .await;
    cancel.cancel();
    drop(keeper);
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert!(
        cluster.nodes().get_opt(&cluster.name).await.unwrap().is_some(),
        "stopping never deletes the node"
    );
    cluster.clean().await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a Kubernetes API server: KUBECONFIG"]
async fn a_link_that_is_down_keeps_pods_away_although_a_node_may_not_change_its_taints() {
    let cluster = Cluster::new("taint").await;
    let (say, heard) = watch::channel(description(&cluster.name));
    let cancel = CancellationToken::new();
    let _keeper = NodeKeeper::start(cluster.session().await, heard, cancel.clone())
        .await
        .unwrap();
    say.send_modify(|description| {
        description.transient_taints = vec![taint("towline.dev/cluster-unreachable")];
        description.conditions = vec![link("False")];
    });
    let node = eventually("a taint that the control plane made", async || {
        let node = cluster.node().await;
        has_taint(&node, "node.kubernetes.io/network-unavailable").then_some(node)
    })
    .await;
    assert_eq!(condition(&node, "Ready"), Some("True"));
    assert_eq!(condition(&node, "ClusterReachable"), Some("False"));
    say.send_modify(|description| {
        description.transient_taints.clear();
        description.conditions = vec![link("True")];
    });
    eventually("no such taint any more", async || {
        (!has_taint(&cluster.node().await, "node.kubernetes.io/network-unavailable")).then_some(())
    })
    .await;
    cancel.cancel();
    cluster.clean().await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a Kubernetes API server: KUBECONFIG"]
async fn a_second_holder_of_the_name_is_refused_while_the_first_lives_and_the_first_notices_a_thief() {
    let cluster = Cluster::new("taken").await;
    let (_say, heard) = watch::channel(description(&cluster.name));
    let cancel = CancellationToken::new();
    let keeper = NodeKeeper::start(cluster.session().await, heard.clone(), cancel.clone())
        .await
        .unwrap();
    let elsewhere = tempfile::tempdir().unwrap();
    let second = cluster.session_in(elsewhere.path()).await;
    let refused = NodeKeeper::start(second, heard, cancel.clone())
        .await
        .err()
        .expect("it must be refused")
        .to_string();
    assert!(
        refused.contains("another instance") && refused.contains("renewed just now"),
        "{refused}"
    );

    let leases: Api<Lease> = Api::namespaced(cluster.admin.clone(), "kube-node-lease");
    let steal = json!({"metadata": {"annotations": {"towline.dev/instance": "thief"}}});
    leases
        .patch(&cluster.name, &PatchParams::default(), &Patch::Merge(steal))
        .await
        .unwrap();
    let failed = tokio::time::timeout(Duration::from_secs(30), keeper.failed())
        .await
        .expect("it must be noticed")
        .to_string();
    assert!(failed.contains("thief"), "{failed}");
    cancel.cancel();
    cluster.clean().await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a Kubernetes API server: KUBECONFIG"]
async fn a_label_that_node_restriction_refuses_is_named() {
    let cluster = Cluster::new("label").await;
    let mut wanted = description(&cluster.name);
    wanted
        .labels
        .insert("node-role.kubernetes.io/hpc".to_owned(), String::new());
    let (_say, heard) = watch::channel(wanted);
    let cancel = CancellationToken::new();
    let error = NodeKeeper::start(cluster.session().await, heard, cancel)
        .await
        .err()
        .expect("it must be refused")
        .to_string();
    assert!(
        error.contains("node-role.kubernetes.io/hpc") && error.contains("NodeRestriction"),
        "{error}"
    );
    cluster.clean().await;
}
