//! Deadlines of connections, coarse and cheap.
//!
//! One list of wakers in slots of [`TICK_MS`]; a tick wakes the tasks of the slots that came due. A
//! connection looks at its own deadline when it is woken and asks again if it came too early, so a
//! deadline that moves ahead with every packet costs nothing per packet. An entry is a few dozen bytes
//! and is removed when its connection ends.

use core::task::Waker;
use std::collections::VecDeque;

use parking_lot::Mutex;

/// Every connection's next wake-up.
#[derive(Debug, Default)]
pub(crate) struct Timers {
    wheel: Mutex<Wheel>,
}

/// A connection's place. Zero-sized drop glue is the connection's business: it must call
/// [`Timers::remove`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Key(u32);

#[derive(Debug, Default)]
struct Wheel {
    entries: Vec<Entry>,
    free: Vec<u32>,
    /// Keys due in the slot at the front, the one behind it, ...
    slots: VecDeque<Vec<u32>>,
    /// Time of the front slot.
    front_ms: u64,
}

#[derive(Debug, Default)]
struct Entry {
    waker: Option<Waker>,
    /// The slot it is in, as a time; a key found in another slot is stale.
    due_ms: u64,
}

impl Timers {
    /// Adds a connection without a deadline.
    pub(crate) fn add(&self, waker: Waker) -> Key {
        let mut wheel = self.wheel.lock();
        let entry = Entry { waker: Some(waker), due_ms: NEVER };
        match wheel.free.pop() {
            Some(key) => {
                if let Some(place) = wheel.entries.get_mut(key as usize) {
                    *place = entry;
                }
                Key(key)
            }
            None => {
                wheel.entries.push(entry);
                Key(u32::try_from(wheel.entries.len() - 1).unwrap_or(u32::MAX))
            }
        }
    }

    /// Sets the time of a connection's next wake-up. It comes at most one tick late, or early when
    /// the time lies beyond the wheel.
    pub(crate) fn set(&self, key: Key, deadline_ms: u64) {
        self.wheel.lock().set(key, deadline_ms);
    }

    /// Removes a connection.
    pub(crate) fn remove(&self, key: Key) {
        let mut wheel = self.wheel.lock();
        if let Some(entry) = wheel.entries.get_mut(key.0 as usize) {
            *entry = Entry { waker: None, due_ms: NEVER };
            wheel.free.push(key.0);
        }
    }

    /// Wakes every task whose time has come.
    pub(crate) fn tick(&self, now_ms: u64) {
        let due = self.wheel.lock().take_due(now_ms);
        due.into_iter().for_each(Waker::wake);
    }

    /// Wakes every task.
    pub(crate) fn wake_all(&self) {
        let all: Vec<_> =
            self.wheel.lock().entries.iter().filter_map(|entry| entry.waker.clone()).collect();
        all.into_iter().for_each(Waker::wake);
    }
}

impl Wheel {
    fn set(&mut self, key: Key, deadline_ms: u64) {
        let ahead = deadline_ms.saturating_sub(self.front_ms).div_ceil(TICK_MS);
        let ahead = usize::try_from(ahead).unwrap_or(SLOTS_MAX).min(SLOTS_MAX - 1);
        if self.slots.len() <= ahead {
            self.slots.resize_with(ahead + 1, Vec::new);
        }
        let due_ms = self.front_ms + ahead as u64 * TICK_MS;
        let Some(entry) = self.entries.get_mut(key.0 as usize) else { return };
        if entry.due_ms != due_ms {
            entry.due_ms = due_ms;
            if let Some(slot) = self.slots.get_mut(ahead) {
                slot.push(key.0);
            }
        }
    }

    fn take_due(&mut self, now_ms: u64) -> Vec<Waker> {
        let mut due = Vec::new();
        if self.slots.is_empty() {
            self.front_ms = now_ms;
        }
        while self.front_ms <= now_ms {
            let Some(slot) = self.slots.pop_front() else { break };
            for key in slot {
                let Some(entry) = self.entries.get_mut(key as usize) else { continue };
                if entry.due_ms == self.front_ms {
                    entry.due_ms = NEVER;
                    due.extend(entry.waker.clone());
                }
            }
            self.front_ms += TICK_MS;
        }
        due
    }
}

/// Time between two ticks.
pub(crate) const TICK_MS: u64 = 250;
/// Slots of the wheel: deadlines more than 17 minutes ahead wake their task once too early.
const SLOTS_MAX: usize = 4096;
const NEVER: u64 = u64::MAX;

#[cfg(test)]
mod tests {
    use super::*;
    use core::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::Arc;
    use std::task::Wake;

    #[derive(Default)]
    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn woken(count: &Arc<Count>) -> usize {
        count.0.load(Ordering::Relaxed)
    }

    #[test]
    fn a_task_is_woken_at_most_one_tick_late_and_once() {
        let (timers, count) = (Timers::default(), Arc::new(Count::default()));
        timers.tick(10_000);
        let key = timers.add(Waker::from(Arc::clone(&count)));
        timers.set(key, 11_000);
        timers.tick(10_900);
        assert_eq!(woken(&count), 0);
        timers.tick(11_250);
        assert_eq!(woken(&count), 1);
        timers.tick(30_000);
        assert_eq!(woken(&count), 1);
    }

    #[test]
    fn a_moved_deadline_does_not_wake_at_the_old_time() {
        let (timers, count) = (Timers::default(), Arc::new(Count::default()));
        timers.tick(0);
        let key = timers.add(Waker::from(Arc::clone(&count)));
        timers.set(key, 1_000);
        timers.set(key, 5_000);
        timers.tick(4_000);
        assert_eq!(woken(&count), 0);
        timers.tick(5_250);
        assert_eq!(woken(&count), 1);
    }

    #[test]
    fn a_removed_connection_is_forgotten_and_its_place_used_again() {
        let (timers, count) = (Timers::default(), Arc::new(Count::default()));
        let key = timers.add(Waker::from(Arc::clone(&count)));
        timers.set(key, 500);
        timers.remove(key);
        assert_eq!(Arc::strong_count(&count), 1);
        let again = timers.add(Waker::from(Arc::clone(&count)));
        assert_eq!(again, key);
        timers.tick(2_000);
        assert_eq!(woken(&count), 0);
        timers.wake_all();
        assert_eq!(woken(&count), 1);
    }

    #[test]
    fn a_far_deadline_wakes_early_rather_than_late() {
        let (timers, count) = (Timers::default(), Arc::new(Count::default()));
        timers.tick(0);
        let key = timers.add(Waker::from(Arc::clone(&count)));
        timers.set(key, u64::MAX);
        timers.tick(SLOTS_MAX as u64 * TICK_MS);
        assert_eq!(woken(&count), 1);
    }
}
