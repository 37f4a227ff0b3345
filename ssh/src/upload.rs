//! A directory sent as one tar stream: the cheapest way to move many small files.

use bytes::Bytes;

use crate::command::{Command, Output};
use crate::error::Error;
use crate::remote::Remote;

/// Unpacks a tar archive into an existing directory of the far side, with the modes of the archive.
///
/// # Errors
/// [`Error::OutcomeUnknown`] if the far side could not say that all of it was unpacked: sending it again is safe, as each
/// file is then written anew.
pub async fn upload(remote: &dyn Remote, directory: &str, archive: impl Into<Bytes>) -> Result<(), Error> {
    let archive: Bytes = archive.into();
    let command = Command::new("tar").args(["-xpf", "-", "-C", directory]);
    let what = format!("the upload of {} bytes to {directory}", archive.len());
    let Output { status, stderr, .. } = remote.run(command.stdin(archive)).await?;
    if status.success() {
        return Ok(());
    }
    Err(Error::OutcomeUnknown {
        host: remote.name(),
        what,
        why: format!("tar ended with {status}: {}", String::from_utf8_lossy(&stderr).trim()),
    })
}
