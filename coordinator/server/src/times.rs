//! Two clocks. The time of day is for people, and jumps: it is set, and a machine wakes with a wrong one. Durations are
//! differences of the farm's own clock, which only goes forward: it runs with the process, and at a restart goes on from
//! the last moment that the rows tell of.

use std::num::NonZero;
use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize, Serializer};
use time::OffsetDateTime;
use time::format_description::well_known::iso8601::{Config, EncodedConfig, TimePrecision};
use time::format_description::well_known::{Iso8601, Rfc3339};

/// An absence longer than this, in seconds, is taken for a clock that was wrong: 30 days.
const MAX_ABSENCE: f64 = 30.0 * 24.0 * 3600.0;

/// RFC 3339 with thousandths, always: so that texts sort as times do.
const FORMAT: EncodedConfig =
    Config::DEFAULT.set_time_precision(TimePrecision::Second { decimal_digits: NonZero::new(3) }).encode();

/// A time of day as scripts read it, such as `2026-11-28T21:04:05.250Z`; `None` for what is no time.
pub fn rfc3339(at: f64) -> Option<String> {
    // Thousandths are as exact as such clocks are, and an f64 has them.
    let nanoseconds = i128::from((at * 1000.0).round() as i64) * 1_000_000;
    OffsetDateTime::from_unix_timestamp_nanos(nanoseconds).ok()?.format(&Iso8601::<FORMAT>).ok()
}

/// The time of day that a text tells as RFC 3339 has it, in seconds since 1970.
pub fn parsed(text: &str) -> Option<f64> {
    let read = OffsetDateTime::parse(text, &Rfc3339).ok()?;
    Some(read.unix_timestamp() as f64 + f64::from(read.nanosecond()) / 1e9)
}

/// The time of day in so many seconds, as [`rfc3339`] has it.
pub fn rfc3339_in(seconds: f64) -> Option<String> {
    rfc3339(wall_clock() + seconds)
}

/// Serialises a time of day as [`rfc3339`] has it.
///
/// # Errors
/// Those of the serializer.
pub(crate) fn serialize_rfc3339<S: Serializer>(at: &Option<f64>, serializer: S) -> Result<S::Ok, S::Error> {
    at.and_then(rfc3339).serialize(serializer)
}

/// When something happened, by both clocks.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct Moment {
    /// The time of day, in seconds since 1970.
    pub at: f64,
    /// The farm's clock, in seconds.
    pub elapsed: f64,
}

/// The time of day, in seconds since 1970: for people, never for decisions.
pub fn wall_clock() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64())
}

impl Moment {
    /// What the farm's clock shows at `now`, a time of day, if this was the last moment before a restart. How long the
    /// coordinator was away only the time of day can tell; what it cannot have been counts as nothing.
    pub fn resume(self, now: f64) -> f64 {
        let away = now - self.at;
        self.elapsed + if (0.0..=MAX_ABSENCE).contains(&away) { away } else { 0.0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_farms_clock_goes_on_by_the_absence_and_never_back() {
        let last = Moment { at: 1_791_000_000.0, elapsed: 50.0 };
        assert_eq!(last.resume(last.at + 10.0), 60.0);
        assert_eq!(last.resume(last.at - 3600.0), 50.0, "set back");
        assert_eq!(last.resume(0.0), 50.0, "an empty battery");
        assert_eq!(last.resume(last.at + 400.0 * 86_400.0), 50.0, "set to another year");
        assert_eq!(last.resume(f64::NAN), 50.0);
    }

    #[test]
    fn times_of_day_are_written_in_utc() {
        assert_eq!(rfc3339(0.0).as_deref(), Some("1970-01-01T00:00:00.000Z"));
        assert_eq!(rfc3339(1_795_899_845.25).as_deref(), Some("2026-11-28T21:04:05.250Z"));
        assert!(rfc3339(5.0) < rfc3339(5.2) && rfc3339(5.2) < rfc3339(5.25), "texts sort as times do");
        assert_eq!(rfc3339(1e300), None);
        assert_eq!(parsed("2026-11-28T21:04:05.250Z"), Some(1_795_899_845.25));
        assert_eq!(parsed("2026-11-28T22:04:05.25+01:00"), Some(1_795_899_845.25));
        assert_eq!([parsed("yesterday"), parsed("")], [None, None]);
    }
}
