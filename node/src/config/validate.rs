//! What types cannot say: names, addresses, and keys that only make sense together.

use std::collections::BTreeMap;

use towline_cluster::Scripts;
use towline_core::naming;
use towline_core::request::Token;
use towline_ssh::Target;

use super::choices::{Identity, Mistakes};
use super::model::{Cluster, Config, Images, Kubelet, Kubernetes};
use super::path::Place;
use super::problem::Problem;
use super::tree::Entry;
use super::validate_node::node;
use super::values::Duration;

/// Everything that is wrong with a configuration. `tree` knows where each value comes from.
pub fn validate(config: &Config, tree: &Entry) -> Vec<Problem> {
    let mut findings = Findings {
        tree,
        problems: Vec::new(),
    };
    if let Some(Err(error)) = config.target.as_deref().map(Target::parse) {
        findings.add(&"target".into(), error.to_string());
    }
    findings.expect(
        config.ssh.stream_connections > 0,
        &Place::from("ssh").key("streamConnections"),
        || "without a connection there are no logs and no sessions: at least 1".to_owned(),
    );
    cluster(&config.cluster, &mut findings);
    images(&config.images, &mut findings);
    kubernetes(&config.kubernetes, config.nodes.len(), &mut findings);
    kubelet(&config.kubelet, &mut findings);
    let mut names = BTreeMap::new();
    for (index, each) in config.nodes.iter().enumerate() {
        let place = Place::from("nodes").index(index);
        node(each, &place, &mut findings);
        if let Some(earlier) = names.insert(each.name.as_str(), place.clone()) {
            let message = format!(
                "{earlier} is called {:?} as well: each node needs a name of its own",
                each.name
            );
            findings.add(&place.key("name"), message);
        }
    }
    findings.problems
}

/// Collects what is wrong.
pub struct Findings<'a> {
    tree: &'a Entry,
    problems: Vec<Problem>,
}

impl Findings<'_> {
    /// Something is wrong at a place.
    pub fn add(&mut self, place: &Place, message: impl Into<String>) {
        self.problems.push(Problem {
            source: self.tree.source_of(place).clone(),
            place: place.clone(),
            message: message.into(),
        });
    }

    /// Something is wrong with keys below a place.
    pub fn all(&mut self, place: &Place, mistakes: Mistakes) {
        for (key, message) in mistakes {
            self.add(&place.key(key), message);
        }
    }

    /// Something is wrong at a place if `right` does not hold.
    pub fn expect(&mut self, right: bool, place: &Place, message: impl FnOnce() -> String) {
        if !right {
            self.add(place, message());
        }
    }

    /// A value that is given to the batch system.
    pub fn token(&mut self, place: &Place, value: Option<&str>) {
        if let Some(Err(error)) = value.map(|value| Token::new("the value", value)) {
            self.add(place, error);
        }
    }
}

fn cluster(cluster: &Cluster, findings: &mut Findings<'_>) {
    let place = Place::from("cluster");
    if let Err(error) = naming::agent(&cluster.agent) {
        findings.add(&place.key("agent"), error);
    }
    let root = &cluster.root;
    let usable = (root.starts_with('/') || root.starts_with("~/")) && !root.contains(char::is_control);
    findings.expect(usable, &place.key("root"), || {
        format!("{root:?} is no directory that can be found on the cluster: begin with / or ~/")
    });
    match Scripts::embedded().with_site(cluster.scripts.as_deref()) {
        Ok(scripts) => {
            if let Some(Err(error)) = cluster.batch().map(|name| scripts.expect_batch(name)) {
                findings.add(&place.key("batch"), error.to_string());
            }
            if let Some(Err(error)) = cluster.runtime().map(|name| scripts.expect_runtime(name)) {
                findings.add(&place.key("runtime"), error.to_string());
            }
        }
        Err(error) => findings.add(&place.key("scripts"), error.to_string()),
    }
    // Faster than that is nothing that the owner of a login node would want.
    for (key, interval, least) in [
        ("lookInterval", cluster.look_interval, Duration::seconds(1)),
        ("queueInterval", cluster.queue_interval, Duration::seconds(5)),
    ] {
        findings.expect(interval >= least, &place.key(key), || {
            format!("{interval} is too often for a login node that others use as well: at least {least}")
        });
    }
}

fn images(images: &Images, findings: &mut Findings<'_>) {
    let place = Place::from("images");
    let least = Duration::seconds(5);
    findings.expect(
        images.pull_progress_deadline >= least,
        &place.key("pullProgressDeadline"),
        || {
            format!(
                "{} is no time for a registry that has much to do: at least {least}",
                images.pull_progress_deadline
            )
        },
    );
    if let Some(reduced) = &images.reduced_size {
        let below = images.max_size.as_ref().is_some_and(|max| reduced.mib() <= max.mib());
        findings.expect(below, &place.key("reducedSize"), || {
            "it says what is left when there is more than maxSize: maxSize has to be at least as much".to_owned()
        });
    }
    for (index, rule) in images.rewrites.iter().enumerate() {
        let place = place.key("rewrites").index(index);
        let ends = [(place.key("from"), &rule.from), (place.key("to"), &rule.to)];
        let mirrors = rule.mirrors.iter().enumerate();
        let mirrors = mirrors.map(|(index, text)| (place.key("mirrors").index(index), text));
        for (place, text) in ends.into_iter().chain(mirrors) {
            let usable = !text.is_empty() && !text.contains(|c: char| c.is_control() || c.is_whitespace());
            findings.expect(usable, &place, || {
                format!("{text:?} is no beginning of an image reference: write for example docker.io/")
            });
        }
    }
    for (index, host) in images.plain_http.iter().enumerate() {
        let fits = |c: char| c.is_ascii_alphanumeric() || ".-:[]".contains(c);
        let usable = !host.is_empty() && host.chars().all(fits);
        findings.expect(usable, &place.key("plainHTTP").index(index), || {
            format!("{host:?} is no registry: write host or host:port, without http:// and without a path")
        });
    }
}

fn kubernetes(kubernetes: &Kubernetes, nodes: usize, findings: &mut Findings<'_>) {
    let place = Place::from("kubernetes");
    match kubernetes.identity() {
        Ok(Identity::Certificate { .. }) => findings.expect(nodes <= 1, &place.key("clientCertificate"), || {
            format!("it belongs to one node, and there are {nodes}: use kubernetes.bootstrapKubeconfig")
        }),
        Ok(_) => {}
        Err(mistakes) => findings.all(&place, mistakes),
    }
}

fn kubelet(kubelet: &Kubelet, findings: &mut Findings<'_>) {
    let place = Place::from("kubelet");
    if let Some(address) = kubelet.address {
        findings.expect(!address.is_unspecified(), &place.key("address"), || {
            unreachable_address(address)
        });
    }
    if let Err(mistakes) = kubelet.serving() {
        findings.all(&place, mistakes);
    }
}

/// Says that an address is one to listen on, not one to be reached at.
pub fn unreachable_address(address: std::net::IpAddr) -> String {
    format!("nobody can reach {address}: say the address at which the API server reaches this machine")
}
