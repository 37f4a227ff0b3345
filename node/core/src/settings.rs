//! What a pod says about its job by annotation: typed, checked, and limited by the site's policy.
//!
//! Three layers, the stronger one first: Towline's own annotations, interLink's, the flavour. What the pod says in its
//! resources is stronger than all of them.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::Pod;

use crate::interlink::{self, Bind};
use crate::naming::PREFIX;
use crate::policy::Policy;
use crate::request::Token;
use crate::translate::{Fault, walltime};
use crate::words::excerpt;

/// One thing that can be said about a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[expect(missing_docs, reason = "NAMES says what each is")]
pub enum Setting {
    Partition,
    Account,
    Qos,
    Constraint,
    Reservation,
    Walltime,
    Nodes,
    Tasks,
    TasksPerNode,
    Mpi,
    Gres,
    GpuType,
    Dependency,
    Licenses,
    MailUser,
    MailType,
    Exclusive,
    Comment,
    Flags,
}

/// The settings: the annotation's name below `towline.dev/`, and what it says.
pub const NAMES: &[(Setting, &str, &str)] = &[
    (
        Setting::Partition,
        "partition",
        "the partition (queue) in place of the node's",
    ),
    (Setting::Account, "account", "the account (project) that pays"),
    (Setting::Qos, "qos", "the quality of service"),
    (
        Setting::Constraint,
        "constraint",
        "features that the compute node must have, as `skylake&nvme`",
    ),
    (Setting::Reservation, "reservation", "the reservation to run in"),
    (
        Setting::Walltime,
        "walltime",
        "seconds, or `[days-]hours:minutes:seconds`; not more than the partition's limit",
    ),
    (
        Setting::Nodes,
        "nodes",
        "how many compute nodes: on each of them the main container is started",
    ),
    (
        Setting::Tasks,
        "tasks",
        "how often the main container is started, on all nodes together: its ranks",
    ),
    (Setting::TasksPerNode, "tasks-per-node", "the same, for each node"),
    (
        Setting::Mpi,
        "mpi",
        "how the ranks find each other, one of what `srun --mpi=list` shows (`pmix`, `pmi2`); the cluster's default if absent; by PMIx they see themselves as the account, to whom alone its server talks",
    ),
    (
        Setting::Gres,
        "gres",
        "generic resources, as `gpu:a100:2,nvme:1`; GPUs of the pod's resources come before those here",
    ),
    (
        Setting::GpuType,
        "gpu-type",
        "the kind of the GPUs that the pod's resources ask for",
    ),
    (
        Setting::Dependency,
        "dependency",
        "other jobs to wait for, as `afterok:1234`",
    ),
    (Setting::Licenses, "licenses", "licenses, as `matlab:1`"),
    (Setting::MailUser, "mail-user", "who gets mail"),
    (Setting::MailType, "mail-type", "about what, as `END,FAIL`"),
    (
        Setting::Exclusive,
        "exclusive",
        "`true`: a compute node that no other job shares, so that no port is taken by another pod",
    ),
    (Setting::Comment, "comment", "the job's comment"),
    (
        Setting::Flags,
        "flags",
        "options of sbatch as they are, `--NAME` or `--NAME=VALUE`; a site has to allow it",
    ),
];

/// The annotation's name without its prefix, of the flavour.
pub const FLAVOUR: &str = "flavour";

impl Setting {
    /// Its name, as an annotation has it after the prefix.
    pub fn name(self) -> &'static str {
        NAMES
            .iter()
            .find(|(setting, _, _)| *setting == self)
            .map_or("", |(_, name, _)| name)
    }

    /// The setting of that name.
    pub fn of(name: &str) -> Option<Self> {
        NAMES
            .iter()
            .find(|(_, known, _)| *known == name)
            .map(|(setting, _, _)| *setting)
    }
}

/// What a pod asks for beside its resources.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Asked {
    /// Settings, each one checked.
    pub settings: BTreeMap<Setting, String>,
    /// CPUs for a pod whose resources name none.
    pub cpus: Option<u64>,
    /// Memory in MiB for a pod whose resources name none.
    pub memory_mb: Option<u64>,
    /// GPUs for a pod whose resources name none.
    pub gpus: Option<u64>,
    /// What stands before the names of images that do not say where they are.
    pub image_root: Option<String>,
    /// Paths of the cluster that every container sees.
    pub binds: Vec<Bind>,
    /// The main container is started as ranks, by the batch system.
    pub parallel: bool,
    /// Variables of the main container.
    pub variables: Vec<(String, String)>,
}

