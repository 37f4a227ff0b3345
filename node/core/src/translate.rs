//! From a pod to the directory that describes it on the cluster.
//!
//! Three outcomes: a [`Bundle`], a [`Fault::Rejected`] (the pod can never run here: phase Failed with the reason), or a
//! [`Fault::Incomplete`] (something it refers to is not there yet: `CreateContainerConfigError`, tried again).

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::core::v1::{
    ConfigMap, Container, PersistentVolume, PersistentVolumeClaim, Pod, PodSpec, Secret, Service, Volume,
};

use crate::bundle::{Bundle, Entry};
use crate::console;
use crate::content::Content;
use crate::environment::{self, expand};
use crate::fields;
use crate::job;
pub use crate::job::walltime;
use crate::life;
use crate::limits;
use crate::mounts;
use crate::naming::{self, PREFIX};
use crate::network;
use crate::places::{self, Place};
use crate::policy::Policy;
use crate::pulling;
use crate::security;
use crate::settings::{self, Asked};
use crate::volumes::{self, Token, TokenRequest};
use crate::words::{self, Unrepresentable};

/// Why a pod has no bundle.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// It cannot be honoured on this node, ever.
    Rejected(Rejection),
    /// Something it refers to is not there (yet).
    Incomplete {
        /// What is missing.
        message: String,
    },
}

/// A CamelCase reason and a sentence: becomes the status of the pod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejection {
    /// CamelCase.
    pub reason: String,
    /// For a person.
    pub message: String,
}

impl Fault {
    /// A rejection.
    pub fn rejected(reason: &str, message: impl Into<String>) -> Self {
        Self::Rejected(Rejection {
            reason: reason.to_owned(),
            message: message.into(),
        })
    }

    /// What it says, for a person.
    pub fn message(&self) -> &str {
        match self {
            Self::Rejected(rejection) => &rejection.message,
            Self::Incomplete { message } => message,
        }
    }

    /// Something is missing.
    pub fn incomplete(message: impl Into<String>) -> Self {
        Self::Incomplete {
            message: message.into(),
        }
    }
}

impl From<Unrepresentable> for Fault {
    fn from(error: Unrepresentable) -> Self {
        Self::rejected("Unrepresentable", error.to_string())
    }
}

/// What a pod refers to, as far as it exists.
#[derive(Debug, Clone, Default)]
pub struct References {
    /// ConfigMaps of the pod's namespace by name.
    pub config_maps: BTreeMap<String, ConfigMap>,
    /// Secrets of the pod's namespace by name.
    pub secrets: BTreeMap<String, Secret>,
    /// All services.
    pub services: Vec<Service>,
    /// Service account tokens.
    pub tokens: BTreeMap<TokenRequest, Token>,
    /// Claims of the pod's namespace by name.
    pub claims: BTreeMap<String, PersistentVolumeClaim>,
    /// The volumes that they are bound to, by name.
    pub persistent_volumes: BTreeMap<String, PersistentVolume>,
}

impl References {
    pub(crate) fn config_map(&self, name: &str, optional: Option<bool>) -> Result<Option<&ConfigMap>, Fault> {
        found(self.config_maps.get(name), "configmap", name, optional)
    }

    pub(crate) fn secret(&self, name: &str, optional: Option<bool>) -> Result<Option<&Secret>, Fault> {
        found(self.secrets.get(name), "secret", name, optional)
    }
}

fn found<'a, T>(value: Option<&'a T>, kind: &str, name: &str, optional: Option<bool>) -> Result<Option<&'a T>, Fault> {
    match value {
        None if !optional.unwrap_or(false) => Err(Fault::incomplete(format!("{kind} \"{name}\" not found"))),
        value => Ok(value),
    }
}

/// The names of the objects that a pod refers to; only these may be read under the Node authorizer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Needs {
    /// ConfigMaps.
    pub config_maps: BTreeSet<String>,
    /// Secrets.
    pub secrets: BTreeSet<String>,
    /// Secrets for registries, without which the pod may run as well.
    pub pull_secrets: BTreeSet<String>,
    /// Claims of persistent volumes.
    pub claims: BTreeSet<String>,
}

