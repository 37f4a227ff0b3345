//! What pods use: the figures that supervisors write down, and the totals that only somebody who remembers can tell.

use std::collections::BTreeMap;

use crate::protocol::{BadAnswer, Row, rows};

/// Processor time and memory at one moment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Figures {
    /// Processor time used so far, nanoseconds.
    pub cpu_ns: u64,
    /// Memory that is in use, bytes.
    pub working_set: u64,
    /// Memory that is not backed by files, bytes.
    pub rss: u64,
}

/// A `container` row: what one run of a container uses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContainerUsage {
    /// The container's name.
    pub name: String,
    /// Which of its runs, counted from 0.
    pub run: i32,
    /// What it uses.
    pub figures: Figures,
    /// How many processes it has.
    pub processes: u64,
    /// Bytes that its processes have read from and written to disks and file servers, if the node tells.
    pub io: Option<(u64, u64)>,
    /// When the figures before these were taken, milliseconds since 1970, and the processor time then.
    pub before: Option<(i64, u64)>,
}

/// A `probe` row: how often a container's probe of one kind came out how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProbeCounts {
    /// The container's name.
    pub container: String,
    /// `startup`, `liveness` or `readiness`.
    pub kind: String,
    /// Well.
    pub successful: u64,
    /// Badly.
    pub failed: u64,
    /// Not at all: it could not be made.
    pub unknown: u64,
    /// How long those that came out well took.
    pub durations: Option<Durations>,
}

/// How long something took, as a histogram.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Durations {
    /// All together, milliseconds.
    pub sum_ms: u64,
    /// How many were within each of [`BOUNDS_MS`] but not the one before; the last number is of those beyond all bounds.
    pub counts: [u64; BOUNDS_MS.len() + 1],
}

/// The bounds of [`Durations`], milliseconds: a kubelet's, but for those that are finer than the clock.
pub const BOUNDS_MS: [u64; 9] = [25, 50, 100, 250, 500, 1000, 2500, 5000, 10_000];

/// A `network` row: an interface of the pod's own network.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Interface {
    /// Its name.
    pub name: String,
    /// What came in.
    pub received: Traffic,
    /// What went out.
    pub sent: Traffic,
}

/// What went one way.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Bytes.
    pub bytes: u64,
    /// Packets.
    pub packets: u64,
    /// Packets with errors.
    pub errors: u64,
    /// Packets that were dropped.
    pub dropped: u64,
}

/// What files are that a `filled` row is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Filled {
    /// A container's root file system, as far as the container has written it.
    Rootfs,
    /// A container's logs.
    Logs,
    /// A volume.
    Volume,
    /// A volume in the node's memory.
    Memory,
}

/// A `filled` row: how much disk space something takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Space {
    /// What it is.
    pub what: Filled,
    /// The container's or the volume's name.
    pub name: String,
    /// Bytes.
    pub bytes: u64,
    /// When that was, seconds since 1970.
    pub time: i64,
}

/// The file system that pods and images lie on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Storage {
    /// Its size, bytes.
    pub capacity: u64,
    /// What the account may still fill, bytes.
    pub available: u64,
    /// How many files it can have, and how many more, where it has such a limit.
    pub inodes: Option<(u64, u64)>,
    /// What the prepared images take, bytes.
    pub images: u64,
}

/// What a pod uses.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PodUsage {
    /// When that was, milliseconds since 1970, by the compute node's clock.
    pub time_ms: i64,
    /// Its job as a whole, where the batch system keeps account of it.
    pub job: Option<Figures>,
    /// Its containers, those that ran at that time.
    pub containers: Vec<ContainerUsage>,
    /// How the probes of its containers came out.
    pub probes: Vec<ProbeCounts>,
    /// The interfaces of its own network. None if it lives in that of its node, whose counters say nothing about it.
    pub network: Vec<Interface>,
    /// How much disk space its parts take.
    pub space: Vec<Space>,
}

/// The answer of `pod/usage`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Usage {
    /// What pods use, by UID. One that is not there has no figures.
    pub pods: BTreeMap<String, PodUsage>,
    /// What they lie on, if that could be found out.
    pub storage: Option<Storage>,
}

impl PodUsage {
    /// The figures of a container, if it is this run of it that they are about.
    pub fn container(&self, name: &str, run: i32) -> Option<&ContainerUsage> {
        let mut all = self.containers.iter();
        all.find(|container| container.name == name && container.run == run)
    }

    /// The disk space that something of the pod takes, bytes, and when that was found out, seconds since 1970.
    pub fn space(&self, what: Filled, name: &str) -> Option<(u64, i64)> {
        let parts = self.space.iter();
        let parts = parts.filter(|space| space.what == what && space.name == name);
        sum(parts)
    }

