//! Logs that are followed: those who follow the same log share one reading of it, as far as they are at the same place.
//!
//! That reading goes on when somebody has taken all that has come and wants more: it is as fast as the fastest of them,
//! and waits when nobody takes anything. What came last is kept. Who is slower than that reads for themselves, until they have
//! caught up; who begins far ahead of it begins another one, which is the shared one from then on.

use std::collections::{HashMap, VecDeque};
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use async_trait::async_trait;
use bytes::Bytes;
use futures::StreamExt;
use tokio::sync::{Notify, OnceCell};
use tokio_util::task::AbortOnDropHandle;
use towline_cluster::{Error, LogIndex, LogRange, LogStart};

use crate::{LogSource, LogStream};

/// How much of what came last is kept, and how far ahead of a reading one may begin and still wait for it, in bytes.
const RECENT: usize = 256 << 10;
/// Bytes handed on at once.
const PIECE: usize = 32 << 10;

/// A source of logs of which each is read once at a time, however many follow it.
pub struct Following<S>(Arc<Inner<S>>);

struct Inner<S> {
    source: S,
    live: Mutex<HashMap<Key, Weak<Live>>>,
}

/// A container's run.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Key {
    uid: String,
    container: String,
    run: i64,
}

impl<S: LogSource + 'static> Following<S> {
    /// Shares what is followed of a source.
    pub fn new(source: S) -> Self {
        Self(Arc::new(Inner {
            source,
            live: Mutex::default(),
        }))
    }
}

#[async_trait]
impl<S: LogSource + 'static> LogSource for Following<S> {
    async fn index(&self, uid: &str, container: &str, run: i64) -> Result<LogIndex, Error> {
        self.0.source.index(uid, container, run).await
    }

    async fn open(&self, uid: &str, container: &str, range: LogRange) -> Result<LogStream, Error> {
        // Only of what begins at a known byte is it known what another one has of it already; and -1 is now one run, now another.
        let (LogStart::Offset(at), None, true, 0..) = (range.start, range.length, range.follow, range.run) else {
            return self.0.source.open(uid, container, range).await;
        };
        let key = Key {
            uid: uid.to_owned(),
            container: container.to_owned(),
            run: range.run,
        };
        let mut follower = Follower {
            live: self.0.join(&key, at).await?,
            inner: Arc::clone(&self.0),
            key,
            at,
            own: None,
            own_from: None,
        };
        if matches!(follower.live.shared.look(at), Look::Behind) {
            follower.read_alone().await?;
        }
        let stream = futures::stream::unfold(Some(follower), |follower| async move {
            let mut follower = follower?;
            match follower.next().await {
                Ok(Some(piece)) => Some((Ok(piece), Some(follower))),
                Ok(None) => None,
                Err(error) => Some((Err(error), None)),
            }
        });
        Ok(stream.boxed())
    }
}

impl<S: LogSource> Inner<S> {
    /// The reading that somebody who is at this place may share; a new one if there is none.
    async fn join(&self, key: &Key, at: u64) -> Result<Arc<Live>, Error> {
        let live = {
            let mut all = self.live.lock().unwrap_or_else(PoisonError::into_inner);
            all.retain(|_, live| live.strong_count() > 0);
            let found = all.get(key).and_then(Weak::upgrade);
            found.filter(|live| live.shared.suits(at)).unwrap_or_else(|| {
                let live = Arc::new(Live::at(at));
                all.insert(key.clone(), Arc::downgrade(&live));
                live
            })
        };
        live.begin(self, key).await?;
        Ok(live)
    }

    async fn read(&self, key: &Key, at: u64, follow: bool) -> Result<LogStream, Error> {
        let range = LogRange {
            run: key.run,
            start: LogStart::Offset(at),
            length: None,
            follow,
        };
        self.source.open(&key.uid, &key.container, range).await
    }
}

/// A reading that is shared. It ends with the last who shares it.
struct Live {
    shared: Arc<Shared>,
    reading: OnceCell<AbortOnDropHandle<()>>,
}

impl Live {
    fn at(at: u64) -> Self {
        let recent = Recent {
            bytes: VecDeque::new(),
            head: at,
            end: None,
        };
        let shared = Shared {
            recent: Mutex::new(recent),
            wanted: Notify::new(),
            changed: Notify::new(),
        };
        Self {
            shared: Arc::new(shared),
            reading: OnceCell::new(),
        }
    }

    /// Begins to read, if nobody has yet; whoever waits for that meanwhile gets the same answer.
    async fn begin<S: LogSource>(&self, inner: &Inner<S>, key: &Key) -> Result<(), Error> {
        let begin = async || {
            let (head, end) = {
                let recent = self.shared.recent();
                (recent.head, recent.end.clone())
            };
            if let Some(Err(error)) = end {
                return Err(error);
            }
            match inner.read(key, head, true).await {
                Ok(stream) => {
                    let reading = tokio::spawn(Arc::clone(&self.shared).read(stream));
                    Ok(AbortOnDropHandle::new(reading))
                }
                Err(error) => {
                    let error = Arc::new(error);
                    self.shared.recent().end = Some(Err(Arc::clone(&error)));
                    Err(error)
                }
            }
        };
        self.reading.get_or_try_init(begin).await.map_err(Error::Shared)?;
        Ok(())
    }
}

