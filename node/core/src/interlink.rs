//! The annotations of interLink's Slurm plugin, so that manifests written for it run unchanged.
//!
//! Each is understood and becomes one of Towline's own settings, or the pod is refused with the reason; none is passed
//! over. Names and meanings: `pkg/slurm/prepare.go` of interlink-hq/interlink-slurm-plugin.

use std::collections::BTreeMap;

use crate::quantity;
use crate::settings::Setting;
use crate::translate::walltime;
use crate::words::excerpt;

/// Prefixes under which these annotations are written.
const PREFIXES: &[&str] = &["slurm-job.vk.io/", "slurm-job.knoc.io/"];

/// A path of the cluster that every container sees.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bind {
    /// On the cluster.
    pub source: String,
    /// In the container.
    pub target: String,
    /// For reading only.
    pub read_only: bool,
}

/// What the annotations say.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Read {
    /// As Towline's own annotations would say it.
    pub settings: BTreeMap<Setting, String>,
    /// CPUs.
    pub cpus: Option<u64>,
    /// Memory in MiB.
    pub memory_mb: Option<u64>,
    /// GPUs.
    pub gpus: Option<u64>,
    /// The flavour.
    pub flavour: Option<String>,
    /// What stands before the names of images.
    pub image_root: Option<String>,
    /// Paths to be bound.
    pub binds: Vec<Bind>,
    /// The main container is started as ranks.
    pub mpi: bool,
    /// Variables of the main container.
    pub variables: Vec<(String, String)>,
}

/// Reads them.
///
/// # Errors
/// The annotation and why it cannot be honoured.
pub fn read(annotations: &BTreeMap<String, String>) -> Result<Read, String> {
    let mut read = Read::default();
    for (key, value) in annotations {
        let Some(name) = PREFIXES.iter().find_map(|prefix| key.strip_prefix(prefix)) else {
            continue;
        };
        let value = value.trim();
        let refuse = |why: &str| Err(format!("{key}: {why}"));
        match name {
            _ if value.is_empty() => {}
            "flags" => read.flags(value).map_err(|why| format!("{key}: {why}"))?,
            "flavor" => read.flavour = Some(value.to_owned()),
            "image-root" => read.image_root = Some(image_root(value).map_err(|why| format!("{key}: {why}"))?),
            "singularity-mounts" | "singularity-options" => {
                read.options(value).map_err(|why| format!("{key}: {why}"))?;
            }
            // (That is how it says that there are none.)
            "mpi-flags" if value == "true" => {}
            "mpi-flags" => read.mpi_flags(value).map_err(|why| format!("{key}: {why}"))?,
            "pre-exec" | "singularity-commands" => {
                return refuse(
                    "commands outside of the container would run with all that the account may do, whoever wrote the pod; use an init container",
                );
            }
            "enroot-options" | "enroot-mounts" => {
                return refuse("there is no enroot here: containers run with Apptainer");
            }
            _ => return refuse("no annotation of that name is known"),
        }
    }
    Ok(read)
}

/// A registry with a path, or a directory with images.
fn image_root(text: &str) -> Result<String, String> {
    match text.split_once("://") {
        Some(("docker", rest)) => Ok(rest.to_owned()),
        Some((scheme, _)) => Err(format!(
            "images are taken from registries and from paths, not from {scheme}://"
        )),
        None => Ok(text.to_owned()),
    }
}

