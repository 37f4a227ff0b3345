//! A directory sent as one tar stream: the cheapest way to move many small files.

use bytes::Bytes;

use crate::command::{Command, Output};
use crate::error::Error;
use crate::remote::Remote;

/// The unit of tar archives, in bytes. An archive ends with two empty ones.
const BLOCK: u64 = 512;

/// Unpacks into `$1` and takes away the file that stands last in the archive: only a whole archive has it.
const UNPACK: &str = r#"tar -xopf - -C "$1" && rm -- "$1/$2""#;

/// Unpacks a tar archive into an existing directory of the far side, with the modes of the archive.
///
/// # Errors
/// [`Error::Invalid`] if the archive is not whole. [`Error::OutcomeUnknown`] if the far side could not say that all of it
/// was unpacked: sending it again is safe, as each file is then written anew.
pub async fn upload(remote: &dyn Remote, directory: &str, archive: impl Into<Bytes>) -> Result<(), Error> {
    let marker = format!(".upload-{:016x}", rand::random::<u64>());
    let archive = with_last(&archive.into(), &marker)
        .map_err(|error| Error::Invalid(format!("what was to be unpacked in {directory} is no archive: {error}")))?;
    let what = format!("the upload of {} bytes to {directory}", archive.len());
    let command = Command::new("sh").args(["-c", UNPACK, "upload", directory, &marker]);
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

/// The archive with an empty file at its end.
fn with_last(archive: &[u8], name: &str) -> std::io::Result<Vec<u8>> {
    let length = whole(archive)?;
    let mut out = archive.get(..length).unwrap_or_default().to_vec();
    let mut header = tar::Header::new_gnu();
    header.set_size(0);
    header.set_mode(0o600);
    let mut last = tar::Builder::new(&mut out);
    last.append_data(&mut header, name, std::io::empty())?;
    last.into_inner()?;
    Ok(out)
}

/// Where the last file of an archive ends, if the archive has its end.
fn whole(archive: &[u8]) -> std::io::Result<usize> {
    let mut end = 0;
    for entry in tar::Archive::new(archive).entries()?.raw(true) {
        let entry = entry?;
        end = entry.raw_file_position() + entry.size().next_multiple_of(BLOCK);
    }
    let end = usize::try_from(end).map_err(std::io::Error::other)?;
    let rest = archive.get(end..).unwrap_or_default();
    if rest.len() < 2 * BLOCK as usize || rest.iter().any(|byte| *byte != 0) {
        return Err(std::io::Error::other("its end is missing"));
    }
    Ok(end)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn archive(contents: &[&[u8]]) -> Vec<u8> {
        let mut archive = tar::Builder::new(Vec::new());
        for (number, content) in contents.iter().enumerate() {
            let mut header = tar::Header::new_gnu();
            header.set_size(content.len() as u64);
            header.set_mode(0o600);
            // A long name takes an entry of its own.
            let name = format!("{}{number}", "d/".repeat(80));
            archive.append_data(&mut header, name, *content).unwrap();
        }
        archive.into_inner().unwrap()
    }

    #[test]
    fn the_last_file_stands_behind_all_others() {
        let mut text = archive(&[b"one", &[0; 2000], b""]);
        text.resize(text.len().next_multiple_of(10240), 0);
        let with = with_last(&text, "last").unwrap();
        let mut read = tar::Archive::new(with.as_slice());
        let names = read
            .entries()
            .unwrap()
            .map(|entry| entry.unwrap().path().unwrap().display().to_string());
        let names: Vec<_> = names.collect();
        assert_eq!(names.len(), 4);
        assert_eq!(names[3], "last");
    }

    #[test]
    fn an_archive_that_was_cut_anywhere_is_no_archive() {
        let text = archive(&[b"one", b"two"]);
        assert!(with_last(&text, "last").is_ok());
        for cut in 0..text.len() {
            assert!(with_last(&text[..cut], "last").is_err(), "{cut} of {}", text.len());
        }
        assert!(with_last(&archive(&[]), "last").is_ok(), "an empty archive is whole");
    }
}
