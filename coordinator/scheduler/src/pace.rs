//! How much work an item is, and how fast a worker does it. Deliberately integers: rates are summed and taken apart
//! again as workers come and go, and must come out the same whatever the order.

use wanfarm_types::Stage;

use crate::SizeClass;

/// Tokens at which attention costs a step of the published transformers as much as everything else in it.
const ATTENTION_EQUALS_REST: u64 = 32_768;

/// The work of one step, or of an item of a stage without steps: what makes the times of different sizes comparable.
/// A transformer's matrix products grow with the tokens, its attention with their square, all else with the pixels.
pub fn effort(stage: Stage, size: SizeClass) -> u64 {
    let tokens = size.0.max(1);
    match stage {
        Stage::EncodeText => 1,
        Stage::EncodeImage | Stage::Decode => tokens,
        Stage::DenoiseHigh | Stage::DenoiseLow | Stage::Denoise => {
            tokens.saturating_add(tokens.saturating_mul(tokens) / ATTENTION_EQUALS_REST)
        }
    }
}

/// Picoseconds per unit of work; at least one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Slowness(u64);

impl Slowness {
    pub(crate) const MIN: Slowness = Slowness(1);
    const MAX: u64 = 1_000_000_000_000_000_000;

    pub(crate) fn new(seconds: f64, work: u64) -> Self {
        // A cast of a float saturates.
        Self(((seconds * 1e12 / work.max(1) as f64) as u64).clamp(1, Self::MAX))
    }

    /// Milliseconds for this much work.
    pub(crate) fn time(self, work: u64) -> u64 {
        // Asked for thousands of workers at a time; a division of 128 bits takes ten times as long.
        match self.0.checked_mul(work) {
            Some(product) => product / 1_000_000_000,
            None => u64::try_from(u128::from(self.0) * u128::from(work) / 1_000_000_000).unwrap_or(u64::MAX),
        }
    }

    /// Units of work per million seconds.
    fn rate(self) -> u128 {
        u128::from(Self::MAX / self.0)
    }

    /// True when `other` is slower by more than this many per cent.
    pub(crate) fn is_faster_than(self, other: Slowness, percent: u64) -> bool {
        u128::from(self.0) * u128::from(100 + percent) < u128::from(other.0) * 100
    }

    /// True when neither differs from the other by more than this many per cent.
    pub(crate) fn is_about(self, other: Slowness, percent: u64) -> bool {
        !self.is_faster_than(other, percent) && !other.is_faster_than(self, percent)
    }
}

/// The speed of several workers together. Those that were never measured count as average.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Speeds {
    rate: u128,
    measured: usize,
    all: usize,
}

impl Speeds {
    pub(crate) fn add(&mut self, slowness: Option<Slowness>) {
        self.rate += slowness.map_or(0, Slowness::rate);
        self.measured += usize::from(slowness.is_some());
        self.all += 1;
    }

    pub(crate) fn remove(&mut self, slowness: Option<Slowness>) {
        self.rate -= slowness.map_or(0, Slowness::rate);
        self.measured -= usize::from(slowness.is_some());
        self.all -= 1;
    }

    /// The slowness of an average worker; `None` before the first measurement.
    pub(crate) fn average(&self) -> Option<Slowness> {
        let rate = self.rate.checked_div(self.measured as u128)?.max(1);
        Some(Slowness(u64::try_from(u128::from(Slowness::MAX) / rate).unwrap_or(Slowness::MAX).max(1)))
    }

    /// Milliseconds for this much work, shared out perfectly; `None` before the first measurement.
    pub(crate) fn time(&self, work: u128) -> Option<u64> {
        let rate = (self.rate * self.all as u128).checked_div(self.measured as u128)?.max(1);
        Some(u64::try_from(work.saturating_mul(1_000_000_000) / rate).unwrap_or(u64::MAX))
    }
}

/// Measured seconds of one kind of step on one worker: the median of the last five. A first step that warms the device
/// up, or one that the machine swapped through, changes nothing.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Pace {
    recent: [f64; 5],
    measured: usize,
}

impl Pace {
    pub(crate) fn add(&mut self, seconds: f64) {
        let next = self.measured % self.recent.len();
        self.recent[next] = seconds;
        self.measured += 1;
    }

    /// `None` before the first measurement.
    pub(crate) fn seconds(&self) -> Option<f64> {
        let mut sorted = self.recent;
        let sorted = &mut sorted[..self.measured.min(self.recent.len())];
        sorted.sort_by(f64::total_cmp);
        // Of an even number the smaller middle one: what disturbs a step makes it longer.
        sorted.get(sorted.len().saturating_sub(1) / 2).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hiccup_does_not_change_the_pace_and_a_lasting_change_does() {
        let mut pace = Pace::default();
        assert_eq!(pace.seconds(), None);
        pace.add(90.0);
        assert_eq!(pace.seconds(), Some(90.0));
        pace.add(20.0);
        assert_eq!(pace.seconds(), Some(20.0), "the first step warmed the device up");
        [20.0, 21.0, 400.0].into_iter().for_each(|seconds| pace.add(seconds));
        assert_eq!(pace.seconds(), Some(21.0));
        [40.0, 40.0, 40.0].into_iter().for_each(|seconds| pace.add(seconds));
        assert_eq!(pace.seconds(), Some(40.0));
    }

    #[test]
    fn sizes_are_compared_by_the_arithmetic_of_a_step() {
        let ratio = |a: u64, b: u64| {
            effort(Stage::DenoiseHigh, SizeClass(a)) as f64 / effort(Stage::DenoiseHigh, SizeClass(b)) as f64
        };
        // 720p has 2.3 times the tokens of 480p; attention makes that 3.8 times the work.
        assert!((3.7..4.0).contains(&ratio(75_600, 32_760)));
        assert!((8.0..8.2).contains(&ratio(640, 80)));
        assert_eq!(effort(Stage::Denoise, SizeClass(u64::MAX)), u64::MAX);
    }

    #[test]
    fn rates_add_up_and_come_out_again() {
        let (fast, slow) = (Slowness::new(10.0, 1_000), Slowness::new(40.0, 1_000));
        let mut speeds = Speeds::default();
        assert_eq!((speeds.average(), speeds.time(1)), (None, None));
        speeds.add(Some(fast));
        speeds.add(Some(slow));
        // 100 and 25 units a second: 125 together.
        assert_eq!(speeds.time(1_000), Some(8_000));
        speeds.add(None);
        assert_eq!(speeds.time(3_000), Some(16_000), "an unmeasured one counts as average");
        assert!(speeds.average().unwrap().is_about(Slowness::new(16.0, 1_000), 1));
        speeds.remove(Some(slow));
        speeds.remove(None);
        assert_eq!(speeds.time(1_000), Some(fast.time(1_000)));
        assert!(fast.is_faster_than(slow, 299) && !fast.is_faster_than(slow, 301));
    }
}
