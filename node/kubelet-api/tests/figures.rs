//! What monitoring is told: the kubelet's forms, over the real server.
#![allow(clippy::unwrap_used, reason = "tests")]

mod common;

use common::Node;
use common::client::Client;
use common::logs::none;
use serde_json::json;
use towline_core::usage::{
    ContainerUsage, Durations, Figures, Filled, Interface, PodUsage, ProbeCounts, Space, Traffic,
};

/// When the figures are from.
const AT: i64 = 1_700_000_030_250;

/// A node with the pod `ns/p`, whose container `main` runs for the third time and has figures; `side` runs, but its
/// figures are of the run before; and a client that may read figures.
async fn metered() -> (Node, Client) {
    let node = Node::start(none()).await;
    let running = |name: &str, restarts: i32| {
        json!({
            "name": name, "image": "r/i:1", "imageID": "", "ready": true, "restartCount": restarts,
            "containerID": format!("towline://u-1-{name}-{restarts}"),
            "state": {"running": {"startedAt": "2023-11-14T22:13:20Z"}},
        })
    };
    node.pods.put(
        serde_json::from_value(json!({
            "metadata": {"name": "p", "namespace": "ns", "uid": "u-1"},
            "spec": {"containers": [{"name": "main", "resources": {"limits": {"memory": "1Ki"}}}, {"name": "side"}]},
            "status": {
                "startTime": "2023-11-14T22:13:19Z",
                "containerStatuses": [running("main", 2), running("side", 1)],
            },
        }))
        .unwrap(),
    );
    let container = |name: &str, run: i32, cpu_ns: u64, before: Option<(i64, u64)>| ContainerUsage {
        name: name.to_owned(),
        run,
        figures: Figures {
            cpu_ns,
            working_set: 1000,
            rss: 700,
        },
        processes: 3,
        io: Some((4096, 8192)),
        before,
    };
    let space = |what: Filled, name: &str, bytes: u64| Space {
        what,
        name: name.to_owned(),
        bytes,
        time: AT / 1000 - 10,
    };
    let usage = PodUsage {
        time_ms: AT,
        job: None,
        containers: vec![
            container("main", 2, 2_500_000_000, Some((AT - 15_000, 1_000_000_000))),
            container("side", 0, 5, None),
        ],
        probes: vec![ProbeCounts {
            container: "main".to_owned(),
            kind: "readiness".to_owned(),
            successful: 4,
            failed: 1,
            unknown: 0,
            durations: Some(Durations {
                sum_ms: 1260,
                counts: [2, 0, 0, 1, 0, 0, 0, 0, 0, 1],
            }),
        }],
        network: Vec::new(),
        space: vec![
            space(Filled::Rootfs, "main", 300),
            space(Filled::Logs, "main", 20),
            space(Filled::Volume, "v", 1),
            space(Filled::Memory, "m", 5000),
        ],
    };
    node.meters
        .pods
        .lock()
        .unwrap()
        .insert("u-1".to_owned(), (usage, 4_000_000_000));
    node.api.allow("prometheus", "get", "metrics");
    node.api.allow("prometheus", "get", "stats");
    let client = node.with_certificate(node.clients.client("prometheus", &[]));
    (node, client)
}

