use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures::TryStreamExt;
use proptest::prelude::*;
use tokio::sync::watch;
use tokio::time::timeout;

use super::*;

/// A log that grows, and how often it is read now.
#[derive(Clone)]
struct Growing {
    written: watch::Sender<Written>,
    following: Arc<AtomicUsize>,
    read: Arc<AtomicUsize>,
}

#[derive(Clone, Default)]
struct Written {
    text: Vec<u8>,
    ended: bool,
    /// Readings that follow fail.
    lost: bool,
}

/// Counts for as long as it is there.
struct Count(Arc<AtomicUsize>);

impl Count {
    fn new(count: &Arc<AtomicUsize>) -> Self {
        count.fetch_add(1, Ordering::SeqCst);
        Self(Arc::clone(count))
    }
}

impl Drop for Count {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Growing {
    fn new(text: impl Into<Vec<u8>>) -> Self {
        let written = Written {
            text: text.into(),
            ..Written::default()
        };
        Self {
            written: watch::Sender::new(written),
            following: Arc::default(),
            read: Arc::default(),
        }
    }

    fn write(&self, more: &[u8]) {
        self.written.send_modify(|written| written.text.extend_from_slice(more));
    }

    fn end(&self) {
        self.written.send_modify(|written| written.ended = true);
    }

    fn following(&self) -> usize {
        self.following.load(Ordering::SeqCst)
    }

