//! Two clocks. The time of day is for people, and jumps: it is set, and a machine wakes with a wrong one. Durations are
//! differences of the farm's own clock, which only goes forward: it runs with the process, and at a restart goes on from
//! the last moment that the rows tell of.

use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

/// An absence longer than this, in seconds, is taken for a clock that was wrong: 30 days.
const LONGEST_ABSENCE: f64 = 30.0 * 24.0 * 3600.0;

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
        self.elapsed + if (0.0..=LONGEST_ABSENCE).contains(&away) { away } else { 0.0 }
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
}
