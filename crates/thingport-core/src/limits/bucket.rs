//! One token bucket per limit, on a clock it is told (RL-002).
//!
//! A bucket counts in whole numbers: one token weighs as much as `seconds` * 1000, and a millisecond
//! brings back `count`. So no limit drifts, whatever its numbers. Each part costs 16 bytes.

use thingport_model::limit::{RateLimit, RateWindow};

/// Tokens of one limit.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Bucket {
    windows: Box<[Window]>,
    /// The moment the levels are of.
    at_ms: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Window {
    limit: RateWindow,
    /// Below zero, what is missing was promised to somebody who waits for it.
    level: i64,
}

/// Which part has too little, and for how long; none: it never holds as much as was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Short {
    pub(crate) window: RateWindow,
    pub(crate) wait_ms: Option<u64>,
}

impl Bucket {
    /// A full bucket.
    pub(crate) fn of(limit: &RateLimit, now_ms: u64) -> Self {
        let window = |limit: &RateWindow| Window { limit: *limit, level: Window::full(*limit) };
        Self { windows: limit.windows().iter().map(window).collect(), at_ms: now_ms }
    }

    /// Whether it was made for this limit.
    pub(super) fn is_for(&self, limit: &RateLimit) -> bool {
        self.windows.iter().map(|it| &it.limit).eq(limit.windows())
    }

    /// Takes `n` tokens from every part. Some: they are promised and the taker must wait for them.
    /// Takes nothing when it would have to wait longer than `patience_ms`.
    pub(crate) fn take(
        &mut self,
        n: u64,
        patience_ms: u64,
        now_ms: u64,
    ) -> Result<Option<Short>, Short> {
        if self.windows.is_empty() {
            return Ok(None);
        }
        self.refill(now_ms);
        let shorts = self.windows.iter().filter_map(|window| window.short(n));
        // What never passes is worst, then whoever waits longest.
        let worst = shorts.max_by_key(|short| short.wait_ms.unwrap_or(u64::MAX));
        if let Some(short) = worst.filter(|it| it.wait_ms.is_none_or(|ms| ms > patience_ms)) {
            return Err(short);
        }
        for window in &mut self.windows {
            window.level -= window.weight(n).unwrap_or(0);
        }
        Ok(worst)
    }

    /// Whether a new bucket would hold no more: it may be forgotten.
    pub(super) fn is_full(&mut self, now_ms: u64) -> bool {
        self.refill(now_ms);
        self.windows.iter().all(|it| it.level == Window::full(it.limit))
    }

    fn refill(&mut self, now_ms: u64) {
        let elapsed = i64::try_from(now_ms.saturating_sub(self.at_ms)).unwrap_or(i64::MAX);
        self.at_ms = self.at_ms.max(now_ms);
        for window in &mut self.windows {
            let brought = elapsed.saturating_mul(i64::from(window.limit.count));
            window.level = window.level.saturating_add(brought).min(Window::full(window.limit));
        }
    }
}

impl Window {
    /// The parse of a limit has made sure that this fits.
    fn full(limit: RateWindow) -> i64 {
        limit.token().saturating_mul(i64::from(limit.count))
    }

    /// None: more than it can ever hold (RL-007).
    fn weight(&self, n: u64) -> Option<i64> {
        let n = i64::try_from(n).ok().filter(|n| *n <= i64::from(self.limit.count))?;
        n.checked_mul(self.limit.token())
    }

