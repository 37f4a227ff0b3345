//! Connections for streams, apart from the one for short commands.
//!
//! The SSH library reads a connection's channels one message after the other and gives their window back before anybody
//! has read: a reader that stops, stops its whole connection once its pipe ([`crate::stream::PIPE`]) is full. So each of
//! the first few streams has a connection of its own; only when there are more do they share, the least used first. A
//! connection without streams is kept for a while and then closed.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use crate::connection::Connection;

/// Channels on one connection; OpenSSH allows 10 (`MaxSessions`).
const MAX_STREAMS: usize = 8;

/// The connections for streams of one far side.
#[derive(Debug)]
pub struct Pool {
    members: Mutex<Vec<Arc<Member>>>,
    spread: usize,
    idle: Duration,
}

#[derive(Debug)]
struct Member {
    connection: Arc<Connection>,
    streams: AtomicUsize,
    /// Counts every use, so that a timer knows whether there was one since.
    uses: AtomicUsize,
}

/// A stream's place on a connection.
#[derive(Debug)]
pub struct Lease {
    member: Arc<Member>,
    pool: Weak<Pool>,
}

impl Pool {
    /// An empty one.
    pub fn new(spread: usize, idle: Duration) -> Arc<Self> {
        Arc::new(Self {
            members: Mutex::new(Vec::new()),
            spread: spread.max(1),
            idle,
        })
    }

    fn members(&self) -> MutexGuard<'_, Vec<Arc<Member>>> {
        self.members.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A place on a connection that stands; `None`: another connection has to be made.
    pub fn lease(self: &Arc<Self>) -> Option<(Arc<Connection>, Lease)> {
        let mut members = self.members();
        members.retain(|member| !member.connection.is_closed());
        let load = |member: &&Arc<Member>| member.streams.load(Ordering::Acquire);
        let best = members.iter().min_by_key(load)?;
        let place = match load(&best) {
            0 => true,
            _ if members.len() < self.spread => false,
            streams => streams < MAX_STREAMS,
        };
        place.then(|| self.place(best))
    }

    /// Adds a connection and takes a place on it.
    pub fn add(self: &Arc<Self>, connection: Arc<Connection>) -> (Arc<Connection>, Lease) {
        let member = Arc::new(Member {
            connection,
            streams: AtomicUsize::new(0),
            uses: AtomicUsize::new(0),
        });
        let mut members = self.members();
        members.push(Arc::clone(&member));
        self.place(&member)
    }

    fn place(self: &Arc<Self>, member: &Arc<Member>) -> (Arc<Connection>, Lease) {
        member.streams.fetch_add(1, Ordering::AcqRel);
        member.uses.fetch_add(1, Ordering::AcqRel);
        let lease = Lease {
            member: Arc::clone(member),
            pool: Arc::downgrade(self),
        };
        (Arc::clone(&member.connection), lease)
    }

    /// Takes all connections out of use.
    pub fn clear(&self) -> Vec<Arc<Connection>> {
        self.members()
            .drain(..)
            .map(|member| Arc::clone(&member.connection))
            .collect()
    }

    /// How many connections there are.
    pub fn len(&self) -> usize {
        let mut members = self.members();
        members.retain(|member| !member.connection.is_closed());
        members.len()
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if self.member.streams.fetch_sub(1, Ordering::AcqRel) > 1 {
            return;
        }
        let (member, pool) = (Arc::clone(&self.member), Weak::clone(&self.pool));
        let (Ok(runtime), Some(idle)) = (
            tokio::runtime::Handle::try_current(),
            pool.upgrade().map(|pool| pool.idle),
        ) else {
            return;
        };
        let uses = member.uses.load(Ordering::Acquire);
        runtime.spawn(async move {
            tokio::time::sleep(idle).await;
            let Some(pool) = pool.upgrade() else { return };
            {
                let mut members = pool.members();
                if member.uses.load(Ordering::Acquire) != uses {
                    return;
                }
                members.retain(|other| !Arc::ptr_eq(other, &member));
            }
            member.connection.disconnect().await;
        });
    }
}
