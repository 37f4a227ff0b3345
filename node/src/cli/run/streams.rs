//! The logs of running pods, as they grow.

use std::collections::BTreeMap;
use std::io::Write;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::AsyncReadExt;
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;
use towline_cluster::{Cluster, LogRange, LogStart};
use towline_core::answer::{ContainerReport, ContainerStage, Report};
use towline_ssh::ExitStatus;

use super::progress::Progress;

/// How many logs are followed at a time: each is a stream over the connection and a process on the login node.
const AT_A_TIME: usize = 16;

/// Follows every run of every container.
pub struct Streams {
    cluster: Cluster,
    progress: Arc<Progress>,
    prefixed: bool,
    free: Arc<Semaphore>,
    runs: BTreeMap<(String, String), Runs>,
    tasks: JoinSet<()>,
    /// Some pod is over without having said so: its log has no end that could be seen.
    endless: bool,
}

struct Runs {
    next: i64,
    to: mpsc::UnboundedSender<i64>,
}

impl Streams {
    pub fn new(cluster: Cluster, progress: Arc<Progress>, prefixed: bool) -> Self {
        Self {
            cluster,
            progress,
            prefixed,
            free: Arc::new(Semaphore::new(AT_A_TIME)),
            runs: BTreeMap::new(),
            tasks: JoinSet::new(),
            endless: false,
        }
    }

    /// Starts to follow what a report says has begun.
    pub fn begun(&mut self, name: &str, report: &Report) {
        for container in &report.containers {
            let Some(newest) = newest_run(container) else { continue };
            let key = (report.uid.clone(), container.name.clone());
            let runs = self.runs.entry(key).or_insert_with(|| {
                let (to, runs) = mpsc::unbounded_channel();
                let log = Log {
                    cluster: self.cluster.clone(),
                    uid: report.uid.clone(),
                    container: container.name.clone(),
                    out: Out {
                        progress: Arc::clone(&self.progress),
                        prefix: self.prefixed.then(|| format!("[{name}/{}] ", container.name)),
                        line: Vec::new(),
                    },
                };
                self.tasks.spawn(log.follow(runs, Arc::clone(&self.free)));
                Runs { next: 0, to }
            });
            while runs.next <= newest {
                // It fails only if the task has panicked.
                let _ = runs.to.send(runs.next);
                runs.next += 1;
            }
        }
    }

    /// A pod is over: no further runs of its containers will come. `told`: its supervisor has said so.
    pub fn ended(&mut self, uid: &str, told: bool) {
        self.endless |= !told && self.runs.keys().any(|(of, _)| of == uid);
        self.runs.retain(|(of, _), _| of != uid);
    }

    /// Waits until everything that was begun is written.
    pub async fn finish(mut self) {
        self.runs.clear();
        let all = async { while self.tasks.join_next().await.is_some() {} };
        if self.endless {
            // What there is has long been read by then.
            let _ = tokio::time::timeout(Duration::from_secs(3), all).await;
        } else {
            all.await;
        }
    }
}

/// The number of the newest run that has a log.
fn newest_run(container: &ContainerReport) -> Option<i64> {
    let begun = match container.stage {
        ContainerStage::Running => true,
        ContainerStage::Terminated => container.run.started.is_some(),
        ContainerStage::Waiting => container.last.is_some(),
    };
    begun.then(|| i64::from(container.restarts))
}

struct Log {
    cluster: Cluster,
    uid: String,
    container: String,
    out: Out,
}

impl Log {
    async fn follow(mut self, mut runs: mpsc::UnboundedReceiver<i64>, free: Arc<Semaphore>) {
        while let Some(run) = runs.recv().await {
            let Ok(_turn) = free.acquire().await else { return };
            let mut offset = 0;
            let mut misses = 0;
            loop {
                match self.part(run, &mut offset).await {
                    Ok(ExitStatus::Code(0)) => break,
                    // The report can be seen before the file: file systems that several hosts share are like that.
                    Ok(ExitStatus::Code(66)) if misses < 10 => misses += 1,
                    Ok(ExitStatus::Code(66)) => {
                        self.out
                            .say(&format!("there is no log of run {run} of container {}", self.container));
                        break;
                    }
                    Ok(status) => {
                        self.out
                            .say(&format!("the log of container {} ended with {status}", self.container));
                        break;
                    }
                    Err(error) if error.is_permanent() => {
                        self.out.say(&format!(
                            "the log of container {} cannot be read: {error}",
                            self.container
                        ));
                        return;
                    }
                    Err(error) => tracing::debug!(%error, offset, "a log's stream was lost, going on from there"),
                }
                tokio::time::sleep(Duration::from_millis(500)).await;
            }
            self.out.flush();
        }
    }

    /// Writes what there is from `offset` on.
    async fn part(&mut self, run: i64, offset: &mut u64) -> Result<ExitStatus, towline_cluster::Error> {
        let range = LogRange {
            run,
            start: LogStart::Offset(*offset),
            length: None,
            follow: true,
        };
        let mut process = self.cluster.log(&self.uid, &self.container, range).await?;
        let mut stderr = process.stderr;
        process.stderr = Box::pin(tokio::io::empty());
        // It has to be read, or the other side may never end; what it says, the exit code says as well.
        let drain = tokio::spawn(async move { tokio::io::copy(&mut stderr, &mut tokio::io::sink()).await });
        let mut buffer = vec![0; 64 << 10];
        loop {
            match process.stdout.read(&mut buffer).await {
                Ok(0) | Err(_) => break,
                Ok(count) => {
                    *offset += count as u64;
                    self.out.write(&buffer[..count]);
                }
            }
        }
        let status = process.wait().await?;
        drain.abort();
        Ok(status)
    }
}

/// Standard output, whole lines at a time if several write to it.
struct Out {
    progress: Arc<Progress>,
    prefix: Option<String>,
    line: Vec<u8>,
}

impl Out {
    fn write(&mut self, bytes: &[u8]) {
        let Some(prefix) = &self.prefix else {
            return self.put(bytes);
        };
        self.line.extend_from_slice(bytes);
        let Some(end) = self.line.iter().rposition(|byte| *byte == b'\n') else {
            return;
        };
        let rest = self.line.split_off(end + 1);
        let mut whole = Vec::with_capacity(self.line.len() * 2);
        for line in self.line.split_inclusive(|byte| *byte == b'\n') {
            whole.extend_from_slice(prefix.as_bytes());
            whole.extend_from_slice(line);
        }
        self.line = rest;
        self.put(&whole);
    }

    /// What is left of a line that its writer did not end.
    fn flush(&mut self) {
        if !self.line.is_empty() {
            self.write(b"\n");
        }
    }

    fn put(&self, bytes: &[u8]) {
        self.progress.around(|| {
            let mut stdout = std::io::stdout().lock();
            // Nobody reads it any more: the pod goes on, as it would under any other program.
            let _ = stdout.write_all(bytes).and_then(|()| stdout.flush());
        });
    }

    fn say(&self, text: &str) {
        let prefix = self.prefix.as_deref().unwrap_or_default();
        self.progress.warning(&format!("{prefix}{text}"));
    }
}
