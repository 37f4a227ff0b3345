//! `GET /metrics/probes`. Name, labels and words: the kubelet's `prober_manager.go`.

use std::sync::Arc;

use k8s_openapi::api::core::v1::Pod;

use super::NodeUsage;
use super::text::{Sample, Text};

/// How the probes of these pods came out, as far as that is known.
pub fn probes(pods: &[Arc<Pod>], usage: Option<&NodeUsage>) -> String {
    let mut samples: Vec<Sample<'_>> = Vec::new();
    let mut durations = Vec::new();
    for (uid, (usage, _)) in usage.iter().flat_map(|usage| &usage.pods) {
        let pod = pods.iter().find(|pod| pod.metadata.uid.as_ref() == Some(uid));
        let names = pod.and_then(|pod| pod.metadata.namespace.as_deref().zip(pod.metadata.name.as_deref()));
        let Some((namespace, pod)) = names else { continue };
        for probe in &usage.probes {
            let results = [
                ("failed", probe.failed),
                ("successful", probe.successful),
                ("unknown", probe.unknown),
            ];
            // What has never come out is not counted, as with a kubelet.
            for (result, count) in results.into_iter().filter(|(_, count)| *count > 0) {
                let labels = vec![
                    ("container", probe.container.as_str()),
                    ("namespace", namespace),
                    ("pod", pod),
                    ("pod_uid", uid.as_str()),
                    ("probe_type", kind(&probe.kind)),
                    ("result", result),
                ];
                samples.push((labels, count as f64, None));
            }
            if let Some(took) = probe.durations.as_ref().filter(|_| probe.successful > 0) {
                let labels = vec![
                    ("container", probe.container.as_str()),
                    ("namespace", namespace),
                    ("pod", pod),
                    ("probe_type", kind(&probe.kind)),
                ];
                durations.push((labels, took));
            }
        }
    }
    let mut text = Text::default();
    text.histogram(
        "prober_probe_duration_seconds",
        "[ALPHA] Duration in seconds for a probe response.",
        durations,
    )
    .metric(
        "prober_probe_total",
        "counter",
        "[BETA] Cumulative number of a liveness, readiness or startup probe for a container by result.",
        samples,
    )
    .finish()
}

fn kind(kind: &str) -> &'static str {
    match kind {
        "liveness" => "Liveness",
        "readiness" => "Readiness",
        "startup" => "Startup",
        _ => "UNKNOWN",
    }
}