    /// What is missing of `n` tokens.
    fn short(&self, n: u64) -> Option<Short> {
        let wait_ms = match self.weight(n) {
            Some(weight) => {
                let missing = u64::try_from(weight.saturating_sub(self.level)).unwrap_or(0);
                Some(missing.div_ceil(u64::from(self.limit.count)))
            }
            None => None,
        };
        (wait_ms != Some(0)).then_some(Short { window: self.limit, wait_ms })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bucket(limit: &str) -> Bucket {
        Bucket::of(&RateLimit::parse(limit).expect("a limit"), 0)
    }

    /// Each row: limit, then (time, tokens, answer with patience 0): the wait that would be needed.
    #[test]
    fn a_burst_of_the_capacity_passes_and_refill_is_continuous() {
        const NEVER: u64 = u64::MAX;
        type Row = (&'static str, &'static [(u64, u64, Result<(), u64>)]);
        let rows: &[Row] = &[
            ("10:1", &[(0, 10, Ok(())), (0, 1, Err(100)), (99, 1, Err(1)), (100, 1, Ok(()))]),
            (
                "10:1",
                &[(0, 11, Err(NEVER)), (0, 10, Ok(())), (5_000, 10, Ok(())), (5_000, 1, Err(100))],
            ),
            (
                "3:1",
                &[
                    (0, 3, Ok(())),
                    (333, 1, Err(1)),
                    (334, 1, Ok(())),
                    (1_000, 2, Ok(())),
                    (1_000, 1, Err(334)),
                ],
            ),
            (
                "10:1,15:60",
                &[(0, 10, Ok(())), (1_000, 5, Ok(())), (2_000, 1, Err(2_000)), (4_000, 1, Ok(()))],
            ),
            ("1:3600", &[(0, 1, Ok(())), (1, 1, Err(3_599_999)), (3_600_000, 1, Ok(()))]),
            ("", &[(0, u64::MAX, Ok(()))]),
        ];
        for (limit, steps) in rows {
            let mut bucket = bucket(limit);
            for (now_ms, n, expected) in *steps {
                let answer = bucket.take(*n, 0, *now_ms);
                let answer = answer.map(|_| ()).map_err(|it| it.wait_ms.unwrap_or(NEVER));
                assert_eq!(answer, *expected, "{limit}: {n} at {now_ms}");
            }
        }
    }

    #[test]
    fn who_waits_has_a_place_in_line_and_who_would_wait_too_long_gets_none() {
        let mut bucket = bucket("2:1");
        let mut take = |now_ms| match bucket.take(1, 1_000, now_ms) {
            Ok(None) => Ok(0),
            Ok(Some(short)) => Ok(short.wait_ms.expect("a time")),
            Err(short) => Err(short.wait_ms.expect("a time")),
        };
        let takes: Vec<_> = (0..5).map(|_| take(0)).collect();
        assert_eq!(takes, [Ok(0), Ok(0), Ok(500), Ok(1_000), Err(1_500)]);
        assert_eq!(take(1_000), Ok(500), "the refused one took nothing");
    }

    #[test]
    fn a_part_that_refuses_is_named_and_the_others_keep_their_tokens() {
        let mut bucket = bucket("5:1,6:3600");
        assert_eq!(bucket.take(5, 0, 0), Ok(None));
        assert_eq!(bucket.take(1, 0, 1_000), Ok(None));
        let short = bucket.take(1, 0, 1_000).expect_err("the second part is empty");
        assert_eq!(short.window.to_string(), "6:3600");
        assert!(!bucket.is_full(2_000) && bucket.is_full(3_601_000));
    }

    /// However it is asked: never more than capacity + rate * time, and never less when it is greedy.
    #[test]
    fn over_any_time_exactly_capacity_and_refill_are_given() {
        let mut seed = 7_u64;
        for limit in ["2:1", "7:3", "100:1", "1000:60", "13:7"] {
            let (mut bucket, mut given, mut now_ms) = (bucket(limit), 0_u64, 0);
            let window = RateLimit::parse(limit).expect("a limit").windows()[0];
            for _ in 0..5_000 {
                seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                while bucket.take(1, 0, now_ms).is_ok() {
                    given += 1;
                }
                now_ms += seed >> 59;
            }
            while bucket.take(1, 0, now_ms).is_ok() {
                given += 1;
            }
            let (count, period) = (u64::from(window.count), u64::from(window.seconds) * 1_000);
            assert_eq!(given, count + now_ms * count / period, "{limit} over {now_ms} ms");
        }
    }

    #[test]
    fn a_clock_that_stands_or_leaps_is_harmless_and_a_part_is_small() {
        let mut bucket = bucket("4294967295:1");
        assert_eq!(bucket.take(4_294_967_295, 0, u64::MAX), Ok(None));
        assert!(matches!(bucket.take(1, 1_000, 0), Ok(Some(Short { wait_ms: Some(1), .. }))));
        assert_eq!(size_of::<Window>(), 16);
    }
}