/// Which objects a pod refers to.
pub fn needs(pod: &Pod) -> Needs {
    let mut needs = Needs::default();
    let Some(spec) = &pod.spec else { return needs };
    needs.pull_secrets.extend(pulling::secrets(spec).map(str::to_owned));
    for container in containers(spec).map(|(_, container)| container) {
        for source in container.env_from.iter().flatten() {
            needs
                .config_maps
                .extend(source.config_map_ref.iter().map(|found| found.name.clone()));
            needs
                .secrets
                .extend(source.secret_ref.iter().map(|found| found.name.clone()));
        }
        for source in container
            .env
            .iter()
            .flatten()
            .filter_map(|variable| variable.value_from.as_ref())
        {
            needs
                .config_maps
                .extend(source.config_map_key_ref.iter().map(|key| key.name.clone()));
            needs
                .secrets
                .extend(source.secret_key_ref.iter().map(|key| key.name.clone()));
        }
    }
    for volume in spec.volumes.iter().flatten() {
        needs.claims.extend(places::claim(pod, volume));
        needs.add_volume(volume);
    }
    needs
}

impl Needs {
    /// Adds the objects that the files of a volume are made of.
    pub fn add_volume(&mut self, volume: &Volume) {
        self.config_maps
            .extend(volume.config_map.iter().map(|source| source.name.clone()));
        self.secrets
            .extend(volume.secret.iter().filter_map(|source| source.secret_name.clone()));
        let projected = volume.projected.iter();
        for source in projected.flat_map(|projected| projected.sources.iter().flatten()) {
            self.config_maps
                .extend(source.config_map.iter().map(|source| source.name.clone()));
            self.secrets
                .extend(source.secret.iter().map(|source| source.name.clone()));
        }
    }
}

/// One image rewrite rule: images whose reference starts with `from` get `to` in its place.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ImageRewrite {
    /// The beginning of a fully qualified reference, for example `docker.io/`.
    pub from: String,
    /// What replaces it, for example `registry.site.example/mirror/`.
    pub to: String,
    /// What replaces it where that gives no image, in this order.
    #[serde(default)]
    pub mirrors: Vec<String>,
}

/// What the site and the configuration say about every pod of a node.
#[derive(Debug, Clone)]
pub struct Site {
    /// The agent's name on the cluster.
    pub agent: String,
    /// Container runtime: a script of `remote-scripts/container/`.
    pub runtime: String,
    /// Partition of this node; `None` leaves it to the batch system.
    pub partition: Option<String>,
    /// Account that pays.
    pub account: Option<String>,
    /// Quality of service.
    pub qos: Option<String>,
    /// CPUs of a pod that asks for none.
    pub default_cpus: u64,
    /// Memory in MiB of a pod that asks for none.
    pub default_memory_mb: u64,
    /// Memory in MiB that a job gets beyond what its pod asks for: the supervisor, the container runtime and, while an image
    /// is prepared, its conversion count against the job.
    pub overhead_memory_mb: u64,
    /// Walltime in seconds of a pod that asks for none; `None` leaves it to the partition.
    pub default_walltime_s: Option<u64>,
    /// The partition's longest walltime, seconds.
    pub max_walltime_s: Option<u64>,
    /// Rewrite rules, the first that fits is used.
    pub image_rewrites: Vec<ImageRewrite>,
    /// Registries that are spoken to over plain HTTP, as compute nodes see them.
    pub plain_http: Vec<String>,
    /// How images are kept: `sandbox` (a directory) or `sif` (a file).
    pub image_format: String,
    /// A pull of which nothing comes for so many seconds is given up.
    pub pull_stall_s: u64,
    /// The kind of GPU to ask for by name.
    pub gpu_type: Option<String>,
    /// The resource by which pods ask for GPUs, beside `nvidia.com/gpu` and `amd.com/gpu`.
    pub gpu_resource: Option<String>,
    /// The batch system: a folder of `remote-scripts/batch/`.
    pub batch: String,
    /// The cluster's partitions and the longest walltime of each, seconds; empty if they are not known.
    pub partitions: BTreeMap<String, Option<u64>>,
    /// What the site lets pods ask for.
    pub policy: Policy,
}

