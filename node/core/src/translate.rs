//! From a pod to the directory that describes it on the cluster.
//!
//! Three outcomes: a [`Bundle`], a [`Fault::Rejected`] (the pod can never run here: phase Failed with the reason), or a
//! [`Fault::Incomplete`] (something it refers to is not there yet: `CreateContainerConfigError`, tried again).

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::core::v1::{ConfigMap, Container, Pod, PodSpec, Secret, Service, VolumeMount};

use crate::bundle::Bundle;
use crate::environment::{self, expand};
use crate::fields;
use crate::naming::{self, PREFIX};
use crate::quantity;
use crate::request::{Request, Token};
use crate::volumes::{self, TokenRequest};
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
    pub tokens: BTreeMap<TokenRequest, String>,
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
}

/// Which objects a pod refers to.
pub fn needs(pod: &Pod) -> Needs {
    let mut needs = Needs::default();
    let Some(spec) = &pod.spec else { return needs };
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
        needs
            .config_maps
            .extend(volume.config_map.iter().map(|source| source.name.clone()));
        needs
            .secrets
            .extend(volume.secret.iter().filter_map(|source| source.secret_name.clone()));
        for source in volume
            .projected
            .iter()
            .flat_map(|projected| projected.sources.iter().flatten())
        {
            needs
                .config_maps
                .extend(source.config_map.iter().map(|source| source.name.clone()));
            needs
                .secrets
                .extend(source.secret.iter().map(|source| source.name.clone()));
        }
    }
    needs
}

/// One image rewrite rule: images whose reference starts with `from` get `to` in its place.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ImageRewrite {
    /// The beginning of a fully qualified reference, for example `docker.io/`.
    pub from: String,
    /// What replaces it, for example `registry.site.example/mirror/`.
    pub to: String,
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
    /// The kind of GPU to ask for by name.
    pub gpu_type: Option<String>,
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
            gpu_type: None,
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
    let request = request(pod, spec, site)?;
    bundle.file("request", request.encode()?);
    bundle.file("pod", pod_pairs(&bundle, spec, site)?);
    bundle.directory("containers", 0o700);
    bundle.directory("volumes", 0o700);
    for volume in spec.volumes.iter().flatten() {
        volumes::add(&mut bundle, pod, volume, references)?;
    }
    for (n, (init, container)) in containers(spec).enumerate() {
        add_container(&mut bundle, pod, spec, n, init, container, references, site)?;
    }
    Ok(bundle)
}

/// The containers in the order in which they start, with whether each is an init container.
pub fn containers(spec: &PodSpec) -> impl Iterator<Item = (bool, &Container)> {
    let init = spec.init_containers.iter().flatten().map(|container| (true, container));
    init.chain(spec.containers.iter().map(|container| (false, container)))
}

fn pod_pairs(bundle: &Bundle, spec: &PodSpec, site: &Site) -> Result<Vec<u8>, Fault> {
    let hostname = spec
        .hostname
        .clone()
        .unwrap_or_else(|| bundle.name.chars().take(63).collect());
    let deadline = spec
        .active_deadline_seconds
        .map_or_else(|| "-".to_owned(), |seconds| seconds.to_string());
    Ok(words::pairs([
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
        ("runtime", site.runtime.clone()),
        ("hostname", hostname.trim_end_matches(['-', '.']).to_owned()),
        ("plain_http", site.plain_http.join(",")),
        ("image_format", site.image_format.clone()),
    ])?)
}

