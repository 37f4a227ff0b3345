//! What a pod's job asks the batch system for: its resources, its walltime and what its annotations say.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Container, Pod, PodSpec, ResourceRequirements};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;

use crate::demand;
use crate::naming;
use crate::quantity::{self, BadQuantity};
use crate::request::{Request, Token};
use crate::settings::{self, Asked, Setting};
use crate::translate::{DEFAULT_GRACE_S, Fault, Site};

/// What is asked for.
#[derive(Debug)]
pub struct Job {
    /// The file `request`.
    pub request: Request,
    /// Options of the batch system as they are.
    pub flags: Vec<String>,
    /// How often the batch system starts the main container; `None`: its job does, once.
    pub ranks: Option<u64>,
}

fn refuse(reason: &str, message: String) -> Fault {
    Fault::rejected(reason, message)
}

/// The job of a pod.
///
/// # Errors
/// A rejection: a quantity that is none, a partition that is not there, a walltime that its partition does not allow,
/// numbers of nodes and tasks that contradict each other.
pub fn of(pod: &Pod, spec: &PodSpec, asked: &Asked, site: &Site) -> Result<Job, Fault> {
    let token = |setting: Setting, site: &Option<String>| {
        let text = asked.get(setting).or(site.as_ref());
        text.map(|text| Token::new(&format!("the {}", setting.name()), text))
            .transpose()
            .map_err(|why| refuse("InvalidRequest", why))
    };
    let none = None;
    let partition = token(Setting::Partition, &site.partition)?;
    let own_partition = partition.as_ref().map(Token::as_str) == site.partition.as_deref();
    let shape = shape(asked)?;
    let (gpus, gres) = devices(spec, asked, shape.nodes, site)?;
    let (cpus, memory) = size(spec, asked, site)?;
    let grace = u64::try_from(spec.termination_grace_period_seconds.unwrap_or(DEFAULT_GRACE_S)).unwrap_or(0);
    let walltime_s = walltime_of(
        spec,
        asked,
        longest(partition.as_ref(), own_partition, site)?,
        grace,
        site,
    )?;
    // A warning that comes as long before the end as the pod's grace lasts, but never in the first half of a short job.
    let signal_s = (grace + 30)
        .min(walltime_s.map_or(u64::MAX, |walltime| walltime / 2))
        .min(65_535);
    // (The node's own kind of GPU says nothing about another partition.)
    let gpu_type = if own_partition { &site.gpu_type } else { &none };
    Ok(Job {
        request: Request {
            job_name: naming::job(&site.agent, pod.metadata.uid.as_deref().unwrap_or_default()),
            account: token(Setting::Account, &site.account)?,
            qos: token(Setting::Qos, &site.qos)?,
            constraint: token(Setting::Constraint, &none)?,
            reservation: token(Setting::Reservation, &none)?,
            nodes: shape.nodes,
            tasks: shape.tasks,
            // What the pod asks for is what all its nodes have together.
            cpus: cpus.div_ceil(shape.tasks).max(1),
            memory_mb: memory
                .div_ceil(shape.nodes)
                .saturating_add(site.overhead_memory_mb)
                .max(1),
            gpus,
            gpu_type: token(Setting::GpuType, gpu_type)?,
            gres,
            dependency: token(Setting::Dependency, &none)?,
            licenses: token(Setting::Licenses, &none)?,
            mail_user: token(Setting::MailUser, &none)?,
            mail_type: token(Setting::MailType, &none)?,
            exclusive: asked.get(Setting::Exclusive).is_some_and(|text| text == "true"),
            comment: token(Setting::Comment, &none)?,
            mpi: token(Setting::Mpi, &none)?.filter(|_| asked.parallel),
            walltime_s,
            signal_s,
            partition,
        },
        flags: asked
            .get(Setting::Flags)
            .map(|text| text.split_whitespace().map(str::to_owned).collect())
            .unwrap_or_default(),
        ranks: asked.parallel.then_some(shape.tasks),
    })
}

/// CPUs and memory in MiB of the whole pod.
fn size(spec: &PodSpec, asked: &Asked, site: &Site) -> Result<(u64, u64), Fault> {
    // A container that says nothing must be able to live beside those that do. CPUs it shares with them; memory it cannot.
    let cpus = asked.cpus.unwrap_or(site.default_cpus);
    let memory = asked.memory_mb.unwrap_or(site.default_memory_mb);
    let milli = need(spec, "cpu", quantity::milli, 0)?;
    let least = if is_silent(spec, "cpu") { cpus } else { 0 };
    let bytes = need(spec, "memory", quantity::units, memory.saturating_mul(1 << 20))?;
    Ok((
        milli.map_or(cpus, |milli| milli.div_ceil(1000).max(least)),
        bytes.map_or(memory, |bytes| bytes.div_ceil(1 << 20)),
    ))
}