    /// What the pod takes on disks: all but what lies in memory.
    pub fn ephemeral(&self) -> Option<(u64, i64)> {
        sum(self.space.iter().filter(|space| space.what != Filled::Memory))
    }

    /// Nanoseconds of processor time per second that a container has used between its last two figures.
    pub fn nano_cores(&self, container: &ContainerUsage) -> Option<u64> {
        let (time_ms, cpu_ns) = container.before?;
        let elapsed = u64::try_from(self.time_ms.checked_sub(time_ms)?).ok()?;
        let used = u128::from(container.figures.cpu_ns.checked_sub(cpu_ns)?);
        u64::try_from((used * 1000).checked_div(u128::from(elapsed))?).ok()
    }
}

fn sum<'a>(spaces: impl Iterator<Item = &'a Space>) -> Option<(u64, i64)> {
    spaces.fold(None, |sum, space| {
        let (bytes, time) = sum.unwrap_or((0, space.time));
        Some((space.bytes.saturating_add(bytes), space.time.min(time)))
    })
}

/// Reads the answer of `pod/usage`. A file that was cut (it is written in place) says nothing.
///
/// # Errors
/// The answer itself is incomplete or does not fit the contract.
pub fn usages(output: &str) -> Result<Usage, BadAnswer> {
    let mut texts: BTreeMap<String, String> = BTreeMap::new();
    let mut storage = None;
    for row in rows(output)? {
        match row.kind() {
            "usage" => {
                let text = texts.entry(row.field(1)?.to_owned()).or_default();
                text.push_str(&row.rest(2));
                text.push('\n');
            }
            "storage" => {
                let inodes: (u64, u64) = (row.number(3)?, row.number(4)?);
                storage = Some(Storage {
                    capacity: row.number(1)?,
                    available: row.number(2)?,
                    inodes: Some(inodes).filter(|(all, _)| *all > 0),
                    images: row.number(5)?,
                });
            }
            _ => {}
        }
    }
    let read = |(uid, text): (String, String)| {
        let usage = usage(&uid, &text).ok()?;
        Some((uid, usage))
    };
    Ok(Usage {
        pods: texts.into_iter().filter_map(read).collect(),
        storage,
    })
}

fn usage(uid: &str, text: &str) -> Result<PodUsage, BadAnswer> {
    let mut found = None;
    for row in rows(text)? {
        match (row.kind(), &mut found) {
            ("pod", _) if row.field(1)? == uid => {
                found = Some(PodUsage {
                    time_ms: row.number(2)?,
                    ..PodUsage::default()
                });
            }
            ("job", Some(pod)) => pod.job = Some(figures(&row, 1)?),
            ("container", Some(pod)) => pod.containers.push(ContainerUsage {
                name: row.field(1)?.to_owned(),
                run: row.number(2)?,
                figures: figures(&row, 3)?,
                processes: row.number(6)?,
                io: None,
                before: row.optional_number(7)?.zip(row.optional_number(8)?),
            }),
            ("probe", Some(pod)) => pod.probes.push(ProbeCounts {
                container: row.field(1)?.to_owned(),
                kind: row.field(2)?.to_owned(),
                successful: row.number(3)?,
                failed: row.number(4)?,
                unknown: row.number(5)?,
                durations: durations(&row),
            }),
            ("io", Some(pod)) => {
                let (name, run): (_, i32) = (row.field(1)?, row.number(2)?);
                let io = Some((row.number(3)?, row.number(4)?));
                let mut all = pod.containers.iter_mut();
                if let Some(container) = all.find(|container| container.name == name && container.run == run) {
                    container.io = io;
                }
            }
            ("network", Some(pod)) => pod.network.push(Interface {
                name: row.field(1)?.to_owned(),
                received: traffic(&row, 2)?,
                sent: traffic(&row, 6)?,
            }),
            ("filled", Some(pod)) => {
                let what = match row.field(1)? {
                    "rootfs" => Filled::Rootfs,
                    "logs" => Filled::Logs,
                    "volume" => Filled::Volume,
                    "memory" => Filled::Memory,
                    _ => continue,
                };
                pod.space.push(Space {
                    what,
                    name: row.field(2)?.to_owned(),
                    bytes: row.number(3)?,
                    time: row.number(4)?,
                });
            }
            _ => {}
        }
    }
    found.ok_or_else(|| BadAnswer::Row {
        row: crate::words::excerpt(text),
        why: format!("these are not the figures of pod {uid}"),
    })
}