impl Default for Site {
    fn default() -> Self {
        Self {
            agent: "run".to_owned(),
            runtime: "apptainer".to_owned(),
            partition: None,
            account: None,
            qos: None,
            default_cpus: 1,
            default_memory_mb: 1024,
            overhead_memory_mb: overhead_memory_mb("apptainer"),
            default_walltime_s: None,
            max_walltime_s: None,
            image_rewrites: Vec::new(),
            plain_http: Vec::new(),
            image_format: "sandbox".to_owned(),
            pull_stall_s: PULL_STALL_S,
            gpu_type: None,
            gpu_resource: None,
            batch: "slurm".to_owned(),
            partitions: BTreeMap::new(),
            policy: Policy::default(),
        }
    }
}

/// The container runtime where none is asked for: on a cluster, compute nodes may have what the login node lacks.
pub fn default_runtime(batch: &str, apptainer_is_here: bool) -> &'static str {
    if apptainer_is_here || batch != "host" {
        "apptainer"
    } else {
        "none"
    }
}

/// Memory in MiB that a job needs beside its pod: for the supervisor alone, or with a container runtime that may have to
/// convert an image.
pub fn overhead_memory_mb(runtime: &str) -> u64 {
    if runtime == "none" { 32 } else { 256 }
}

/// Seconds of grace that a pod has when it says nothing.
pub const DEFAULT_GRACE_S: i64 = 30;
/// A pull of which nothing comes for so many seconds is given up, unless the site says otherwise.
pub const PULL_STALL_S: u64 = 120;

/// Translates a pod.
///
/// # Errors
/// A [`Fault`]; see the module's head.
pub fn translate(pod: &Pod, references: &References, site: &Site) -> Result<Bundle, Fault> {
    fields::decide(pod)?;
    let uid = pod.metadata.uid.clone().unwrap_or_default();
    if !naming::valid_uid(&uid) {
        return Err(Fault::rejected(
            "InvalidPod",
            format!("the pod's UID {uid:?} cannot be a directory's name"),
        ));
    }
    let spec = pod
        .spec
        .as_ref()
        .ok_or_else(|| Fault::rejected("InvalidPod", "the pod has no spec"))?;
    let mut bundle = Bundle {
        uid: uid.clone(),
        namespace: pod.metadata.namespace.clone().unwrap_or_else(|| "default".to_owned()),
        name: pod.metadata.name.clone().unwrap_or_default(),
        ..Bundle::default()
    };
    let asked = settings::asked(pod, &site.policy, &site.batch)?;
    let job = job::of(pod, spec, &asked, site)?;
    bundle.file("request", job.request.encode()?);
    if !job.flags.is_empty() {
        bundle.file("flags", words::encode(job.flags)?);
    }
    bundle.file("pod", pod_pairs(&bundle, spec, site)?);
    let names = network::add(&mut bundle, spec)?;
    bundle.directory("containers", 0o700);
    bundle.directory("volumes", 0o700);
    let found = places_of(pod, spec, references, site)?;
    let shown = job::shown(pod, site)?;
    let mut content = Content::default();
    for volume in spec.volumes.iter().flatten() {
        if !found.contains_key(&volume.name)
            && let Some(digest) = volumes::add(&mut bundle, &shown, volume, references)?
        {
            content.volumes.insert(volume.name.clone(), digest);
        }
    }
    content.add(&mut bundle, references);
    limits::add(&mut bundle, spec)?;
    let whole = Whole {
        pod: &shown,
        spec,
        references,
        site,
        asked,
        ranks: job.ranks,
        target: None,
        names,
        places: found,
    };
    for (n, (init, container)) in containers(spec).enumerate() {
        whole.add_container(&mut bundle, n, kind(init, container), container)?;
    }
    Ok(bundle)
}

/// The volumes that are somewhere on the cluster already, and where.
fn places_of(
    pod: &Pod,
    spec: &PodSpec,
    references: &References,
    site: &Site,
) -> Result<BTreeMap<String, Place>, Fault> {
    let mut found = BTreeMap::new();
    for volume in spec.volumes.iter().flatten() {
        if let Some(place) = places::of(pod, volume, references, &site.policy)? {
            found.insert(volume.name.clone(), place);
        }
    }
    Ok(found)
}

