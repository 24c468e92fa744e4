//! Calendar buckets: weeks, months and quarters in a time zone (REST API 14.3, `intervalType`).
//!
//! A unit begins at the first moment of its first local day, so a week with a clock change has 167 or
//! 169 hours. The history of clock changes is compiled in: what a question is answered with does not
//! depend on the machine.

use std::sync::LazyLock;

use jiff::civil::{Date, Weekday};
use jiff::tz::{Offset, TimeZone, TimeZoneDatabase};
use jiff::{ToSpan, Zoned};
use thingport_model::time::{TimeRange, Timestamp};

use crate::error::Refusal;

/// Buckets of calendar units in one time zone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Calendar {
    unit: Unit,
    zone: TimeZone,
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
    let name = zone.unwrap_or("UTC");
    let zone = zone_of(name).ok_or_else(|| {
        Refusal::bad_request(format!(
            "the time zone {name:?} is not known; use a name such as Europe/Berlin, UTC, or an offset \
             such as +02:00"
        ))
    })?;
    Ok(Some(Calendar { unit, zone }))
}

/// Why a range has no buckets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NoBuckets {
    /// There would be more than allowed.
    TooMany,
    /// It reaches beyond the years that a calendar has, -9999 to 9999.
    OutsideCalendar,
}

impl Calendar {
    /// The borders of all units that the range touches, cut to it.
    pub(crate) fn borders(
        &self,
        range: TimeRange,
        buckets_max: usize,
    ) -> Result<Vec<Timestamp>, NoBuckets> {
        let mut borders = vec![range.start];
        let mut border = self.first(range.start).ok_or(NoBuckets::OutsideCalendar)?;
        loop {
            let at = Timestamp(self.start_of(border).ok_or(NoBuckets::OutsideCalendar)?);
            if at >= range.end {
                break;
            }
            // The unit that the range begins with has its border already.
            if at > range.start {
                if borders.len() >= buckets_max {
                    return Err(NoBuckets::TooMany);
                }
                borders.push(at);
            }
            border = self.after(border).ok_or(NoBuckets::OutsideCalendar)?;
        }
        borders.push(range.end);
        Ok(borders)
    }

    /// First day of the unit that `at` lies in.
    fn first(&self, at: Timestamp) -> Option<Date> {
        let at = jiff::Timestamp::from_millisecond(at.ms()).ok()?;
        let day = Zoned::new(at, self.zone.clone()).date();
        match self.unit {
            Unit::Week => week_from(day, Weekday::Sunday),
            Unit::WeekIso => week_from(day, Weekday::Monday),
            Unit::Month => Some(day.first_of_month()),
            Unit::Quarter => Date::new(day.year(), (day.month() - 1) / 3 * 3 + 1, 1).ok(),
        }
    }

    /// First day of the unit behind the one that begins with `day`.
    fn after(&self, day: Date) -> Option<Date> {
        let length = match self.unit {
            Unit::Week | Unit::WeekIso => 7.days(),
            Unit::Month => 1.months(),
            Unit::Quarter => 3.months(),
        };
        day.checked_add(length).ok()
    }

    /// The first moment of a local day, which is not midnight where clocks go forward then.
    fn start_of(&self, day: Date) -> Option<i64> {
        let start = day.to_zoned(self.zone.clone()).ok()?.start_of_day().ok()?;
        Some(start.timestamp().as_millisecond())
    }
}

fn week_from(day: Date, first: Weekday) -> Option<Date> {
    day.tomorrow().ok()?.nth_weekday(-1, first).ok()
}

/// A name of the time zone database, `Z`, or an offset: `+02:00`, `UTC-3`.
fn zone_of(name: &str) -> Option<TimeZone> {
    if matches!(name, "" | "Z") {
        return Some(TimeZone::UTC);
    }
    let seconds = offset_s(name);
    if let Some(offset) = seconds.and_then(|seconds| Offset::from_seconds(seconds).ok()) {
        return Some(TimeZone::fixed(offset));
    }
    ZONES.get(name).ok()
}

/// Local time minus UTC of `+02:00`, `-1`, `UTC-3`, `GMT+1`.
fn offset_s(zone: &str) -> Option<i32> {
    let zone =
        ["UTC", "GMT", "UT"].into_iter().find_map(|name| zone.strip_prefix(name)).unwrap_or(zone);
    let (sign, digits) = match zone.split_at_checked(1)? {
        ("+", rest) => (1, rest),
        ("-", rest) => (-1, rest),
        _ => return None,
    };
    let (hours, minutes) = digits.split_once(':').unwrap_or((digits, "0"));
    let number = |text: &str| text.parse::<u8>().ok().filter(|_| text.len() <= 2).map(i32::from);
    let (hours, minutes) = (number(hours)?, number(minutes)?);
    (hours <= 18 && minutes < 60).then_some(sign * (hours * 60 + minutes) * 60)
}

/// The database of the crate, never a file of the machine.
static ZONES: LazyLock<TimeZoneDatabase> = LazyLock::new(TimeZoneDatabase::bundled);

#[cfg(test)]
mod tests {
    use super::*;

