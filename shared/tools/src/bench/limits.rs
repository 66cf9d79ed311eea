//! How much time and memory there is for each measurement.

use std::cell::Cell;
use std::time::{Duration, Instant};

/// Time and memory of a benchmark.
#[derive(Debug, Clone)]
pub(super) struct Limits {
    end: Instant,
    memory: u64,
    /// The shares that are still to come, of 1 in all.
    to_come: Cell<f64>,
}

impl Limits {
    pub(super) fn new(seconds: f64, memory: u64) -> Self {
        let seconds = if seconds.is_finite() { seconds.clamp(0., 86_400.) } else { 0. };
        Self { end: Instant::now() + Duration::from_secs_f64(seconds), memory, to_come: Cell::new(1.) }
    }

    /// The time for something that this share of everything belongs to: more when others left some of theirs, less when
    /// they took more.
    pub(super) fn share(&self, share: f64) -> Duration {
        let to_come = self.to_come.get().max(share);
        self.to_come.set(to_come - share);
        self.end.saturating_duration_since(Instant::now()).mul_f64(share / to_come)
    }

    /// Why something cannot be measured that takes so many seconds and bytes, if it cannot.
    pub(super) fn refuse(&self, share: Duration, seconds: f64, bytes: f64) -> Option<String> {
        let gib = |bytes: f64| bytes / f64::from(1 << 30);
        if bytes > self.memory as f64 {
            return Some(format!(
                "it needs {:.1} GiB of memory, and {:.1} may be used",
                gib(bytes),
                gib(self.memory as f64)
            ));
        }
        if share.is_zero() {
            return Some("no time is left; give more with --seconds".to_owned());
        }
        let has = share.as_secs_f64();
        (seconds > has).then(|| format!("it takes about {seconds:.1} s, and has {has:.1}; give more with --seconds"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_others_leave_of_their_time_is_for_those_who_come_after() {
        let limits = Limits::new(1000., 1 << 30);
        let first = limits.share(0.1).as_secs_f64();
        assert!((99. ..=100.).contains(&first), "{first}");
        // Nothing of it was used.
        let second = limits.share(0.45).as_secs_f64();
        assert!((499. ..=500.).contains(&second), "{second}");
        let last = limits.share(0.9).as_secs_f64();
        assert!((999. ..=1000.).contains(&last), "all that is left: {last}");
        assert_eq!(Limits::new(-1., 1).share(1.), Duration::ZERO);
        assert_eq!(Limits::new(f64::NAN, 1).share(1.), Duration::ZERO);
    }

    #[test]
    fn what_does_not_fit_is_refused_with_numbers() {
        let limits = Limits::new(100., 1 << 30);
        let share = Duration::from_secs(10);
        assert_eq!(limits.refuse(share, 9., 1e9), None);
        assert!(limits.refuse(share, 9., 3e9).unwrap().contains("2.8 GiB of memory, and 1.0 may"));
        assert!(limits.refuse(share, 20., 0.).unwrap().contains("20.0 s, and has 10.0"));
        assert!(limits.refuse(Duration::ZERO, 0., 0.).unwrap().contains("no time is left"));
    }
}