/// The files of a container that is added to a pod as its `n`-th; `pod` is the pod with that container alone. `target`: the
/// container whose processes it is to see.
pub(crate) fn added(
    pod: &Pod,
    n: usize,
    target: Option<&str>,
    references: &References,
    site: &Site,
) -> Result<BTreeMap<String, Entry>, Fault> {
    fields::decide(pod)?;
    let Some(spec) = &pod.spec else {
        return Err(Fault::rejected("InvalidPod", "the pod has no spec"));
    };
    let mut bundle = Bundle {
        namespace: pod.metadata.namespace.clone().unwrap_or_else(|| "default".to_owned()),
        name: pod.metadata.name.clone().unwrap_or_default(),
        ..Bundle::default()
    };
    let whole = Whole {
        pod,
        spec,
        references,
        site,
        asked: settings::asked(pod, &site.policy, &site.batch)?,
        ranks: None,
        target,
        names: network::add(&mut bundle, spec)?,
        places: places_of(pod, spec, references, site)?,
    };
    for container in &spec.containers {
        whole.add_container(&mut bundle, n, "ephemeral", container)?;
    }
    // What else belongs to a pod is there.
    let parts = ["containers/", "auth/"];
    bundle
        .entries
        .retain(|path, _| parts.iter().any(|part| path.starts_with(part)));
    Ok(bundle.entries)
}

/// What each container of a pod is translated with.
struct Whole<'a> {
    pod: &'a Pod,
    spec: &'a PodSpec,
    references: &'a References,
    site: &'a Site,
    asked: Asked,
    /// How often the main container, the first of `containers`, is started by the batch system.
    ranks: Option<u64>,
    /// The container whose processes the one that is added is to see.
    target: Option<&'a str>,
    names: Vec<network::NameFile>,
    places: BTreeMap<String, Place>,
}

/// The containers in the order in which they start, with whether each is an init container.
pub fn containers(spec: &PodSpec) -> impl Iterator<Item = (bool, &Container)> {
    let init = spec.init_containers.iter().flatten().map(|container| (true, container));
    init.chain(spec.containers.iter().map(|container| (false, container)))
}

fn pod_pairs(bundle: &Bundle, spec: &PodSpec, site: &Site) -> Result<Vec<u8>, Fault> {
    let hostname = network::hostname(spec, &bundle.name, &bundle.namespace, &site.policy.cluster_domain)?;
    let deadline = spec
        .active_deadline_seconds
        .map_or_else(|| "-".to_owned(), |seconds| seconds.to_string());
    let mut pairs = vec![
        ("format", "1".to_owned()),
        ("uid", bundle.uid.clone()),
        ("namespace", bundle.namespace.clone()),
        ("name", bundle.name.clone()),
        (
            "restart_policy",
            spec.restart_policy.clone().unwrap_or_else(|| "Always".to_owned()),
        ),
        (
            "grace_s",
            spec.termination_grace_period_seconds
                .unwrap_or(DEFAULT_GRACE_S)
                .max(0)
                .to_string(),
        ),
        ("deadline_s", deadline),
        ("runtime", runtime(spec, site)?.to_owned()),
        ("hostname", hostname),
        ("plain_http", site.plain_http.join(",")),
        ("image_format", site.image_format.clone()),
        ("pull_stall_s", site.pull_stall_s.to_string()),
    ];
    if spec.share_process_namespace == Some(true) {
        pairs.push(("share_processes", "1".to_owned()));
    }
    Ok(words::pairs(pairs)?)
}

/// The container runtime: the node's, or that of the pod's RuntimeClass.
fn runtime<'a>(spec: &PodSpec, site: &'a Site) -> Result<&'a str, Fault> {
    let Some(class) = spec.runtime_class_name.as_ref().filter(|name| !name.is_empty()) else {
        return Ok(&site.runtime);
    };
    site.policy
        .runtime_classes
        .get(class)
        .map(String::as_str)
        .ok_or_else(|| {
            Fault::rejected(
                "UnsupportedRuntimeClass",
                format!("this node has no container runtime for the RuntimeClass {class} (policy.runtimeClasses)"),
            )
        })
}

