//! A MagCache curve that was measured with a user's own model: what its file holds, and what others are told of it.
//!
//! Not here: reading and writing the file, and measuring (`wanfarm_model`).

use serde::{Deserialize, Serialize};

use crate::{Expert, Guidance, ModelFile, SolverKind};

/// Of the file's form.
const VERSION: u32 = 1;
/// As many steps as a schedule may have.
const MAX_STEPS: u32 = 1000;
/// Larger ratios are no measurement.
const MAX_RATIO: f64 = 1000.0;

/// The file `mag_ratios.json` of a model folder: the curve, and what it was measured with.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Calibration {
    /// Of the file's form: 1.
    pub version: u32,
    /// Steps of the schedule.
    pub steps: u32,
    /// Shift of the schedule.
    pub shift: f64,
    /// Sampling method.
    pub solver: SolverKind,
    /// Guidance of each expert.
    pub guidance: Guidance,
    /// Width in pixels.
    pub width: u32,
    /// Height in pixels.
    pub height: u32,
    /// Number of frames.
    pub frames: u32,
    /// Whether the videos had a first frame.
    pub image: bool,
    /// Where it was computed: `cpu`, `metal` or `cuda`.
    pub device: String,
    /// Element type of the matrix products: `f32` or `bf16`.
    pub dtype: String,
    /// What was rendered.
    pub prompts: Vec<String>,
    /// The transformers' files.
    pub files: Vec<ModelFile>,
    /// The experts' curves, in the order of their steps.
    pub stages: Vec<CalibratedStage>,
}

/// The curve of one expert: for each of its steps but the first, the mean over tokens and videos of how large what the
/// blocks add is, relative to the step before.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CalibratedStage {
    /// The expert whose steps these are.
    pub expert: Expert,
    /// With the prompt.
    pub cond: Vec<f64>,
    /// With the negative prompt; empty where guidance is 1 and there is no such pass.
    pub uncond: Vec<f64>,
}

/// A measured curve without the record of its measurement.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct OwnCurve {
    /// Steps of the schedule it was measured with.
    pub steps: u32,
    /// Shift of that schedule.
    pub shift: f64,
    /// Sampling method.
    pub solver: SolverKind,
    /// For each step but the first, the ratio with the prompt and that without.
    pub ratios: Vec<[f64; 2]>,
}

/// A measured curve that cannot be one.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum BadCalibration {
    /// Of another form.
    #[error("version = {0} is of another form than this program's, {VERSION}; calibrate again")]
    Version(u32),
    /// No schedule has so many.
    #[error("steps = {0} is not between 2 and {MAX_STEPS}")]
    Steps(u32),
    /// Not a positive number.
    #[error("shift = {0} is not a positive number")]
    Shift(f64),
    /// A ratio that no measurement gives.
    #[error("ratio {index} is {value}; ratios are above 0 and at most {MAX_RATIO}")]
    Ratio {
        /// Which, from 0.
        index: usize,
        /// The offending ratio.
        value: f64,
    },
    /// More or fewer ratios than the steps need.
    #[error("there are {found} ratios{of} where {needed} belong")]
    Length {
        /// Which, for people.
        of: &'static str,
        /// How many there are.
        found: usize,
        /// How many there should be.
        needed: usize,
    },
    /// The experts are neither one nor two in order.
    #[error("the stages are not \"single\" alone, nor of \"high\" and \"low\" in this order")]
    Stages,
}

impl Calibration {
    /// Of the form that is written.
    pub const VERSION: u32 = VERSION;

    /// The curve over all steps, if everything that the file says of it agrees.
    ///
    /// An expert's first step has none before it. Where the curve is read at another number of steps, its place stands
    /// for the step after it. Where there was no pass without the prompt, its ratios are those of the pass with it.
    ///
    /// # Errors
    /// The first thing that does not.
    pub fn curve(&self) -> Result<OwnCurve, BadCalibration> {
        if self.version != VERSION {
            return Err(BadCalibration::Version(self.version));
        }
        let mut experts = self.stages.iter().map(|stage| stage.expert);
        match (experts.next(), experts.next(), experts.next()) {
            (Some(_), None, None) | (Some(Expert::High), Some(Expert::Low), None) => {}
            _ => return Err(BadCalibration::Stages),
        }
        let mut ratios = Vec::new();
        for (index, stage) in self.stages.iter().enumerate() {
            let CalibratedStage { cond, uncond, .. } = stage;
            let uncond = if uncond.is_empty() { cond } else { uncond };
            if uncond.len() != cond.len() {
                let (found, needed) = (uncond.len(), cond.len());
                return Err(BadCalibration::Length { of: " without the prompt", found, needed });
            }
            let own = cond.iter().zip(uncond).map(|(&cond, &uncond)| [cond, uncond]);
            if index > 0 {
                ratios.push(own.clone().next().unwrap_or([1.0; 2]));
            }
            ratios.extend(own);
        }
        let curve = OwnCurve { steps: self.steps, shift: self.shift, solver: self.solver, ratios };
        curve.check()?;
        Ok(curve)
    }
}

