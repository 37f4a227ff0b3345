//! The part of the table that is about hooks and probes, the same for each kind of probe.

use super::table::{Decision, Row, honoured, refused, row};

const NO_HOOK: &str = "on a kubelet it fails when it is due; use exec, httpGet or sleep";
const HOST: &str = "else the pod's address";
const PORT: &str = "a number, or the name of a port of the container";
const SCHEME: &str = "HTTP, or HTTPS without a look at the certificate; by `curl` or `python3`, one of which the compute node has to have";

/// Hooks, and the signal that ends a container.
pub const LIFECYCLE: &[Row] = &[
    honoured(
        "lifecycle.postStart.exec.command[]",
        "inside the container, as soon as its own command has begun; whoever comes later in the pod waits for its end",
        "hooks",
    ),
    honoured(
        "lifecycle.postStart.httpGet.host",
        HOST,
        "hooks_and_probes_to_the_letter",
    ),
    honoured(
        "lifecycle.postStart.httpGet.port",
        PORT,
        "hooks_and_probes_to_the_letter",
    ),
    honoured(
        "lifecycle.postStart.httpGet.path",
        "any answer will do, as on a kubelet",
        "hooks_and_probes_to_the_letter",
    ),
    honoured(
        "lifecycle.postStart.httpGet.scheme",
        SCHEME,
        "hooks_and_probes_to_the_letter",
    ),
    honoured(
        "lifecycle.postStart.httpGet.httpHeaders[].name",
        "as they are",
        "hooks_and_probes_to_the_letter",
    ),
    honoured(
        "lifecycle.postStart.httpGet.httpHeaders[].value",
        "as they are",
        "hooks_and_probes_to_the_letter",
    ),
    honoured("lifecycle.postStart.sleep.seconds", "seconds", "times_of_probes"),
    refused("lifecycle.postStart.tcpSocket.**", NO_HOOK),
    honoured(
        "lifecycle.preStop.exec.command[]",
        "inside the container, before its signal and within the grace; not if it has ended by itself",
        "hooks",
    ),
    honoured("lifecycle.preStop.httpGet.host", HOST, "hooks_and_probes_to_the_letter"),
    honoured("lifecycle.preStop.httpGet.port", PORT, "hooks_and_probes_to_the_letter"),
    honoured(
        "lifecycle.preStop.httpGet.path",
        "any answer will do, as on a kubelet",
        "hooks_and_probes_to_the_letter",
    ),
    honoured(
        "lifecycle.preStop.httpGet.scheme",
        SCHEME,
        "hooks_and_probes_to_the_letter",
    ),
    honoured(
        "lifecycle.preStop.httpGet.httpHeaders[].name",
        "as they are",
        "hooks_and_probes_to_the_letter",
    ),
    honoured(
        "lifecycle.preStop.httpGet.httpHeaders[].value",
        "as they are",
        "hooks_and_probes_to_the_letter",
    ),
    honoured("lifecycle.preStop.sleep.seconds", "seconds", "graces_of_pods"),
    refused("lifecycle.preStop.tcpSocket.**", NO_HOOK),
    honoured(
        "lifecycle.stopSignal",
        "TERM without it, whatever the image says",
        "stop_signal",
    ),
];

macro_rules! probe {
    ($name:literal, $exec:literal, $get:literal, $tcp:literal, $grpc:literal, $grace:expr) => {
        &[
            honoured(
                concat!($name, ".exec.command[]"),
                "inside the container, with its variables; `$(VAR)` of variables that have a value of their own expanded",
                $exec,
            ),
            honoured(concat!($name, ".httpGet.host"), HOST, $get),
            honoured(concat!($name, ".httpGet.port"), PORT, $get),
            honoured(
                concat!($name, ".httpGet.path"),
                "redirections are followed as long as they stay on the host",
                $get,
            ),
            honoured(concat!($name, ".httpGet.scheme"), SCHEME, $get),
            honoured(concat!($name, ".httpGet.httpHeaders[].name"), "as they are", $get),
            honoured(concat!($name, ".httpGet.httpHeaders[].value"), "as they are", $get),
            honoured(concat!($name, ".tcpSocket.host"), HOST, $tcp),
            honoured(
                concat!($name, ".tcpSocket.port"),
                "a number, or the name of a port of the container; by `bash`, `python3` or `nc`, one of which the compute node has to have",
                $tcp,
            ),
            honoured(
                concat!($name, ".grpc.port"),
                "by a `curl` with HTTP/2 or `python3`, one of which the compute node has to have",
                $grpc,
            ),
            honoured(concat!($name, ".grpc.service"), "as it is", $grpc),
            honoured(
                concat!($name, ".initialDelaySeconds"),
                "counted from the container's start",
                "times_of_probes",
            ),
            honoured(concat!($name, ".periodSeconds"), "10 without it", "times_of_probes"),
            honoured(
                concat!($name, ".timeoutSeconds"),
                "1 without it; measured in whole seconds and never shorter",
                "times_of_probes",
            ),
            honoured(concat!($name, ".successThreshold"), "1 without it", "times_of_probes"),
            honoured(concat!($name, ".failureThreshold"), "3 without it", "times_of_probes"),
            $grace,
        ]
    };
}

/// What shows that a container has started.
pub const STARTUP: &[Row] = probe!(
    "startupProbe",
    "probes",
    "hooks_and_probes_to_the_letter",
    "probes_of_ports",
    "probes_of_real_servers",
    honoured(
        "startupProbe.terminationGracePeriodSeconds",
        "in place of the pod's when it fails",
        "times_of_probes"
    )
);

/// What shows that a container lives.
pub const LIVENESS: &[Row] = probe!(
    "livenessProbe",
    "probes",
    "hooks_and_probes_to_the_letter",
    "hooks_and_probes_to_the_letter",
    "probes_of_real_servers",
    honoured(
        "livenessProbe.terminationGracePeriodSeconds",
        "in place of the pod's when it fails",
        "times_of_probes"
    )
);

/// What shows that a container takes work.
pub const READINESS: &[Row] = probe!(
    "readinessProbe",
    "probes",
    "hooks_and_probes_to_the_letter",
    "probes_of_ports",
    "probes_of_ports",
    row(
        "readinessProbe.terminationGracePeriodSeconds",
        Decision::Refused,
        "a container that is not ready is not ended",
        ""
    )
);