/// A pod as the downward API shows it: a container that says nothing of its CPUs or its memory is limited by what the whole
/// pod gets, as it is by the node on a kubelet.
///
/// # Errors
/// Those of [`of`].
pub fn shown(pod: &Pod, site: &Site) -> Result<Pod, Fault> {
    let mut shown = pod.clone();
    let Some(spec) = &mut shown.spec else {
        return Ok(shown);
    };
    let asked = settings::asked(pod, &site.policy, &site.batch)?;
    let (cpus, memory) = size(spec, &asked, site)?;
    let limits = [("cpu", cpus.to_string()), ("memory", format!("{memory}Mi"))];
    for container in spec.init_containers.iter_mut().flatten().chain(&mut spec.containers) {
        let resources = container.resources.get_or_insert_default();
        for (name, limit) in &limits {
            if one(resources, name).is_none() {
                let quantity = Quantity(limit.clone());
                resources
                    .limits
                    .get_or_insert_default()
                    .insert((*name).to_owned(), quantity);
            }
        }
    }
    Ok(shown)
}

/// How many nodes and tasks.
struct Shape {
    nodes: u64,
    tasks: u64,
}

/// One task on each node, unless more are asked for.
fn shape(asked: &Asked) -> Result<Shape, Fault> {
    let nodes = asked.number(Setting::Nodes).unwrap_or(1).max(1);
    let per_node = asked
        .number(Setting::TasksPerNode)
        .map(|tasks| tasks.saturating_mul(nodes));
    let tasks = match (asked.number(Setting::Tasks), per_node) {
        (Some(all), Some(product)) if all != product => {
            return Err(refuse(
                "InvalidRequest",
                format!(
                    "tasks {all} and tasks-per-node, which makes {product} on {nodes} nodes, contradict each other"
                ),
            ));
        }
        (all, product) => all.or(product).unwrap_or(nodes),
    };
    if tasks < nodes {
        return Err(refuse(
            "InvalidRequest",
            format!("{tasks} tasks are too few for {nodes} nodes: each node has one at least"),
        ));
    }
    Ok(Shape { nodes, tasks })
}

/// GPUs of each node, and generic resources beside them. What the pod's resources ask for comes before what annotations say.
fn devices(spec: &PodSpec, asked: &Asked, nodes: u64, site: &Site) -> Result<(u64, Option<Token>), Fault> {
    let mut items = Vec::new();
    let divided = |name: &str, count: u64| {
        if count.is_multiple_of(nodes) {
            return Ok(count / nodes);
        }
        let why = format!("{count} of {name} cannot be divided among {nodes} nodes");
        Err(refuse("InvalidRequest", why))
    };
    for (resource, word) in &site.policy.gres {
        let count = divided(resource, need(spec, resource, quantity::units, 0)?.unwrap_or(0))?;
        if count > 0 {
            items.push(format!("{word}:{count}"));
        }
    }
    let mut names = vec!["nvidia.com/gpu", "amd.com/gpu"];
    names.extend(site.gpu_resource.as_deref().filter(|name| !names.contains(name)));
    let mut gpus = 0;
    for name in names.into_iter().filter(|name| !site.policy.gres.contains_key(*name)) {
        gpus += need(spec, name, quantity::units, 0)?.unwrap_or(0);
    }
    if gpus == 0 {
        gpus = asked.gpus.unwrap_or(0);
    }
    gpus = divided("the GPUs", gpus)?;
    let is_gpu = |item: &str| item == "gpu" || item.starts_with("gpu:");
    let enough = gpus > 0 || items.iter().any(|item| is_gpu(item));
    let more = asked.get(Setting::Gres).into_iter().flat_map(|text| text.split(','));
    items.extend(more.filter(|item| !(enough && is_gpu(item))).map(str::to_owned));
    let gres = (!items.is_empty()).then(|| Token::new("gres", &items.join(",")));
    Ok((gpus, gres.transpose().map_err(|why| refuse("InvalidRequest", why))?))
}

