//! Files of this machine as the stream that `tar` in a container reads.

use std::fs::{self, File, Metadata};
use std::io::{self, Read, Write};
use std::path::Path;

use anyhow::{Context, bail};
use tar::{Builder, EntryType, Header};

/// Packs a file or a directory under a name. Links stay links.
///
/// # Errors
/// Something cannot be read, or the other side wants no more.
pub fn pack(from: &Path, name: &str, to: impl Write) -> anyhow::Result<()> {
    let mut archive = Builder::new(to);
    add(&mut archive, from, Path::new(name))?;
    archive.into_inner()?.flush()?;
    Ok(())
}

fn add(archive: &mut Builder<impl Write>, from: &Path, name: &Path) -> anyhow::Result<()> {
    let failed = || format!("failed to read {}", from.display());
    let metadata = from.symlink_metadata().with_context(failed)?;
    let kind = metadata.file_type();
    if kind.is_dir() {
        let mut header = header(&metadata, EntryType::Directory, 0);
        archive.append_data(&mut header, name, io::empty())?;
        let mut names = Vec::new();
        for entry in fs::read_dir(from).with_context(failed)? {
            names.push(entry.with_context(failed)?.file_name());
        }
        names.sort();
        for inner in names {
            add(archive, &from.join(&inner), &name.join(&inner))?;
        }
    } else if kind.is_symlink() {
        let target = fs::read_link(from).with_context(failed)?;
        let mut header = header(&metadata, EntryType::Symlink, 0);
        archive.append_link(&mut header, name, target)?;
    } else if kind.is_file() {
        let file = File::open(from).with_context(failed)?;
        let size = metadata.len();
        let mut header = header(&metadata, EntryType::Regular, size);
        archive.append_data(&mut header, name, Exactly { file, left: size })?;
    } else {
        bail!("{} is neither a file, a directory nor a link", from.display());
    }
    Ok(())
}

/// The mode and the time of a file. Its owner is whoever unpacks it: the numbers of this machine mean nothing there.
fn header(metadata: &Metadata, kind: EntryType, size: u64) -> Header {
    let mut header = Header::new_gnu();
    header.set_metadata(metadata);
    header.set_entry_type(kind);
    header.set_size(size);
    header.set_uid(0);
    header.set_gid(0);
    header
}

/// A file of which as much is read as was announced: one that grows is cut, one that shrinks is an error.
struct Exactly {
    file: File,
    left: u64,
}

impl Read for Exactly {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let most = buffer.len().min(usize::try_from(self.left).unwrap_or(usize::MAX));
        let size = self.file.read(&mut buffer[..most])?;
        if size == 0 && most > 0 {
            return Err(io::Error::new(
                io::ErrorKind::UnexpectedEof,
                "it became shorter while it was read",
            ));
        }
        self.left -= size as u64;
        Ok(size)
    }
}
