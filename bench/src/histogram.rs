//! A latency histogram of fixed size: 64 steps in each power of two, so at most 1.6 % off.

/// Counts of values in nanoseconds.
pub(crate) struct Histogram {
    counts: Vec<u64>,
    total: u64,
}

impl Histogram {
    pub(crate) fn new() -> Self {
        Self { counts: vec![0; step_of(u64::MAX) + 1], total: 0 }
    }

    pub(crate) fn record(&mut self, value: u64) {
        self.counts[step_of(value)] += 1;
        self.total += 1;
    }

    /// How many values were recorded.
    pub(crate) fn total(&self) -> u64 {
        self.total
    }

    /// The smallest recorded step that `share` (0 to 1) of the values do not exceed; 0 when empty.
    pub(crate) fn quantile(&self, share: f64) -> u64 {
        let wanted = ((self.total as f64 * share).ceil() as u64).max(1);
        let mut seen = 0;
        for (step, &count) in self.counts.iter().enumerate() {
            seen += count;
            if seen >= wanted {
                return highest_of(step);
            }
        }
        0
    }
}

fn step_of(value: u64) -> usize {
    let doublings = (u64::BITS - 1 - (value | 1).leading_zeros()).saturating_sub(STEP_BITS);
    ((doublings as usize) << STEP_BITS) + (value >> doublings) as usize
}

fn highest_of(step: usize) -> u64 {
    let doublings = (step >> STEP_BITS).saturating_sub(1);
    let within = (step - (doublings << STEP_BITS)) as u64;
    (within << doublings) + ((1 << doublings) - 1)
}

const STEP_BITS: u32 = 6;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_holds_its_value_within_two_percent() {
        for value in [1, 63, 64, 65, 127, 128, 1_000, 5_900, 1_000_000, 123_456_789_012, u64::MAX] {
            let highest = highest_of(step_of(value));
            assert!(highest >= value && highest - value <= value / 64 + 1, "{value}: {highest}");
        }
    }

    #[test]
    fn steps_rise_with_values() {
        let steps: Vec<_> = (1..100_000).map(step_of).collect();
        assert!(steps.windows(2).all(|pair| pair[0] == pair[1] || pair[0] + 1 == pair[1]));
    }

    #[test]
    fn quantiles_of_a_straight_line() {
        let mut histogram = Histogram::new();
        assert_eq!(histogram.quantile(0.99), 0);
        (1..=1_000).for_each(|value| histogram.record(value * 1_000));
        for (share, expected) in
            [(0.5, 500_000), (0.99, 990_000), (0.999, 999_000), (1.0, 1_000_000)]
        {
            let found = histogram.quantile(share);
            assert!(found >= expected && found <= expected + expected / 60, "{share}: {found}");
        }
    }
}
