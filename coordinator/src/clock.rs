//! Moments as people read them: a clock of 24 hours where this machine is, with the day where it is another one.

use std::time::Duration;

use chrono::{DateTime, Datelike, Local, NaiveDateTime, TimeDelta, Utc};
use wanfarm_client::span;

/// The present moment, and how times of day are told here. Everything else about it is a function.
#[derive(Debug, Clone, Copy)]
pub struct Clock {
    now: DateTime<Utc>,
    /// The time of day that a clock on the wall shows; another one on either side of a change to summer time.
    here: fn(DateTime<Utc>) -> NaiveDateTime,
}

impl Clock {
    /// The clock of this machine, now.
    pub fn now() -> Self {
        Self { now: Utc::now(), here: |at| at.with_timezone(&Local).naive_local() }
    }

    /// The moment it shows.
    pub fn moment(&self) -> DateTime<Utc> {
        self.now
    }

    /// A moment's time of day: `06:40`.
    pub fn time(&self, at: DateTime<Utc>) -> String {
        (self.here)(at).format("%H:%M").to_string()
    }

    /// The same with seconds, of now.
    pub fn seconds(&self) -> String {
        (self.here)(self.now).format("%H:%M:%S").to_string()
    }

    /// `today`, `tomorrow`, `yesterday`, the weekday within a week, else the date.
    pub fn day(&self, at: DateTime<Utc>) -> String {
        let (then, today) = ((self.here)(at).date(), (self.here)(self.now).date());
        match then.num_days_from_ce() - today.num_days_from_ce() {
            0 => "today".to_owned(),
            1 => "tomorrow".to_owned(),
            -1 => "yesterday".to_owned(),
            -6..=6 => then.format("%A").to_string(),
            _ => then.format("%-d %b").to_string(),
        }
    }

    /// A moment, short: the time alone on the same day.
    pub fn short(&self, at: DateTime<Utc>) -> String {
        match self.day(at).as_str() {
            "today" => self.time(at),
            day => format!("{day} {}", self.time(at)),
        }
    }

    /// A moment to the second; of another day with that.
    pub fn exact(&self, at: DateTime<Utc>) -> String {
        let time = (self.here)(at).format("%H:%M:%S");
        match self.day(at).as_str() {
            "today" => time.to_string(),
            day => format!("{day} {time}"),
        }
    }

    /// When something ends that takes so long: `06:40, in 7h 12m`; from a day on with the day, as the time alone would
    /// be taken for the next one.
    pub fn end(&self, left: Duration) -> String {
        let end = TimeDelta::from_std(left).ok().and_then(|left| self.now.checked_add_signed(left));
        match end {
            Some(end) if left < Duration::from_secs(86_400) => format!("{}, in {}", self.time(end), span(left)),
            Some(end) => format!("{}, in {}", self.short(end), span(left)),
            None => format!("some day, in {}", span(left)),
        }
    }

    /// How long ago a moment was; nothing of one that is still to come.
    pub fn since(&self, at: DateTime<Utc>) -> Duration {
        (self.now - at).to_std().unwrap_or_default()
    }

    /// How far away a moment is; nothing of one that is over.
    pub fn until(&self, at: DateTime<Utc>) -> Duration {
        (at - self.now).to_std().unwrap_or_default()
    }
}

/// A moment as RFC 3339 has it.
pub fn moment(text: &str) -> Option<DateTime<Utc>> {
    DateTime::parse_from_rfc3339(text).ok().map(|at| at.to_utc())
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A clock that shows UTC.
    pub(crate) fn at(text: &str) -> Clock {
        Clock { now: moment(text).unwrap(), here: |at| at.naive_utc() }
    }

    /// Central European time in the night in which summer time ends: at 01:00 UTC 03:00 becomes 02:00.
    fn in_autumn(at: DateTime<Utc>) -> NaiveDateTime {
        let hours = if at < moment("2026-10-25T01:00:00Z").unwrap() { 2 } else { 1 };
        (at + TimeDelta::hours(hours)).naive_utc()
    }

    #[test]
    fn an_end_is_a_time_of_day_and_how_long_that_is() {
        let clock = at("2026-11-29T23:28:00Z");
        let end = |hours: u64, minutes: u64| clock.end(Duration::from_secs(3600 * hours + 60 * minutes));
        assert_eq!(end(7, 12), "06:40, in 7h 12m");
        assert_eq!(end(0, 0), "23:28, in 0s");
        assert_eq!(end(23, 59), "23:27, in 23h 59m");
        assert_eq!(end(24, 0), "tomorrow 23:28, in 1d 00h");
        assert_eq!(end(50, 0), "Wednesday 01:28, in 2d 02h");
        assert_eq!(end(24 * 20, 0), "19 Dec 23:28, in 20d 00h");
        assert!(clock.end(Duration::from_secs(u64::MAX)).starts_with("some day, in "));
    }

    #[test]
    fn the_clock_is_the_one_on_the_wall_at_that_time() {
        let clock = Clock { now: moment("2026-10-24T20:00:00Z").unwrap(), here: in_autumn };
        assert_eq!(clock.seconds(), "22:00:00");
        assert_eq!(clock.end(Duration::from_secs(8 * 3600)), "05:00, in 8h 00m");
    }

    #[test]
    fn days_are_named_from_here() {
        let clock = at("2026-11-29T23:59:00Z");
        let day = |text| clock.day(moment(text).unwrap());
        assert_eq!(day("2026-11-29T00:00:00Z"), "today");
        assert_eq!(day("2026-11-30T00:00:00+00:00"), "tomorrow");
        assert_eq!(day("2026-11-28T23:59:59Z"), "yesterday");
        assert_eq!(day("2026-11-24T12:00:00Z"), "Tuesday");
        assert_eq!(day("2026-11-22T12:00:00Z"), "22 Nov");
        assert_eq!(clock.short(moment("2026-11-29T06:05:00Z").unwrap()), "06:05");
        assert_eq!(clock.since(moment("2026-11-29T23:58:00Z").unwrap()), Duration::from_secs(60));
        assert_eq!(clock.since(moment("2026-11-30T23:58:00Z").unwrap()), Duration::ZERO);
    }
}
