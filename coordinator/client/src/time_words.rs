//! Durations as they are shown.

use std::time::Duration;

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
