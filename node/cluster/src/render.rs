//! What would be run, without running it.

use towline_core::bundle::{Bundle, Entry};
use towline_core::words;
use towline_ssh::{Command, Local, Output, Remote as _};

use crate::archive::Writer;
use crate::call::SHORT;
use crate::cluster::Cluster;
use crate::error::Error;
use crate::scripts::Scripts;

/// Unpacks a pod's directory, lets the batch system's `render` look at it, and leaves nothing.
const THERE: &str = "umask 077; pod=$(mktemp -d) || exit 70; trap 'rm -rf -- \"$pod\"' EXIT
tar -xf - -C \"$pod\" && /bin/sh \"$1\" \"$2\" \"$3\" \"$4\" \"$5\" \"$pod\"";

/// What a batch system's script reads of a pod.
const READ: [&str; 2] = ["pod", "request"];

impl Cluster {
    /// The exact command, word for word, by which the batch system would be asked for a pod's job, as the cluster itself
    /// would put it together. Nothing is asked of the batch system.
    ///
    /// # Errors
    /// See [`Error`]; [`Error::Script`] if the batch system's script refuses the request.
    pub async fn render(&self, bundle: &Bundle) -> Result<Vec<String>, Error> {
        let mut tar = Writer::default();
        for name in READ {
            if let Some(Entry::File(mode, content)) = bundle.entries.get(name) {
                tar.file(name, *mode, content)?;
            }
        }
        let script = format!("{}/batch/{}/render", self.scripts(), self.batch());
        let command = Command::new("/bin/sh")
            .args([
                "-c",
                THERE,
                "render",
                &script,
                self.scripts(),
                self.root(),
                self.agent(),
                &bundle.uid,
            ])
            .stdin(tar.finish()?)
            .timeout(SHORT);
        words_of(&self.remote().name(), self.batch(), self.remote().run(command).await?)
    }
}

/// The exact command, word for word, by which the batch system would be asked for a pod's job. Runs the batch system's
/// own `render` on this machine, so it needs no cluster; what the command says of the environment is this machine's. `root` is the directory on the cluster.
///
/// # Errors
/// [`Error::Script`] if the batch system's script refuses the request.
pub async fn render(
    scripts: &Scripts,
    batch: &str,
    root: &str,
    agent: &str,
    bundle: &Bundle,
) -> Result<Vec<String>, Error> {
    let scratch = tempfile::tempdir().map_err(|source| local("make a directory for temporary files", source))?;
    let path = |name: &str| scratch.path().join(name).to_string_lossy().into_owned();
    for (name, (_, content)) in scripts.files() {
        write(&scratch.path().join("scripts").join(name), content)?;
    }
    for (name, entry) in &bundle.entries {
        // The script reads the pod's own two files; the rest would only be copied around.
        if let (true, Entry::File(_, content)) = (READ.contains(&name.as_str()), entry) {
            write(&scratch.path().join("pod").join(name), content)?;
        }
    }
    let there = scripts.directory(root);
    let command = Command::new("/bin/sh")
        .arg(path(&format!("scripts/batch/{batch}/render")))
        .args([there.as_str(), root, agent, bundle.uid.as_str(), &path("pod")]);
    let local = Local::default();
    words_of(&local.name(), batch, local.run(command).await?)
}

fn words_of(host: &str, batch: &str, output: Output) -> Result<Vec<String>, Error> {
    if !output.status.success() {
        return Err(Error::Script {
            what: "render the batch command",
            host: host.to_owned(),
            status: output.status,
            stderr: String::from_utf8_lossy(&output.stderr).trim().to_owned(),
        });
    }
    words::decode(&output.stdout).ok_or_else(|| {
        Error::Invalid(format!(
            "batch/{batch}/render on {host} did not print words but {:?}",
            words::excerpt(&String::from_utf8_lossy(&output.stdout))
        ))
    })
}

fn write(path: &std::path::Path, content: &[u8]) -> Result<(), Error> {
    let cannot = |source| local(&format!("write {}", path.display()), source);
    if let Some(parent) = path.parent() {
        std::fs::create_dir_all(parent).map_err(cannot)?;
    }
    std::fs::write(path, content).map_err(cannot)
}

fn local(what: &str, source: std::io::Error) -> Error {
    Error::Local {
        what: what.to_owned(),
        source,
    }
}