impl Read {
    /// Options as sbatch takes them: `-p x`, `-px`, `--partition x`, `--partition=x`.
    fn flags(&mut self, text: &str) -> Result<(), String> {
        let mut words = text.split_whitespace();
        let mut others = Vec::new();
        let (mut tasks, mut per_node, mut cpus_per_task) = (None, None, None);
        let (mut memory_per_node, mut gpus_per_node) = (None, None);
        while let Some(word) = words.next() {
            let (name, mut value) = split(word);
            let long = long_name(name).unwrap_or(name);
            if long == "--exclusive" && value.is_none() {
                self.settings.insert(Setting::Exclusive, "true".to_owned());
                continue;
            }
            let mut argument = || {
                let value = value.take().or_else(|| words.next());
                value.ok_or_else(|| format!("{word} has no value"))
            };
            if let Some((_, setting)) = SAME.iter().find(|(known, _)| *known == long) {
                let value = argument()?;
                self.settings.insert(*setting, value.to_owned());
                continue;
            }
            match long {
                "--time" => {
                    let value = argument()?;
                    let seconds = slurm_time(value).ok_or_else(|| format!("{:?} is no time", excerpt(value)))?;
                    self.settings.insert(Setting::Walltime, seconds.to_string());
                }
                "--ntasks" => tasks = Some(count(argument()?)?),
                "--ntasks-per-node" | "--tasks-per-node" => per_node = Some(count(argument()?)?),
                "--cpus-per-task" => cpus_per_task = Some(count(argument()?)?),
                "--mem" => {
                    let value = argument()?;
                    let mib = slurm_mib(value).ok_or_else(|| format!("{:?} is no amount of memory", excerpt(value)))?;
                    memory_per_node = Some(mib);
                }
                "--gpus" | "--gpus-per-node" => {
                    let value = argument()?;
                    if let Some((kind, _)) = value.rsplit_once(':') {
                        self.settings.insert(Setting::GpuType, kind.to_owned());
                    }
                    let number = count(value.rsplit(':').next().unwrap_or_default())?;
                    if long == "--gpus" {
                        self.gpus = Some(number);
                    } else {
                        gpus_per_node = Some(number);
                    }
                }
                // Towline finds its job by the job's name; what the user calls it stands in the comment.
                "--job-name" => {
                    let value = argument()?;
                    self.settings
                        .entry(Setting::Comment)
                        .or_insert_with(|| value.to_owned());
                }
                _ => others.push(word.to_owned()),
            }
        }
        // What a pod asks for is what the whole job has.
        let nodes = self.settings.get(&Setting::Nodes).map_or(Ok(1), |nodes| count(nodes))?;
        let tasks = tasks.or(per_node.map(|tasks| tasks.saturating_mul(nodes)));
        if let Some(tasks) = tasks.filter(|tasks| *tasks > 1) {
            self.settings.insert(Setting::Tasks, tasks.to_string());
        }
        if let Some(cpus) = cpus_per_task {
            self.cpus = Some(cpus.saturating_mul(tasks.unwrap_or(nodes)));
        }
        if let Some(mib) = memory_per_node {
            self.memory_mb = Some(mib.saturating_mul(nodes));
        }
        if let Some(gpus) = gpus_per_node {
            self.gpus = Some(gpus.saturating_mul(nodes));
        }
        if !others.is_empty() {
            self.settings.insert(Setting::Flags, others.join(" "));
        }
        Ok(())
    }

    /// Options of `mpiexec`, in whose place the batch system starts the ranks.
    fn mpi_flags(&mut self, text: &str) -> Result<(), String> {
        self.mpi = true;
        let mut words = text.split_whitespace();
        while let Some(word) = words.next() {
            let mut argument = || words.next().ok_or_else(|| format!("{word} has no value"));
            match word {
                "-n" | "-np" | "--n" | "--np" => {
                    let tasks = argument()?;
                    // (As interLink's own script has it: as many as the job has.)
                    if tasks != "$SLURM_NTASKS" && tasks != "${SLURM_NTASKS}" {
                        self.settings.insert(Setting::Tasks, count(tasks)?.to_string());
                    }
                }
                "-mca" | "--mca" => {
                    let (name, value) = (argument()?, argument()?);
                    self.variables.push((format!("OMPI_MCA_{name}"), value.to_owned()));
                }
                // (A variable without a value is the container's own already.)
                "-x" => {
                    if let Some((name, value)) = argument()?.split_once('=') {
                        self.variables.push((name.to_owned(), value.to_owned()));
                    }
                }
                // Whose ranks they are and how they share the CPUs is the batch system's to say.
                "--oversubscribe" | "--allow-run-as-root" | "--quiet" | "-q" => {}
                _ => {
                    return Err(format!(
                        "the option {:?} is not one of those that are understood",
                        excerpt(word)
                    ));
                }
            }
        }
        Ok(())
    }

    /// Options of `singularity exec`.
    fn options(&mut self, text: &str) -> Result<(), String> {
        let mut words = text.split_whitespace();
        while let Some(word) = words.next() {
            let (name, value) = match word.split_once('=') {
                Some((name, value)) if word.starts_with("--") => (name, Some(value)),
                _ => (word, None),
            };
            match name {
                // As every container runs here, or as the node finds out by itself.
                "--nv" | "--rocm" | "--no-home" | "--containall" | "-C" | "--contain" | "-c" | "--cleanenv" | "-e"
                | "--no-eval" | "--no-init" | "--ipc" | "--pid" | "--userns" | "-u" | "--writable-tmpfs"
                | "--compat" => {}
                "--bind" | "-B" => {
                    let value = value
                        .or_else(|| words.next())
                        .ok_or_else(|| format!("{word} has no value"))?;
                    for bind in value.split(',') {
                        self.binds.push(bind_of(bind)?);
                    }
                }
                _ => {
                    return Err(format!(
                        "the option {:?} is not one of those that are understood",
                        excerpt(word)
                    ));
                }
            }
        }
        Ok(())
    }
}

