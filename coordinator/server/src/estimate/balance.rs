//! Dividing workers between the two experts of a model.

use wanfarm_types::{Role, Stage};

use super::stage::StageEstimate;
use super::workforce::{Basis, Workforce};

/// A team is well divided when it takes at most this much longer than one that could be divided at will.
const CLOSE: f64 = 1.05;
/// Larger teams are not searched: any batch can be divided well by fewer.
const MAX_TEAM: u32 = 64;

/// How to divide workers between two experts, so that neither waits for the other.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Balance {
    /// By measured seconds; otherwise by counting steps, as if both experts took as long for one.
    pub measured: bool,
    /// The share of the work that is the high-noise expert's.
    pub high_share: f64,
    /// The smallest team, high and low, that comes close to a perfect division.
    pub team: (u32, u32),
    /// The workers there are, divided best; `None` with fewer than two.
    pub now: Option<(u32, u32)>,
}

impl Balance {
    /// For these stages; `None` unless both experts have work.
    pub(super) fn of(stages: &[StageEstimate], force: &Workforce) -> Option<Self> {
        let of = |stage| stages.iter().find(|line| line.stage == stage);
        let (high, low) = (of(Stage::DenoiseHigh)?, of(Stage::DenoiseLow)?);
        let measured = |line: &&StageEstimate| line.basis.is_some_and(|basis| basis < Basis::Expected);
        let work = |line: &StageEstimate| Some(Some(line).filter(measured)?.seconds_per_unit? * line.work);
        let measured = work(high).zip(work(low));
        let (high, low) = measured.unwrap_or((high.work, low.work));
        let now = u32::try_from(force.count_any(&[Role::DitHigh, Role::DitLow])).unwrap_or(u32::MAX);
        Some(Self {
            measured: measured.is_some(),
            high_share: high / (high + low),
            team: (2..MAX_TEAM).map(|team| divide(high, low, team)).find(|&team| loss(high, low, team) <= CLOSE)?,
            now: (now >= 2).then(|| divide(high, low, now)),
        })
    }
}

/// A team of at least two, each expert with at least one worker, so that the slower half is as fast as can be.
fn divide(high: f64, low: f64, team: u32) -> (u32, u32) {
    let ideal = f64::from(team) * high / (high + low);
    let (below, above) = (ideal.floor() as u32, ideal.ceil() as u32);
    let within = |high: u32| high.clamp(1, team.saturating_sub(1).max(1));
    let choice = |high: u32| (within(high), team - within(high).min(team - 1));
    let (a, b) = (choice(below), choice(above));
    if loss(high, low, b) < loss(high, low, a) { b } else { a }
}

/// How much longer a team takes than one of its size that could be divided at will.
fn loss(high: f64, low: f64, (h, l): (u32, u32)) -> f64 {
    let slower = (high / f64::from(h)).max(low / f64::from(l));
    slower * f64::from(h + l) / (high + low)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(high: u64, low: u64, paces: Option<(f64, f64)>) -> [StageEstimate; 2] {
        let line = |stage, units, pace| StageEstimate {
            stage,
            units,
            work: units as f64,
            workers: 1,
            seconds_per_unit: pace,
            basis: pace.map(|_| Basis::Measured),
            seconds: None,
        };
        let (h, l) = paces.unzip();
        [line(Stage::DenoiseHigh, high, h), line(Stage::DenoiseLow, low, l)]
    }

    fn dits(high: usize, low: usize) -> Workforce {
        let mut force = Workforce::default();
        (0..high).for_each(|_| force.add([Role::DitHigh], "cpu", []));
        (0..low).for_each(|_| force.add([Role::DitLow], "cpu", []));
        force
    }

    #[test]
    fn the_published_models() {
        let t2v = Balance::of(&lines(26, 14, None), &dits(4, 4)).unwrap();
        assert_eq!((t2v.measured, t2v.team, t2v.now), (false, (2, 1), Some((5, 3))));
        assert!((t2v.high_share - 0.65).abs() < 1e-12);
        let i2v = Balance::of(&lines(15, 25, None), &dits(1, 7)).unwrap();
        assert_eq!((i2v.team, i2v.now), ((2, 3), Some((3, 5))));
    }

    #[test]
    fn slow_machines_count_by_their_seconds() {
        let balance = Balance::of(&lines(20, 20, Some((30.0, 10.0))), &dits(2, 2)).unwrap();
        assert_eq!((balance.measured, balance.team, balance.now), (true, (3, 1), Some((3, 1))));
    }

    #[test]
    fn what_is_only_expected_does_not_count() {
        let mut lines = lines(26, 14, Some((10.0, 10.0)));
        lines[1].basis = Some(Basis::Expected);
        assert!(!Balance::of(&lines, &dits(2, 1)).unwrap().measured);
    }

    #[test]
    fn each_expert_keeps_a_worker() {
        for (high, low) in [(1.0, 1e9), (1e9, 1.0), (1.0, 1.0)] {
            for team in 2..40 {
                let (h, l) = divide(high, low, team);
                assert!(h >= 1 && l >= 1 && h + l == team, "{high}:{low} in {team}: {h}:{l}");
            }
        }
        assert_eq!(Balance::of(&lines(26, 14, None), &dits(1, 0)).unwrap().now, None);
        assert_eq!(Balance::of(&lines(26, 0, None)[..1], &dits(1, 1)), None);
    }

    #[test]
    fn a_division_is_the_best_there_is() {
        for (high, low) in [(26.0, 14.0), (15.0, 25.0), (7.0, 93.0), (50.0, 50.0)] {
            for team in 2..30 {
                let best = (1..team).map(|h| loss(high, low, (h, team - h))).fold(f64::INFINITY, f64::min);
                assert!(loss(high, low, divide(high, low, team)) <= best + 1e-12, "{high}:{low} in {team}");
            }
        }
    }
}