#[expect(clippy::too_many_arguments, reason = "one call, and each is needed")]
fn add_container(
    bundle: &mut Bundle,
    pod: &Pod,
    spec: &PodSpec,
    n: usize,
    init: bool,
    container: &Container,
    references: &References,
    site: &Site,
) -> Result<(), Fault> {
    let base = format!("containers/{n:02}-{}", container.name);
    bundle.directory(base.clone(), 0o700);
    let image = container.image.as_deref().unwrap_or_default();
    let workdir = container.working_dir.as_deref().unwrap_or_default();
    let security = container.security_context.as_ref();
    let read_only = security
        .and_then(|context| context.read_only_root_filesystem)
        .unwrap_or(false);
    let pairs = words::pairs([
        ("name", container.name.as_str()),
        ("kind", if init { "init" } else { "main" }),
        ("image", &rewrite(image, site)),
        ("pull", pull_policy(container, image)),
        ("workdir", workdir),
        ("read_only", if read_only { "1" } else { "0" }),
    ])?;
    bundle.file(format!("{base}/container"), pairs);

    let variables = environment::of(pod, container, references)?;
    let known: BTreeMap<String, String> = variables.iter().cloned().collect();
    let expanded = |list: &Option<Vec<String>>| -> Option<Vec<String>> {
        let list = list.as_ref().filter(|list| !list.is_empty())?;
        Some(list.iter().map(|word| expand(word, &known)).collect())
    };
    if let Some(command) = expanded(&container.command) {
        bundle.file(format!("{base}/command"), words::encode(command)?);
    } else if site.runtime == "none" {
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
    let mut mounts = Vec::new();
    for mount in container.volume_mounts.iter().flatten() {
        mounts.extend(mount_words(spec, container, mount)?);
    }
    bundle.file(format!("{base}/mounts"), words::encode(mounts)?);
    Ok(())
}

fn mount_words(spec: &PodSpec, container: &Container, mount: &VolumeMount) -> Result<[String; 3], Fault> {
    let refuse = |why: &str| {
        Fault::rejected(
            "UnsupportedMount",
            format!("container {}: mount {}: {why}", container.name, mount.mount_path),
        )
    };
    let volume = spec.volumes.iter().flatten().find(|volume| volume.name == mount.name);
    let volume = volume.ok_or_else(|| refuse(&format!("the pod has no volume {}", mount.name)))?;
    let target = mount.mount_path.trim_end_matches('/');
    let parts = || target.split('/').skip(1);
    if !target.starts_with('/') || parts().any(|part| matches!(part, "." | "..")) {
        return Err(refuse("the path must be absolute, below / and without `..`"));
    }
    if target.contains(['\n', '\0', ':', ',', '\\', '"']) {
        return Err(refuse(
            "the path has a character that container runtimes cannot take in a mount (: , \\ \" or a line break)",
        ));
    }
    let mut source = format!("volumes/{}", volume.name);
    if let Some(sub) = mount.sub_path.as_deref().filter(|sub| !sub.is_empty()) {
        // Only into volumes whose content Towline wrote: elsewhere a container could plant a link that leads out.
        if volume.empty_dir.is_some() {
            return Err(refuse("subPath in an emptyDir is not supported"));
        }
        if sub.starts_with('/') || sub.split('/').any(|part| matches!(part, "" | "." | "..")) {
            return Err(refuse("the subPath must be relative and without `..`"));
        }
        source = format!("{source}/..data/{sub}");
    }
    // What comes from the API is read-only, as on a kubelet.
    let read_only = mount.read_only.unwrap_or(false) || volume.empty_dir.is_none();
    Ok([
        source,
        target.to_owned(),
        if read_only { "ro" } else { "rw" }.to_owned(),
    ])
}

/// `imagePullPolicy`, with the default that the API server would have set.
fn pull_policy<'a>(container: &'a Container, image: &str) -> &'a str {
    container.image_pull_policy.as_deref().unwrap_or_else(|| {
        let last = image.rsplit('/').next().unwrap_or_default();
        let latest = !image.contains('@') && last.rsplit_once(':').is_none_or(|(_, tag)| tag == "latest");
        if latest { "Always" } else { "IfNotPresent" }
    })
}

/// Qualifies an image reference as Docker does and applies the first rewrite rule that fits.
pub fn rewrite(image: &str, site: &Site) -> String {
    let qualified = qualify(image);
    site.image_rewrites
        .iter()
        .find_map(|rule| {
            qualified
                .strip_prefix(&rule.from)
                .map(|rest| format!("{}{rest}", rule.to))
        })
        .unwrap_or(qualified)
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

fn request(pod: &Pod, spec: &PodSpec, site: &Site) -> Result<Request, Fault> {
    let annotation = |name: &str| {
        pod.metadata
            .annotations
            .as_ref()
            .and_then(|all| all.get(&format!("{PREFIX}/{name}")))
    };
    let token = |what: &'static str, own: Option<&String>, site: &Option<String>| {
        let text = own.or(site.as_ref());
        text.map(|text| Token::new(what, text))
            .transpose()
            .map_err(|why| Fault::rejected("InvalidRequest", why))
    };
    let cpus = sum(spec, "cpu", quantity::milli)?.map_or(site.default_cpus, |milli| milli.div_ceil(1000));
    let memory = sum(spec, "memory", quantity::units)?.map_or(site.default_memory_mb, |bytes| bytes.div_ceil(1 << 20));
    let mut gpus = 0;
    for name in ["nvidia.com/gpu", "amd.com/gpu"] {
        gpus += sum(spec, name, quantity::units)?.unwrap_or(0);
    }
    let grace = u64::try_from(spec.termination_grace_period_seconds.unwrap_or(DEFAULT_GRACE_S)).unwrap_or(0);
    let asked = match annotation("walltime") {
        Some(text) => Some(walltime(text).ok_or_else(|| {
            Fault::rejected(
                "InvalidRequest",
                format!("{text:?} is not a walltime: write seconds or [days-]hours:minutes:seconds"),
            )
        })?),
        // The job has to outlive its pod's deadline by the time that an orderly end takes.
        None => spec
            .active_deadline_seconds
            .and_then(|s| u64::try_from(s).ok())
            .map(|seconds| seconds + grace + 60),
    };
    if let (Some(text), Some(asked), Some(longest)) = (annotation("walltime"), asked, site.max_walltime_s)
        && asked > longest
    {
        return Err(Fault::rejected(
            "WalltimeLimit",
            format!("the pod asks for a walltime of {text} ({asked} s), its partition allows {longest} s"),
        ));
    }
    let walltime_s = asked
        .or(site.default_walltime_s)
        .map(|asked| asked.min(site.max_walltime_s.unwrap_or(u64::MAX)));
    // A warning that comes as long before the end as the pod's grace lasts, but never in the first half of a short job.
    let signal_s = (grace + 30)
        .min(walltime_s.map_or(u64::MAX, |walltime| walltime / 2))
        .min(65_535);
    let gpu_type = annotation("gpu-type").or(site.gpu_type.as_ref());
    Ok(Request {
        job_name: naming::job(&site.agent, pod.metadata.uid.as_deref().unwrap_or_default()),
        partition: token("the partition", annotation("partition"), &site.partition)?,
        account: token("the account", annotation("account"), &site.account)?,
        qos: token("the QOS", annotation("qos"), &site.qos)?,
        constraint: token("the constraint", annotation("constraint"), &None)?,
        reservation: token("the reservation", annotation("reservation"), &None)?,
        nodes: 1,
        cpus: cpus.max(1),
        memory_mb: memory.saturating_add(site.overhead_memory_mb).max(1),
        gpus,
        gpu_type: token("the GPU type", gpu_type, &None)?,
        walltime_s,
        signal_s,
    })
}

