//! Moments as people read them.

/// A moment in RFC 3339, whole seconds, UTC: `2026-11-25T17:16:04Z`.
#[must_use]
pub fn rfc3339(ms: i64) -> String {
    let Ok(at) = time::OffsetDateTime::from_unix_timestamp(ms.div_euclid(1_000)) else {
        return if ms < 0 { "before the year -9999" } else { "after the year 9999" }.to_owned();
    };
    format!(
        "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}Z",
        at.year(),
        u8::from(at.month()),
        at.day(),
        at.hour(),
        at.minute(),
        at.second()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_written_in_utc() {
        for (ms, text) in [
            (0, "1970-01-01T00:00:00Z"),
            (-1, "1969-12-31T23:59:59Z"),
            (4_117_107_364_999, "2100-06-19T16:56:04Z"),
            (i64::MAX, "after the year 9999"),
            (i64::MIN, "before the year -9999"),
        ] {
            assert_eq!(rfc3339(ms), text);
        }
    }
}
