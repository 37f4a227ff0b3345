//! What a path asks for, and what somebody must be allowed to do to ask for it.

use http::Method;

/// A container, or a pod, that a path names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Target<'a> {
    /// The pod's namespace.
    pub namespace: &'a str,
    /// The pod's name.
    pub pod: &'a str,
    /// The pod's UID, where a path has it.
    pub uid: Option<&'a str>,
    /// The container's name; empty where only a pod is named.
    pub container: &'a str,
}

/// What is asked for. A path that is not served is [`Route::Unknown`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Route<'a> {
    /// `/containerLogs/NAMESPACE/POD/CONTAINER`
    ContainerLogs(Target<'a>),
    /// `/exec/NAMESPACE/POD[/UID]/CONTAINER`
    Exec(Target<'a>),
    /// `/attach/NAMESPACE/POD[/UID]/CONTAINER`
    Attach(Target<'a>),
    /// `/run/NAMESPACE/POD[/UID]/CONTAINER`
    Run(Target<'a>),
    /// `/portForward/NAMESPACE/POD[/UID]`
    PortForward(Target<'a>),
    /// `/checkpoint/NAMESPACE/POD/CONTAINER`
    Checkpoint(Target<'a>),
    /// `/pods`
    Pods,
    /// `/runningpods/`
    RunningPods,
    /// `/configz`
    Configz,
    /// `/healthz`
    Healthz,
    /// `/stats/summary`
    Summary,
    /// `/metrics`
    Metrics,
    /// `/metrics/resource`
    ResourceMetrics,
    /// `/metrics/cadvisor`
    CadvisorMetrics,
    /// `/metrics/probes`
    ProbeMetrics,
    /// Anything else.
    Unknown,
}

impl<'a> Route<'a> {
    /// Reads a path as it was sent. No name in it can have a character that would have to be escaped.
    pub fn of(path: &'a str) -> Self {
        let trimmed = path.strip_suffix('/').unwrap_or(path);
        match trimmed {
            "/pods" => return Self::Pods,
            "/runningpods" => return Self::RunningPods,
            "/configz" => return Self::Configz,
            "/healthz" => return Self::Healthz,
            "/stats/summary" => return Self::Summary,
            "/metrics" => return Self::Metrics,
            "/metrics/resource" => return Self::ResourceMetrics,
            "/metrics/cadvisor" => return Self::CadvisorMetrics,
            "/metrics/probes" => return Self::ProbeMetrics,
            _ => {}
        }
        let mut parts = path.split('/');
        let (Some(""), Some(what)) = (parts.next(), parts.next()) else {
            return Self::Unknown;
        };
        let names: Vec<&str> = parts.collect();
        if names.contains(&"") {
            return Self::Unknown;
        }
        let target = |namespace, pod, uid, container| Target {
            namespace,
            pod,
            uid,
            container,
        };
        match (what, &names[..]) {
            ("containerLogs", &[namespace, pod, container]) => {
                Self::ContainerLogs(target(namespace, pod, None, container))
            }
            ("exec", &[namespace, pod, container]) => Self::Exec(target(namespace, pod, None, container)),
            ("exec", &[namespace, pod, uid, container]) => Self::Exec(target(namespace, pod, Some(uid), container)),
            ("attach", &[namespace, pod, container]) => Self::Attach(target(namespace, pod, None, container)),
            ("attach", &[namespace, pod, uid, container]) => Self::Attach(target(namespace, pod, Some(uid), container)),
            ("run", &[namespace, pod, container]) => Self::Run(target(namespace, pod, None, container)),
            ("run", &[namespace, pod, uid, container]) => Self::Run(target(namespace, pod, Some(uid), container)),
            ("portForward", &[namespace, pod]) => Self::PortForward(target(namespace, pod, None, "")),
            ("portForward", &[namespace, pod, uid]) => Self::PortForward(target(namespace, pod, Some(uid), "")),
            ("checkpoint", &[namespace, pod, container]) => Self::Checkpoint(target(namespace, pod, None, container)),
            _ => Self::Unknown,
        }
    }

    /// Whether it can be asked for with this method.
    pub fn takes(&self, method: &Method) -> bool {
        match self {
            Self::Exec(_) | Self::Attach(_) | Self::PortForward(_) => method == Method::GET || method == Method::POST,
            Self::Run(_) | Self::Checkpoint(_) => method == Method::POST,
            _ => method == Method::GET,
        }
    }
}

/// The subresources of `nodes` any one of which allows a path, in the order in which they are asked for. Source: the
/// kubelet's `GetRequestAttributes` with `KubeletFineGrainedAuthz`.
pub fn subresources(path: &str) -> &'static [&'static str] {
    let below = |prefix: &str| {
        path.strip_prefix(prefix)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    match () {
        () if below("/pods") || below("/runningpods") => &["pods", "proxy"],
        () if below("/healthz") => &["healthz", "proxy"],
        () if below("/configz") => &["configz", "proxy"],
        () if below("/stats") => &["stats"],
        () if below("/metrics") => &["metrics"],
        () if below("/logs") => &["log"],
        () if below("/checkpoint") => &["checkpoint"],
        () if below("/statusz") => &["statusz"],
        () if below("/flagz") => &["configz"],
        () => &["proxy"],
    }
}

/// The verb of a method; a method without one has an empty verb, as with the kubelet.
pub fn verb(method: &Method) -> &'static str {
    match method.as_str() {
        "POST" => "create",
        "GET" => "get",
        "PUT" => "update",
        "PATCH" => "patch",
        "DELETE" => "delete",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_log_is_named_by_three_names() {
        let expected = Route::ContainerLogs(Target {
            namespace: "ns",
            pod: "p.x",
            uid: None,
            container: "c-1",
        });
        assert_eq!(Route::of("/containerLogs/ns/p.x/c-1"), expected);
        for path in [
            "/containerLogs/ns/p",
            "/containerLogs/ns//c",
            "/containerLogs/ns/p/c/",
            "/containerLogs/ns/p/c/d",
            "/containerLogsx/ns/p/c",
            "/containerlogs/ns/p/c",
            "//containerLogs/ns/p/c",
        ] {
            assert_eq!(Route::of(path), Route::Unknown, "{path}");
        }
    }

    #[test]
    fn streams_are_of_a_pod_by_its_name_or_also_by_its_uid() {
        let target = |uid, container| Target {
            namespace: "ns",
            pod: "p",
            uid,
            container,
        };
        for (path, route) in [
            ("/exec/ns/p/c", Route::Exec(target(None, "c"))),
            ("/exec/ns/p/u-1/c", Route::Exec(target(Some("u-1"), "c"))),
            ("/attach/ns/p/c", Route::Attach(target(None, "c"))),
            ("/attach/ns/p/u-1/c", Route::Attach(target(Some("u-1"), "c"))),
            ("/run/ns/p/c", Route::Run(target(None, "c"))),
            ("/run/ns/p/u-1/c", Route::Run(target(Some("u-1"), "c"))),
            ("/portForward/ns/p", Route::PortForward(target(None, ""))),
            ("/portForward/ns/p/u-1", Route::PortForward(target(Some("u-1"), ""))),
            ("/checkpoint/ns/p/c", Route::Checkpoint(target(None, "c"))),
            ("/exec/ns/p", Route::Unknown),
            ("/exec/ns/p/u-1/c/d", Route::Unknown),
            ("/exec/ns//c", Route::Unknown),
            ("/portForward/ns", Route::Unknown),
            ("/portForward/ns/p/", Route::Unknown),
            ("/portforward/ns/p", Route::Unknown),
            ("/checkpoint/ns/p/u-1/c", Route::Unknown),
            ("exec/ns/p/c", Route::Unknown),
        ] {
            assert_eq!(Route::of(path), route, "{path}");
        }
    }

    #[test]
    fn the_other_paths_are_whole_ones() {
        for (path, route) in [
            ("/pods", Route::Pods),
            ("/pods/", Route::Pods),
            ("/runningpods/", Route::RunningPods),
            ("/runningpods", Route::RunningPods),
            ("/healthz", Route::Healthz),
            ("/stats/summary", Route::Summary),
            ("/metrics", Route::Metrics),
            ("/metrics/", Route::Metrics),
            ("/metrics/resource", Route::ResourceMetrics),
            ("/metrics/cadvisor", Route::CadvisorMetrics),
            ("/metrics/probes", Route::ProbeMetrics),
            ("/metrics/x", Route::Unknown),
            ("/stats", Route::Unknown),
            ("/podsx", Route::Unknown),
            ("/pods/a", Route::Unknown),
            ("/configz", Route::Configz),
            ("/", Route::Unknown),
            ("", Route::Unknown),
        ] {
            assert_eq!(Route::of(path), route, "{path}");
        }
    }

    #[test]
    fn each_path_has_the_kubelets_subresources() {
        for (path, expected) in [
            ("/containerLogs/ns/p/c", &["proxy"][..]),
            ("/exec/ns/p/c", &["proxy"]),
            ("/", &["proxy"]),
            ("*", &["proxy"]),
            ("/pods", &["pods", "proxy"]),
            ("/pods/", &["pods", "proxy"]),
            ("/podsx", &["proxy"]),
            ("/runningpods/", &["pods", "proxy"]),
            ("/healthz", &["healthz", "proxy"]),
            ("/healthz/ping", &["healthz", "proxy"]),
            ("/stats/summary", &["stats"]),
            ("/metrics", &["metrics"]),
            ("/metrics/resource", &["metrics"]),
            ("/metricsx", &["proxy"]),
            ("/logs/", &["log"]),
            ("/checkpoint/ns/p/c", &["checkpoint"]),
            ("/flagz", &["configz"]),
        ] {
            assert_eq!(subresources(path), expected, "{path}");
        }
    }

    #[test]
    fn each_method_has_the_kubelets_verb() {
        let verbs = ["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "BREW"]
            .map(|method| verb(&Method::from_bytes(method.as_bytes()).unwrap()));
        assert_eq!(verbs, ["get", "create", "update", "patch", "delete", "", ""]);
    }

    proptest! {
        #[test]
        fn a_container_is_never_had_for_less_than_proxy(
            path in "/?(containerLogs|exec|attach|run|portForward|metrics|stats|logs|pods|\\.\\.)(/[a-zL.%2F]{0,6}){0,5}"
        ) {
            match Route::of(&path) {
                Route::ContainerLogs(_) | Route::Exec(_) | Route::Attach(_) | Route::Run(_) | Route::PortForward(_) => {
                    prop_assert_eq!(subresources(&path), &["proxy"]);
                }
                _ => {}
            }
        }
    }
}