#[tokio::test]
async fn metrics_server_finds_what_it_looks_for() {
    let (_node, client) = metered().await;
    let answer = client.get("/metrics/resource").await;
    assert_eq!(answer.status, 200);
    let expected = r#"# HELP container_cpu_usage_seconds_total [STABLE] Cumulative cpu time consumed by the container in core-seconds
# TYPE container_cpu_usage_seconds_total counter
container_cpu_usage_seconds_total{container="main",namespace="ns",pod="p"} 2.5 1700000030250
# HELP container_memory_working_set_bytes [STABLE] Current working set of the container in bytes
# TYPE container_memory_working_set_bytes gauge
container_memory_working_set_bytes{container="main",namespace="ns",pod="p"} 1000 1700000030250
# HELP container_start_time_seconds [STABLE] Start time of the container since unix epoch in seconds
# TYPE container_start_time_seconds gauge
container_start_time_seconds{container="main",namespace="ns",pod="p"} 1700000000
# HELP node_cpu_usage_seconds_total [STABLE] Cumulative cpu time consumed by the node in core-seconds
# TYPE node_cpu_usage_seconds_total counter
node_cpu_usage_seconds_total 60 1700000030250
# HELP node_memory_working_set_bytes [STABLE] Current working set of the node in bytes
# TYPE node_memory_working_set_bytes gauge
node_memory_working_set_bytes 1000 1700000030250
# HELP pod_cpu_usage_seconds_total [STABLE] Cumulative cpu time consumed by the pod in core-seconds
# TYPE pod_cpu_usage_seconds_total counter
pod_cpu_usage_seconds_total{namespace="ns",pod="p"} 4 1700000030250
# HELP pod_memory_working_set_bytes [STABLE] Current working set of the pod in bytes
# TYPE pod_memory_working_set_bytes gauge
pod_memory_working_set_bytes{namespace="ns",pod="p"} 1000 1700000030250
# HELP resource_scrape_error [STABLE] 1 if there was an error while getting container metrics, 0 otherwise
# TYPE resource_scrape_error gauge
resource_scrape_error 0
"#;
    assert_eq!(answer.text, expected);
}

#[tokio::test]
async fn the_summary_has_the_kubelets_form() {
    let (_node, client) = metered().await;
    let answer = client.get("/stats/summary").await;
    let summary: serde_json::Value = serde_json::from_str(&answer.text).unwrap();
    let (at, started) = ("2023-11-14T22:13:50Z", "2023-11-14T22:13:20Z");
    let filled = |bytes: u64| json!({"time": "2023-11-14T22:13:40Z", "usedBytes": bytes});
    let of_all = |used: u64| {
        json!({
            "time": at, "capacityBytes": 1000, "availableBytes": 400, "usedBytes": used,
            "inodes": 50, "inodesFree": 20, "inodesUsed": 30,
        })
    };
    let expected = json!({
        "node": {
            "nodeName": common::NODE,
            "startTime": "1970-01-01T00:00:00Z",
            "cpu": {"time": at, "usageNanoCores": 100_000_000, "usageCoreNanoSeconds": 60_000_000_000u64},
            "memory": {"time": at, "workingSetBytes": 1000, "rssBytes": 700},
            "fs": of_all(600),
            "runtime": {"imageFs": of_all(90)},
        },
        "pods": [{
            "podRef": {"name": "p", "namespace": "ns", "uid": "u-1"},
            "startTime": "2023-11-14T22:13:19Z",
            "containers": [{
                "name": "main",
                "startTime": started,
                "cpu": {"time": at, "usageNanoCores": 100_000_000, "usageCoreNanoSeconds": 2_500_000_000u64},
                "memory": {"time": at, "availableBytes": 24, "workingSetBytes": 1000, "rssBytes": 700},
                "rootfs": filled(300),
                "logs": filled(20),
            }],
            "cpu": {"time": at, "usageNanoCores": 100_000_000, "usageCoreNanoSeconds": 4_000_000_000u64},
            "memory": {"time": at, "workingSetBytes": 1000, "rssBytes": 700},
            "volume": [
                {"name": "v", "time": "2023-11-14T22:13:40Z", "usedBytes": 1},
                {"name": "m", "time": "2023-11-14T22:13:40Z", "usedBytes": 5000},
            ],
            "ephemeral-storage": filled(321),
            "process_stats": {"process_count": 3},
        }],
    });
    assert_eq!(summary, expected);
}

