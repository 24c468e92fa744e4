//! Calendar buckets: weeks, months and quarters (REST API 14.3, `intervalType`).
//!
//! Time zones are UTC and fixed offsets. Named zones need the history of their clock changes, which
//! this server does not carry; they are refused with a sentence that says so.

use thingport_model::time::{TimeRange, Timestamp};

use crate::error::Refusal;

/// Buckets of calendar units at a fixed distance from UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Calendar {
    unit: Unit,
    /// Local time minus UTC.
    offset_ms: i64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Unit {
    /// From Sunday.
    Week,
    /// From Monday.
    WeekIso,
    Month,
    Quarter,
}

/// The calendar that `intervalType` and `timeZone` name; none for buckets of equal length.
pub(crate) fn of(unit: Option<&str>, zone: Option<&str>) -> Result<Option<Calendar>, Refusal> {
    let unit = match unit {
        None | Some("MILLISECONDS") => return Ok(None),
        Some("WEEK") => Unit::Week,
        Some("WEEK_ISO") => Unit::WeekIso,
        Some("MONTH") => Unit::Month,
        Some("QUARTER") => Unit::Quarter,
        Some(other) => {
            return Err(Refusal::bad_request(format!(
                "{other:?} is not an interval type; MILLISECONDS, WEEK, WEEK_ISO, MONTH and QUARTER are"
            )));
        }
    };
    let zone = zone.unwrap_or("UTC");
    let offset_ms = offset_ms(zone).ok_or_else(|| {
        Refusal::bad_request(format!(
            "the time zone {zone:?} is not known here; use UTC or an offset such as +02:00"
        ))
    })?;
    Ok(Some(Calendar { unit, offset_ms }))
}

impl Calendar {
    /// The borders of all units that the range touches, cut to it. None when there would be more than
    /// `buckets_max` buckets.
    pub(crate) fn borders(&self, range: TimeRange, buckets_max: usize) -> Option<Vec<Timestamp>> {
        // A unit is at least 7 days: a range of more weeks than that needs no counting.
        let span = range.end.since_ms(range.start);
        if span / (7 * DAY_MS) > i64::try_from(buckets_max).unwrap_or(i64::MAX).saturating_mul(14) {
            return None;
        }
        let mut borders = vec![range.start];
        let mut border = self.next(range.start);
        while border < range.end {
            if borders.len() >= buckets_max {
                return None;
            }
            borders.push(border);
            border = self.next(border);
        }
        borders.push(range.end);
        Some(borders)
    }

    /// The first border behind `at`.
    fn next(&self, at: Timestamp) -> Timestamp {
        let day = at.ms().saturating_add(self.offset_ms).div_euclid(DAY_MS);
        let next = match self.unit {
            // Day 0, 1970-01-01, was a Thursday.
            Unit::Week => day - (day + 4).rem_euclid(7) + 7,
            Unit::WeekIso => day - (day + 3).rem_euclid(7) + 7,
            Unit::Month => month_start(month_of(day) + 1),
            Unit::Quarter => month_start((month_of(day).div_euclid(3) + 1) * 3),
        };
        Timestamp(next.saturating_mul(DAY_MS).saturating_sub(self.offset_ms))
    }
}

/// Months since January of the year 0 that day `day` since 1970 lies in.
fn month_of(day: i64) -> i64 {
    // Years are counted from March, so that the leap day comes last; 719468 days lie between
    // 0000-03-01 and 1970-01-01, 146097 days make 400 years.
    let day = day + 719_468;
    let era = day.div_euclid(146_097);
    let of_era = day.rem_euclid(146_097);
    let year = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let from_march = (5 * of_year + 2) / 153;
    (era * 400 + year) * 12 + from_march + 2
}