    async fn until_following(&self, count: usize) {
        while self.following() != count {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
}

fn lost() -> Error {
    Error::Invalid("the link was lost".to_owned())
}

#[async_trait]
impl LogSource for Growing {
    async fn index(&self, _uid: &str, _container: &str, _run: i64) -> Result<LogIndex, Error> {
        Ok(LogIndex::default())
    }

    async fn open(&self, _uid: &str, _container: &str, range: LogRange) -> Result<LogStream, Error> {
        let LogStart::Offset(offset) = range.start else {
            return Err(Error::Invalid("lines".to_owned()));
        };
        tokio::task::yield_now().await;
        if self.written.borrow().lost {
            return Err(lost());
        }
        self.read.fetch_add(1, Ordering::SeqCst);
        let count = range.follow.then(|| Count::new(&self.following));
        let state = (self.written.subscribe(), usize::try_from(offset).unwrap(), count);
        let stream = futures::stream::try_unfold(state, move |(mut written, at, count)| async move {
            loop {
                {
                    let now = written.borrow_and_update();
                    if at < now.text.len() {
                        let piece = Bytes::copy_from_slice(&now.text[at..now.text.len().min(at + 50_000)]);
                        let next = (at + piece.len(), count);
                        drop(now);
                        return Ok(Some((piece, (written, next.0, next.1))));
                    }
                    if now.lost {
                        return Err(lost());
                    }
                    if !range.follow || now.ended {
                        return Ok(None);
                    }
                }
                written.changed().await.unwrap();
            }
        });
        Ok(stream.boxed())
    }
}

fn follow(at: u64) -> LogRange {
    LogRange {
        run: 0,
        start: LogStart::Offset(at),
        length: None,
        follow: true,
    }
}

async fn open(logs: &Following<Growing>, at: u64) -> LogStream {
    logs.open("u", "c", follow(at)).await.unwrap()
}

async fn text(stream: LogStream) -> Vec<u8> {
    let all = stream.try_fold(Vec::new(), |mut all, piece| async move {
        all.extend_from_slice(&piece);
        Ok(all)
    });
    timeout(Duration::from_secs(60), all).await.unwrap().unwrap()
}

async fn piece(stream: &mut LogStream) -> Result<Bytes, Error> {
    let next = timeout(Duration::from_secs(60), stream.next()).await;
    next.unwrap().unwrap()
}

/// Bytes of which each place can be told from others.
fn numbered(bytes: usize) -> Vec<u8> {
    (0..bytes / 8).flat_map(|n| format!("{n:07}\n").into_bytes()).collect()
}

#[tokio::test]
async fn a_hundred_who_follow_are_one_reading_which_ends_with_the_last_of_them() {
    let log = Growing::new("before\n");
    let logs = Following::new(log.clone());
    let all = futures::future::join_all((0..100).map(|_| open(&logs, 0))).await;
    assert_eq!(log.following(), 1);
    let tasks: Vec<_> = all.into_iter().map(|stream| tokio::spawn(text(stream))).collect();
    let mut late = open(&logs, 3).await;
    assert_eq!(piece(&mut late).await.unwrap(), "ore\n");
    log.write(b"then\n");
    assert_eq!(piece(&mut late).await.unwrap(), "then\n");
    assert_eq!((log.following(), log.read.load(Ordering::SeqCst)), (1, 1));
    log.end();
    for task in tasks {
        assert_eq!(task.await.unwrap(), b"before\nthen\n");
    }
    assert!(late.next().await.is_none());
    drop(late);
    log.until_following(0).await;
    // What has ended is not shared any more.
    assert_eq!(text(open(&logs, 0).await).await, b"before\nthen\n");
}

#[tokio::test]
async fn one_who_leaves_takes_nothing_from_the_others() {
    let log = Growing::new("");
    let logs = Following::new(log.clone());
    let (mut first, mut second) = (open(&logs, 0).await, open(&logs, 0).await);
    // Both wait, the first one for longer.
    assert!(timeout(Duration::from_millis(20), first.next()).await.is_err());
    assert!(timeout(Duration::from_millis(20), second.next()).await.is_err());
    drop(first);
    log.write(b"x");
    assert_eq!(piece(&mut second).await.unwrap(), "x");
    drop(second);
    log.until_following(0).await;
}

#[tokio::test]
async fn nobody_who_takes_is_a_reading_that_waits() {
    let log = Growing::new(numbered(4 << 20));
    let logs = Following::new(log.clone());
    let mut idle = open(&logs, 0).await;
    piece(&mut idle).await.unwrap();
    tokio::time::sleep(Duration::from_millis(50)).await;
    let live = logs.0.live.lock().unwrap().values().next().unwrap().upgrade().unwrap();
    assert!(live.shared.recent().head <= 100_000);
}

#[tokio::test]
async fn a_slow_one_holds_up_nobody_and_misses_nothing() {
    let all = numbered(3 << 20);
    let log = Growing::new(&all[..1 << 20]);
    let logs = Following::new(log.clone());
    let mut slow = open(&logs, 0).await;
    let mut taken = piece(&mut slow).await.unwrap().to_vec();
    let quick = tokio::spawn(text(open(&logs, 0).await));
    log.write(&all[1 << 20..]);
    log.end();
    assert!(quick.await.unwrap() == all);
    // By itself, and without another reading that follows.
    assert_eq!(log.read.load(Ordering::SeqCst), 1);
    taken.extend(text(slow).await);
    assert!(taken == all);
    assert_eq!(log.read.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn one_far_ahead_does_not_wait_for_what_is_between() {
    let all = numbered(4 << 20);
    let log = Growing::new(all.clone());
    let logs = Following::new(log.clone());
    let mut idle = open(&logs, 0).await;
    piece(&mut idle).await.unwrap();
    let end = all.len() as u64;
    let mut tail = open(&logs, end - 8).await;
    assert_eq!(piece(&mut tail).await.unwrap(), &all[all.len() - 8..]);
    assert_eq!(log.following(), 2);
    // That one is shared from now on.
    let mut another = open(&logs, end).await;
    log.write(b"new\n");
    assert_eq!(piece(&mut another).await.unwrap(), "new\n");
    assert_eq!(piece(&mut tail).await.unwrap(), "new\n");
    assert_eq!(log.following(), 2);
}

#[tokio::test]
async fn a_lost_link_is_an_error_for_each_of_them_and_no_end_for_who_comes_later() {
    let log = Growing::new("a");
    let logs = Following::new(log.clone());
    let mut streams = vec![open(&logs, 0).await, open(&logs, 0).await];
    log.written.send_modify(|written| written.lost = true);
    for stream in &mut streams {
        assert_eq!(piece(stream).await.unwrap(), "a");
        assert_eq!(piece(stream).await.unwrap_err().to_string(), "the link was lost");
        assert!(stream.next().await.is_none());
    }
    let refused = futures::future::join_all((0..3).map(|_| logs.open("u", "c", follow(0)))).await;
    assert!(refused.iter().all(Result::is_err));
    log.written.send_modify(|written| written.lost = false);
    log.end();
    assert_eq!(text(open(&logs, 0).await).await, b"a");
}

#[tokio::test]
async fn a_log_that_became_shorter_is_no_endless_search() {
    let log = Growing::new(numbered(1 << 20));
    let logs = Following::new(log.clone());
    let (mut slow, mut quick) = (open(&logs, 0).await, open(&logs, 0).await);
    piece(&mut slow).await.unwrap();
    let mut taken = 0;
    while taken < 1 << 20 {
        taken += piece(&mut quick).await.unwrap().len();
    }
    log.written.send_modify(|written| written.text.clear());
    let error = loop {
        if let Err(error) = piece(&mut slow).await {
            break error.to_string();
        }
    };
    assert!(error.starts_with("the log is shorter than it was"), "{error}");
}

#[tokio::test]
async fn other_runs_lines_and_limits_are_asked_for_as_they_are() {
    let log = Growing::new("abc");
    let logs = Following::new(log.clone());
    let _first = open(&logs, 0).await;
    let _other_run = logs.open("u", "c", LogRange { run: 1, ..follow(0) }).await.unwrap();
    let _other_container = logs.open("u", "d", follow(0)).await.unwrap();
    let _newest = logs.open("u", "c", LogRange { run: -1, ..follow(0) }).await.unwrap();
    let length = Some(1);
    let _limited = logs.open("u", "c", LogRange { length, ..follow(0) }).await.unwrap();
    assert_eq!(log.following(), 5);
    let start = LogStart::LastLines(1);
    let lines = logs.open("u", "c", LogRange { start, ..follow(0) }).await;
    assert_eq!(lines.err().unwrap().to_string(), "lines");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Whoever begins wherever and takes as they like gets what was written from there on, and nothing else.
    #[test]
    fn each_gets_the_log_from_where_they_began(
        steps in proptest::collection::vec((0usize..6, 0usize..300_000), 1..40),
        starts in proptest::collection::vec(0usize..1_000_000, 6),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let all = numbered(steps.iter().map(|step| step.1).sum::<usize>() + 8);
            let log = Growing::new("");
            let logs = Following::new(log.clone());
            let mut followers: Vec<Option<(usize, LogStream, Vec<u8>)>> = vec![None, None, None, None, None, None];
            let mut written = 0;
            for (who, bytes) in steps {
                let more = (written + bytes).min(all.len());
                log.write(&all[written..more]);
                written = more;
                match &mut followers[who] {
                    Some((_, stream, taken)) => {
                        if let Ok(piece) = timeout(Duration::from_millis(1), stream.next()).await {
                            taken.extend_from_slice(&piece.unwrap().unwrap());
                        }
                    }
                    empty => {
                        let start = starts[who].min(written);
                        *empty = Some((start, open(&logs, start as u64).await, Vec::new()));
                    }
                }
            }
            log.end();
            for (start, stream, mut taken) in followers.into_iter().flatten() {
                taken.extend(text(stream).await);
                assert!(taken == all[start..written], "from {start} of {written}");
            }
            log.until_following(0).await;
        });
    }
}
