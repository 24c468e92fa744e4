//! Moments as ThingsBoard writes them: milliseconds since 1970 UTC, signed.

/// A moment in milliseconds since 1970-01-01T00:00:00Z; negative before it.
///
/// Devices may send any value (device API JS-028: no limit on how old or how far ahead), so nothing
/// here assumes a sensible range.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(pub i64);

impl Timestamp {
    /// The moment zero, 1970-01-01T00:00:00Z.
    pub const EPOCH: Self = Self(0);
    /// Earlier than every other moment.
    pub const MIN: Self = Self(i64::MIN);
    /// Later than every other moment.
    pub const MAX: Self = Self(i64::MAX);

    /// Milliseconds since the epoch.
    #[must_use]
    pub const fn ms(self) -> i64 {
        self.0
    }

    /// This moment moved by `ms`, stopping at the ends of the range instead of wrapping.
    #[must_use]
    pub const fn plus_ms(self, ms: i64) -> Self {
        Self(self.0.saturating_add(ms))
    }

    /// Milliseconds from `earlier` to this moment, stopping at the ends of the range.
    #[must_use]
    pub const fn since_ms(self, earlier: Self) -> i64 {
        self.0.saturating_sub(earlier.0)
    }
}

/// A half-open stretch of time: `start <= ts < end` (REST API 14.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimeRange {
    /// First moment inside.
    pub start: Timestamp,
    /// First moment outside.
    pub end: Timestamp,
}

impl TimeRange {
    /// Everything but the very last millisecond of the representable range.
    pub const ALL: Self = Self { start: Timestamp::MIN, end: Timestamp::MAX };

    /// Whether `at` lies inside.
    #[must_use]
    pub const fn contains(self, at: Timestamp) -> bool {
        self.start.0 <= at.0 && at.0 < self.end.0
    }
}
