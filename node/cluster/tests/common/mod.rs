//! This machine as a cluster in a directory of its own, with a link that can be disturbed.
#![allow(dead_code, reason = "each test file uses its part")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use tempfile::TempDir;
use tokio::sync::watch;
use towline_cluster::{Cluster, Error, Options};
use towline_core::answer::{Report, Stage};
use towline_core::bundle::Bundle;
use towline_core::translate::{References, Site, translate};
use towline_ssh::{Command, Duplex, LinkState, Local, Output, Process, Remote};

type Result<T> = std::result::Result<T, towline_ssh::Error>;

#[derive(Debug, Default)]
struct Faults {
    cut_output: Option<usize>,
    before: String,
    within: String,
    no_forwarding: bool,
}

/// A link that does what the tests ask for.
#[derive(Debug)]
struct Disturbed {
    local: Local,
    path: String,
    faults: Mutex<Faults>,
    commands: AtomicUsize,
}

impl Disturbed {
    fn prepared(&self, command: Command) -> Command {
        self.commands.fetch_add(1, Ordering::Relaxed);
        command.env("PATH", &self.path)
    }

    fn disturbed(&self, mut output: Output) -> Output {
        let faults = self.faults.lock().unwrap();
        if !faults.within.is_empty()
            && let Some(at) = output.stdout.iter().position(|byte| *byte == b'\n')
        {
            output.stdout.splice(at + 1..at + 1, faults.within.bytes());
        }
        if let Some(cut) = faults.cut_output {
            output.stdout.truncate(cut);
        }
        output.stdout.splice(0..0, faults.before.bytes());
        output
    }
}

#[async_trait]
impl Remote for Disturbed {
    async fn shell(&self, command: Command) -> Result<Output> {
        self.run(command).await
    }
    async fn run(&self, command: Command) -> Result<Output> {
        Ok(self.disturbed(self.local.run(self.prepared(command)).await?))
    }
    async fn open(&self, command: Command) -> Result<Process> {
        self.local.open(self.prepared(command)).await
    }
    async fn connect(&self, host: &str, port: u16) -> Result<Box<dyn Duplex>> {
        if self.faults.lock().unwrap().no_forwarding {
            return Err(towline_ssh::Error::Connect {
                host: host.to_owned(),
                why: "the host does not allow forwarding".to_owned(),
            });
        }
        self.local.connect(host, port).await
    }
    fn link(&self) -> watch::Receiver<LinkState> {
        self.local.link()
    }
    fn name(&self) -> String {
        "the test's machine".to_owned()
    }
    async fn close(&self) {}
}

/// This machine. What runs on it is ended and its directory deleted when it is dropped.
pub struct Machine {
    directory: TempDir,
    remote: Arc<Disturbed>,
}

impl Machine {
    /// Without a batch system.
    pub fn new() -> Self {
        Self::with_path(&[])
    }

    /// With the fake Slurm.
    pub fn with_slurm() -> Self {
        let machine = Self::with_path(&["slurm/bin"]);
        let fake = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../remote-scripts/tests/fake");
        copy(&fake, &machine.directory.path().join("slurm"));
        std::fs::create_dir(machine.directory.path().join("slurm/state")).unwrap();
        machine
    }

    fn with_path(first: &[&str]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        std::fs::create_dir(directory.path().join("bin")).unwrap();
        let own = first.iter().chain(&["bin"]).map(|name| directory.path().join(name));
        let path = std::env::var_os("PATH").unwrap();
        let path = std::env::join_paths(own.chain(std::env::split_paths(&path))).unwrap();
        let remote = Arc::new(Disturbed {
            local: Local::default(),
            path: path.into_string().unwrap(),
            faults: Mutex::default(),
            commands: AtomicUsize::new(0),
        });
        Self { directory, remote }
    }

    pub fn root(&self) -> PathBuf {
        self.directory.path().join("root")
    }

    pub fn remote(&self) -> Arc<dyn Remote> {
        Arc::clone(&self.remote) as Arc<dyn Remote>
    }

