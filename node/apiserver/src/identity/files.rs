//! Files that only we may read.

use std::fs;
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;

use crate::Error;

/// Makes a directory that only we may enter.
pub(crate) fn private_directory(path: &Path) -> Result<(), Error> {
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .map_err(Error::state("make the directory", path))?;
    // It may have been there with other permissions.
    fs::set_permissions(path, fs::Permissions::from_mode(0o700)).map_err(Error::state("close the directory", path))
}

/// Writes a file (0600) in one step: a reader sees the old or the new content.
pub(crate) fn write_private(path: &Path, content: &[u8]) -> Result<(), Error> {
    let temporary = path.with_extension("new");
    let _ = fs::remove_file(&temporary);
    let mut file = fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&temporary)
        .map_err(Error::state("make", &temporary))?;
    file.write_all(content)
        .and_then(|()| file.sync_all())
        .map_err(Error::state("write", &temporary))?;
    fs::rename(&temporary, path).map_err(Error::state("replace", path))
}

/// Reads a file; `None` if there is none.
pub(crate) fn read_optional(path: &Path) -> Result<Option<Vec<u8>>, Error> {
    match fs::read(path) {
        Ok(content) => Ok(Some(content)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Error::state("read", path)(error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_readable_by_nobody_else() {
        let directory = tempfile::tempdir().unwrap();
        let inner = directory.path().join("a/b");
        private_directory(&inner).unwrap();
        let file = inner.join("key");
        write_private(&file, b"one").unwrap();
        write_private(&file, b"two").unwrap();
        assert_eq!(read_optional(&file).unwrap().unwrap(), b"two");
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::metadata(&inner).unwrap().permissions().mode() & 0o777, 0o700);
        assert_eq!(read_optional(&inner.join("none")).unwrap(), None);
    }
}
