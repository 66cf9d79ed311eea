//! From how large what the blocks add is, token by token, to a curve.
//!
//! Source: Zehong-Ma/MagCache `MagCache4Wan2.2/magcache_generate.py#L183` (magcache_calibration). There one list goes
//! on over the switch of experts, and relates what one expert adds to what the other did; here each has its own.

use serde::Serialize;
use wanfarm_sampling::cache::Branch;
use wanfarm_types::{CalibratedStage, Calibration, Expert};

use wanfarm_model::ModelError;

/// Published curves have five digits.
const DIGITS: f64 = 1e5;

/// The ratios of one expert's steps of one video.
#[derive(Debug)]
pub(super) struct Magnitudes {
    /// Of each pass: the norm of each token at the step before.
    before: [Option<Vec<f32>>; 2],
    ratios: [Vec<f64>; 2],
}

impl Magnitudes {
    /// Before an expert's first step.
    pub(super) fn new() -> Self {
        Self { before: [None, None], ratios: [Vec::new(), Vec::new()] }
    }

    /// Takes the norms of a pass, and gives the mean of their ratios to those of the step before, if there is one.
    pub(super) fn take(&mut self, branch: Branch, norms: Vec<f32>) -> Result<Option<f64>, ModelError> {
        let before = self.before[branch as usize].replace(norms);
        let (Some(before), Some(now)) = (before, &self.before[branch as usize]) else { return Ok(None) };
        let ratio = now.iter().zip(&before).map(|(now, before)| f64::from(*now) / f64::from(*before)).sum::<f64>()
            / now.len() as f64;
        if !(ratio > 0.0 && ratio.is_finite()) {
            let why = format!("what they add is {ratio} times as large as a step before; run `coordinator doctor`");
            return Err(ModelError::input("blocks", why));
        }
        self.ratios[branch as usize].push(ratio);
        Ok(Some(ratio))
    }

    pub(super) fn into_stage(self, expert: Expert) -> CalibratedStage {
        let [cond, uncond] = self.ratios;
        CalibratedStage { expert, cond, uncond }
    }
}

/// A measured curve, and the curve of each video by itself.
#[derive(Debug, Clone, PartialEq)]
pub struct Measured {
    /// What goes into the file: the mean over the videos.
    pub calibration: Calibration,
    /// By video, by expert.
    pub videos: Vec<Vec<CalibratedStage>>,
}

/// One step of a measured curve.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct StepRatios {
    /// Of the whole schedule.
    pub step: u32,
    /// The expert measured.
    pub expert: Expert,
    /// Mean with the prompt; absent at the expert's first step.
    pub cond: Option<f64>,
    /// Mean without it; absent there, and where guidance is 1.
    pub uncond: Option<f64>,
    /// How far apart the videos are, of both passes.
    pub spread: f64,
}

impl Measured {
    /// Each step, in order.
    pub fn steps(&self) -> Vec<StepRatios> {
        let mut steps = Vec::new();
        for (index, stage) in self.calibration.stages.iter().enumerate() {
            for own in 0..=stage.cond.len() {
                let at = |ratios: &[f64]| own.checked_sub(1).and_then(|before| ratios.get(before).copied());
                let apart = |of: fn(&CalibratedStage) -> &Vec<f64>| {
                    let values = self.videos.iter().filter_map(|video| at(of(video.get(index)?)));
                    let (least, most) = values.fold((f64::MAX, f64::MIN), |(a, b), v| (a.min(v), b.max(v)));
                    (most - least).max(0.0)
                };
                steps.push(StepRatios {
                    step: steps.len() as u32,
                    expert: stage.expert,
                    cond: at(&stage.cond),
                    uncond: at(&stage.uncond),
                    spread: apart(|stage| &stage.cond).max(apart(|stage| &stage.uncond)),
                });
            }
        }
        steps
    }
}

/// The mean over videos, in the digits of a file. All have the same stages.
pub(super) fn mean(videos: &[Vec<CalibratedStage>]) -> Vec<CalibratedStage> {
    let Some(first) = videos.first() else { return Vec::new() };
    let of_stage = |(index, stage): (usize, &CalibratedStage)| {
        let mean = |ratios: fn(&CalibratedStage) -> &Vec<f64>| {
            let at = |step: usize| {
                let values: Vec<f64> =
                    videos.iter().filter_map(|video| ratios(video.get(index)?).get(step).copied()).collect();
                (values.iter().sum::<f64>() / values.len() as f64 * DIGITS).round() / DIGITS
            };
            (0..ratios(stage).len()).map(at).collect()
        };
        CalibratedStage { expert: stage.expert, cond: mean(|stage| &stage.cond), uncond: mean(|stage| &stage.uncond) }
    };
    first.iter().enumerate().map(of_stage).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_count_alike_and_passes_by_themselves() {
        let mut magnitudes = Magnitudes::new();
        assert_eq!(magnitudes.take(Branch::Cond, vec![1.0, 100.0]).unwrap(), None);
        assert_eq!(magnitudes.take(Branch::Uncond, vec![1.0, 1.0]).unwrap(), None);
        // The mean of 3 and 1, and not that of the norms, which would be 103/101; now over before, not the other way.
        assert_eq!(magnitudes.take(Branch::Cond, vec![3.0, 100.0]).unwrap(), Some(2.0));
        assert_eq!(magnitudes.take(Branch::Uncond, vec![0.5, 1.0]).unwrap(), Some(0.75));
        assert_eq!(magnitudes.take(Branch::Cond, vec![3.0, 50.0]).unwrap(), Some(0.75), "of the step before");
        let stage = magnitudes.into_stage(Expert::High);
        assert_eq!((stage.cond, stage.uncond), (vec![2.0, 0.75], vec![0.75]));
        let mut broken = Magnitudes::new();
        broken.take(Branch::Cond, vec![0.0]).unwrap();
        assert!(broken.take(Branch::Cond, vec![1.0]).unwrap_err().to_string().contains("doctor"));
    }

    #[test]
    fn a_curve_is_the_mean_of_its_videos() {
        let stage = |expert, cond: &[f64]| CalibratedStage { expert, cond: cond.to_vec(), uncond: Vec::new() };
        let videos = vec![
            vec![stage(Expert::High, &[0.9]), stage(Expert::Low, &[0.8, 0.6])],
            vec![stage(Expert::High, &[0.8]), stage(Expert::Low, &[0.7, 0.600004])],
        ];
        assert_eq!(mean(&videos), [stage(Expert::High, &[0.85]), stage(Expert::Low, &[0.75, 0.6])]);
    }
}
