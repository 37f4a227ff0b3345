//! Answers that are remembered for a while, in bounded number.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// A map whose entries end, and of which there are never more than its capacity.
#[derive(Debug)]
pub struct Cache<K, V> {
    capacity: usize,
    entries: Mutex<HashMap<K, (Instant, V)>>,
}

impl<K: Eq + Hash + Clone, V: Clone> Cache<K, V> {
    /// An empty one.
    pub fn new(capacity: usize) -> Self {
        Self {
            capacity,
            entries: Mutex::default(),
        }
    }

    /// What is remembered and still holds.
    pub fn get(&self, key: &K, now: Instant) -> Option<V> {
        let entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        let (until, value) = entries.get(key)?;
        (now < *until).then(|| value.clone())
    }

    /// Remembers something for a time. If there is no room, what has ended goes first, and then some other entry.
    pub fn put(&self, key: K, value: V, now: Instant, holds: Duration) {
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        if entries.len() >= self.capacity && !entries.contains_key(&key) {
            entries.retain(|_, (until, _)| now < *until);
            if entries.len() >= self.capacity
                && let Some(other) = entries.keys().next().cloned()
            {
                entries.remove(&other);
            }
        }
        entries.insert(key, (now + holds, value));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    #[test]
    fn an_answer_holds_for_its_time() {
        let (cache, now) = (Cache::new(2), Instant::now());
        cache.put("a", 1, now, MINUTE);
        assert_eq!(cache.get(&"a", now + MINUTE / 2), Some(1));
        assert_eq!(cache.get(&"a", now + MINUTE), None);
        assert_eq!(cache.get(&"b", now), None);
    }

    #[test]
    fn there_are_never_more_than_fit_and_the_ended_go_first() {
        let (cache, now) = (Cache::new(2), Instant::now());
        cache.put("short", 1, now, MINUTE);
        cache.put("long", 2, now, MINUTE * 3);
        cache.put("long", 3, now, MINUTE * 3);
        assert_eq!(cache.get(&"short", now), Some(1));
        let later = now + MINUTE * 2;
        cache.put("new", 4, later, MINUTE);
        assert_eq!(
            (cache.get(&"long", later), cache.get(&"new", later)),
            (Some(3), Some(4))
        );
        cache.put("newer", 5, later, MINUTE);
        assert_eq!(cache.entries.lock().unwrap().len(), 2);
        assert_eq!(cache.get(&"newer", later), Some(5));
    }
}
