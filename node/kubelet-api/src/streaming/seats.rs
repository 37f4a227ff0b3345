//! How many sessions there are at once, per pod.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Sessions of a pod at once, at most. Each may take a channel of an SSH connection and a step of the job.
const PER_POD: usize = 100;

/// The seats of all pods.
#[derive(Debug, Clone, Default)]
pub struct Seats(Arc<Mutex<HashMap<String, usize>>>);

/// A seat, until it is dropped.
#[derive(Debug)]
pub struct Seat {
    seats: Seats,
    uid: String,
}

impl Seats {
    /// A seat with a pod, if there is one.
    pub fn take(&self, uid: &str) -> Option<Seat> {
        let mut taken = self.lock();
        let count = taken.entry(uid.to_owned()).or_default();
        if *count == PER_POD {
            return None;
        }
        *count += 1;
        Some(Seat {
            seats: self.clone(),
            uid: uid.to_owned(),
        })
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, usize>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut taken = self.seats.lock();
        if let Some(count) = taken.get_mut(&self.uid) {
            *count -= 1;
            if *count == 0 {
                taken.remove(&self.uid);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seat_that_is_left_can_be_taken_again() {
        let seats = Seats::default();
        let mut taken: Vec<_> = (0..PER_POD).map(|_| seats.take("a").unwrap()).collect();
        assert!(seats.take("a").is_none());
        assert!(seats.take("b").is_some());
        taken.pop();
        assert!(seats.take("a").is_some());
        taken.clear();
        assert!(seats.lock().is_empty());
    }
}
