//! This machine for one test: a home directory, and the program in it.

use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;

pub struct Here {
    pub home: TempDir,
}

/// What a call left.
#[derive(Debug)]
pub struct Said {
    pub code: i32,
    pub out: Vec<u8>,
    pub err: String,
}

impl Said {
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.out).into_owned()
    }

    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.out).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

impl From<Output> for Said {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code().unwrap_or(-1),
            out: output.stdout,
            err: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}

impl Here {
    pub fn new() -> Self {
        Self {
            home: tempfile::tempdir().unwrap(),
        }
    }

    pub fn command(&self, words: &[&str]) -> Command {
        let mut command = self.any_command(env!("CARGO_BIN_EXE_towline"));
        command.args(words).stdin(Stdio::null());
        command
    }

    /// Another program, which may call ours: without settings of whoever runs the tests.
    pub fn any_command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("TOWLINE_")) {
            command.env_remove(name);
        }
        command.env("HOME", self.home.path());
        command
    }

    pub fn towline(&self, words: &[&str]) -> Said {
        self.command(words).output().unwrap().into()
    }

    /// Writes a file into the home directory: its path.
    pub fn file(&self, name: &str, content: &str) -> String {
        let path = self.path(name);
        std::fs::write(&path, content).unwrap();
        path.to_string_lossy().into_owned()
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    /// Runs objects of a file with `towline run --runtime none` and further options.
    pub fn run(&self, objects: &[Value], options: &[&str]) -> Said {
        let file = self.manifest(objects);
        self.towline(&[&["run", "--runtime", "none", "-f", &file], options].concat())
    }

    pub fn manifest(&self, objects: &[Value]) -> String {
        // JSON is YAML.
        self.file(
            "manifest.yaml",
            &json!({"apiVersion": "v1", "kind": "List", "items": objects}).to_string(),
        )
    }

    /// Starts it and does not wait.
    pub fn start(&self, objects: &[Value]) -> Child {
        let file = self.manifest(objects);
        let mut command = self.command(&["run", "--runtime", "none", "-f", &file]);
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    }

    /// The directories of pods that are there.
    pub fn pods(&self) -> Vec<PathBuf> {
        let entries = std::fs::read_dir(self.path(".towline/agents/run/pods")).unwrap();
        entries.map(|entry| entry.unwrap().path()).collect()
    }
}

/// Nothing of a test runs on, however it ended.
impl Drop for Here {
    fn drop(&mut self) {
        let pods = std::fs::read_dir(self.path(".towline/agents/run/pods"));
        for pod in pods.into_iter().flatten().flatten() {
            let uid = pod.file_name().to_string_lossy().into_owned();
            let _ = self.command(&["cancel", "--force", &uid]).output();
        }
    }
}

/// Waits for the end of a process that was started.
pub fn finish(mut child: Child) -> Said {
    for _ in 0..1200 {
        if child.try_wait().unwrap().is_some() {
            return child.wait_with_output().unwrap().into();
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    child.kill().unwrap();
    panic!("it does not end: {:?}", Said::from(child.wait_with_output().unwrap()));
}

/// Sends a signal, as a terminal or a service manager does.
pub fn signal(child: &Child, name: &str) {
    let status = Command::new("kill")
        .args(["-s", name, &child.id().to_string()])
        .status()
        .unwrap();
    assert!(status.success());
}

/// A pod that runs a shell text and never again.
pub fn pod(name: &str, text: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": name},
        "spec": {
            "restartPolicy": "Never", "terminationGracePeriodSeconds": 2,
            "containers": [{"name": "main", "image": "none", "command": ["sh", "-c", text]}],
        },
    })
}

/// Processes of this machine in whose command line a text occurs.
pub fn processes_with(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc").unwrap().flatten() {
        let Ok(words) = std::fs::read(entry.path().join("cmdline")) else {
            continue;
        };
        let line = String::from_utf8_lossy(&words).replace('\0', " ");
        if line.contains(text) {
            found.push(line);
        }
    }
    found
}

/// Waits until something holds.
pub fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    for _ in 0..600 {
        if holds() {
            return;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    panic!("waited in vain: {what}");
}