impl OwnCurve {
    /// Whether a render can follow it.
    ///
    /// # Errors
    /// The first thing that does not make sense.
    pub fn check(&self) -> Result<(), BadCalibration> {
        if !(2..=MAX_STEPS).contains(&self.steps) {
            return Err(BadCalibration::Steps(self.steps));
        }
        if !(self.shift > 0.0 && self.shift.is_finite()) {
            return Err(BadCalibration::Shift(self.shift));
        }
        let (found, needed) = (self.ratios.len(), self.steps as usize - 1);
        if found != needed {
            return Err(BadCalibration::Length { of: "", found, needed });
        }
        // NaN is within nothing.
        let wrong = |value: &f64| !(*value > 0.0 && *value <= MAX_RATIO);
        let found =
            self.ratios.iter().enumerate().find_map(|(index, pair)| Some((index, *pair.iter().find(|v| wrong(v))?)));
        found.map_or(Ok(()), |(index, value)| Err(BadCalibration::Ratio { index, value }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stage(expert: Expert, cond: &[f64], uncond: &[f64]) -> CalibratedStage {
        CalibratedStage { expert, cond: cond.to_vec(), uncond: uncond.to_vec() }
    }

    fn calibration(steps: u32, stages: Vec<CalibratedStage>) -> Calibration {
        Calibration {
            version: 1,
            steps,
            shift: 8.0,
            solver: SolverKind::UniPc,
            guidance: Guidance { high: 4.0, low: 3.0 },
            width: 64,
            height: 64,
            frames: 17,
            image: false,
            device: "cpu".into(),
            dtype: "f32".into(),
            prompts: vec!["a cat".into()],
            files: Vec::new(),
            stages,
        }
    }

    #[test]
    fn experts_are_joined_by_the_step_after_the_switch() {
        let stages = vec![stage(Expert::High, &[0.9, 0.8], &[0.7, 0.6]), stage(Expert::Low, &[0.5], &[0.4])];
        let curve = calibration(5, stages).curve().unwrap();
        assert_eq!(curve.ratios, [[0.9, 0.7], [0.8, 0.6], [0.5, 0.4], [0.5, 0.4]]);
        // An expert of one step has no ratio at all.
        let stages = vec![stage(Expert::High, &[0.9], &[0.7]), stage(Expert::Low, &[], &[])];
        assert_eq!(calibration(3, stages).curve().unwrap().ratios, [[0.9, 0.7], [1.0, 1.0]]);
        let stages = vec![stage(Expert::Single, &[0.9], &[])];
        assert_eq!(calibration(2, stages).curve().unwrap().ratios, [[0.9, 0.9]]);
    }

    #[test]
    fn what_contradicts_itself_is_refused() {
        let single = |cond: &[f64], uncond: &[f64]| vec![stage(Expert::Single, cond, uncond)];
        let says = |steps, stages| calibration(steps, stages).curve().unwrap_err().to_string();
        assert!(says(4, single(&[0.9, 0.8], &[0.9, 0.8])).contains("2 ratios where 3 belong"));
        assert!(says(3, single(&[0.9, 0.8], &[0.9])).contains("1 ratios without the prompt where 2"));
        for bad in [f64::NAN, f64::INFINITY, 0.0, -0.9, 1e9] {
            assert!(says(3, single(&[0.9, bad], &[0.9, 0.8])).contains("ratio 1 is"), "{bad}");
            assert!(says(3, single(&[0.9, 0.8], &[bad, 0.8])).contains("ratio 0 is"), "{bad}");
        }
        assert!(says(0, single(&[], &[])).contains("steps = 0"));
        assert!(says(1, vec![]).contains("stages"));
        let exchanged = vec![stage(Expert::Low, &[0.9], &[0.9]), stage(Expert::High, &[0.9], &[0.9])];
        assert!(says(4, exchanged).contains("stages"));
        let other = Calibration { version: 2, ..calibration(2, single(&[0.9], &[0.9])) };
        assert!(other.curve().unwrap_err().to_string().contains("version = 2"));
        let shift = Calibration { shift: f64::NAN, ..calibration(2, single(&[0.9], &[0.9])) };
        assert!(shift.curve().is_err());
    }
}
