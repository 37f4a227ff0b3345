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
}

impl PodUsage {
    /// The figures of a container, if it is this run of it that they are about.
    pub fn container(&self, name: &str, run: i32) -> Option<&ContainerUsage> {
        let mut all = self.containers.iter();
        all.find(|container| container.name == name && container.run == run)
    }

    /// Nanoseconds of processor time per second that a container has used between its last two figures.
    pub fn nano_cores(&self, container: &ContainerUsage) -> Option<u64> {
        let (time_ms, cpu_ns) = container.before?;
        let elapsed = u64::try_from(self.time_ms.checked_sub(time_ms)?).ok()?;
        let used = u128::from(container.figures.cpu_ns.checked_sub(cpu_ns)?);
        u64::try_from((used * 1000).checked_div(u128::from(elapsed))?).ok()
    }
}

/// Reads the answer of `pod/usage`: the figures of each pod that has some. A file that was cut (it is written in place)
/// says nothing.
///
/// # Errors
/// The answer itself is incomplete or does not fit the contract.
pub fn usages(output: &str) -> Result<BTreeMap<String, PodUsage>, BadAnswer> {
    let mut texts: BTreeMap<String, String> = BTreeMap::new();
    for row in rows(output)?.iter().filter(|row| row.kind() == "usage") {
        let text = texts.entry(row.field(1)?.to_owned()).or_default();
        text.push_str(&row.rest(2));
        text.push('\n');
    }
    let read = |(uid, text): (String, String)| {
        let usage = usage(&uid, &text).ok()?;
        Some((uid, usage))
    };
    Ok(texts.into_iter().filter_map(read).collect())
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
                before: row.optional_number(7)?.zip(row.optional_number(8)?),
            }),
            ("probe", Some(pod)) => pod.probes.push(ProbeCounts {
                container: row.field(1)?.to_owned(),
                kind: row.field(2)?.to_owned(),
                successful: row.number(3)?,
                failed: row.number(4)?,
                unknown: row.number(5)?,
            }),
            _ => {}
        }
    }
    found.ok_or_else(|| BadAnswer::Row {
        row: crate::words::excerpt(text),
        why: format!("these are not the figures of pod {uid}"),
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
        probe|main|readiness|7|1|0";

    fn two() -> PodUsage {
        usages(&text(&about("u-1", TWO))).unwrap().remove("u-1").unwrap()
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
        assert_eq!(all.keys().collect::<Vec<_>>(), ["u-1"]);
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