#[tokio::test]
async fn a_network_of_the_pods_own_has_figures() {
    let (node, client) = metered().await;
    let traffic = |bytes| Traffic {
        bytes,
        packets: 3,
        errors: 2,
        dropped: 1,
    };
    node.meters.pods.lock().unwrap().get_mut("u-1").unwrap().0.network = vec![Interface {
        name: "tap0".to_owned(),
        received: traffic(70),
        sent: traffic(80),
    }];
    let summary: serde_json::Value = serde_json::from_str(&client.get("/stats/summary").await.text).unwrap();
    let counters = json!({"name": "tap0", "rxBytes": 70, "rxErrors": 2, "txBytes": 80, "txErrors": 2});
    let mut expected = counters.clone();
    expected["time"] = json!("2023-11-14T22:13:50Z");
    expected["interfaces"] = json!([counters]);
    assert_eq!(summary["pods"][0]["network"], expected);
    let answer = client.get("/metrics/cadvisor").await;
    let pod = r#"{container="",id="",image="",interface="tap0",name="",namespace="ns",pod="p"}"#;
    for (name, value) in [
        ("receive_bytes", 70),
        ("receive_packets", 3),
        ("receive_errors", 2),
        ("receive_packets_dropped", 1),
        ("transmit_bytes", 80),
        ("transmit_packets", 3),
        ("transmit_errors", 2),
        ("transmit_packets_dropped", 1),
    ] {
        let line = format!("\ncontainer_network_{name}_total{pod} {value} {AT}\n");
        assert!(answer.text.contains(&line), "no {line} in {}", answer.text);
    }
}

#[tokio::test]
async fn where_the_job_is_accounted_for_the_pod_is_its_job() {
    let (node, client) = metered().await;
    node.meters.pods.lock().unwrap().get_mut("u-1").unwrap().0.job = Some(Figures {
        cpu_ns: 1,
        working_set: 5000,
        rss: 4000,
    });
    let answer = client.get("/metrics/resource").await;
    for line in [
        "pod_memory_working_set_bytes{namespace=\"ns\",pod=\"p\"} 5000 ",
        "node_memory_working_set_bytes 5000 ",
        "container_memory_working_set_bytes{container=\"main\",namespace=\"ns\",pod=\"p\"} 1000 ",
    ] {
        assert!(answer.text.contains(line), "no {line} in {}", answer.text);
    }
}

#[tokio::test]
async fn dashboards_find_containers_and_pods_under_their_names() {
    let (_node, client) = metered().await;
    let answer = client.get("/metrics/cadvisor").await;
    let main = r#"id="",image="r/i:1",name="u-1-main-2",namespace="ns",pod="p"}"#;
    for line in [
        format!("container_cpu_usage_seconds_total{{container=\"main\",cpu=\"total\",{main} 2.5 {AT}\n"),
        format!("container_memory_working_set_bytes{{container=\"main\",{main} 1000 {AT}\n"),
        format!("container_memory_rss{{container=\"main\",{main} 700 {AT}\n"),
        format!("container_fs_reads_bytes_total{{container=\"main\",device=\"\",{main} 4096 {AT}\n"),
        format!("container_fs_writes_bytes_total{{container=\"main\",device=\"\",{main} 8192 {AT}\n"),
        format!("container_fs_usage_bytes{{container=\"main\",device=\"\",{main} 320 {AT}\n"),
        format!(
            "container_fs_usage_bytes{{container=\"\",device=\"\",id=\"\",image=\"\",name=\"\",namespace=\"ns\",pod=\"p\"}} 321 {AT}\n"
        ),
        format!("container_processes{{container=\"main\",{main} 3 {AT}\n"),
        format!("container_last_seen{{container=\"main\",{main} 1700000030 {AT}\n"),
        format!("container_start_time_seconds{{container=\"main\",{main} 1700000000\n"),
        format!(
            "container_cpu_usage_seconds_total{{container=\"\",cpu=\"total\",id=\"\",image=\"\",name=\"\",namespace=\"ns\",pod=\"p\"}} 4 {AT}\n"
        ),
        "container_scrape_error 0\n".to_owned(),
    ] {
        assert!(answer.text.contains(&line), "no {line} in {}", answer.text);
    }
    assert!(
        !answer.text.contains("\"side\"") && !answer.text.contains("network"),
        "{}",
        answer.text
    );
}

