//! Timing something again and again.

use std::time::{Duration, Instant};

use candle_core::Device;
use wanfarm_model::ModelError;

/// More runs tell no more.
const MAX_RUNS: usize = 200;

/// How long a run takes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Timing {
    /// Seconds of the median run.
    pub(super) seconds: f64,
    /// Distance of the quartiles from each other, relative to the median.
    pub(super) spread: Option<f64>,
    pub(super) runs: usize,
}

/// Runs something until its share of the time is used, waiting for the device after each run. The first run, which
/// compiles kernels and fills pools, counts only if there is no time for another.
pub(super) fn time(
    device: &Device,
    share: Duration,
    mut run: impl FnMut() -> Result<(), ModelError>,
) -> Result<Timing, ModelError> {
    let started = Instant::now();
    let mut once = || {
        let begun = Instant::now();
        run()?;
        device.synchronize()?;
        Ok::<_, ModelError>(begun.elapsed().as_secs_f64())
    };
    let first = once()?;
    let mut seconds = Vec::new();
    while seconds.len() < MAX_RUNS && started.elapsed().as_secs_f64() + first / 2. < share.as_secs_f64() {
        seconds.push(once()?);
    }
    if seconds.is_empty() {
        seconds.push(first);
    }
    Ok(summary(seconds))
}

fn summary(mut seconds: Vec<f64>) -> Timing {
    seconds.sort_by(f64::total_cmp);
    let runs = seconds.len();
    let at = |quarter: usize| seconds[(runs - 1) * quarter / 4];
    // A clock that stands still for a run would make rates infinite.
    let median = at(2).max(1e-9);
    Timing { seconds: median, spread: (runs >= 4).then(|| (at(3) - at(1)) / median), runs }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_and_the_quartiles_are_told() {
        let timing = summary(vec![5., 1., 2., 4., 3.]);
        assert_eq!(timing, Timing { seconds: 3., spread: Some(2. / 3.), runs: 5 });
        assert_eq!(summary(vec![2.]), Timing { seconds: 2., spread: None, runs: 1 });
    }

    #[test]
    fn without_time_there_is_one_run_and_with_much_not_too_many() {
        let mut count = 0;
        let mut run = || {
            count += 1;
            Ok(())
        };
        assert_eq!(time(&Device::Cpu, Duration::ZERO, &mut run).unwrap().runs, 1);
        assert_eq!(time(&Device::Cpu, Duration::from_secs(3600), &mut run).unwrap().runs, MAX_RUNS);
        assert_eq!(count, 1 + 1 + MAX_RUNS);
        let failed = time(&Device::Cpu, Duration::ZERO, || Err(ModelError::input("run", "it fails")));
        assert!(failed.is_err());
    }
}
