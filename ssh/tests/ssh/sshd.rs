//! A server to test against.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tempfile::TempDir;
use towline_ssh::{Options, Ssh};

const SSHD: &str = "/usr/sbin/sshd";

/// Runs a program that the tests need, and says what is missing when it does not.
pub fn run(program: &str, args: &[&str]) -> String {
    let output = Command::new(program)
        .args(args)
        .stdin(Stdio::null())
        .output()
        .unwrap_or_else(|error| panic!("{program} is needed by this test: {error}"));
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {args:?}: {stderr}");
    String::from_utf8(output.stdout).unwrap()
}

pub fn user() -> String {
    run("id", &["-un"]).trim().to_owned()
}

pub fn is_root() -> bool {
    run("id", &["-u"]).trim() == "0"
}

/// A server and the directory with everything that belongs to it.
pub struct Sshd {
    directory: TempDir,
    pub port: u16,
    child: Option<Child>,
}

impl Sshd {
    /// A server that lets the current user in with `key` (ed25519, made here).
    pub fn start(extra: &str) -> Self {
        let sshd = Self::prepare();
        sshd.configure(extra);
        sshd.running()
    }

    /// Host key and client key, but no server yet.
    pub fn prepare() -> Self {
        let directory = tempfile::Builder::new().prefix("towline-sshd").tempdir().unwrap();
        // Other accounts look for their keys here.
        run("chmod", &["755", &directory.path().display().to_string()]);
        let port = std::net::TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap()
            .port();
        let sshd = Self {
            directory,
            port,
            child: None,
        };
        sshd.keygen("host", &["-t", "ed25519", "-N", ""]);
        sshd.keygen("key", &["-t", "ed25519", "-N", ""]);
        sshd.authorize("key");
        sshd.know("host");
        sshd
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub fn text(&self, name: &str) -> String {
        self.path(name).display().to_string()
    }

    pub fn keygen(&self, name: &str, args: &[&str]) {
        let file = self.text(name);
        run("ssh-keygen", &[&["-q", "-f", &file, "-C", name], args].concat());
    }

    pub fn authorize(&self, key: &str) {
        let public = std::fs::read_to_string(self.path(&format!("{key}.pub"))).unwrap();
        self.append("authorized_keys", &public);
    }

    pub fn append(&self, name: &str, text: &str) {
        let old = std::fs::read_to_string(self.path(name)).unwrap_or_default();
        std::fs::write(self.path(name), old + text).unwrap();
    }

    /// Makes a host key known.
    pub fn know(&self, host_key: &str) {
        let public = std::fs::read_to_string(self.path(&format!("{host_key}.pub"))).unwrap();
        self.append("known_hosts", &format!("[127.0.0.1]:{} {public}", self.port));
    }

    pub fn configure(&self, extra: &str) {
        let home = self.directory.path().display();
        let text = format!(
            "{extra}\nPort {}\nListenAddress 127.0.0.1\nHostKey {home}/host\nPidFile none\nStrictModes no\n\
             AuthorizedKeysFile {home}/authorized_keys\nPermitRootLogin yes\nPasswordAuthentication no\n\
             KbdInteractiveAuthentication no\nUsePAM no\nLogLevel VERBOSE\n",
            self.port
        );
        std::fs::write(self.path("sshd_config"), text).unwrap();
    }

    pub fn running(mut self) -> Self {
        self.up();
        self
    }

    pub fn up(&mut self) {
        if is_root() {
            std::fs::create_dir_all("/run/sshd").unwrap();
        }
        let child = Command::new(SSHD)
            .args(["-D", "-f", &self.text("sshd_config"), "-E", &self.text("log")])
            .spawn()
            .unwrap_or_else(|error| panic!("{SSHD} is needed by this test (Debian: openssh-server): {error}"));
        self.child = Some(child);
        let start = Instant::now();
        while std::net::TcpStream::connect(("127.0.0.1", self.port)).is_err() {
            assert!(
                start.elapsed() < Duration::from_secs(20),
                "sshd does not listen: {}",
                self.log()
            );
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    pub fn log(&self) -> String {
        std::fs::read_to_string(self.path("log")).unwrap_or_default()
    }

    /// Stops all processes of the server, or lets them go on, as a host that hangs.
    pub fn signal(&self, signal: &str) {
        for process in descendants(self.child.as_ref().unwrap().id()) {
            run("kill", &[&format!("-{signal}"), &process.to_string()]);
        }
    }

    /// Ends the server and all of its sessions at once, without a word to the clients.
    pub fn kill(&mut self) {
        let Some(mut child) = self.child.take() else { return };
        for process in descendants(child.id()) {
            let name = std::fs::read_to_string(format!("/proc/{process}/comm")).unwrap_or_default();
            if name.starts_with("sshd") {
                let _ = Command::new("kill").args(["-KILL", &process.to_string()]).status();
            }
        }
        let _ = child.kill();
        let _ = child.wait();
    }

    /// How many connections it serves now.
    pub fn connections(&self) -> usize {
        let list = run(
            "ss",
            &["-Htn", "state", "established", "sport", "=", &format!(":{}", self.port)],
        );
        list.lines().count()
    }

    pub fn options(&self) -> Options {
        let empty = self.path("ssh_config");
        if !empty.exists() {
            std::fs::write(&empty, "").unwrap();
        }
        Options {
            target: format!("{}@127.0.0.1:{}", user(), self.port),
            config_file: Some(empty),
            identity_files: vec![self.path("key")],
            known_hosts_files: vec![self.path("known_hosts")],
            connect_timeout: Some(Duration::from_secs(20)),
            ..Options::default()
        }
    }

    /// Options that take everything from a configuration file, under the alias `hpc`.
    pub fn configured(&self, lines: &str) -> Options {
        let file = self.path(&format!("config{}", lines.len()));
        let text = format!(
            "Host hpc\n HostName 127.0.0.1\n Port {}\n User {}\n UserKnownHostsFile {}\n GlobalKnownHostsFile none\n{lines}\n",
            self.port,
            user(),
            self.text("known_hosts")
        );
        std::fs::write(&file, text).unwrap();
        Options {
            target: "hpc".to_owned(),
            config_file: Some(file),
            ..Options::default()
        }
    }

    pub fn ssh(&self) -> Arc<Ssh> {
        Arc::new(Ssh::new(self.options()).unwrap())
    }
}

impl Drop for Sshd {
    fn drop(&mut self) {
        self.kill();
    }
}

fn descendants(process: u32) -> Vec<u32> {
    let mut out = vec![process];
    let mut at = 0;
    while at < out.len() {
        let list = std::fs::read_to_string(format!("/proc/{0}/task/{0}/children", out[at])).unwrap_or_default();
        out.extend(list.split_whitespace().filter_map(|child| child.parse::<u32>().ok()));
        at += 1;
    }
    out
}

/// Whether a process with this marker among its arguments runs.
pub fn runs(marker: &str) -> bool {
    let Ok(processes) = Path::new("/proc").read_dir() else {
        return false;
    };
    processes.flatten().any(|entry| {
        let line = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
        String::from_utf8_lossy(&line).split('\0').any(|word| word == marker)
    })
}

/// Waits for something that takes a moment.
pub async fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < Duration::from_secs(20), "{what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