#[tokio::test]
async fn a_cluster_that_does_not_answer_is_an_error_and_no_zero() {
    let (node, client) = metered().await;
    *node.meters.silent.lock().unwrap() = true;
    let resource = client.get("/metrics/resource").await;
    assert_eq!(resource.status, 200);
    assert!(
        resource.text.ends_with("resource_scrape_error 1\n"),
        "{}",
        resource.text
    );
    assert_eq!(resource.text.lines().count(), 3, "{}", resource.text);
    let cadvisor = client.get("/metrics/cadvisor").await;
    assert!(
        cadvisor.text.ends_with("container_scrape_error 1\n"),
        "{}",
        cadvisor.text
    );
    let summary = client.get("/stats/summary").await;
    assert_eq!(
        (summary.status.as_u16(), summary.text.as_str()),
        (500, "the cluster does not answer")
    );
}

#[tokio::test]
async fn a_node_without_running_pods_has_no_figures_of_its_own() {
    let (node, client) = metered().await;
    node.meters.pods.lock().unwrap().clear();
    let answer = client.get("/metrics/resource").await;
    assert!(answer.text.ends_with("resource_scrape_error 0\n"), "{}", answer.text);
    assert!(!answer.text.contains("node_"), "{}", answer.text);
    let summary: serde_json::Value = serde_json::from_str(&client.get("/stats/summary").await.text).unwrap();
    assert_eq!(summary["pods"], json!([]));
    assert!(summary["node"].get("cpu").is_none(), "{summary}");
}

#[tokio::test]
async fn probes_are_counted_for_pods_that_are_there() {
    let (node, client) = metered().await;
    let mut gone = node.meters.pods.lock().unwrap()["u-1"].clone();
    gone.0.probes[0].container = "gone".to_owned();
    node.meters.pods.lock().unwrap().insert("u-2".to_owned(), gone);
    let labels = r#"{container="main",namespace="ns",pod="p",pod_uid="u-1",probe_type="Readiness",result="#;
    let took = r#"{container="main",namespace="ns",pod="p",probe_type="Readiness""#;
    let within = [
        (0.025, 2),
        (0.05, 2),
        (0.1, 2),
        (0.25, 3),
        (0.5, 3),
        (1.0, 3),
        (2.5, 3),
        (5.0, 3),
        (10.0, 3),
    ];
    let within: String = within
        .iter()
        .map(|(end, count)| format!("prober_probe_duration_seconds_bucket{took},le=\"{end}\"}} {count}\n"))
        .collect();
    assert_eq!(
        client.get("/metrics/probes").await.text,
        format!(
            "# HELP prober_probe_duration_seconds [ALPHA] Duration in seconds for a probe response.\n\
             # TYPE prober_probe_duration_seconds histogram\n\
             {within}\
             prober_probe_duration_seconds_bucket{took},le=\"+Inf\"}} 4\n\
             prober_probe_duration_seconds_sum{took}}} 1.26\n\
             prober_probe_duration_seconds_count{took}}} 4\n\
             # HELP prober_probe_total [BETA] Cumulative number of a liveness, readiness or startup probe for a container by result.\n\
             # TYPE prober_probe_total counter\n\
             prober_probe_total{labels}\"failed\"}} 1\n\
             prober_probe_total{labels}\"successful\"}} 4\n"
        )
    );
}

#[tokio::test]
async fn figures_are_for_those_who_may_read_figures() {
    let (node, _) = metered().await;
    node.api.allow("logger", "get", "proxy");
    let other = node.with_certificate(node.clients.client("logger", &[]));
    for path in [
        "/stats/summary",
        "/metrics",
        "/metrics/resource",
        "/metrics/cadvisor",
        "/metrics/probes",
    ] {
        assert_eq!(other.get(path).await.status, 403, "{path}");
    }
}
