//! When a connection was last heard.
//!
//! A message costs one relaxed store: no lock, no allocation, nothing is read, so nobody waits for the
//! line of memory to come. Whoever keeps the account of activity takes the moment now and then.

use core::sync::atomic::{AtomicU32, Ordering};

/// Milliseconds of the monotonic clock, the low 32 bits of them: enough for whoever looks every few
/// seconds, and free of cost where it lies. Zero: nothing was heard since somebody looked.
#[derive(Debug, Default)]
pub(super) struct Hearing(AtomicU32);

impl Hearing {
    pub(super) fn hear(&self, now_ms: u64) {
        self.0.store(mark(now_ms), Ordering::Relaxed);
    }

    /// How many milliseconds ago, and forgets it.
    pub(super) fn take(&self, now_ms: u64) -> Option<u64> {
        // Looking first: a swap would fetch the line for writing from every connection that is silent.
        self.peek(now_ms)?;
        age(self.0.swap(0, Ordering::Relaxed), now_ms)
    }

    pub(super) fn peek(&self, now_ms: u64) -> Option<u64> {
        age(self.0.load(Ordering::Relaxed), now_ms)
    }

    /// Undoes a [`Self::take`], unless something newer was heard.
    pub(super) fn give_back(&self, heard_ms: u64) {
        let _ = self.0.compare_exchange(0, mark(heard_ms), Ordering::Relaxed, Ordering::Relaxed);
    }
}

// Cut on purpose.
#[allow(clippy::cast_possible_truncation)]
const fn low(ms: u64) -> u32 {
    ms as u32
}

const fn mark(ms: u64) -> u32 {
    match low(ms) {
        0 => 1,
        low => low,
    }
}

/// What was heard a moment after the look began has the age zero.
fn age(mark: u32, now_ms: u64) -> Option<u64> {
    let age = low(now_ms).wrapping_sub(mark);
    (mark != 0).then(|| if age > u32::MAX / 2 { 0 } else { u64::from(age) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_taken_once_also_where_the_low_bits_wrap() {
        let wrap = 1_u64 << 32;
        let rows = [
            (1_000, 1_000, 0),
            (1_000, 4_000, 3_000),
            (1_000, 999, 0),
            (wrap - 5, wrap + 5, 10),
            // A moment of which no low bit is set is taken for the next one.
            (wrap, wrap + 7, 6),
        ];
        for (heard_ms, now_ms, expected) in rows {
            let hearing = Hearing::default();
            assert_eq!(hearing.take(now_ms), None);
            hearing.hear(heard_ms);
            assert_eq!(hearing.peek(now_ms), Some(expected), "{heard_ms} {now_ms}");
            assert_eq!(hearing.take(now_ms), Some(expected), "{heard_ms} {now_ms}");
            assert_eq!(hearing.take(now_ms), None, "{heard_ms} {now_ms}");
        }
    }

    #[test]
    fn what_is_given_back_does_not_hide_what_is_newer() {
        let hearing = Hearing::default();
        hearing.give_back(500);
        assert_eq!(hearing.peek(600), Some(100));
        hearing.hear(590);
        hearing.give_back(500);
        assert_eq!(hearing.peek(600), Some(10));
    }
}