    pub fn options(&self) -> Options {
        let mut options = Options::new("test", "tests");
        options.root = Some(self.root().to_string_lossy().into_owned());
        options
    }

    pub async fn connect(&self) -> std::result::Result<Cluster, Error> {
        Cluster::connect(self.remote(), self.options()).await
    }

    /// How many commands were sent.
    pub fn commands(&self) -> usize {
        self.remote.commands.load(Ordering::Relaxed)
    }

    /// What is unpacked from now on ends after so many bytes, as if the link had been lost.
    pub fn cut_uploads(&self, after: Option<usize>) {
        let tar = self.directory.path().join("bin/tar");
        match after {
            Some(bytes) => script(&tar, &format!("head -c {bytes} | PATH=${{PATH#*:}} exec tar \"$@\"")),
            None => std::fs::remove_file(tar).unwrap(),
        }
    }

    pub fn cut_answers(&self, after: Option<usize>) {
        self.remote.faults.lock().unwrap().cut_output = after;
    }

    pub fn noise_before(&self, text: &str) {
        self.remote.faults.lock().unwrap().before = text.to_owned();
    }

    pub fn noise_within(&self, text: &str) {
        self.remote.faults.lock().unwrap().within = text.to_owned();
    }

    pub fn forbid_forwarding(&self) {
        self.remote.faults.lock().unwrap().no_forwarding = true;
    }

    /// Makes a tool fail, and another one work again.
    pub fn hide(&self, tool: &str, back: &str) {
        script(&self.directory.path().join("bin").join(tool), "exit 1");
        // An error means that it was there all the time.
        let _ = std::fs::remove_file(self.directory.path().join("bin").join(back));
    }

    pub fn slurm_mode(&self, mode: &str) {
        std::fs::write(self.directory.path().join("slurm/state/mode"), format!("{mode}\n")).unwrap();
    }

    pub fn slurm_down(&self, down: bool) {
        let mark = self.directory.path().join("slurm/state/down");
        if down {
            std::fs::write(mark, "").unwrap();
        } else {
            std::fs::remove_file(mark).unwrap();
        }
    }
}

fn script(path: &Path, text: &str) {
    use std::os::unix::fs::PermissionsExt;
    std::fs::write(path, format!("#!/bin/sh\n{text}\n")).unwrap();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o700)).unwrap();
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let target = to.join(path.file_name().unwrap());
        if path.is_dir() {
            copy(&path, &target);
        } else {
            std::fs::copy(&path, &target).unwrap();
        }
    }
}

/// A pod with one container `main` that runs a shell text.
pub fn pod(uid: &str, text: &str) -> Bundle {
    let pod = serde_json::from_value(serde_json::json!({
        "metadata": {"name": "test", "namespace": "default", "uid": uid},
        "spec": {"restartPolicy": "Never", "containers": [{"name": "main", "image": "-", "command": ["sh", "-c", text]}]},
    }));
    let site = Site {
        agent: "test".to_owned(),
        runtime: "none".to_owned(),
        ..Site::default()
    };
    translate(&pod.unwrap(), &References::default(), &site).unwrap()
}

/// Looks until each of these pods has sent a report that fits: the newest reports, and the names of those that are not
/// forgotten yet.
pub async fn wait_until(
    cluster: &Cluster,
    uids: &[&str],
    fits: impl Fn(&Report) -> bool,
) -> (BTreeMap<String, Report>, Vec<String>) {
    let mut reports: BTreeMap<String, Report> = BTreeMap::new();
    let mut done = Vec::new();
    for _ in 0..1200 {
        let look = cluster.look(&done).await.unwrap();
        reports.extend(look.reports);
        done = look.names;
        if uids.iter().all(|uid| reports.get(*uid).is_some_and(&fits)) {
            return (reports, done);
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("waited in vain; last heard: {reports:?}");
}

/// Waits for the end of these pods.
pub async fn wait_until_ended(cluster: &Cluster, uids: &[&str]) -> (BTreeMap<String, Report>, Vec<String>) {
    wait_until(cluster, uids, |report| report.stage == Stage::Ended).await
}