impl Whole<'_> {
    /// The container that is meant where a pod says how its job is to be: the first that is no init container.
    fn is_main(&self, container: &Container) -> bool {
        self.spec
            .containers
            .first()
            .is_some_and(|first| std::ptr::eq(first, container))
    }

    fn add_container(&self, bundle: &mut Bundle, n: usize, kind: &str, container: &Container) -> Result<(), Fault> {
        let (spec, site) = (self.spec, self.site);
        let init = matches!(kind, "init" | "sidecar");
        let base = format!("containers/{n:02}-{}", container.name);
        bundle.directory(base.clone(), 0o700);
        let image = container.image.as_deref().unwrap_or_default();
        let runtime = runtime(spec, site)?;
        let security = container.security_context.as_ref();
        let read_only = security.and_then(|context| context.read_only_root_filesystem) == Some(true);
        let (full, mirrors) = image_of(image, self.asked.image_root.as_deref(), site)?;
        pulling::add(bundle, spec, self.references, &container.name, (&full, &mirrors))?;
        let mut pairs = vec![
            ("name", container.name.clone()),
            ("kind", kind.to_owned()),
            ("image", full),
            ("pull", pull_policy(container, image).to_owned()),
            ("workdir", container.working_dir.clone().unwrap_or_default()),
            ("read_only", if read_only { "1" } else { "0" }.to_owned()),
        ];
        let user = security::user(spec, container, site.policy.users, runtime)?;
        if user != "root" {
            let group = security::group(spec, container).filter(|_| user != "account");
            pairs.push(("user", user));
            pairs.extend(group.map(|group| ("group", group.to_string())));
        } else if let Some(kept) = security::capabilities(container)? {
            pairs.push(("capabilities", kept));
        }
        pairs.extend(console::pairs(container));
        let ranks = self.ranks.filter(|_| self.is_main(container));
        if let Some(ranks) = ranks {
            if container.stdin == Some(true) || container.tty == Some(true) {
                return Err(Fault::rejected(
                    "UnsupportedField",
                    format!(
                        "container {}: ranks have no standard input and no terminal",
                        container.name
                    ),
                ));
            }
            pairs.push(("ranks", ranks.to_string()));
        }
        if let Some(target) = self.target.filter(|name| !name.is_empty()) {
            pairs.push(("target", target.to_owned()));
        }
        if environment::hides(container, self.references) {
            pairs.push(("hidden", "1".to_owned()));
        }
        pairs.extend(life::pairs(init, container)?);
        bundle.file(format!("{base}/container"), words::pairs(pairs)?);
        if !mirrors.is_empty() {
            bundle.file(format!("{base}/mirrors"), words::encode(mirrors)?);
        }
        life::add(bundle, &base, container)?;

        let mut variables = environment::of(self.pod, container, self.references)?;
        console::add_variables(container, &mut variables);
        if ranks.is_some() {
            // (What the pod itself says of a variable is stronger.)
            let known: BTreeSet<String> = variables.iter().map(|(name, _)| name.clone()).collect();
            let more = self.asked.variables.iter();
            variables.extend(more.filter(|(name, _)| !known.contains(name)).cloned());
        }
        let known: BTreeMap<String, String> = variables.iter().cloned().collect();
        let expanded = |list: &Option<Vec<String>>| -> Option<Vec<String>> {
            let list = list.as_ref().filter(|list| !list.is_empty())?;
            Some(list.iter().map(|word| expand(word, &known)).collect())
        };
        if let Some(command) = expanded(&container.command) {
            bundle.file(format!("{base}/command"), words::encode(command)?);
        } else if runtime == "none" {
            return Err(Fault::rejected(
                "NoCommand",
                format!(
                    "container {} has no command: without a container runtime there is no image to take it from",
                    container.name
                ),
            ));
        }
        if let Some(args) = expanded(&container.args) {
            bundle.file(format!("{base}/args"), words::encode(args)?);
        }
        bundle.file(
            format!("{base}/env"),
            words::encode(variables.iter().map(|(name, value)| format!("{name}={value}")))?,
        );
        let mut all = Vec::new();
        for mount in container.volume_mounts.iter().flatten() {
            all.push(mounts::of(spec, container, mount, &self.places, &known)?);
        }
        for bind in &self.asked.binds {
            all.push(mounts::of_bind(bind, &site.policy)?);
        }
        all.extend(mounts::of_termination_message(container)?);
        all.extend(network::mounts_of(&self.names, &container.name, &all));
        bundle.file(format!("{base}/mounts"), words::encode(all.into_iter().flatten())?);
        let address = environment::address(self.pod);
        if bundle.names(&base, &address) {
            bundle.file(format!("{base}/address"), format!("{address}\n"));
        }
        Ok(())
    }
}

