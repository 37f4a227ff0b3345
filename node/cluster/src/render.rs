//! What would be run, without running it.

use std::sync::Arc;

use towline_core::bundle::{Bundle, Entry};
use towline_core::words;
use towline_ssh::{Command, Local, Remote as _};

use crate::error::Error;
use crate::scripts::Scripts;

/// The exact command, word for word, by which the batch system would be asked for a pod's job. Runs the batch system's
/// own `render` on this machine, so it needs no cluster. `root` is the directory on the cluster.
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
        if let ("pod" | "request", Entry::File(_, content)) = (name.as_str(), entry) {
            write(&scratch.path().join("pod").join(name), content)?;
        }
    }
    let there = scripts.directory(root);
    let command = Command::new("/bin/sh")
        .arg(path(&format!("scripts/batch/{batch}/render")))
        .args([there.as_str(), root, agent, bundle.uid.as_str(), &path("pod")]);
    let local = Arc::new(Local::default());
    let output = local.run(command).await?;
    if !output.status.success() {
        return Err(Error::Script {
            what: "render the batch command",
            host: local.name(),
            status: output.status,
            stderr: String::from_utf8_lossy(&output.stderr).trim().to_owned(),
        });
    }
    words::decode(&output.stdout).ok_or_else(|| {
        Error::Invalid(format!(
            "batch/{batch}/render did not print words but {:?}",
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