/// Day since 1970 on which month `month` (counted as by [`month_of`]) begins.
fn month_start(month: i64) -> i64 {
    let from_march = month - 2;
    let (year, of_year) = (from_march.div_euclid(12), from_march.rem_euclid(12));
    let (era, of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let days = (153 * of_year + 2) / 5;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + days - 719_468
}

/// Local time minus UTC of `UTC`, `GMT`, `Z`, `Etc/UTC` or an offset: `+02:00`, `UTC-3`.
fn offset_ms(zone: &str) -> Option<i64> {
    let zone = zone.strip_prefix("Etc/").filter(|rest| !rest.contains(['+', '-'])).unwrap_or(zone);
    if zone == "Z" {
        return Some(0);
    }
    let zone =
        ["UTC", "GMT", "UT"].into_iter().find_map(|name| zone.strip_prefix(name)).unwrap_or(zone);
    if zone.is_empty() {
        return Some(0);
    }
    let (sign, digits) = match zone.split_at_checked(1)? {
        ("+", rest) => (1, rest),
        ("-", rest) => (-1, rest),
        _ => return None,
    };
    let (hours, minutes) = digits.split_once(':').unwrap_or((digits, "0"));
    let number = |text: &str| text.parse::<u8>().ok().filter(|_| text.len() <= 2).map(i64::from);
    let (hours, minutes) = (number(hours)?, number(minutes)?);
    (hours <= 18 && minutes < 60).then_some(sign * (hours * 60 + minutes) * 60_000)
}

const DAY_MS: i64 = 86_400_000;

#[cfg(test)]
mod tests {
    use super::*;

    /// 2024-02-28T12:00Z, a Wednesday of a leap year.
    const START: Timestamp = Timestamp(1_709_121_600_000);

    fn borders(unit: &str, zone: &str, days: i64) -> Vec<i64> {
        let calendar = of(Some(unit), Some(zone)).expect("known").expect("a calendar");
        let range = TimeRange { start: START, end: START.plus_ms(days * DAY_MS) };
        let borders = calendar.borders(range, 700).expect("few");
        borders.into_iter().map(Timestamp::ms).collect()
    }

    #[test]
    fn units_begin_where_the_calendar_says() {
        let start = START.ms();
        let end = |days| start + days * DAY_MS;
        // Sunday 2024-03-03, Monday 2024-03-04, Friday 2024-03-01, Monday 2024-04-01.
        let (sunday, monday) = (1_709_424_000_000, 1_709_510_400_000);
        let (march, april) = (1_709_251_200_000, 1_711_929_600_000);
        let rows = [
            ("WEEK", "UTC", 5, vec![start, sunday, end(5)]),
            ("WEEK_ISO", "Z", 5, vec![start, monday, end(5)]),
            ("MONTH", "Etc/UTC", 40, vec![start, march, april, end(40)]),
            ("QUARTER", "GMT", 40, vec![start, april, end(40)]),
            ("MONTH", "+02:00", 2, vec![start, march - 7_200_000, end(2)]),
            ("MONTH", "UTC-3", 2, vec![start, march + 10_800_000, end(2)]),
            ("MONTH", "UTC", 1, vec![start, end(1)]),
        ];
        for (unit, zone, days, expected) in rows {
            assert_eq!(borders(unit, zone, days), expected, "{unit} {zone}");
        }
    }

    #[test]
    fn months_and_days_agree_for_centuries() {
        for month in 0..12 * 3_000 {
            let first = month_start(month);
            assert_eq!(month_of(first), month);
            assert_eq!(month_of(first - 1), month - 1);
        }
        assert_eq!(month_start(1970 * 12), 0);
        assert_eq!(month_start(2024 * 12 + 2), 19_783);
    }

    #[test]
    fn zones_are_utc_and_offsets() {
        let rows = [
            ("UTC", Some(0)),
            ("+05:30", Some(19_800_000)),
            ("-1", Some(-3_600_000)),
            ("GMT+1", Some(3_600_000)),
            ("Europe/Berlin", None),
            ("+19:00", None),
            ("+1:60", None),
            ("", Some(0)),
            ("Etc/GMT+5", None),
        ];
        for (zone, expected) in rows {
            assert_eq!(offset_ms(zone), expected, "{zone}");
        }
    }
}