impl Asked {
    /// A setting's value.
    pub fn get(&self, setting: Setting) -> Option<&String> {
        self.settings.get(&setting)
    }

    /// A setting's value as a number.
    pub fn number(&self, setting: Setting) -> Option<u64> {
        self.get(setting).and_then(|text| number(text))
    }
}

/// Reads a pod's annotations. `batch` is the batch system.
///
/// # Errors
/// A rejection: an annotation that is not known, a value that is none, or one that the site does not allow.
pub fn asked(pod: &Pod, policy: &Policy, batch: &str) -> Result<Asked, Fault> {
    let refuse = |why: String| Fault::rejected("InvalidRequest", why);
    let annotations = pod.metadata.annotations.clone().unwrap_or_default();
    let mut own = BTreeMap::new();
    let mut flavour = None;
    for (key, value) in &annotations {
        let Some(name) = key.strip_prefix(PREFIX).and_then(|rest| rest.strip_prefix('/')) else {
            continue;
        };
        match Setting::of(name) {
            Some(setting) => {
                own.insert(setting, value.clone());
            }
            None if name == FLAVOUR => flavour = Some(value.clone()),
            None => return Err(refuse(format!("there is no annotation {key}; there are {}", known()))),
        }
    }
    let theirs = interlink::read(&annotations).map_err(refuse)?;
    let mut asked = Asked {
        image_root: theirs.image_root,
        binds: theirs.binds,
        gpus: theirs.gpus,
        variables: theirs.variables,
        ..Asked::default()
    };
    let named = flavour.or(theirs.flavour);
    if let Some(name) = named.as_ref().or(policy.default_flavour.as_ref()) {
        let flavour = policy.flavours.get(name).ok_or_else(|| {
            let known: Vec<&str> = policy.flavours.keys().map(String::as_str).collect();
            refuse(format!(
                "there is no flavour {:?} on this node; there are: {}",
                excerpt(name),
                known.join(", ")
            ))
        })?;
        asked.cpus = flavour.cpus;
        asked.memory_mb = flavour.memory_mb;
        asked.settings.extend(flavour.settings.clone());
    }
    asked.cpus = theirs.cpus.or(asked.cpus);
    asked.memory_mb = theirs.memory_mb.or(asked.memory_mb);
    // interLink starts ranks where mpi-flags are given, whatever its flags say of tasks.
    let several = |settings: &BTreeMap<Setting, String>| {
        let counts = [Setting::Nodes, Setting::Tasks, Setting::TasksPerNode];
        let many = |setting: &Setting| settings.get(setting).is_some_and(|text| text != "1");
        settings.contains_key(&Setting::Mpi) || counts.iter().any(many)
    };
    asked.parallel = theirs.mpi || several(&own) || several(&asked.settings);
    // What the pod's author says is limited; a flavour is the site's own word.
    let mut said = theirs.settings;
    said.extend(own);
    for (setting, value) in said {
        allowed(setting, &value, policy).map_err(refuse)?;
        asked.settings.insert(setting, value);
    }
    for (setting, value) in &asked.settings {
        check(*setting, value).map_err(refuse)?;
        let here = match setting {
            Setting::Walltime | Setting::Comment => true,
            Setting::Nodes | Setting::Tasks | Setting::TasksPerNode => value == "1",
            _ => false,
        };
        if batch == "host" && !here {
            return Err(refuse(format!(
                "this node runs its pods as plain processes: there is no {} to choose",
                setting.name()
            )));
        }
    }
    if batch == "host" && asked.parallel {
        return Err(refuse(
            "this node runs its pods as plain processes: nothing starts ranks".to_owned(),
        ));
    }
    Ok(asked)
}

/// The text of `docs/annotations.md`.
pub fn markdown() -> String {
    let mut text = include_str!("settings.md").to_owned();
    for (_, name, says) in NAMES {
        text.push_str(&format!("| `towline.dev/{name}` | {says} |\n"));
    }
    text.push_str(&format!(
        "| `towline.dev/{FLAVOUR}` | the flavour, one of those of the site |\n"
    ));
    text
}