/// What has come, between the reading and those who share it.
struct Shared {
    recent: Mutex<Recent>,
    /// Somebody has taken all of it.
    wanted: Notify,
    /// More has come, or the end.
    changed: Notify,
}

struct Recent {
    bytes: VecDeque<u8>,
    /// The place in the log behind these bytes.
    head: u64,
    end: Option<Result<(), Arc<Error>>>,
}

/// What there is at a place.
enum Look {
    /// These bytes.
    Piece(Bytes),
    /// It has passed, and is not kept any more.
    Behind,
    /// It will come.
    Soon,
    /// It lies far ahead.
    Far,
    /// Nothing, and nothing will come.
    End(Result<(), Arc<Error>>),
}

impl Shared {
    fn recent(&self) -> MutexGuard<'_, Recent> {
        self.recent.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn look(&self, at: u64) -> Look {
        self.recent().look(at)
    }

    /// Whether somebody who is at this place may share it.
    fn suits(&self, at: u64) -> bool {
        let recent = self.recent();
        recent.end.is_none() && at <= recent.head + RECENT as u64
    }

    /// Waits until there is something else to see at a place of which more is to come.
    async fn more(&self, at: u64) {
        let mut changed = pin!(self.changed.notified());
        changed.as_mut().enable();
        if matches!(self.look(at), Look::Soon) {
            self.wanted.notify_one();
            changed.await;
        }
    }

    /// Reads to the end, a piece whenever one is wanted.
    async fn read(self: Arc<Self>, mut stream: LogStream) {
        let mut goes_on = true;
        while goes_on {
            self.wanted.notified().await;
            let next = stream.next().await;
            goes_on = self.recent().take(next);
            self.changed.notify_waiters();
        }
    }
}

impl Recent {
    fn look(&self, at: u64) -> Look {
        let first = self.head - self.bytes.len() as u64;
        if at < first {
            return Look::Behind;
        }
        if at < self.head {
            let (front, back) = self.bytes.as_slices();
            // Less than is kept, so it fits.
            let skip = (at - first) as usize;
            let rest = match skip.checked_sub(front.len()) {
                None => &front[skip..],
                Some(skip) => &back[skip..],
            };
            return Look::Piece(Bytes::copy_from_slice(&rest[..rest.len().min(PIECE)]));
        }
        match &self.end {
            Some(end) => Look::End(end.clone()),
            None if at - self.head > RECENT as u64 => Look::Far,
            None => Look::Soon,
        }
    }

    /// Takes what has come; false if that was the end.
    fn take(&mut self, next: Option<Result<Bytes, Error>>) -> bool {
        let piece = match next {
            Some(Ok(piece)) => piece,
            Some(Err(error)) => {
                self.end = Some(Err(Arc::new(error)));
                return false;
            }
            None => {
                self.end = Some(Ok(()));
                return false;
            }
        };
        self.head += piece.len() as u64;
        let kept = &piece[piece.len().saturating_sub(RECENT)..];
        let room = RECENT - kept.len();
        self.bytes.drain(..self.bytes.len().saturating_sub(room));
        self.bytes.extend(kept);
        true
    }
}

/// Somebody who follows.
struct Follower<S> {
    inner: Arc<Inner<S>>,
    key: Key,
    /// Everything before has been handed on.
    at: u64,
    live: Arc<Live>,
    /// A reading of one's own, while behind.
    own: Option<LogStream>,
    /// Where the last one of these began.
    own_from: Option<u64>,
}

impl<S: LogSource> Follower<S> {
    async fn next(&mut self) -> Result<Option<Bytes>, Error> {
        loop {
            if let Some(own) = &mut self.own {
                match own.next().await {
                    Some(piece) => return self.pass(piece?),
                    None => self.own = None,
                }
            }
            match self.live.shared.look(self.at) {
                Look::Piece(piece) => return self.pass(piece),
                Look::Behind => self.read_alone().await?,
                Look::Soon => self.live.shared.more(self.at).await,
                Look::Far => self.live = self.inner.join(&self.key, self.at).await?,
                Look::End(end) => return end.map(|()| None).map_err(Error::Shared),
            }
        }
    }

    #[expect(clippy::unnecessary_wraps, reason = "it is what `next` returns")]
    fn pass(&mut self, piece: Bytes) -> Result<Option<Bytes>, Error> {
        self.at += piece.len() as u64;
        Ok(Some(piece))
    }

    async fn read_alone(&mut self) -> Result<(), Error> {
        if self.own_from.replace(self.at) == Some(self.at) {
            return Err(Error::Invalid(format!(
                "the log is shorter than it was: nothing came from byte {} on, and others have read that",
                self.at
            )));
        }
        self.own = Some(self.inner.read(&self.key, self.at, false).await?);
        Ok(())
    }
}

#[cfg(test)]
mod tests;