    /// Borders of the range between two moments, as UTC without seconds.
    fn borders(unit: &str, zone: &str, start: &str, end: &str) -> Vec<String> {
        let moment = |text: &str| {
            let at: jiff::Timestamp = format!("{text}:00Z").parse().expect("a moment");
            Timestamp(at.as_millisecond())
        };
        let calendar = of(Some(unit), Some(zone)).expect("known").expect("a calendar");
        let range = TimeRange { start: moment(start), end: moment(end) };
        let borders = calendar.borders(range, 700).expect("few");
        let text = |at: &Timestamp| {
            let at = jiff::Timestamp::from_millisecond(at.ms()).expect("in range");
            at.strftime("%Y-%m-%dT%H:%M").to_string()
        };
        // The first and the last are the range's own.
        borders[1..borders.len() - 1].iter().map(text).collect()
    }

    #[test]
    fn units_begin_where_the_calendar_says() {
        let (start, end) = ("2024-02-28T12:00", "2024-04-02T00:00");
        let rows: [(&str, &str, &[&str]); 7] = [
            ("MONTH", "UTC", &["2024-03-01T00:00", "2024-04-01T00:00"]),
            ("QUARTER", "GMT", &["2024-04-01T00:00"]),
            ("MONTH", "+02:00", &["2024-02-29T22:00", "2024-03-31T22:00"]),
            ("MONTH", "UTC-3", &["2024-03-01T03:00", "2024-04-01T03:00"]),
            ("MONTH", "Etc/GMT+5", &["2024-03-01T05:00", "2024-04-01T05:00"]),
            // In between, Berlin's clocks go forward (2024-03-31 01:00 UTC).
            ("MONTH", "Europe/Berlin", &["2024-02-29T23:00", "2024-03-31T22:00"]),
            // And New York's (2024-03-10 07:00 UTC).
            ("MONTH", "America/New_York", &["2024-03-01T05:00", "2024-04-01T04:00"]),
        ];
        for (unit, zone, expected) in rows {
            assert_eq!(borders(unit, zone, start, end), expected, "{unit} {zone}");
        }
    }

    #[test]
    fn weeks_begin_on_their_day_across_clock_changes() {
        let (start, end) = ("2024-10-18T12:00", "2024-11-05T00:00");
        let rows: [(&str, &str, &[&str]); 4] = [
            ("WEEK", "UTC", &["2024-10-20T00:00", "2024-10-27T00:00", "2024-11-03T00:00"]),
            ("WEEK_ISO", "UTC", &["2024-10-21T00:00", "2024-10-28T00:00", "2024-11-04T00:00"]),
            // Berlin leaves summer time on 2024-10-27: that week has 169 hours.
            (
                "WEEK_ISO",
                "Europe/Berlin",
                &["2024-10-20T22:00", "2024-10-27T23:00", "2024-11-03T23:00"],
            ),
            // New York leaves it on 2024-11-03, a Sunday, two hours after the week began.
            (
                "WEEK",
                "America/New_York",
                &["2024-10-20T04:00", "2024-10-27T04:00", "2024-11-03T04:00"],
            ),
        ];
        for (unit, zone, expected) in rows {
            assert_eq!(borders(unit, zone, start, end), expected, "{unit} {zone}");
        }
        let sunday = borders("WEEK", "UTC", "2024-03-03T00:00", "2024-03-10T00:01");
        assert_eq!(sunday, ["2024-03-10T00:00"], "a range that begins with a unit");
    }

    #[test]
    fn a_day_without_midnight_begins_at_its_first_moment() {
        // Sao Paulo went forward at midnight of Sunday 2018-11-04: the day began at 01:00, 03:00 UTC.
        let found = borders("WEEK", "America/Sao_Paulo", "2018-11-01T00:00", "2018-11-06T00:00");
        assert_eq!(found, ["2018-11-04T03:00"]);
        // Havana goes back at 01:00: midnight comes twice on 2024-11-03, the day begins with the first.
        let found = borders("WEEK", "America/Havana", "2024-11-01T00:00", "2024-11-05T00:00");
        assert_eq!(found, ["2024-11-03T04:00"]);
        // Samoa left out 2011-12-30; the week of that Sunday began a day earlier than it seems.
        let found = borders("MONTH", "Pacific/Apia", "2011-12-20T00:00", "2012-01-05T00:00");
        assert_eq!(found, ["2011-12-31T10:00"]);
    }

    #[test]
    fn a_range_without_buckets_says_why() {
        let month = of(Some("MONTH"), Some("Asia/Kathmandu")).expect("known").expect("a calendar");
        let range = |start, end| TimeRange { start: Timestamp(start), end: Timestamp(end) };
        let year = 31_536_000_000;
        assert_eq!(month.borders(range(0, 60 * year), 700), Err(NoBuckets::TooMany));
        assert_eq!(month.borders(range(0, i64::MAX), 700), Err(NoBuckets::TooMany));
        for edge in [(i64::MIN, 0), (i64::MAX - 1, i64::MAX)] {
            let answer = month.borders(range(edge.0, edge.1), 700);
            assert_eq!(answer, Err(NoBuckets::OutsideCalendar), "{edge:?}");
        }
    }

    #[test]
    fn zones_have_names_or_offsets() {
        for known in [
            "UTC",
            "Z",
            "",
            "+05:30",
            "-1",
            "GMT+1",
            "Europe/Berlin",
            "europe/berlin",
            "Etc/GMT+5",
            "GMT",
            "America/Argentina/Buenos_Aires",
            "US/Pacific",
        ] {
            assert!(zone_of(known).is_some(), "{known}");
        }
        for unknown in ["+19:00", "+1:60", "Mars/Olympus", "Berlin", "+", "../etc/passwd"] {
            assert!(zone_of(unknown).is_none(), "{unknown}");
        }
    }
}