fn known() -> String {
    let names: Vec<&str> = NAMES.iter().map(|(_, name, _)| *name).chain([FLAVOUR]).collect();
    names.join(", ")
}

fn allowed(setting: Setting, value: &str, policy: &Policy) -> Result<(), String> {
    let name = setting.name();
    if !policy.settings.contains(&setting) {
        return Err(format!("this site does not let pods choose {name}"));
    }
    match policy.values.get(&setting) {
        Some(values) if !values.contains(value) => {
            let values: Vec<&str> = values.iter().map(String::as_str).collect();
            Err(format!(
                "this site lets pods choose {name} among {}, not {:?}",
                values.join(", "),
                excerpt(value)
            ))
        }
        _ => Ok(()),
    }
}

/// Whether a text can be a setting's value.
///
/// # Errors
/// What it would have to be.
pub fn check(setting: Setting, text: &str) -> Result<(), String> {
    let name = setting.name();
    let wrong = |right: &str| Err(format!("{name} {:?}: {right}", excerpt(text)));
    if setting != Setting::Flags {
        Token::new(name, text)?;
    }
    match setting {
        Setting::Walltime if walltime(text).is_none() => {
            wrong("not a walltime: write seconds or [days-]hours:minutes:seconds")
        }
        Setting::Nodes | Setting::Tasks | Setting::TasksPerNode
            if number(text).is_none_or(|count| !(1..=65_536).contains(&count)) =>
        {
            wrong("write a number from 1 to 65536")
        }
        Setting::Mpi if !text.bytes().all(|b| b.is_ascii_alphanumeric() || b"_.".contains(&b)) => {
            wrong("write for example pmix or pmi2")
        }
        Setting::Gres if !text.split(',').all(is_gres) => wrong("write name[:type]:count, several with commas between"),
        Setting::Dependency if !text.split(',').all(is_dependency) => {
            wrong("write for example afterok:1234, several with commas between")
        }
        Setting::MailType if !text.split(',').all(|word| MAIL.contains(&word)) => {
            wrong(&format!("there are {}", MAIL.join(", ")))
        }
        Setting::MailUser if text.contains(['|', '&', '(', ')', '*', ',']) => wrong("that is no address"),
        Setting::Exclusive if !matches!(text, "true" | "false") => wrong("write true or false"),
        Setting::Flags => text.split_whitespace().try_for_each(is_flag),
        _ => Ok(()),
    }
}

const MAIL: &[&str] = &[
    "NONE",
    "BEGIN",
    "END",
    "FAIL",
    "REQUEUE",
    "ALL",
    "STAGE_OUT",
    "INVALID_DEPEND",
    "TIME_LIMIT",
    "TIME_LIMIT_90",
    "TIME_LIMIT_80",
    "TIME_LIMIT_50",
];

fn number(text: &str) -> Option<u64> {
    text.parse().ok().filter(|_| text.bytes().all(|b| b.is_ascii_digit()))
}

fn is_gres(item: &str) -> bool {
    let word = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric() || b"_.-/".contains(&b));
    let parts: Vec<&str> = item.split(':').collect();
    parts.len() <= 3 && parts.iter().all(|part| word(part)) && parts[0].starts_with(|c: char| c.is_ascii_alphabetic())
}

fn is_dependency(item: &str) -> bool {
    let mut parts = item.split(':');
    let kind = parts.next().unwrap_or_default();
    let kinds = [
        "after",
        "afterany",
        "afterok",
        "afternotok",
        "afterburstbuffer",
        "aftercorr",
    ];
    let jobs: Vec<&str> = parts.collect();
    let job = |job: &&str| job.split('+').all(|part| number(part).is_some()) && job.split('+').count() <= 2;
    kinds.contains(&kind) && !jobs.is_empty() && jobs.iter().all(job)
}