/// Options whose value is taken as it is.
const SAME: &[(&str, Setting)] = &[
    ("--partition", Setting::Partition),
    ("--account", Setting::Account),
    ("--qos", Setting::Qos),
    ("--constraint", Setting::Constraint),
    ("--reservation", Setting::Reservation),
    ("--nodes", Setting::Nodes),
    ("--gres", Setting::Gres),
    ("--dependency", Setting::Dependency),
    ("--licenses", Setting::Licenses),
    ("--mail-user", Setting::MailUser),
    ("--mail-type", Setting::MailType),
    ("--comment", Setting::Comment),
];

fn long_name(name: &str) -> Option<&'static str> {
    Some(match name {
        "-p" => "--partition",
        "-A" => "--account",
        "-q" => "--qos",
        "-C" => "--constraint",
        "-N" => "--nodes",
        "-n" => "--ntasks",
        "-c" => "--cpus-per-task",
        "-t" => "--time",
        "-d" => "--dependency",
        "-L" => "--licenses",
        "-G" => "--gpus",
        "-J" => "--job-name",
        _ => return None,
    })
}

/// An option's name and the value that stands in the same word.
fn split(word: &str) -> (&str, Option<&str>) {
    if word.starts_with("--") {
        return word
            .split_once('=')
            .map_or((word, None), |(name, value)| (name, Some(value)));
    }
    match word.char_indices().nth(2) {
        Some((at, _)) if word.starts_with('-') => {
            let (name, value) = word.split_at(at);
            (name, Some(value.strip_prefix('=').unwrap_or(value)))
        }
        _ => (word, None),
    }
}

fn count(text: &str) -> Result<u64, String> {
    text.parse().map_err(|_| format!("{:?} is no number", excerpt(text)))
}

/// `minutes`, `minutes:seconds`, `hours:minutes:seconds`, `days-hours[:minutes[:seconds]]`: a number alone is minutes.
fn slurm_time(text: &str) -> Option<u64> {
    let parts: Vec<&str> = text.split(':').collect();
    match parts.as_slice() {
        [minutes] if !minutes.contains('-') => minutes
            .parse::<u64>()
            .ok()?
            .checked_mul(60)
            .filter(|seconds| *seconds > 0),
        [minutes, seconds] if !minutes.contains('-') => {
            let minutes: u64 = minutes.parse().ok()?;
            minutes
                .checked_mul(60)?
                .checked_add(seconds.parse().ok()?)
                .filter(|total| *total > 0)
        }
        _ => walltime(text),
    }
}

/// Memory as Slurm writes it: MiB, or with K, M, G or T.
fn slurm_mib(text: &str) -> Option<u64> {
    let text = text.strip_suffix('B').unwrap_or(text);
    let quantity = match text.chars().last()? {
        c if c.is_ascii_digit() => format!("{text}Mi"),
        c @ ('K' | 'M' | 'G' | 'T') => format!("{}{c}i", text.strip_suffix(c)?),
        _ => return None,
    };
    quantity::units(&quantity)
        .ok()
        .map(|bytes| bytes.div_ceil(1 << 20))
        .filter(|mib| *mib > 0)
}

