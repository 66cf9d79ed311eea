//! Times and durations as they are shown.

use std::num::NonZero;
use std::time::Duration;

use serde::{Serialize, Serializer};
use time::OffsetDateTime;
use time::format_description::well_known::Iso8601;
use time::format_description::well_known::iso8601::{Config, EncodedConfig, TimePrecision};

/// RFC 3339 with thousandths, always: so that texts sort as times do.
const FORMAT: EncodedConfig =
    Config::DEFAULT.set_time_precision(TimePrecision::Second { decimal_digits: NonZero::new(3) }).encode();

/// A time of day as scripts read it, such as `2026-11-28T21:04:05.250Z`; `None` for what is no time.
pub fn rfc3339(at: f64) -> Option<String> {
    // Thousandths are as exact as such clocks are, and an f64 has them.
    let nanoseconds = i128::from((at * 1000.0).round() as i64) * 1_000_000;
    OffsetDateTime::from_unix_timestamp_nanos(nanoseconds).ok()?.format(&Iso8601::<FORMAT>).ok()
}

/// Serialises a time of day as [`rfc3339`] has it.
///
/// # Errors
/// Those of the serializer.
pub fn serialize_rfc3339<S: Serializer>(at: &Option<f64>, serializer: S) -> Result<S::Ok, S::Error> {
    at.and_then(rfc3339).serialize(serializer)
}

/// A duration in its two largest units: `45s`, `3m 20s`, `2h 05m`, `1d 03h`.
pub fn span(duration: Duration) -> String {
    // Rounded first, so that no unit is ever full.
    let seconds = duration.as_secs() + u64::from(duration.subsec_nanos() >= 500_000_000);
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86_400);
    if minutes == 0 {
        format!("{seconds}s")
    } else if hours == 0 {
        format!("{minutes}m {:02}s", seconds % 60)
    } else if days == 0 {
        format!("{hours}h {:02}m", minutes % 60)
    } else {
        format!("{days}d {:02}h", hours % 24)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_of_day_are_written_in_utc() {
        assert_eq!(rfc3339(0.0).as_deref(), Some("1970-01-01T00:00:00.000Z"));
        assert_eq!(rfc3339(1_795_899_845.25).as_deref(), Some("2026-11-28T21:04:05.250Z"));
        assert!(rfc3339(5.0) < rfc3339(5.2) && rfc3339(5.2) < rfc3339(5.25), "texts sort as times do");
        assert_eq!(rfc3339(1e300), None);
    }

    #[test]
    fn spans_read_well() {
        for (millis, want) in [
            (0, "0s"),
            (499, "0s"),
            (59_400, "59s"),
            (59_600, "1m 00s"),
            (200_000, "3m 20s"),
            (3_599_900, "1h 00m"),
            (7_500_000, "2h 05m"),
            (97_200_000, "1d 03h"),
        ] {
            assert_eq!(span(Duration::from_millis(millis)), want);
        }
    }
}
