//! Which process this is, so that two of them never keep the same node.

use std::fs::{File, OpenOptions, TryLockError};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use rand::Rng;

use crate::identity::{read_optional, write_private};
use crate::{Error, Session};

/// A name that survives restarts, held by this process alone on this machine.
pub(crate) struct Instance {
    pub id: String,
    /// Released by the kernel with the process.
    _lock: File,
}

impl Instance {
    /// Takes the name that is kept in the session's directory, or makes one.
    pub fn claim(session: &Session) -> Result<Self, Error> {
        let lock = lock(session)?;
        let path = session.state_dir().join("instance");
        let kept = read_optional(&path)?
            .and_then(|content| String::from_utf8(content).ok())
            .map(|text| text.trim().to_owned())
            .filter(|id| id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit()));
        let id = match kept {
            Some(id) => id,
            None => {
                let id = format!("{:032x}", rand::rng().random::<u128>());
                write_private(&path, id.as_bytes())?;
                id
            }
        };
        Ok(Self { id, _lock: lock })
    }
}

fn lock(session: &Session) -> Result<File, Error> {
    let path = session.state_dir().join("lock");
    let file = open(&path).map_err(Error::state("open", &path))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(Error::Taken {
            node: session.node().to_owned(),
            server: session.server().to_owned(),
            holder: "another process on this machine".to_owned(),
            why: format!(
                "it has {} locked; stop it first, or choose another name",
                path.display()
            ),
        }),
        Err(TryLockError::Error(error)) => Err(Error::state("lock", &path)(error)),
    }
}

fn open(path: &Path) -> std::io::Result<File> {
    OpenOptions::new().create(true).append(true).mode(0o600).open(path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::Session;

    fn session(directory: &Path) -> Session {
        let (service, _handle) =
            tower_test::mock::pair::<http::Request<kube::client::Body>, http::Response<kube::client::Body>>();
        Session::for_test("hpc", kube::Client::new(service, "default"), directory)
    }

    #[tokio::test]
    async fn the_instance_survives_a_restart_and_is_held_once() {
        let directory = tempfile::tempdir().unwrap();
        let session = session(directory.path());
        let first = Instance::claim(&session).unwrap();
        let second = Instance::claim(&session).err().unwrap().to_string();
        assert!(second.contains("another process"), "{second}");
        let id = first.id.clone();
        drop(first);
        assert_eq!(Instance::claim(&session).unwrap().id, id);
    }
}
