//! What a path asks for, and what somebody must be allowed to do to ask for it.

use http::Method;

/// What is asked for. A path that is not served is [`Route::Unknown`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Route<'a> {
    /// `/containerLogs/NAMESPACE/POD/CONTAINER`
    ContainerLogs {
        /// The pod's namespace.
        namespace: &'a str,
        /// The pod's name.
        pod: &'a str,
        /// The container's name.
        container: &'a str,
    },
    /// `/pods`
    Pods,
    /// `/runningpods/`
    RunningPods,
    /// `/healthz`
    Healthz,
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
            "/healthz" => return Self::Healthz,
            _ => {}
        }
        let Some(names) = path.strip_prefix("/containerLogs/") else {
            return Self::Unknown;
        };
        match names.split('/').collect::<Vec<_>>()[..] {
            [namespace, pod, container] if ![namespace, pod, container].contains(&"") => Self::ContainerLogs {
                namespace,
                pod,
                container,
            },
            _ => Self::Unknown,
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
        let expected = Route::ContainerLogs {
            namespace: "ns",
            pod: "p.x",
            container: "c-1",
        };
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
    fn the_other_paths_are_whole_ones() {
        for (path, route) in [
            ("/pods", Route::Pods),
            ("/pods/", Route::Pods),
            ("/runningpods/", Route::RunningPods),
            ("/runningpods", Route::RunningPods),
            ("/healthz", Route::Healthz),
            ("/podsx", Route::Unknown),
            ("/pods/a", Route::Unknown),
            ("/exec/ns/p/c", Route::Unknown),
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
        fn a_log_is_never_had_for_less_than_proxy(path in "/?(containerLogs|metrics|stats|logs|pods|\\.\\.)(/[a-zL.%2F]{0,6}){0,5}") {
            if let Route::ContainerLogs { .. } = Route::of(&path) {
                prop_assert_eq!(subresources(&path), &["proxy"]);
            }
        }
    }
}
