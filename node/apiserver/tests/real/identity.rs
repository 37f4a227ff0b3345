//! Credentials and certificates.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use k8s_openapi::api::certificates::v1::CertificateSigningRequest;
use kube::Api;
use kube::api::{ListParams, Patch, PatchParams};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use serde_json::json;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use towline_apiserver::events::Recorder;
use towline_apiserver::identity::{Serving, client_ca, serving};
use towline_apiserver::node::NodeKeeper;
use towline_apiserver::pods::Desired;
use towline_apiserver::references::{ReferenceReader, Together};
use towline_apiserver::status::{self, Written};
use towline_apiserver::{Credentials, Session};
use towline_core::events::Event;

use crate::cluster::{Cluster, description, eventually, has_taint, taint};

async fn requests_of(cluster: &Cluster, user: &str) -> Vec<CertificateSigningRequest> {
    let all: Api<CertificateSigningRequest> = Api::all(cluster.admin.clone());
    let mine = all.list(&ListParams::default()).await.unwrap();
    mine.into_iter()
        .filter(|csr| csr.spec.username.as_deref() == Some(user))
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a Kubernetes API server: KUBECONFIG"]
async fn a_bootstrapped_node_keeps_its_certificate_and_needs_no_token_again() {
    let cluster = Cluster::new("boot").await;
    drop(cluster.session().await);
    let file = cluster.state.path().join(&cluster.name).join("client.pem");
    let first = std::fs::read(&file).unwrap();
    // The same server and CA with a token that is worth nothing.
    let Credentials::Bootstrap { kubeconfig } = cluster.bootstrap() else {
        unreachable!()
    };
    let text = std::fs::read_to_string(kubeconfig).unwrap();
    let at = text.find("\"token\": \"").expect("the testbed's form") + 10;
    let end = at + text[at..].find('"').unwrap();
    let worthless = cluster.state.path().join("worthless.kubeconfig");
    std::fs::write(
        &worthless,
        format!("{}abcdef.0123456789abcdef{}", &text[..at], &text[end..]),
    )
    .unwrap();
    let credentials = Credentials::Bootstrap { kubeconfig: worthless };
    let session = Session::connect(&cluster.name, &credentials, cluster.state.path())
        .await
        .unwrap();
    assert_eq!(std::fs::read(&file).unwrap(), first);
    assert!(session.ca_pem().unwrap().starts_with(b"-----BEGIN CERTIFICATE-----"));
    // A node may not read the ConfigMap; the connection's CA is the answer.
    let ca = client_ca(&session, None).await.unwrap();
    assert_eq!(Some(ca.pem), session.ca_pem());

    // Without the certificate the token matters.
    std::fs::remove_file(&file).unwrap();
    let error = Session::connect(&cluster.name, &credentials, cluster.state.path())
        .await
        .err()
        .unwrap()
        .to_string();
    assert!(
        error.contains("401") && error.contains("certificatesigningrequest"),
        "{error}"
    );
    cluster.clean().await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a Kubernetes API server: KUBECONFIG"]
async fn certificate_files_serve_as_an_identity_and_those_of_another_node_do_not() {
    let cluster = Cluster::new("files").await;
    drop(cluster.session().await);
    let pair = std::fs::read_to_string(cluster.state.path().join(&cluster.name).join("client.pem")).unwrap();
    let (chain, key) = pair.split_at(pair.find("-----BEGIN PRIVATE KEY").unwrap());
    let path = |name: &str| cluster.state.path().join(name);
    std::fs::write(path("tls.crt"), chain).unwrap();
    std::fs::write(path("tls.key"), key).unwrap();
    let Credentials::Bootstrap { kubeconfig } = cluster.bootstrap() else {
        unreachable!()
    };
    let credentials = Credentials::NodeCertificate {
        kubeconfig,
        certificate: path("tls.crt"),
        key: path("tls.key"),
    };
    Session::connect(&cluster.name, &credentials, &path("state"))
        .await
        .unwrap();
    let error = Session::connect("somebody-else", &credentials, &path("state"))
        .await
        .err()
        .unwrap()
        .to_string();
    assert!(error.contains("system:node:somebody-else"), "{error}");
    cluster.clean().await;
}

/// Shakes hands with what a resolver serves; the certificate if the client trusts it.
fn handshake(
    resolver: Arc<dyn rustls::server::ResolvesServerCert>,
    ca: &[u8],
    name: &str,
) -> Result<(), rustls::Error> {
    let mut roots = rustls::RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(ca) {
        roots.add(certificate.unwrap()).unwrap();
    }
    let client = rustls::ClientConfig::builder()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let server = rustls::ServerConfig::builder()
        .with_no_client_auth()
        .with_cert_resolver(resolver);
    let name = ServerName::try_from(name.to_owned()).unwrap();
    let mut client = rustls::ClientConnection::new(Arc::new(client), name).unwrap();
    let mut server = rustls::ServerConnection::new(Arc::new(server)).unwrap();
    while client.is_handshaking() || server.is_handshaking() {
        let mut bytes = Vec::new();
        client.write_tls(&mut bytes).unwrap();
        server.read_tls(&mut bytes.as_slice()).unwrap();
        server.process_new_packets()?;
        let mut bytes = Vec::new();
        server.write_tls(&mut bytes).unwrap();
        client.read_tls(&mut bytes.as_slice()).unwrap();
        client.process_new_packets()?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a Kubernetes API server: KUBECONFIG"]
async fn the_serving_certificate_is_self_signed_until_somebody_approves_and_the_clusters_afterwards() {
    let cluster = Cluster::new("serve").await;
    let session = cluster.session().await;
    let cancel = CancellationToken::new();
    let addresses = description(&cluster.name).addresses;
    let served = serving(&session, &Serving::Csr, &addresses, cancel.clone())
        .await
        .unwrap();
    let ca = std::fs::read(std::env::var("TESTBED_CA").expect("TESTBED_CA")).unwrap();
    assert!(
        handshake(Arc::clone(&served), &ca, "127.0.0.1").is_err(),
        "not signed yet"
    );

    let user = format!("system:node:{}", cluster.name);
    let request = eventually("the request", async || {
        requests_of(&cluster, &user).await.into_iter().next()
    })
    .await;
    let approval = json!({"status": {"conditions": [{"type": "Approved", "status": "True", "reason": "Test", "message": "test"}]}});
    let all: Api<CertificateSigningRequest> = Api::all(cluster.admin.clone());
    let name = request.metadata.name.unwrap();
    all.patch_approval(&name, &PatchParams::default(), &Patch::Merge(approval))
        .await
        .unwrap();
    eventually("the signed certificate", async || {
        handshake(Arc::clone(&served), &ca, "127.0.0.1").ok()
    })
    .await;
    assert!(handshake(Arc::clone(&served), &ca, "127.0.0.2").is_ok());
    assert!(handshake(served, &ca, "127.0.0.3").is_err());

    // The next start has it at once.
    let again = serving(&session, &Serving::Csr, &addresses, cancel.clone())
        .await
        .unwrap();
    handshake(again, &ca, "127.0.0.1").unwrap();
    assert_eq!(requests_of(&cluster, &user).await.len(), 1);
    cancel.cancel();
    cluster.clean().await;
}

fn kubectl(arguments: &[&str]) -> String {
    let output = Command::new("kubectl")
        .args(arguments)
        .output()
        .expect("kubectl must be on PATH");
    assert!(
        output.status.success(),
        "{arguments:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a Kubernetes API server: KUBECONFIG"]
async fn the_service_account_of_the_manifest_suffices_for_everything() {
    let cluster = Cluster::new("account").await;
    cluster.namespace().await;
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/rbac.yaml");
    kubectl(&["apply", "-f", manifest.to_str().unwrap()]);
    let token = kubectl(&["create", "token", "towline-node", "-n", "towline"]);
    let Credentials::Bootstrap { kubeconfig } = cluster.bootstrap() else {
        unreachable!()
    };
    let text = std::fs::read_to_string(kubeconfig).unwrap();
    let at = text.find("\"token\": \"").expect("the testbed's form") + 10;
    let end = at + text[at..].find('"').unwrap();
    let path: PathBuf = cluster.state.path().join("account.kubeconfig");
    std::fs::write(&path, format!("{}{}{}", &text[..at], token.trim(), &text[end..])).unwrap();
    let credentials = Credentials::Kubeconfig {
        path: Some(path),
        context: None,
    };
    let session = Session::connect(&cluster.name, &credentials, cluster.state.path())
        .await
        .unwrap();
    assert!(client_ca(&session, None).await.unwrap().source.contains("configmap"));

    let cancel = CancellationToken::new();
    let (say, heard) = watch::channel(description(&cluster.name));
    let _keeper = NodeKeeper::start(session.clone(), heard, cancel.clone()).await.unwrap();
    // No NodeRestriction here: taints come and go.
    say.send_modify(|description| description.transient_taints = vec![taint("towline.dev/cluster-unreachable")]);
    eventually("the taint", async || {
        has_taint(&cluster.node().await, "towline.dev/cluster-unreachable").then_some(())
    })
    .await;
    say.send_modify(|description| description.transient_taints.clear());
    eventually("no taint", async || {
        (!has_taint(&cluster.node().await, "towline.dev/cluster-unreachable")).then_some(())
    })
    .await;

    let desired = Desired::start(vec![session.clone()], cancel.clone());
    let pod = cluster
        .bound_pod("p", json!({"containers": [{"name": "c", "image": "busybox:1"}]}))
        .await;
    let uid = pod.metadata.uid.clone().unwrap();
    let seen = eventually("the pod", async || desired.snapshot()?.get(&uid).cloned()).await;
    let reader = ReferenceReader::new(std::slice::from_ref(&session));
    let found = reader.fetch(&session, &seen.pod, &Together::default()).await.unwrap();
    assert_eq!(found.tokens.len(), 1, "the pod's own token");
    let wanted = serde_json::from_value(json!({"phase": "Succeeded"})).unwrap();
    assert_eq!(
        status::write(&session, &seen.pod, &wanted).await.unwrap(),
        Written::Done
    );
    let recorder = Recorder::new(cancel.clone());
    recorder.publish(&session, &pod, &Event::normal("Tested", "by the account"));
    let events: Api<k8s_openapi::api::core::v1::Event> = Api::namespaced(cluster.admin.clone(), &cluster.name);
    let about = ListParams::default().fields("reason=Tested");
    eventually("the event", async || {
        events.list(&about).await.unwrap().items.into_iter().next()
    })
    .await;
    status::delete(&session, &cluster.name, "p", &uid, 0).await.unwrap();
    assert!(status::confirm_gone(&session, &cluster.name, "p", &uid).await.unwrap());
    let served = serving(&session, &Serving::Csr, &description("n").addresses, cancel.clone()).await;
    assert!(served.is_ok());
    let user = "system:serviceaccount:towline:towline-node";
    eventually("its certificate request", async || {
        requests_of(&cluster, user).await.into_iter().next()
    })
    .await;
    cancel.cancel();
    kubectl(&["delete", "-f", manifest.to_str().unwrap(), "--wait=false"]);
    cluster.clean().await;
}
