//! Connections for streams, apart from the one for short commands.
//!
//! The SSH library reads a connection's channels one message after the other and gives their window back before anybody
//! has read: a reader that stops, stops its whole connection once its pipe ([`crate::stream::PIPE`]) is full. So each of
//! the first few streams has a connection of its own; only when there are more do they share, the least used first. A
//! connection without streams is kept for a while and then closed. There is a limit to it all: who wants a stream takes a
//! ticket first, and waits for one if all are taken.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::connection::Connection;

/// Channels on one connection; OpenSSH allows 10 (`MaxSessions`).
const MAX_STREAMS: usize = 8;

/// The connections for streams of one far side.
#[derive(Debug)]
pub struct Pool {
    members: Mutex<Vec<Arc<Member>>>,
    spread: usize,
    limit: usize,
    idle: Duration,
    tickets: Arc<Semaphore>,
    /// How many streams a connection holds, as far as the host has let us know.
    capacity: AtomicUsize,
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
    _ticket: OwnedSemaphorePermit,
}

impl Pool {
    /// An empty one.
    pub fn new(spread: usize, limit: usize, idle: Duration) -> Arc<Self> {
        let limit = limit.max(1);
        Arc::new(Self {
            members: Mutex::new(Vec::new()),
            spread: spread.clamp(1, limit),
            limit,
            idle,
            tickets: Arc::new(Semaphore::new(limit * MAX_STREAMS)),
            capacity: AtomicUsize::new(MAX_STREAMS),
        })
    }

    /// The right to one stream, in the order of asking. `None`: there are no tickets any more.
    pub async fn ticket(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.tickets).acquire_owned().await.ok()
    }

    /// How many streams there may be now.
    pub fn places(&self) -> usize {
        self.limit * self.capacity.load(Ordering::Acquire)
    }

    fn members(&self) -> MutexGuard<'_, Vec<Arc<Member>>> {
        self.members.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A place on a connection that stands.
    ///
    /// # Errors
    /// The ticket comes back: another connection has to be made.
    pub fn lease(
        self: &Arc<Self>,
        ticket: OwnedSemaphorePermit,
    ) -> Result<(Arc<Connection>, Lease), OwnedSemaphorePermit> {
        let mut members = self.members();
        members.retain(|member| !member.connection.is_closed());
        let load = |member: &&Arc<Member>| member.streams.load(Ordering::Acquire);
        let Some(best) = members.iter().min_by_key(load) else {
            return Err(ticket);
        };
        let place = match load(&best) {
            0 => true,
            _ if members.len() < self.spread => false,
            streams => members.len() >= self.limit || streams < self.capacity.load(Ordering::Acquire),
        };
        if place {
            Ok(self.place(best, ticket))
        } else {
            Err(ticket)
        }
    }

    /// Adds a connection and takes a place on it.
    pub fn add(
        self: &Arc<Self>,
        connection: Arc<Connection>,
        ticket: OwnedSemaphorePermit,
    ) -> (Arc<Connection>, Lease) {
        let member = Arc::new(Member {
            connection,
            streams: AtomicUsize::new(0),
            uses: AtomicUsize::new(0),
        });
        let mut members = self.members();
        members.push(Arc::clone(&member));
        self.place(&member, ticket)
    }

    fn place(self: &Arc<Self>, member: &Arc<Member>, ticket: OwnedSemaphorePermit) -> (Arc<Connection>, Lease) {
        member.streams.fetch_add(1, Ordering::AcqRel);
        member.uses.fetch_add(1, Ordering::AcqRel);
        let lease = Lease {
            member: Arc::clone(member),
            pool: Arc::downgrade(self),
            _ticket: ticket,
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

impl Lease {
    /// The host has refused a channel on this connection: from now on connections are taken for full with one stream
    /// less. False if there was none beside this one, so that another connection would not help.
    pub fn refused(&self) -> bool {
        let fits = self.member.streams.load(Ordering::Acquire).saturating_sub(1);
        let Some(pool) = self.pool.upgrade().filter(|_| fits > 0) else {
            return false;
        };
        let before = pool.capacity.fetch_min(fits, Ordering::AcqRel);
        // Tickets that are out now come back and stay in use: then a connection holds more than it should for a while.
        pool.tickets.forget_permits(before.saturating_sub(fits) * pool.limit);
        true
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