/// The longest walltime of the partition that the job goes to.
fn longest(partition: Option<&Token>, own: bool, site: &Site) -> Result<Option<u64>, Fault> {
    let Some(name) = partition.map(Token::as_str).filter(|_| !own) else {
        return Ok(site.max_walltime_s);
    };
    if site.partitions.is_empty() {
        return Ok(None);
    }
    // (Several may be named: the job goes to the first that is free.)
    let mut longest = Some(0);
    for name in name.split(',') {
        let limit = site.partitions.get(name).ok_or_else(|| {
            let names: Vec<&str> = site.partitions.keys().map(String::as_str).collect();
            refuse(
                "InvalidPartition",
                format!("the cluster has no partition {name}; it has {}", names.join(", ")),
            )
        })?;
        longest = longest.zip(*limit).map(|(one, other)| one.max(other));
    }
    Ok(longest)
}

/// Annotation, else activeDeadlineSeconds, else the site's default.
fn walltime_of(
    spec: &PodSpec,
    asked: &Asked,
    longest: Option<u64>,
    grace: u64,
    site: &Site,
) -> Result<Option<u64>, Fault> {
    if let Some(text) = asked.get(Setting::Walltime) {
        let seconds = walltime(text).ok_or_else(|| refuse("InvalidRequest", format!("{text:?} is not a walltime")))?;
        return match longest {
            Some(longest) if seconds > longest => Err(refuse(
                "WalltimeLimit",
                format!("the pod asks for a walltime of {text} ({seconds} s), its partition allows {longest} s"),
            )),
            _ => Ok(Some(seconds)),
        };
    }
    // The job has to outlive its pod's deadline by the time that an orderly end takes. A deadline beyond what the partition
    // allows is no request for it: the pod may run until then, and ends where its job does.
    let deadline = spec
        .active_deadline_seconds
        .and_then(|seconds| u64::try_from(seconds).ok());
    let wanted = deadline
        .map(|seconds| seconds.saturating_add(grace + 60))
        .or(site.default_walltime_s);
    Ok(wanted.map(|wanted| wanted.min(longest.unwrap_or(u64::MAX))))
}

/// A pod's need of one resource: what the pod itself says, else the limit (else the request) of each container, summed over
/// the containers that run side by side; an init container that needs more raises it. What a RuntimeClass adds is added.
/// `None` if nobody says anything; if somebody does, the main containers that do not have `silent` together.
fn need(
    spec: &PodSpec,
    name: &str,
    read: fn(&str) -> Result<u64, BadQuantity>,
    silent: u64,
) -> Result<Option<u64>, Fault> {
    let read = |quantity: &Quantity, of: &str| {
        read(&quantity.0).map_err(|error| refuse("InvalidRequest", format!("{name} of {of}: {error}")))
    };
    let of = |container: &Container| -> Result<Option<u64>, Fault> {
        let found = container.resources.as_ref().and_then(|resources| one(resources, name));
        let value = found
            .map(|found| read(found, &format!("container {}", container.name)))
            .transpose()?;
        Ok(value.filter(|value| *value > 0))
    };
    let mut said = false;
    let mut silent = Some(silent);
    let total = demand::at_once(spec, |container| {
        let value = of(container)?;
        said |= value.is_some();
        let main = spec.containers.iter().any(|main| std::ptr::eq(main, container));
        Ok::<_, Fault>(match value {
            None if main => silent.take().unwrap_or(0),
            value => value.unwrap_or(0),
        })
    })?;
    let mut total = said.then_some(total);
    if let Some(found) = spec.resources.as_ref().and_then(|resources| one(resources, name)) {
        total = Some(read(found, "the pod")?).filter(|value| *value > 0);
    }
    if let Some(found) = spec.overhead.as_ref().and_then(|overhead| overhead.get(name)) {
        let more = read(found, "the pod's overhead")?;
        total = total.map(|total| total.saturating_add(more));
    }
    Ok(total)
}

/// Whether there is a main container whose need nobody tells.
fn is_silent(spec: &PodSpec, name: &str) -> bool {
    let says =
        |resources: &Option<ResourceRequirements>| resources.as_ref().is_some_and(|found| one(found, name).is_some());
    !says(&spec.resources) && spec.containers.iter().any(|container| !says(&container.resources))
}