/// How long a probe took, if its row says so: the sum, and as many numbers as there are bounds, and one more.
fn durations(row: &Row<'_>) -> Option<Durations> {
    let counts: Option<Vec<u64>> = row.field(7).ok()?.split(' ').map(|count| count.parse().ok()).collect();
    Some(Durations {
        sum_ms: row.number(6).ok()?,
        counts: counts?.try_into().ok()?,
    })
}

fn traffic(row: &Row<'_>, from: usize) -> Result<Traffic, BadAnswer> {
    Ok(Traffic {
        bytes: row.number(from)?,
        packets: row.number(from + 1)?,
        errors: row.number(from + 2)?,
        dropped: row.number(from + 3)?,
    })
}

fn figures(row: &Row<'_>, from: usize) -> Result<Figures, BadAnswer> {
    Ok(Figures {
        cpu_ns: row.number(from)?,
        working_set: row.number(from + 1)?,
        rss: row.number(from + 2)?,
    })
}

/// The processor time of pods and of all together, which never goes back: what a container's earlier runs and pods that
/// have ended had used stays in it. It begins with what is seen first.
#[derive(Debug, Clone, Default)]
pub struct Totals {
    /// Of each pod: what its job has used, and what each run of its containers has.
    pods: BTreeMap<String, Known>,
    /// What pods had used of which nothing is heard any more.
    gone_ns: u64,
}

#[derive(Debug, Clone, Default)]
struct Known {
    job_ns: u64,
    runs: BTreeMap<(String, i32), u64>,
}

impl Known {
    fn total(&self) -> u64 {
        // Whatever else the job does, it has used what its containers have.
        let runs = self.runs.values();
        self.job_ns.max(runs.fold(0, |sum, run| sum.saturating_add(*run)))
    }
}

