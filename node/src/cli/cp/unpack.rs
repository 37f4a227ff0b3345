//! What `tar` in a container sends, as files of this machine. The container may be anybody's: nothing of what it sends is
//! written outside of the destination, and it makes no links.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

use anyhow::{Context, bail};
use tar::{Archive, EntryType};

/// Unpacks what lies at or below `inside`: a directory's content into `to`, a file as `to` (into it, if that is a
/// directory). What is passed over is `told`.
///
/// # Errors
/// What was sent is no archive, has something that is not below `inside`, or cannot be written here.
pub fn unpack(from: impl Read, inside: &Path, to: &Path, told: &mut dyn FnMut(String)) -> anyhow::Result<()> {
    let mut written = BTreeSet::new();
    let mut archive = Archive::new(from);
    for entry in archive.entries().context("failed to read what the container sent")? {
        let mut entry = entry.context("failed to read what the container sent")?;
        let name = PathBuf::from(OsStr::from_bytes(&entry.path_bytes()));
        let Some(within) = within(&name, inside)? else {
            told(format!("{name:?} is outside of the destination: passed over"));
            continue;
        };
        let kind = entry.header().entry_type();
        let target = match within.as_os_str().is_empty() {
            true if !kind.is_dir() && to.is_dir() => to.join(inside.file_name().unwrap_or_default()),
            true => to.to_owned(),
            false => to.join(&within),
        };
        let failed = || format!("failed to write {}", target.display());
        match kind {
            EntryType::Directory => fs::create_dir_all(&target).with_context(failed)?,
            EntryType::Regular | EntryType::Continuous | EntryType::GNUSparse => {
                make_parent(&target).with_context(failed)?;
                let mut file = File::create(&target).with_context(failed)?;
                io::copy(&mut entry, &mut file).with_context(failed)?;
                written.insert(target);
            }
            // Another name of a file that was sent before.
            EntryType::Link => {
                let other = entry.link_name_bytes().unwrap_or_default();
                let other = PathBuf::from(OsStr::from_bytes(&other));
                let source = self::within(&other, inside)?.map(|within| to.join(within));
                match source.filter(|source| written.contains(source)) {
                    Some(source) => {
                        make_parent(&target).with_context(failed)?;
                        fs::copy(source, &target).with_context(failed)?;
                        written.insert(target);
                    }
                    None => told(format!(
                        "{name:?} is another name of {other:?}, which was not sent: passed over"
                    )),
                }
            }
            EntryType::Symlink => {
                let other = entry.link_name_bytes().unwrap_or_default();
                let other = String::from_utf8_lossy(&other).into_owned();
                told(format!("skipping symlink: {name:?} -> {other:?}"));
            }
            _ => told(format!("{name:?} is neither a file nor a directory: passed over")),
        }
    }
    Ok(())
}

/// What of a name lies below `inside`; `None` if it leads out of it.
fn within(name: &Path, inside: &Path) -> anyhow::Result<Option<PathBuf>> {
    fn parts(path: &Path) -> Vec<Component<'_>> {
        path.components().filter(|part| *part != Component::CurDir).collect()
    }
    let (name_parts, inside_parts) = (parts(name), parts(inside));
    if !name_parts.starts_with(&inside_parts) {
        bail!("what the container sent is not what was asked for: {name:?}");
    }
    let rest = &name_parts[inside_parts.len()..];
    let harmless = rest.iter().all(|part| matches!(part, Component::Normal(_)));
    Ok(harmless.then(|| rest.iter().collect()))
}