fn bind_of(text: &str) -> Result<Bind, String> {
    let parts: Vec<&str> = text.split(':').collect();
    let (source, target, options) = match parts.as_slice() {
        [source] => (*source, *source, ""),
        [source, target] => (*source, *target, ""),
        [source, target, options] => (*source, *target, *options),
        _ => return Err(format!("{:?} is no bind: write source[:target[:ro]]", excerpt(text))),
    };
    if !matches!(options, "" | "ro" | "rw") {
        return Err(format!("{:?}: only ro and rw are understood", excerpt(text)));
    }
    Ok(Bind {
        source: source.to_owned(),
        target: target.to_owned(),
        read_only: options == "ro",
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn one(name: &str, value: &str) -> Result<Read, String> {
        read(&BTreeMap::from([(format!("slurm-job.vk.io/{name}"), value.to_owned())]))
    }

    #[test]
    fn flags_become_settings() {
        let found = one(
            "flags",
            "--job-name=test -A geant4 -p gpu --gres=gpu:2 -t 01:00:00 --ntasks-per-node=4 -N1 --cpus-per-task 2 --mem=8G --gpus-per-node=a100:2 --hint=nomultithread",
        )
        .unwrap();
        let settings: Vec<(&str, &str)> = found
            .settings
            .iter()
            .map(|(setting, value)| (setting.name(), value.as_str()))
            .collect();
        assert_eq!(
            settings,
            [
                ("partition", "gpu"),
                ("account", "geant4"),
                ("walltime", "3600"),
                ("nodes", "1"),
                ("tasks", "4"),
                ("gres", "gpu:2"),
                ("gpu-type", "a100"),
                ("comment", "test"),
                ("flags", "--hint=nomultithread")
            ]
        );
        assert_eq!(
            (found.cpus, found.memory_mb, found.gpus),
            (Some(8), Some(8192), Some(2))
        );
    }

    #[test]
    fn what_flags_say_of_a_node_is_counted_for_all() {
        let found = one("flags", "-N 2 --ntasks-per-node=4 -c 3 --mem=1G --gpus-per-node=1").unwrap();
        assert_eq!(found.settings[&Setting::Tasks], "8");
        assert_eq!(
            (found.cpus, found.memory_mb, found.gpus),
            (Some(24), Some(2048), Some(2))
        );
        assert_eq!(one("flags", "-N 2 -n 5 -c 2 -G 4").unwrap().cpus, Some(10));
    }

    #[test]
    fn mpi_flags_start_ranks() {
        let found = one(
            "mpi-flags",
            "-np 4 --mca btl tcp,self -x LEVEL=debug -x PATH --allow-run-as-root",
        )
        .unwrap();
        assert!(found.mpi);
        assert_eq!(found.settings[&Setting::Tasks], "4");
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        assert_eq!(
            found.variables,
            [pair("OMPI_MCA_btl", "tcp,self"), pair("LEVEL", "debug")]
        );
        assert!(!one("mpi-flags", "true").unwrap().mpi);
    }

    #[test]
    fn times_are_slurms_own() {
        for (text, seconds) in [
            ("90", Some(5400)),
            ("90:30", Some(5430)),
            ("1:00:00", Some(3600)),
            ("1-0", Some(86_400)),
            ("x", None),
            ("0", None),
        ] {
            assert_eq!(slurm_time(text), seconds, "{text}");
        }
        assert_eq!(
            (slurm_mib("100"), slurm_mib("2G"), slurm_mib("x"), slurm_mib("")),
            (Some(100), Some(2048), None, None)
        );
    }

    #[test]
    fn binds_and_roots_are_understood() {
        let found = one("singularity-mounts", "--bind /cvmfs:/cvmfs:ro -B /scratch,/data:/d").unwrap();
        assert_eq!(found.binds.len(), 3);
        assert!(found.binds[0].read_only && found.binds[1].target == "/scratch" && found.binds[2].target == "/d");
        assert_eq!(one("image-root", "docker://").unwrap().image_root.as_deref(), Some(""));
        assert_eq!(
            one("image-root", "/cvmfs/unpacked/").unwrap().image_root.as_deref(),
            Some("/cvmfs/unpacked/")
        );
        assert!(one("singularity-options", "--nv --no-home").is_ok());
    }

    #[test]
    fn what_cannot_be_honoured_is_never_passed_over() {
        for (name, value) in [
            ("pre-exec", "module load x"),
            ("singularity-commands", "x"),
            ("mpi-flags", "--hostfile /x"),
            ("mpi-flags", "-np many"),
            ("mpi-flags", "--mca btl"),
            ("flags", "-N 1-2"),
            ("image-root", "oras://"),
            ("singularity-options", "--net"),
            ("singularity-mounts", "--bind /a:/b:exec"),
            ("enroot-mounts", "x"),
            ("flags", "-p"),
            ("flags", "--time=soon"),
            ("new", "x"),
        ] {
            let why = one(name, value).unwrap_err();
            assert!(why.starts_with(&format!("slurm-job.vk.io/{name}: ")), "{why}");
        }
        assert_eq!(one("pre-exec", "").unwrap(), Read::default());
    }

    proptest! {
        #[test]
        fn reading_never_panics(text in "\\PC{0,40}|(-[a-zA-Z]|--[a-z]{1,8}|=|[0-9:]{1,4}| ){0,12}") {
            for name in ["flags", "mpi-flags", "singularity-options", "singularity-mounts", "image-root"] {
                let _ = one(name, &text);
            }
        }
    }
}
