//! `GET /configz`: how this node serves this API, in the kubelet's terms. What a kubelet decides by the rest of its
//! configuration is decided by a batch system here.

use std::net::SocketAddr;

use serde_json::{Value, json};

use crate::{authentication, authorization, streaming};

/// The configuration of a server that listens there.
pub fn configuration(listen: SocketAddr) -> Value {
    let seconds = |duration: std::time::Duration| format!("{}s", duration.as_secs());
    json!({
        "kubeletconfig": {
            "kind": "KubeletConfiguration",
            "apiVersion": "kubelet.config.k8s.io/v1beta1",
            "address": listen.ip().to_string(),
            "port": listen.port(),
            "enableServer": true,
            "enableDebuggingHandlers": true,
            "tlsMinVersion": "VersionTLS12",
            "authentication": {
                "anonymous": {"enabled": false},
                "webhook": {"enabled": true, "cacheTTL": seconds(authentication::YES)},
            },
            "authorization": {
                "mode": "Webhook",
                "webhook": {
                    "cacheAuthorizedTTL": seconds(authorization::YES),
                    "cacheUnauthorizedTTL": seconds(authorization::NO),
                },
            },
            "streamingConnectionIdleTimeout": seconds(streaming::IDLE),
            "featureGates": {"KubeletFineGrainedAuthz": true, "ContainerCheckpoint": false},
        }
    })
}