fn one<'a>(resources: &'a ResourceRequirements, name: &str) -> Option<&'a Quantity> {
    let side = |map: &'a Option<BTreeMap<String, Quantity>>| map.as_ref().and_then(|map| map.get(name));
    side(&resources.limits).or_else(|| side(&resources.requests))
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
    use crate::policy::Policy;
    use serde_json::{Value, json};

    fn site() -> Site {
        Site {
            partition: Some("main".into()),
            max_walltime_s: Some(3600),
            gpu_type: Some("a100".into()),
            overhead_memory_mb: 0,
            partitions: BTreeMap::from([
                ("main".into(), Some(3600)),
                ("long".into(), Some(86_400)),
                ("open".into(), None),
            ]),
            ..Site::default()
        }
    }

    #[test]
    fn a_container_that_says_nothing_is_shown_what_the_whole_pod_gets() {
        let site = Site {
            default_cpus: 3,
            ..site()
        };
        let pod = json!({"metadata": {"uid": "u"}, "spec": {"containers": [
            {"name": "silent"}, {"name": "asks", "resources": {"requests": {"memory": "64Mi"}}}, {"name": "bound", "resources": {"limits": {"memory": "1Mi"}}}
        ]}});
        let shown = shown(&serde_json::from_value(pod).unwrap(), &site).unwrap();
        for (container, resource, expected) in [
            ("silent", "limits.cpu", 3),
            ("silent", "limits.memory", (65 << 20) + (site.default_memory_mb << 20)),
            ("asks", "limits.memory", 64 << 20),
            ("bound", "limits.memory", 1 << 20),
            ("bound", "limits.cpu", 3),
        ] {
            let found = crate::environment::downward_resource(&shown, container, resource, None);
            assert_eq!(found, Ok(expected.to_string()), "{container} {resource}");
        }
    }

    fn job(spec: Value, annotations: &[(&str, &str)], site: &Site) -> Result<Job, String> {
        let mut pod: Pod = serde_json::from_value(json!({"metadata": {"uid": "u"}, "spec": spec})).unwrap();
        let pairs = annotations
            .iter()
            .map(|(name, value)| (format!("towline.dev/{name}"), (*value).to_owned()));
        pod.metadata.annotations = Some(pairs.collect());
        let spec = pod.spec.clone().unwrap();
        let found = settings::asked(&pod, &site.policy, &site.batch).and_then(|asked| of(&pod, &spec, &asked, site));
        found.map_err(|fault| match fault {
            Fault::Rejected(rejection) => format!("{}: {}", rejection.reason, rejection.message),
            other => panic!("{other:?}"),
        })
    }

    fn one_container() -> Value {
        json!({"containers": [{"name": "c"}]})
    }

    #[test]
    fn a_main_container_that_says_nothing_can_live_beside_a_sidecar_that_does() {
        let site = Site {
            default_cpus: 2,
            ..site()
        };
        let asks = json!({"requests": {"cpu": "100m", "memory": "64Mi"}});
        let sidecar = json!({"name": "s", "restartPolicy": "Always", "resources": asks});
        let size = |spec: Value| {
            let request = job(spec, &[], &site).unwrap().request;
            (request.cpus, request.memory_mb - site.overhead_memory_mb)
        };
        let default = site.default_memory_mb;
        let silent = json!({"name": "c"});
        assert_eq!(
            size(json!({"initContainers": [sidecar], "containers": [silent, {"name": "d"}]})),
            (2, 64 + default)
        );
        assert_eq!(
            size(json!({"containers": [silent, {"name": "s", "resources": asks}]})),
            (2, 64 + default)
        );
        assert_eq!(
            size(json!({"initContainers": [sidecar], "containers": [{"name": "c", "resources": asks}]})),
            (1, 128)
        );
        let of_pod = json!({"requests": {"cpu": "1", "memory": "70Mi"}});
        assert_eq!(
            size(json!({"resources": of_pod, "initContainers": [sidecar], "containers": [silent]})),
            (1, 70)
        );
    }

    #[test]
    fn a_pod_that_says_nothing_gets_what_the_site_gives() {
        let request = job(one_container(), &[], &site()).unwrap().request;
        assert_eq!(
            (request.cpus, request.memory_mb, request.walltime_s, request.tasks),
            (1, 1024, None, 1)
        );
    }

    #[test]
    fn a_partition_has_its_own_limit() {
        let limit = |name: &str, walltime: &str| {
            job(one_container(), &[("partition", name), ("walltime", walltime)], &site())
                .map(|job| job.request.walltime_s)
        };
        assert_eq!(limit("long", "7200"), Ok(Some(7200)));
        assert_eq!(limit("open", "99-0"), Ok(Some(8_553_600)));
        assert!(limit("main", "7200").unwrap_err().starts_with("WalltimeLimit"));
        assert!(limit("long", "2-0").unwrap_err().starts_with("WalltimeLimit"));
        let unknown = limit("gpu", "1").unwrap_err();
        assert!(
            unknown.contains("no partition gpu; it has long, main, open"),
            "{unknown}"
        );
        assert_eq!(
            job(one_container(), &[("partition", "long")], &site())
                .unwrap()
                .request
                .gpu_type,
            None
        );
    }

    #[test]
    fn a_deadline_beyond_the_limit_asks_for_the_limit() {
        let spec = |seconds: u64| json!({"activeDeadlineSeconds": seconds, "containers": [{"name": "c"}]});
        assert_eq!(job(spec(100), &[], &site()).unwrap().request.walltime_s, Some(190));
        assert_eq!(job(spec(100_000), &[], &site()).unwrap().request.walltime_s, Some(3600));
    }

    #[test]
    fn resources_of_the_pod_and_overhead_are_counted() {
        let spec = json!({
            "resources": {"limits": {"cpu": "4"}},
            "overhead": {"memory": "1Mi", "cpu": "1"},
            "containers": [{"name": "a", "resources": {"limits": {"cpu": "1", "memory": "3Mi"}}}, {"name": "b", "resources": {"requests": {"memory": "4Mi"}}}]
        });
        let request = job(spec, &[("tasks", "2")], &site()).unwrap().request;
        assert_eq!((request.tasks, request.cpus, request.memory_mb), (2, 3, 8));
    }

    #[test]
    fn what_a_pod_asks_for_is_shared_by_its_nodes() {
        let spec = json!({"containers": [{"name": "c", "resources": {"limits": {"cpu": "12", "memory": "3Gi", "nvidia.com/gpu": "4"}}}]});
        let found = job(spec.clone(), &[("nodes", "2"), ("tasks-per-node", "3")], &site()).unwrap();
        let request = &found.request;
        assert_eq!(
            (
                request.nodes,
                request.tasks,
                request.cpus,
                request.memory_mb,
                request.gpus
            ),
            (2, 6, 2, 1536, 2)
        );
        assert_eq!(found.ranks, Some(6));
        let request = job(spec.clone(), &[("nodes", "2"), ("tasks", "5")], &site())
            .unwrap()
            .request;
        assert_eq!((request.tasks, request.cpus), (5, 3));
        for (annotations, said) in [
            (&[("nodes", "3")][..], "4 of the GPUs"),
            (&[("nodes", "2"), ("tasks", "1")][..], "too few"),
            (
                &[("nodes", "2"), ("tasks", "3"), ("tasks-per-node", "2")][..],
                "contradict",
            ),
        ] {
            let why = job(spec.clone(), annotations, &site()).unwrap_err();
            assert!(why.contains(said), "{why}");
        }
        assert_eq!(
            job(spec, &[("nodes", "1"), ("mpi", "pmix")], &site()).unwrap().ranks,
            Some(1)
        );
    }

    #[test]
    fn a_sidecar_is_counted_beside_what_comes_after_it() {
        let with = |first: u32, sidecar: u32, second: u32, main: u32| {
            let limits = |n: u32| json!({"limits": {"cpu": n.to_string()}});
            let spec = json!({
                "initContainers": [{"name": "i", "resources": limits(first)},
                    {"name": "s", "restartPolicy": "Always", "resources": limits(sidecar)}, {"name": "j", "resources": limits(second)}],
                "containers": [{"name": "a", "resources": limits(main)}]
            });
            job(spec, &[], &site()).unwrap().request.cpus
        };
        assert_eq!(with(1, 2, 1, 3), 5);
        assert_eq!(with(7, 2, 1, 3), 7);
        assert_eq!(with(1, 2, 4, 3), 6);
    }

    #[test]
    fn devices_are_asked_for_once() {
        let policy = Policy {
            gres: BTreeMap::from([("example.org/fpga".to_owned(), "fpga".to_owned())]),
            ..Policy::default()
        };
        let site = Site {
            policy,
            gpu_resource: Some("gpu.intel.com/i915".into()),
            ..site()
        };
        let with = |limits: Value, gres: &str| {
            let spec = json!({"containers": [{"name": "c", "resources": {"limits": limits}}]});
            let found = job(spec, &[("gres", gres)], &site).unwrap().request;
            (found.gpus, found.gres.map(|gres| gres.as_str().to_owned()))
        };
        let text = |text: &str| Some(text.to_owned());
        assert_eq!(
            with(json!({"nvidia.com/gpu": "2"}), "gpu:4,nvme:1"),
            (2, text("nvme:1"))
        );
        assert_eq!(with(json!({"gpu.intel.com/i915": "1"}), "gpu:4"), (1, None));
        assert_eq!(
            with(json!({"example.org/fpga": "3"}), "gpu:4"),
            (0, text("fpga:3,gpu:4"))
        );
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
}