/// An option of sbatch, as it is. Those on which it depends that Towline finds its job again are not among them.
fn is_flag(word: &str) -> Result<(), String> {
    const OURS: &[&str] = &[
        "job-name",
        "output",
        "error",
        "input",
        "open-mode",
        "export",
        "export-file",
        "parsable",
        "chdir",
        "no-requeue",
        "requeue",
        "array",
        "wrap",
        "wait",
        "uid",
        "gid",
        "get-user-env",
        "test-only",
        "cluster",
        "clusters",
        "signal",
        "nodes",
        "ntasks",
        "ntasks-per-node",
        "cpus-per-task",
        "mem",
        "mem-per-cpu",
        "mem-per-gpu",
        "time",
        "hold",
        "kill-on-invalid-dep",
        "propagate",
        "help",
        "usage",
        "version",
        "quiet",
        "verbose",
        "begin",
        "deadline",
        "burst-buffer",
        "bb",
        "bbf",
        "prolog",
        "epilog",
        "task-prolog",
        "task-epilog",
        "container",
        "container-id",
        "no-kill",
    ];
    let (name, value) = word
        .split_once('=')
        .map_or((word, None), |(name, value)| (name, Some(value)));
    let bare = name.strip_prefix("--").unwrap_or_default();
    let letters = !bare.is_empty()
        && bare
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
    if !letters || bare.starts_with('-') {
        return Err(format!("flags: write --NAME or --NAME=VALUE, not {:?}", excerpt(word)));
    }
    // (sbatch takes any beginning of a name that is clear.)
    if OURS.iter().any(|ours| ours.starts_with(bare)) {
        return Err(format!("flags: --{bare} is Towline's own to give"));
    }
    value.map_or(Ok(()), |value| Token::new("flags", value).map(|_| ()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::Flavour;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    fn read(annotations: &[(&str, &str)], policy: &Policy) -> Result<Asked, String> {
        let mut pod = Pod::default();
        let pairs = annotations
            .iter()
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
        pod.metadata.annotations = Some(pairs.collect());
        asked(&pod, policy, "slurm").map_err(|fault| match fault {
            Fault::Rejected(rejection) => rejection.message,
            other => panic!("{other:?}"),
        })
    }

    #[test]
    fn each_setting_is_checked() {
        for (name, value) in [
            ("towline.dev/partition", "debug"),
            ("towline.dev/walltime", "1-0"),
            ("towline.dev/nodes", "2"),
            ("towline.dev/mpi", "pmix_v4"),
            ("towline.dev/gres", "gpu:a100:2,nvme"),
            ("towline.dev/dependency", "afterok:12:13+5,afterany:7"),
            ("towline.dev/mail-type", "END,FAIL"),
            ("towline.dev/mail-user", "a.b@example.org"),
            ("towline.dev/exclusive", "true"),
            ("other.example/nodes", "7"),
        ] {
            assert!(read(&[(name, value)], &Policy::default()).is_ok(), "{name}={value}");
        }
        for (name, value, said) in [
            ("towline.dev/nodes", "1-2", "1 to 65536"),
            ("towline.dev/tasks-per-node", "0", "1 to 65536"),
            ("towline.dev/mpi", "pmi2,list", "pmix"),
            ("towline.dev/tasks", "0", "1 to 65536"),
            ("towline.dev/gres", "gpu:a:b:c", "name[:type]:count"),
            ("towline.dev/gres", ":1", "name[:type]:count"),
            ("towline.dev/dependency", "afterok", "afterok:1234"),
            ("towline.dev/dependency", "singleton", "afterok:1234"),
            ("towline.dev/mail-type", "end", "BEGIN"),
            ("towline.dev/exclusive", "yes", "true or false"),
            ("towline.dev/qos", "a b", "cannot be given"),
            ("towline.dev/walltime", "soon", "not a walltime"),
            ("towline.dev/partitoin", "x", "there is no annotation"),
            ("towline.dev/flags", "--nice=5", "does not let pods choose flags"),
            ("towline.dev/flavour", "big", "no flavour"),
        ] {
            let why = read(&[(name, value)], &Policy::default()).unwrap_err();
            assert!(why.contains(said), "{name}={value}: {why}");
        }
    }

    #[test]
    fn ranks_are_started_where_somebody_asks_for_them() {
        let parallel = |annotations: &[(&str, &str)]| read(annotations, &Policy::default()).unwrap().parallel;
        assert!(!parallel(&[("towline.dev/nodes", "1"), ("towline.dev/tasks", "1")]));
        for one in ["nodes", "tasks", "tasks-per-node"] {
            assert!(parallel(&[(format!("towline.dev/{one}").as_str(), "2")]), "{one}");
        }
        assert!(parallel(&[("towline.dev/mpi", "pmix")]));
        // interLink runs such a pod once, on the first node.
        assert!(!parallel(&[("slurm-job.vk.io/flags", "-N 2 -n 8")]));
        assert!(parallel(&[
            ("slurm-job.vk.io/flags", "-N 2 -n 8"),
            ("slurm-job.vk.io/mpi-flags", "-np 8")
        ]));
        let policy = Policy {
            flavours: BTreeMap::from([(
                "mpi".to_owned(),
                Flavour {
                    settings: BTreeMap::from([(Setting::Nodes, "2".to_owned())]),
                    ..Flavour::default()
                },
            )]),
            default_flavour: Some("mpi".to_owned()),
            ..Policy::default()
        };
        assert!(read(&[], &policy).unwrap().parallel);
        let pod = Pod::default();
        let host = asked(&pod, &policy, "host");
        assert!(matches!(host, Err(Fault::Rejected(_))), "{host:?}");
    }

    #[test]
    fn flags_as_they_are_never_touch_what_finds_the_job_again() {
        for flag in ["--nice=5", "--switches=1", "--spread-job --hint=nomultithread"] {
            assert_eq!(check(Setting::Flags, flag), Ok(()), "{flag}");
        }
        for flag in [
            "-J x",
            "--job-name=x",
            "--job=x",
            "--wrap=x",
            "--out=/x",
            "--nice=$(x)",
            "x",
            "--",
            "--nice=a;b",
            "---x",
        ] {
            assert!(check(Setting::Flags, flag).is_err(), "{flag}");
        }
    }

    #[test]
    fn the_site_says_who_may_choose_what() {
        let few = Policy {
            settings: BTreeSet::from([Setting::Partition]),
            values: BTreeMap::from([(Setting::Partition, BTreeSet::from(["a".to_owned()]))]),
            ..Policy::default()
        };
        assert!(read(&[("towline.dev/partition", "a")], &few).is_ok());
        assert!(
            read(&[("towline.dev/partition", "b")], &few)
                .unwrap_err()
                .contains("among a")
        );
        assert!(
            read(&[("towline.dev/account", "x")], &few)
                .unwrap_err()
                .contains("account")
        );
        // The same holds whoever's annotation says it.
        assert!(
            read(&[("slurm-job.vk.io/flags", "-p b")], &few)
                .unwrap_err()
                .contains("among a")
        );
    }

    #[test]
    fn the_documentation_is_what_the_table_says() {
        crate::fields::document::same_as_file("docs/annotations.md", &markdown());
    }

    #[test]
    fn a_flavour_is_weaker_than_what_the_pod_says() {
        let gpu = Flavour {
            cpus: Some(8),
            memory_mb: Some(1000),
            settings: BTreeMap::from([
                (Setting::Partition, "gpu".to_owned()),
                (Setting::Qos, "high".to_owned()),
            ]),
        };
        let policy = Policy {
            flavours: BTreeMap::from([("gpu".to_owned(), gpu)]),
            settings: BTreeSet::from([Setting::Partition]),
            default_flavour: Some("gpu".to_owned()),
            ..Policy::default()
        };
        let found = read(
            &[("slurm-job.vk.io/flavor", "gpu"), ("towline.dev/partition", "other")],
            &policy,
        )
        .unwrap();
        assert_eq!(found.get(Setting::Partition).unwrap(), "other");
        assert_eq!(
            (found.get(Setting::Qos).unwrap().as_str(), found.cpus),
            ("high", Some(8))
        );
        assert_eq!(read(&[], &policy).unwrap().memory_mb, Some(1000));
    }

    proptest! {
        #[test]
        fn what_is_accepted_can_be_given_to_a_batch_system(at in 0..NAMES.len(), value in "\\PC{0,24}|[a-z0-9:,=-]{0,24}") {
            let (setting, _, _) = NAMES[at];
            if check(setting, &value).is_ok() && setting != Setting::Flags {
                prop_assert!(Token::new("x", &value).is_ok());
            }
        }
    }
}
