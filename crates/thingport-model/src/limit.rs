//! Rate limits as ThingsBoard writes them: `100:1,2000:60` (device API RL-001, RL-003).

/// One part of a limit: at most `count` per `seconds`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RateWindow {
    /// How many; also the size of a burst.
    pub count: u32,
    /// In how many seconds.
    pub seconds: u32,
}

/// Several parts that must all hold. Empty means unlimited.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RateLimit(pub Vec<RateWindow>);

/// Why a text is no rate limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RateLimitError {
    /// A part is not `count:seconds` with two positive whole numbers.
    NotCountColonSeconds,
    /// Two parts have the same number of seconds (RL-003).
    SecondsTwice,
    /// More parts than anybody needs (8).
    TooManyParts,
}

impl RateLimit {
    /// Reads `count:seconds[,count:seconds...]`; blank text is unlimited.
    ///
    /// # Errors
    /// The first thing wrong with the text.
    pub fn parse(text: &str) -> Result<Self, RateLimitError> {
        if text.trim().is_empty() {
            return Ok(Self::default());
        }
        let mut parts: Vec<RateWindow> = Vec::new();
        for part in text.split(',') {
            let window = RateWindow::parse(part)?;
            if parts.iter().any(|earlier| earlier.seconds == window.seconds) {
                return Err(RateLimitError::SecondsTwice);
            }
            if parts.len() == PARTS_MAX {
                return Err(RateLimitError::TooManyParts);
            }
            parts.push(window);
        }
        Ok(Self(parts))
    }
}

impl RateWindow {
    fn parse(part: &str) -> Result<Self, RateLimitError> {
        let wrong = RateLimitError::NotCountColonSeconds;
        let (count, seconds) = part.trim().split_once(':').ok_or(wrong)?;
        let count: u32 = count.parse().map_err(|_| wrong)?;
        let seconds: u32 = seconds.parse().map_err(|_| wrong)?;
        if count == 0 || seconds == 0 { Err(wrong) } else { Ok(Self { count, seconds }) }
    }
}

const PARTS_MAX: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_read_as_thingsboard_writes_them() {
        let two = RateLimit(vec![
            RateWindow { count: 100, seconds: 1 },
            RateWindow { count: 2000, seconds: 60 },
        ]);
        assert_eq!(RateLimit::parse("100:1,2000:60"), Ok(two));
        assert_eq!(RateLimit::parse(""), Ok(RateLimit::default()));
        for wrong in ["1", "1:", ":1", "a:b", "1:0", "0:1", "1:1,", "-1:1"] {
            assert_eq!(
                RateLimit::parse(wrong),
                Err(RateLimitError::NotCountColonSeconds),
                "{wrong}"
            );
        }
        assert_eq!(RateLimit::parse("1:1,2:1"), Err(RateLimitError::SecondsTwice));
    }
}