fn make_parent(target: &Path) -> io::Result<()> {
    target.parent().map_or(Ok(()), fs::create_dir_all)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tar::{Builder, Header};

    /// An archive as a hostile container may send it: names are written as they are.
    struct Sent(Builder<Vec<u8>>);

    impl Sent {
        fn new() -> Self {
            Self(Builder::new(Vec::new()))
        }

        fn entry(mut self, kind: EntryType, name: &str, link: &str, content: &[u8]) -> Self {
            let mut header = Header::new_gnu();
            header.set_entry_type(kind);
            header.set_size(content.len() as u64);
            header.set_mode(0o644);
            let raw = header.as_old_mut();
            raw.name[..name.len()].copy_from_slice(name.as_bytes());
            raw.linkname[..link.len()].copy_from_slice(link.as_bytes());
            header.set_cksum();
            self.0.append(&header, content).unwrap();
            self
        }

        fn file(self, name: &str, content: &str) -> Self {
            self.entry(EntryType::Regular, name, "", content.as_bytes())
        }

        fn unpacked(self, inside: &str, to: &Path) -> (anyhow::Result<()>, Vec<String>) {
            let bytes = self.0.into_inner().unwrap();
            let mut told = Vec::new();
            let done = unpack(&bytes[..], Path::new(inside), to, &mut |text| told.push(text));
            (done, told)
        }
    }

    fn read(path: &Path) -> String {
        fs::read_to_string(path).unwrap()
    }

    #[test]
    fn a_directory_is_its_content_and_a_file_is_itself() {
        let place = tempfile::tempdir().unwrap();
        let to = place.path().join("new");
        let sent = Sent::new()
            .entry(EntryType::Directory, "./d/", "", b"")
            .file("./d/one", "1")
            .entry(EntryType::Directory, "./d/empty", "", b"")
            .file("d/deep/two", "2");
        let (done, told) = sent.unpacked("d", &to);
        done.unwrap();
        assert!(told.is_empty());
        assert_eq!(
            (read(&to.join("one")), read(&to.join("deep/two"))),
            ("1".into(), "2".into())
        );
        assert!(to.join("empty").is_dir());

        let as_name = place.path().join("x/as this");
        Sent::new().file("./one", "1").unpacked("one", &as_name).0.unwrap();
        assert_eq!(read(&as_name), "1");
        Sent::new().file("./one", "11").unpacked("one", &to).0.unwrap();
        assert_eq!(read(&to.join("one")), "11");
        Sent::new().file("./all", "3").unpacked(".", &to).0.unwrap();
        assert_eq!(read(&to.join("all")), "3");
    }

    #[test]
    fn nothing_is_written_outside_and_no_link_is_made() {
        let place = tempfile::tempdir().unwrap();
        let to = place.path().join("to");
        let sent = Sent::new()
            .file("d/../../outside", "x")
            .file("d/sub/../../../outside", "x")
            .entry(EntryType::Symlink, "d/link", "/etc", b"")
            .file("d/link/file", "in a directory, for there is no link")
            .entry(EntryType::Link, "d/hard", "d/link/file", b"")
            .entry(EntryType::Link, "d/stolen", "d/not-sent", b"")
            .entry(EntryType::Fifo, "d/pipe", "", b"");
        let (done, told) = sent.unpacked("d", &to);
        done.unwrap();
        assert_eq!(told.len(), 5, "{told:?}");
        assert!(told[2].contains("skipping symlink"), "{told:?}");
        assert!(!place.path().join("outside").exists());
        assert!(to.join("link").symlink_metadata().unwrap().is_dir());
        assert_eq!(read(&to.join("hard")), read(&to.join("link/file")));
        assert!(!to.join("stolen").exists() && !to.join("pipe").exists());
    }

    #[test]
    fn what_was_not_asked_for_is_an_error() {
        let place = tempfile::tempdir().unwrap();
        for name in ["e/file", "/d/file", "../d/file", "dd/file"] {
            let (done, _) = Sent::new().file(name, "x").unpacked("d", &place.path().join("to"));
            assert!(
                done.unwrap_err().to_string().contains("not what was asked for"),
                "{name}"
            );
        }
        assert!(!place.path().join("to").exists());
        let cut = unpack(&b"not an archive at all"[..], Path::new("d"), place.path(), &mut |_| {});
        assert!(cut.is_err());
    }

    #[test]
    fn what_is_packed_here_is_unpacked_again() {
        let place = tempfile::tempdir().unwrap();
        let from = place.path().join("from");
        let long = "n".repeat(150);
        fs::create_dir_all(from.join("a").join(&long)).unwrap();
        fs::write(from.join("a").join(&long).join("file"), vec![7; 100_000]).unwrap();
        fs::write(from.join("empty"), "").unwrap();
        std::os::unix::fs::symlink("empty", from.join("link")).unwrap();
        let mut bytes = Vec::new();
        super::super::pack::pack(&from, "named", &mut bytes).unwrap();
        let mut told = Vec::new();
        let to = place.path().join("to");
        unpack(&bytes[..], Path::new("named"), &to, &mut |text| told.push(text)).unwrap();
        assert_eq!(
            fs::read(to.join("a").join(&long).join("file")).unwrap(),
            vec![7; 100_000]
        );
        assert_eq!(read(&to.join("empty")), "");
        assert_eq!(told.len(), 1, "{told:?}");
        let pipe = place.path().join("from/socket");
        let _listener = std::os::unix::net::UnixListener::bind(pipe).unwrap();
        assert!(super::super::pack::pack(&from, "named", &mut Vec::new()).is_err());
    }
}