/// A pod's need of one resource: the limit (else the request) of each container, summed over the containers that run
/// side by side; an init container that needs more raises it. `None` if no container says anything.
///
/// Source: `k8s.io/component-helpers/resource/helpers.go` (`PodRequests`).
fn sum(spec: &PodSpec, name: &str, read: fn(&str) -> Result<u64, quantity::BadQuantity>) -> Result<Option<u64>, Fault> {
    let of = |container: &Container| -> Result<Option<u64>, Fault> {
        let Some(resources) = &container.resources else {
            return Ok(None);
        };
        let side = |map: &Option<BTreeMap<String, _>>| map.as_ref().and_then(|map| map.get(name)).cloned();
        let Some(found) = side(&resources.limits).or_else(|| side(&resources.requests)) else {
            return Ok(None);
        };
        let found: k8s_openapi::apimachinery::pkg::api::resource::Quantity = found;
        let value = read(&found.0).map_err(|error| {
            Fault::rejected(
                "InvalidRequest",
                format!("{name} of container {}: {error}", container.name),
            )
        })?;
        Ok(Some(value).filter(|value| *value > 0))
    };
    let mut total: Option<u64> = None;
    for container in &spec.containers {
        if let Some(value) = of(container)? {
            total = Some(total.unwrap_or(0).saturating_add(value));
        }
    }
    for container in spec.init_containers.iter().flatten() {
        if let Some(value) = of(container)? {
            total = Some(total.unwrap_or(0).max(value));
        }
    }
    Ok(total)
}

/// A walltime in seconds: plain seconds, or Slurm's `[days-]hours:minutes:seconds`.
pub fn walltime(text: &str) -> Option<u64> {
    let number = |text: &str| {
        text.parse::<u64>()
            .ok()
            .filter(|_| text.bytes().all(|b| b.is_ascii_digit()))
    };
    let (days, clock) = match text.split_once('-') {
        Some((days, clock)) => (number(days)?, clock),
        None => (0, text),
    };
    let parts: Vec<u64> = clock.split(':').map(number).collect::<Option<_>>()?;
    let seconds = match (parts.as_slice(), text.contains('-')) {
        ([seconds], false) => *seconds,
        ([hours], true) => hours.checked_mul(3600)?,
        ([hours, minutes], true) => hours.checked_mul(3600)?.checked_add(minutes.checked_mul(60)?)?,
        ([hours, minutes, seconds], _) => hours
            .checked_mul(3600)?
            .checked_add(minutes.checked_mul(60)?)?
            .checked_add(*seconds)?,
        _ => return None,
    };
    days.checked_mul(86_400)?
        .checked_add(seconds)
        .filter(|total| *total > 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bundle::Entry;
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
                json!({"name": "c", "image": "i", "livenessProbe": {"tcpSocket": {"port": 1}}})
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
    fn walltimes_are_read_as_slurm_writes_them() {
        for (text, expected) in [
            ("90", 90),
            ("1:02:03", 3723),
            ("2-0", 172_800),
            ("1-02:03", 93_780),
            ("1-02:03:04", 93_784),
        ] {
            assert_eq!(walltime(text), Some(expected), "{text}");
        }
        for text in ["", "0", "-1", "1:2", "a", "1-", "+5", "1:2:3:4"] {
            assert_eq!(walltime(text), None, "{text}");
        }
    }

    #[test]
    fn images_are_qualified_and_rewritten() {
        let rule = ImageRewrite {
            from: "docker.io/library/".into(),
            to: "registry:5000/".into(),
        };
        let site = Site {
            image_rewrites: vec![rule],
            ..Site::default()
        };
        assert_eq!(rewrite("busybox:1", &site), "registry:5000/busybox:1");
        assert_eq!(rewrite("a/b", &site), "docker.io/a/b");
        assert_eq!(rewrite("quay.io/a/b@sha256:0", &site), "quay.io/a/b@sha256:0");
        assert_eq!(rewrite("/cvmfs/x.sif", &site), "/cvmfs/x.sif");
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