fn kind(init: bool, container: &Container) -> &'static str {
    match (init, life::is_sidecar(init, container)) {
        (_, true) => "sidecar",
        (true, false) => "init",
        (false, false) => "main",
    }
}

/// `imagePullPolicy`, with the default that the API server would have set.
fn pull_policy<'a>(container: &'a Container, image: &str) -> &'a str {
    container.image_pull_policy.as_deref().unwrap_or_else(|| {
        let last = image.rsplit('/').next().unwrap_or_default();
        let latest = !image.contains('@') && last.rsplit_once(':').is_none_or(|(_, tag)| tag == "latest");
        if latest { "Always" } else { "IfNotPresent" }
    })
}

/// Qualifies an image reference as Docker does and applies the first rewrite rule that fits: where the image is, and where
/// else it may be.
pub fn rewrite(image: &str, site: &Site) -> (String, Vec<String>) {
    let qualified = qualify(image);
    let found = site.image_rewrites.iter().find_map(|rule| {
        let rest = qualified.strip_prefix(&rule.from)?;
        let mirrors = rule.mirrors.iter().map(|mirror| format!("{mirror}{rest}"));
        Some((format!("{}{rest}", rule.to), mirrors.collect()))
    });
    found.unwrap_or((qualified, Vec::new()))
}

/// An image as the cluster is asked for it, and its mirrors. `root` stands before the names of those that do not say where
/// they are.
fn image_of(image: &str, root: Option<&str>, site: &Site) -> Result<(String, Vec<String>), Fault> {
    match (image.split_once("://"), root) {
        (Some(("docker", name)), _) => Ok(rewrite(name, site)),
        (Some((scheme, _)), _) => Err(Fault::rejected(
            "InvalidImageName",
            format!("{image:?}: images are taken from registries and from paths, not from {scheme}://"),
        )),
        (None, Some(root)) if !image.starts_with('/') => Ok(rewrite(&format!("{root}{image}"), site)),
        (None, _) => Ok(rewrite(image, site)),
    }
}

fn qualify(image: &str) -> String {
    if image.is_empty() || image.starts_with('/') {
        return image.to_owned();
    }
    match image.split_once('/') {
        Some((host, _)) if host.contains(['.', ':']) || host == "localhost" => image.to_owned(),
        Some(_) => format!("docker.io/{image}"),
        None => format!("docker.io/library/{image}"),
    }
}