impl Totals {
    /// Takes in figures, and lets go of the pods that are not among those `present`.
    pub fn take<'a>(
        &mut self,
        usage: impl IntoIterator<Item = (&'a str, &'a PodUsage)>,
        present: impl Fn(&str) -> bool,
    ) {
        for (uid, usage) in usage {
            let known = self.pods.entry(uid.to_owned()).or_default();
            known.job_ns = known.job_ns.max(usage.job.map_or(0, |job| job.cpu_ns));
            for container in &usage.containers {
                let run = known.runs.entry((container.name.clone(), container.run)).or_default();
                *run = container.figures.cpu_ns.max(*run);
            }
        }
        let gone = &mut self.gone_ns;
        self.pods.retain(|uid, known| {
            let stays = present(uid);
            if !stays {
                *gone = gone.saturating_add(known.total());
            }
            stays
        });
    }

    /// Nanoseconds that a pod has used.
    pub fn pod_ns(&self, uid: &str) -> Option<u64> {
        self.pods.get(uid).map(Known::total)
    }

    /// Nanoseconds that all of them have used.
    pub fn all_ns(&self) -> u64 {
        let pods = self.pods.values().map(Known::total);
        pods.fold(self.gone_ns, u64::saturating_add)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::answer::tests::text;
    use proptest::prelude::*;

    /// The answer about one pod, whose file has these rows.
    fn about(uid: &str, body: &str) -> String {
        text(body).lines().map(|line| format!("usage|{uid}|{line}\n")).collect()
    }

    const TWO: &str = "pod|u-1|1700000015500
        job|9000000000|5000|4000
        container|main|2|3000000000|900|700|4|1700000000500|1500000000
        container|side|0|10|20|30|1|-|-
        io|main|2|4096|8192
        io|side|9|1|1
        network|eth0|1|2|3|4|5|6|7|8
        filled|rootfs|main|1000|1700000000
        filled|rootfs|main|200|1699999999
        filled|logs|main|30|1700000000
        filled|volume|v|4|1700000000
        filled|memory|m|50000|1700000000
        filled|later|x|1|1
        probe|main|readiness|7|1|0|900|1 2 0 0 0 0 0 0 3 1
        probe|main|liveness|7|1|0";

    fn two() -> PodUsage {
        usages(&text(&about("u-1", TWO))).unwrap().pods.remove("u-1").unwrap()
    }

    #[test]
    fn figures_are_those_of_the_run_that_they_are_about() {
        let pod = two();
        assert_eq!(pod.job.unwrap().working_set, 5000);
        let main = pod.container("main", 2).unwrap();
        assert_eq!((main.figures.rss, main.processes), (700, 4));
        assert!(pod.container("main", 3).is_none());
        let probe = &pod.probes[0];
        assert_eq!(
            (probe.kind.as_str(), probe.successful, probe.failed),
            ("readiness", 7, 1)
        );
        // 1.5 s of processor time in 15 s.
        assert_eq!(pod.nano_cores(main), Some(100_000_000));
        assert_eq!(pod.nano_cores(pod.container("side", 0).unwrap()), None);
        assert_eq!((main.io, pod.containers[1].io), (Some((4096, 8192)), None));
    }

    #[test]
    fn what_is_not_in_a_row_is_not_known() {
        let pod = two();
        let took = Durations {
            sum_ms: 900,
            counts: [1, 2, 0, 0, 0, 0, 0, 0, 3, 1],
        };
        assert_eq!(pod.probes[0].durations, Some(took));
        assert_eq!(pod.probes[1].durations, None);
        let odd = usages(&text(&about("u", "pod|u|1\nprobe|c|liveness|1|1|0|900|1 2"))).unwrap();
        assert_eq!(odd.pods["u"].probes[0].durations, None);
    }

    #[test]
    fn an_interface_has_counters_both_ways() {
        let traffic = |bytes| Traffic {
            bytes,
            packets: bytes + 1,
            errors: bytes + 2,
            dropped: bytes + 3,
        };
        let expected = Interface {
            name: "eth0".into(),
            received: traffic(1),
            sent: traffic(5),
        };
        assert_eq!(two().network, [expected]);
    }

    #[test]
    fn space_is_added_up_and_memory_is_no_disk() {
        let pod = two();
        assert_eq!(pod.space(Filled::Rootfs, "main"), Some((1200, 1_699_999_999)));
        assert_eq!(pod.space(Filled::Logs, "side"), None);
        assert_eq!(pod.space(Filled::Memory, "m"), Some((50000, 1_700_000_000)));
        assert_eq!(pod.ephemeral(), Some((1234, 1_699_999_999)));
        assert_eq!(PodUsage::default().ephemeral(), None);
    }

    #[test]
    fn the_file_system_may_have_no_limit_of_files() {
        let storage = |body: &str| usages(&text(body)).unwrap().storage;
        let mut expected = Storage {
            capacity: 100,
            available: 40,
            inodes: Some((30, 20)),
            images: 7,
        };
        assert_eq!(storage("storage|100|40|30|20|7"), Some(expected));
        expected.inodes = None;
        assert_eq!(storage("storage|100|40|0|0|7"), Some(expected));
        assert_eq!(storage(&about("u-1", TWO)), None);
    }

    #[test]
    fn no_rate_comes_of_times_that_do_not_advance() {
        let mut pod = two();
        pod.time_ms = 1_700_000_000_500;
        assert_eq!(pod.nano_cores(&pod.containers[0]), None);
        pod.time_ms -= 1;
        assert_eq!(pod.nano_cores(&pod.containers[0]), None);
    }

    #[test]
    fn a_file_that_was_cut_says_nothing_and_spoils_nothing() {
        let cut: Vec<String> = about("u-2", TWO).lines().take(3).map(str::to_owned).collect();
        let other = about("u-3", "pod|u-1|1");
        let all = usages(&text(&(cut.join("\n") + "\n" + &other + &about("u-1", TWO)))).unwrap();
        assert_eq!(all.pods.keys().collect::<Vec<_>>(), ["u-1"]);
        assert!(usages("towline\u{1f}1\n").is_err());
    }

    #[test]
    fn totals_keep_what_earlier_runs_and_pods_had_used() {
        let run = |run: i32, cpu_ns: u64| PodUsage {
            containers: vec![ContainerUsage {
                name: "main".into(),
                run,
                figures: Figures {
                    cpu_ns,
                    ..Figures::default()
                },
                processes: 1,
                io: None,
                before: None,
            }],
            ..PodUsage::default()
        };
        let mut totals = Totals::default();
        totals.take([("a", &run(0, 5)), ("b", &run(0, 7))], |_| true);
        totals.take([("a", &run(1, 2))], |_| true);
        assert_eq!((totals.pod_ns("a"), totals.all_ns()), (Some(7), 14));
        // Older figures of a run that come late change nothing.
        totals.take([("a", &run(1, 1))], |uid| uid == "a");
        assert_eq!((totals.pod_ns("b"), totals.all_ns()), (None, 14));
        let job = PodUsage {
            job: Some(Figures {
                cpu_ns: 100,
                ..Figures::default()
            }),
            ..run(1, 2)
        };
        totals.take([("a", &job)], |_| true);
        assert_eq!((totals.pod_ns("a"), totals.all_ns()), (Some(100), 107));
    }

    proptest! {
        #[test]
        fn nothing_panics(body in "[a-z|0-9\n-]{0,200}") {
            let _ = (usages(&text(&body)), usages(&text(&about("u", &body))));
        }
    }
}