/// The annotation that asks for a walltime: seconds, or `[days-]hours:minutes:seconds` as Slurm writes it.
pub fn walltime_annotation() -> String {
    format!("{PREFIX}/walltime")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::{Value, json};

    fn pod(spec: Value) -> Pod {
        serde_json::from_value(json!({
            "metadata": {"name": "p", "namespace": "n", "uid": "6f0c9a2e-1f7e-4c55-9f1d-0d8a6a3f3f10"}, "spec": spec
        }))
        .unwrap()
    }

    fn file(bundle: &Bundle, path: &str) -> String {
        let Some(Entry::File(_, content)) = bundle.entries.get(path) else {
            panic!("no file {path} in {bundle:?}")
        };
        String::from_utf8(content.clone()).unwrap()
    }

    fn reason(result: Result<Bundle, Fault>) -> String {
        match result {
            Err(Fault::Rejected(rejection)) => rejection.reason,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn an_address_that_nobody_knows_yet_is_put_in_where_it_is_known() {
        let pod = pod(json!({"containers": [
            {"name": "a", "image": "i", "args": ["--listen=$(IP):80"],
             "env": [{"name": "IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}}]},
            {"name": "b", "image": "i"},
        ]}));
        let bundle = translate(&pod, &References::default(), &Site::default()).unwrap();
        let address = environment::address(&pod);
        assert_eq!(file(&bundle, "containers/00-a/address"), format!("{address}\n"));
        assert_eq!(
            file(&bundle, "containers/00-a/args"),
            format!("=--listen={address}:80\n")
        );
        assert!(file(&bundle, "containers/00-a/env").contains(&format!("=IP={address}\n")));
        assert!(!bundle.entries.contains_key("containers/01-b/address"));
    }

    #[test]
    fn a_pod_becomes_files() {
        let pod = pod(json!({
            "restartPolicy": "OnFailure",
            "initContainers": [{"name": "first", "image": "busybox", "command": ["true"], "resources": {"requests": {"cpu": "3"}}}],
            "containers": [{
                "name": "main", "image": "registry:5000/x/y:1", "command": ["sh", "-c"], "args": ["echo $(A)\n$$(A)"],
                "env": [{"name": "A", "value": "1"}], "workingDir": "/w",
                "volumeMounts": [{"name": "scratch", "mountPath": "/s/"}],
                "resources": {"limits": {"cpu": "1500m", "memory": "1Gi", "nvidia.com/gpu": "2"}}
            }],
            "volumes": [{"name": "scratch", "emptyDir": {}}]
        }));
        let bundle = translate(&pod, &References::default(), &Site::default()).unwrap();
        assert_eq!(file(&bundle, "containers/01-main/args"), "=echo 1\n+$(A)\n");
        assert_eq!(
            file(&bundle, "containers/01-main/mounts"),
            "=volumes/scratch\n=/s\n=rw\n"
        );
        assert!(
            file(&bundle, "containers/00-first/container").contains("image=docker.io/library/busybox\npull=Always\n")
        );
        let request = file(&bundle, "request");
        for line in ["cpus=3\n", "memory_mb=1280\n", "gpus=2\n"] {
            assert!(request.contains(line), "{line} in {request}");
        }
        assert!(file(&bundle, "pod").contains("restart_policy=OnFailure\n"));
        assert!(!file(&bundle, "pod").contains("share_processes"));
    }

    #[test]
    fn a_pod_says_whether_its_containers_share_their_processes() {
        for (shared, expected) in [(json!(true), true), (json!(false), false), (json!(null), false)] {
            let spec = json!({"shareProcessNamespace": shared, "containers": [{"name": "c", "image": "i"}]});
            let bundle = translate(&pod(spec), &References::default(), &Site::default()).unwrap();
            assert_eq!(
                file(&bundle, "pod").lines().any(|line| line == "share_processes=1"),
                expected
            );
        }
    }

    #[test]
    fn what_is_missing_is_waited_for_and_what_is_optional_is_not() {
        let with = |optional: bool| {
            pod(json!({"containers": [{"name": "c", "image": "i", "env": [
                {"name": "S", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k", "optional": optional}}}]}]}))
        };
        let missing = translate(&with(false), &References::default(), &Site::default());
        assert_eq!(missing, Err(Fault::incomplete("secret \"s\" not found")));
        let bundle = translate(&with(true), &References::default(), &Site::default()).unwrap();
        assert_eq!(file(&bundle, "containers/00-c/env"), "");
    }

    #[test]
    fn what_cannot_be_honoured_is_refused() {
        let one = |container: Value| {
            translate(
                &pod(json!({"containers": [container]})),
                &References::default(),
                &Site::default(),
            )
        };
        assert_eq!(
            reason(one(
                json!({"name": "c", "image": "i", "securityContext": {"privileged": true}})
            )),
            "UnsupportedField"
        );
        assert_eq!(
            reason(one(json!({"name": "c", "image": "i", "args": ["a\0b"]}))),
            "Unrepresentable"
        );
        assert_eq!(reason(one(json!({"name": "c", "image": "i\nj"}))), "Unrepresentable");
        let mounted = |mount: Value| {
            let volumes = json!([{"name": "v", "emptyDir": {}}]);
            let spec =
                json!({"volumes": volumes, "containers": [{"name": "c", "image": "i", "volumeMounts": [mount]}]});
            reason(translate(&pod(spec), &References::default(), &Site::default()))
        };
        assert_eq!(
            mounted(json!({"name": "v", "mountPath": "/a/../b"})),
            "UnsupportedMount"
        );
        assert_eq!(mounted(json!({"name": "v", "mountPath": "/"})), "UnsupportedMount");
        assert_eq!(mounted(json!({"name": "w", "mountPath": "/w"})), "UnsupportedMount");
    }

    #[test]
    fn the_first_container_has_the_ranks() {
        let mut pod = pod(json!({
            "initContainers": [{"name": "i", "image": "i"}],
            "containers": [{"name": "a", "image": "i", "env": [{"name": "OMPI_MCA_btl", "value": "self"}]}, {"name": "b", "image": "i"}]
        }));
        let annotations = [
            ("towline.dev/nodes", "2"),
            ("slurm-job.vk.io/mpi-flags", "--mca btl tcp --mca pml ob1"),
        ];
        let annotations = annotations.map(|(key, value)| (key.to_owned(), value.to_owned()));
        pod.metadata.annotations = Some(annotations.into());
        let bundle = translate(&pod, &References::default(), &Site::default()).unwrap();
        assert!(file(&bundle, "containers/01-a/container").contains("ranks=2\n"));
        assert_eq!(
            file(&bundle, "containers/01-a/env")
                .lines()
                .filter(|line| line.contains("MCA"))
                .collect::<Vec<_>>(),
            ["=OMPI_MCA_btl=self", "=OMPI_MCA_pml=ob1"]
        );
        for other in ["00-i", "02-b"] {
            assert!(!file(&bundle, &format!("containers/{other}/container")).contains("ranks="));
            assert!(!file(&bundle, &format!("containers/{other}/env")).contains("MCA"));
        }
        pod.spec.as_mut().unwrap().containers[0].tty = Some(true);
        assert_eq!(
            reason(translate(&pod, &References::default(), &Site::default())),
            "UnsupportedField"
        );
    }

    #[test]
    fn images_are_qualified_and_rewritten() {
        let rule = ImageRewrite {
            from: "docker.io/library/".into(),
            to: "registry:5000/".into(),
            mirrors: vec!["/cvmfs/".into(), "docker.io/library/".into()],
        };
        let site = Site {
            image_rewrites: vec![rule],
            ..Site::default()
        };
        let (first, mirrors) = rewrite("busybox:1", &site);
        assert_eq!(first, "registry:5000/busybox:1");
        assert_eq!(mirrors, ["/cvmfs/busybox:1", "docker.io/library/busybox:1"]);
        let plain = |image: &str| (image.to_owned(), Vec::new());
        assert_eq!(rewrite("a/b", &site), plain("docker.io/a/b"));
        assert_eq!(rewrite("quay.io/a/b@sha256:0", &site), plain("quay.io/a/b@sha256:0"));
        assert_eq!(rewrite("/cvmfs/x.sif", &site), plain("/cvmfs/x.sif"));
        let of = |image: &str, root: Option<&str>| image_of(image, root, &site).map(|(first, _)| first);
        assert_eq!(of("docker://busybox:1", None).unwrap(), "registry:5000/busybox:1");
        assert_eq!(of("x.sif", Some("/cvmfs/")).unwrap(), "/cvmfs/x.sif");
        assert_eq!(of("a:1", Some("quay.io/b/")).unwrap(), "quay.io/b/a:1");
        assert!(of("oras://quay.io/a", None).is_err());
    }

    proptest! {
        #[test]
        fn every_argument_arrives_unchanged(args in proptest::collection::vec("[^$\0]*", 1..6)) {
            let pod = pod(json!({"containers": [{"name": "c", "image": "i", "command": args.clone()}]}));
            let bundle = translate(&pod, &References::default(), &Site::default()).unwrap();
            let text = file(&bundle, "containers/00-c/command");
            prop_assert_eq!(words::decode(text.as_bytes()), Some(args));
        }

        #[test]
        fn annotations_never_reach_the_request_unchecked(value in "\\PC{1,20}") {
            let mut pod = pod(json!({"containers": [{"name": "c", "image": "i", "command": ["x"]}]}));
            pod.metadata.annotations = Some(BTreeMap::from([(format!("{PREFIX}/partition"), value.clone())]));
            match translate(&pod, &References::default(), &Site::default()) {
                Ok(bundle) => {
                    let wanted = format!("partition={value}");
                    prop_assert!(file(&bundle, "request").lines().any(|line| line == wanted));
                }
                Err(Fault::Rejected(rejection)) => prop_assert_eq!(rejection.reason, "InvalidRequest"),
                Err(other) => prop_assert!(false, "{:?}", other),
            }
        }
    }
}
