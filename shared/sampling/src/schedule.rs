//! The noise levels a render visits and the timesteps the DiT sees there. Not how to step between them (`solver`).
//!
//! Flow matching: `x_σ = (1−σ)·x0 + σ·noise`, with σ falling from (nearly) 1 to 0.

use std::ops::Range;

use wanfarm_types::{Expert, Experts, SolverKind, VideoSpec};

/// Timesteps of the training schedule; timestep = σ · 1000.
const TRAIN_TIMESTEPS: f64 = 1000.0;

/// Most steps a schedule may have: beyond the training schedule's own resolution timesteps only repeat.
const MAX_STEPS: u32 = 1000;

/// The σ that UniPC's grid starts from: the largest of the training table, 1 − 1/1000, which the reference keeps in f32.
const SIGMA_MAX: f64 = 0.999_f32 as f64;

/// Noise levels and timesteps of one render.
///
/// Invariants: at least one step; one more σ than timesteps; σ falls strictly from at most 1 to exactly 0.
#[derive(Debug, Clone, PartialEq)]
pub struct Schedule {
    sigmas: Vec<f64>,
    timesteps: Vec<f64>,
    switch: Option<u32>,
}

/// A schedule that cannot be.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum ScheduleError {
    /// No steps, or more than the training schedule has.
    #[error("steps = {0} is not between 1 and {MAX_STEPS}")]
    Steps(u32),
    /// Not a positive number.
    #[error("shift = {0} is not a positive number")]
    Shift(f64),
    /// Two neighbouring noise levels are the same number, or one is out of range.
    #[error(
        "noise level {index} is {sigma}, after {previous}: levels must fall strictly from at most 1 to 0; \
         choose fewer steps or a shift closer to 1"
    )]
    Levels {
        /// Index of the noise level.
        index: usize,
        /// The noise level σ.
        sigma: f64,
        /// The σ before it.
        previous: f64,
    },
    /// Levels and timesteps do not pair up, or a timestep is not finite.
    #[error("{sigmas} noise levels need {} finite timesteps, not {timesteps}", sigmas.saturating_sub(1))]
    Timesteps {
        /// How many levels.
        sigmas: usize,
        /// How many finite timesteps.
        timesteps: usize,
    },
    /// Another number of steps than the model was distilled to.
    #[error("{solver} has {allowed} steps, not {steps}; leave steps out")]
    Fixed {
        /// Name of the solver.
        solver: &'static str,
        /// As asked for.
        steps: u32,
        /// Those there are.
        allowed: &'static str,
    },
    /// A shift of levels that are fixed.
    #[error("the levels of {solver} are fixed, so shift = {shift} means nothing; leave shift out")]
    Unshifted {
        /// Name of the solver.
        solver: &'static str,
        /// As asked for.
        shift: f64,
    },
    /// The distilled timestep is not one of the training schedule.
    #[error("distilled timestep {0} is not between 1 and 1000")]
    DistilledTimestep(u32),
}

impl Schedule {
    /// The steps of a video: its solver's grid, of which one that is made from a clip runs the last steps.
    ///
    /// # Errors
    /// As of [`Self::new`], and no step that is run.
    pub fn of(spec: &VideoSpec) -> Result<Self, ScheduleError> {
        Self::new(spec.solver, spec.steps, spec.shift)?.last(spec.steps_run())
    }

    /// The last so many steps, each the expert's that it was.
    ///
    /// # Errors
    /// There are not as many, or none are wanted.
    pub fn last(self, steps: u32) -> Result<Self, ScheduleError> {
        let Some(left_out) = self.steps().checked_sub(steps).filter(|_| steps > 0) else {
            return Err(ScheduleError::Steps(steps));
        };
        let from = left_out as usize;
        Ok(Self {
            sigmas: self.sigmas[from..].to_vec(),
            timesteps: self.timesteps[from..].to_vec(),
            switch: self.switch.map(|high| high.saturating_sub(left_out)),
        })
    }

    /// Latents of a clip as the first step finds them: `(1−σ)·clip + σ·noise`, in f32. Lengths are the caller's to match.
    ///
    /// Source: diffusers 0.42.1 `UniPCMultistepScheduler.add_noise`.
    pub fn noised(&self, clip: &[f32], noise: &[f32]) -> Vec<f32> {
        let sigma = self.sigmas[0] as f32;
        clip.iter().zip(noise).map(|(clip, noise)| (1.0 - sigma) * clip + sigma * noise).collect()
    }

    /// The official grid of a solver.
    ///
    /// UniPC starts at σ = 0.999, DPM++ at 1; Euler, which the official code lacks, takes UniPC's grid. Timesteps are
    /// truncated to integers, from the σ before its rounding to f32; the solver uses the σ after it. Lightning's grid is
    /// a distilled one (see [`Self::distilled`]) of evenly spaced timesteps.
    ///
    /// # Errors
    /// `steps` outside 1..=1000; `shift` not positive and finite, or so far from 1 that levels coincide in f32.
    ///
    /// Source: Wan2.2@42bf4cf `wan/utils/fm_solvers_unipc.py#L162` (set_timesteps), `wan/utils/fm_solvers.py#L24`
    /// (get_sampling_sigmas).
    pub fn new(solver: SolverKind, steps: u32, shift: f64) -> Result<Self, ScheduleError> {
        if !(1..=MAX_STEPS).contains(&steps) {
            return Err(ScheduleError::Steps(steps));
        }
        check_shift(shift)?;
        let start = match solver {
            SolverKind::UniPc | SolverKind::Euler => SIGMA_MAX,
            SolverKind::DpmPlusPlus => 1.0,
            SolverKind::Lightning => return Self::lightning(steps, shift),
            SolverKind::Dmd => return Self::dmd(steps, shift),
            SolverKind::Rcm => return Self::rcm(steps, shift),
        };
        // Spelled as numpy's linspace(start, 0, steps + 1) does it, so that every truncation agrees.
        let step = -start / f64::from(steps);
        let shifted: Vec<f64> = (0..steps).map(|k| shifted(f64::from(k) * step + start, shift)).collect();
        let timesteps = shifted.iter().map(|sigma| (sigma * TRAIN_TIMESTEPS).trunc()).collect();
        let sigmas = shifted.iter().map(|&sigma| round_to_f32(sigma)).chain([0.0]).collect();
        Self::from_levels(sigmas, timesteps)
    }

    /// The schedule that step-distilled models are published with: 1000, 750, 500, 250 for four steps, half of them the
    /// high-noise expert's.
    fn lightning(steps: u32, shift: f64) -> Result<Self, ScheduleError> {
        let timesteps: Vec<u32> = (0..steps).map(|k| 1000 * (steps - k) / steps).collect();
        Self::distilled(&timesteps, shift, steps.div_ceil(2))
    }

    /// The three steps of models distilled by DMD: the timesteps 1000, 757 and 522, and of each the nearest level of the
    /// training schedule.
    ///
    /// Source: hao-ai-lab/FastVideo@2f3d407 `fastvideo/pipelines/stages/denoising.py` (DmdDenoisingStage).
    fn dmd(steps: u32, shift: f64) -> Result<Self, ScheduleError> {
        let timesteps = [1000.0, 757.0, 522.0];
        if steps as usize != timesteps.len() {
            return Err(ScheduleError::Fixed { solver: "dmd", steps, allowed: "3" });
        }
        let levels: Vec<f64> =
            (1..=1000).map(|step| round_to_f32(shifted(f64::from(step) / TRAIN_TIMESTEPS, shift))).collect();
        let apart = |level: &f64, timestep: f64| (level * TRAIN_TIMESTEPS - timestep).abs();
        let nearest = |timestep: f64| {
            levels.iter().copied().min_by(|a, b| apart(a, timestep).total_cmp(&apart(b, timestep))).unwrap_or_default()
        };
        Self::from_levels(timesteps.map(nearest).into_iter().chain([0.0]).collect(), timesteps.to_vec())
    }

    /// The one to four steps of models distilled by rCM: fixed angles, as levels.
    ///
    /// Source: NVlabs/rcm@5b41aa9 `rcm/inference/wan2pt1_t2v_rcm_infer.py`.
    fn rcm(steps: u32, shift: f64) -> Result<Self, ScheduleError> {
        let angles = [80f64.atan(), 1.5, 1.4, 1.0];
        if steps as usize > angles.len() {
            return Err(ScheduleError::Fixed { solver: "rcm", steps, allowed: "1 to 4" });
        }
        if shift != 1.0 {
            return Err(ScheduleError::Unshifted { solver: "rcm", shift });
        }
        let levels: Vec<f64> =
            angles[..steps as usize].iter().map(|angle| angle.sin() / (angle.cos() + angle.sin())).collect();
        let timesteps = levels.iter().map(|level| round_to_f32(*level) * TRAIN_TIMESTEPS).collect();
        Self::from_levels(levels.into_iter().chain([0.0]).collect(), timesteps)
    }

    /// The schedule of a step-distilled model: given timesteps of the training schedule, shifted, and handed to the
    /// DiT as they come, not truncated. The first `high_steps` of them are the high-noise expert's, whatever their
    /// timesteps. Solved by Euler.
    ///
    /// # Errors
    /// `timesteps` empty, not strictly falling, or outside 1..=1000; `shift` not positive and finite.
    ///
    /// Source: LightX2V `lightx2v/models/schedulers/wan/step_distill/scheduler.py` (Wan22StepDistillScheduler).
    pub fn distilled(timesteps: &[u32], shift: f64, high_steps: u32) -> Result<Self, ScheduleError> {
        check_shift(shift)?;
        let mut sigmas = Vec::with_capacity(timesteps.len() + 1);
        for &timestep in timesteps {
            if !(1..=1000).contains(&timestep) {
                return Err(ScheduleError::DistilledTimestep(timestep));
            }
            sigmas.push(round_to_f32(shifted(f64::from(timestep) / TRAIN_TIMESTEPS, shift)));
        }
        let timesteps = sigmas.iter().map(|sigma| round_to_f32(sigma * TRAIN_TIMESTEPS)).collect();
        sigmas.push(0.0);
        let schedule = Self::from_levels(sigmas, timesteps)?;
        Ok(Self { switch: Some(high_steps.min(schedule.steps())), ..schedule })
    }

    /// Any other grid.
    ///
    /// # Errors
    /// Levels that do not fall strictly from at most 1 to exactly 0, or not one finite timestep per step.
    pub fn from_levels(sigmas: Vec<f64>, timesteps: Vec<f64>) -> Result<Self, ScheduleError> {
        let steps = u32::try_from(timesteps.len()).unwrap_or(u32::MAX);
        if !(1..=MAX_STEPS).contains(&steps) {
            return Err(ScheduleError::Steps(steps));
        }
        let finite = timesteps.iter().filter(|timestep| timestep.is_finite()).count();
        if finite + 1 != sigmas.len() || finite != timesteps.len() {
            return Err(ScheduleError::Timesteps { sigmas: sigmas.len(), timesteps: finite });
        }
        let mut previous = f64::INFINITY;
        for (index, &sigma) in sigmas.iter().enumerate() {
            let in_range = if index == timesteps.len() { sigma == 0.0 } else { sigma > 0.0 && sigma <= 1.0 };
            if !in_range || sigma >= previous {
                return Err(ScheduleError::Levels { index, sigma, previous });
            }
            previous = sigma;
        }
        Ok(Self { sigmas, timesteps, switch: None })
    }

    /// Noise levels: one per step and a final 0.
    pub fn sigmas(&self) -> &[f64] {
        &self.sigmas
    }

    /// What the DiT is told at each step, in units of the training schedule (0..=1000).
    pub fn timesteps(&self) -> &[f64] {
        &self.timesteps
    }

    /// Count of steps, 1..=1000.
    pub fn steps(&self) -> u32 {
        self.timesteps.len() as u32
    }

    /// How many leading steps belong to the high-noise expert: those with timestep ≥ `boundary`·1000 (a distilled
    /// schedule names their number itself).
    ///
    /// Source: Wan2.2@42bf4cf `wan/text2video.py#L169` (_prepare_model_for_timestep).
    pub fn high_steps(&self, boundary: f64) -> u32 {
        let threshold = boundary * TRAIN_TIMESTEPS;
        self.switch.unwrap_or_else(|| self.timesteps.iter().take_while(|&&t| t >= threshold).count() as u32)
    }

    /// The steps of each expert of a model, in order; either range of two may be empty.
    pub fn split(&self, experts: Experts) -> Vec<(Expert, Range<u32>)> {
        match experts {
            Experts::Single => vec![(Expert::Single, 0..self.steps())],
            Experts::Dual { boundary } => {
                let switch = self.high_steps(boundary);
                vec![(Expert::High, 0..switch), (Expert::Low, switch..self.steps())]
            }
        }
    }

    /// The steps of one expert; `None` when the model has no such expert.
    pub fn steps_of(&self, expert: Expert, experts: Experts) -> Option<Range<u32>> {
        self.split(experts).into_iter().find_map(|(known, steps)| (known == expert).then_some(steps))
    }
}

/// σ' = sσ / (1 + (s−1)σ).
fn shifted(sigma: f64, shift: f64) -> f64 {
    shift * sigma / (1.0 + (shift - 1.0) * sigma)
}

fn round_to_f32(value: f64) -> f64 {
    f64::from(value as f32)
}

fn check_shift(shift: f64) -> Result<(), ScheduleError> {
    if shift.is_finite() && shift > 0.0 { Ok(()) } else { Err(ScheduleError::Shift(shift)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timesteps_are_truncated_not_rounded() {
        let unipc = Schedule::new(SolverKind::UniPc, 8, 5.0).unwrap();
        assert_eq!(unipc.timesteps(), [999.0, 972.0, 937.0, 892.0, 833.0, 749.0, 624.0, 416.0]);
        let dpm = Schedule::new(SolverKind::DpmPlusPlus, 8, 5.0).unwrap();
        assert_eq!(dpm.timesteps(), [1000.0, 972.0, 937.0, 892.0, 833.0, 750.0, 625.0, 416.0]);
        assert_eq!(Schedule::new(SolverKind::Euler, 8, 5.0), Ok(unipc));
    }

    #[test]
    fn solver_levels_keep_their_fraction() {
        let schedule = Schedule::new(SolverKind::UniPc, 8, 5.0).unwrap();
        let f32s = [0.99979985_f32, 0.972006, 0.93726546, 0.89260185, 0.8330554, 0.74969983, 0.6246874, 0.4163888, 0.0];
        assert_eq!(schedule.sigmas(), f32s.map(f64::from));
    }

    #[test]
    fn experts_share_the_steps_as_published() {
        assert_eq!(Schedule::new(SolverKind::UniPc, 40, 12.0).unwrap().high_steps(0.875), 26);
        assert_eq!(Schedule::new(SolverKind::UniPc, 40, 5.0).unwrap().high_steps(0.900), 15);
        assert_eq!(Schedule::new(SolverKind::UniPc, 40, 5.0).unwrap().high_steps(0.0), 40);
        assert_eq!(Schedule::new(SolverKind::UniPc, 40, 5.0).unwrap().high_steps(1.1), 0);
    }

    #[test]
    fn every_step_belongs_to_one_expert() {
        let schedule = Schedule::new(SolverKind::UniPc, 40, 12.0).unwrap();
        let dual = Experts::Dual { boundary: 0.875 };
        assert_eq!(schedule.split(dual), [(Expert::High, 0..26), (Expert::Low, 26..40)]);
        assert_eq!(schedule.split(Experts::Single), [(Expert::Single, 0..40)]);
        assert_eq!(schedule.steps_of(Expert::Low, dual), Some(26..40));
        assert_eq!(schedule.steps_of(Expert::Single, dual), None);
        assert_eq!(schedule.steps_of(Expert::High, Experts::Dual { boundary: 1.1 }), Some(0..0));
    }

    #[test]
    fn a_timestep_on_the_boundary_is_high() {
        let schedule = Schedule::from_levels(vec![0.95, 0.9, 0.5, 0.0], vec![950.0, 900.0, 500.0]).unwrap();
        assert_eq!(schedule.high_steps(0.9), 2);
    }

    #[test]
    fn distilled_timesteps_are_floats_and_switch_by_index() {
        let schedule = Schedule::distilled(&[1000, 750, 500, 250], 16.0, 2).unwrap();
        let timesteps = [1000.0_f32, 979.59186, 941.17645, 842.1053];
        assert_eq!(schedule.timesteps(), timesteps.map(f64::from));
        assert_eq!(schedule.high_steps(0.875), 2, "three timesteps lie above the boundary");
        assert_eq!(schedule.sigmas().last(), Some(&0.0));
    }

    #[test]
    fn lightning_is_the_published_distilled_schedule() {
        let published = Schedule::distilled(&[1000, 750, 500, 250], 5.0, 2);
        assert_eq!(Schedule::new(SolverKind::Lightning, 4, 5.0), published);
        assert_eq!(published.unwrap().timesteps(), [1000.0_f32, 937.5, 833.3333, 625.0].map(f64::from));
        for (steps, high) in [(1, 1), (2, 1), (5, 3), (8, 4)] {
            let schedule = Schedule::new(SolverKind::Lightning, steps, 5.0).unwrap();
            assert_eq!((schedule.steps(), schedule.high_steps(0.875)), (steps, high));
        }
        assert!(Schedule::new(SolverKind::Lightning, 1001, 5.0).is_err());
    }

    #[test]
    fn fixed_levels_are_those_that_are_published_and_no_others() {
        let dmd = Schedule::new(SolverKind::Dmd, 3, 8.0).unwrap();
        assert_eq!(dmd.timesteps(), [1000.0, 757.0, 522.0]);
        assert_eq!(dmd.sigmas(), [1.0_f32, 28.0 / 37.0, 12.0 / 23.0, 0.0].map(f64::from));
        assert!(Schedule::new(SolverKind::Dmd, 4, 8.0).unwrap_err().to_string().contains("dmd has 3 steps, not 4"));
        let rcm = Schedule::new(SolverKind::Rcm, 4, 1.0).unwrap();
        for (sigma, want) in rcm.sigmas().iter().zip([80.0 / 81.0, 0.933_780_8, 0.852_894_5, 0.608_978_6, 0.0]) {
            assert!((sigma - want).abs() < 1e-6, "{:?}", rcm.sigmas());
        }
        assert_eq!(rcm.high_steps(0.9), 2);
        assert_eq!(Schedule::new(SolverKind::Rcm, 1, 1.0).unwrap().sigmas(), [rcm.sigmas()[0], 0.0]);
        assert!(Schedule::new(SolverKind::Rcm, 5, 1.0).unwrap_err().to_string().contains("1 to 4"));
        assert!(Schedule::new(SolverKind::Rcm, 4, 5.0).unwrap_err().to_string().contains("leave shift out"));
    }

    #[test]
    fn every_ordinary_request_has_a_schedule() {
        for solver in [SolverKind::UniPc, SolverKind::DpmPlusPlus, SolverKind::Euler] {
            for steps in (1..=100).chain([1000]) {
                for shift in [0.1, 1.0, 3.0, 5.0, 8.0, 12.0, 16.0] {
                    let schedule = Schedule::new(solver, steps, shift).unwrap();
                    assert_eq!(schedule.steps(), steps);
                    assert!(schedule.timesteps().iter().all(|t| t.fract() == 0.0 && (0.0..=1000.0).contains(t)));
                }
            }
        }
    }

    #[test]
    fn a_video_from_a_clip_runs_the_last_steps() {
        use wanfarm_types::fixtures::{info, request};
        let spec = |steps: u32, strength: Option<f64>, solver| {
            let open = request().resolve(&info(Experts::Single)).unwrap();
            let video = strength.map(|_| wanfarm_types::ClipSource::File(wanfarm_types::Digest([7; 32])));
            VideoSpec { steps, strength, video, solver, shift: 5.0, ..open }
        };
        let whole = Schedule::new(SolverKind::UniPc, 40, 5.0).unwrap();
        assert_eq!(Schedule::of(&spec(40, None, SolverKind::UniPc)), Ok(whole.clone()));
        for (strength, run) in [(1.0, 40), (0.8, 32), (0.29, 11), (0.5, 20), (0.025, 1)] {
            let part = Schedule::of(&spec(40, Some(strength), SolverKind::UniPc)).unwrap();
            assert_eq!(part.steps(), run, "{strength}");
            assert_eq!(part.sigmas(), &whole.sigmas()[(40 - run) as usize..]);
            assert_eq!(part.timesteps(), &whole.timesteps()[(40 - run) as usize..]);
            let high = whole.high_steps(0.9).saturating_sub(40 - run);
            assert_eq!(part.high_steps(0.9), high, "each expert keeps the noise levels that it knows");
        }
        let lightning = Schedule::of(&spec(4, Some(0.75), SolverKind::Lightning)).unwrap();
        assert_eq!((lightning.steps(), lightning.high_steps(0.9)), (3, 1));
        assert_eq!(Schedule::of(&spec(40, Some(0.02), SolverKind::UniPc)), Err(ScheduleError::Steps(0)));
    }

    #[test]
    fn a_clip_is_noised_to_the_first_level() {
        let schedule = Schedule::from_levels(vec![0.75, 0.5, 0.0], vec![750.0, 500.0]).unwrap();
        assert_eq!(schedule.noised(&[1.0, -2.0], &[4.0, 8.0]), [3.25, 5.5]);
    }

    #[test]
    fn what_cannot_be_is_refused() {
        assert_eq!(Schedule::new(SolverKind::UniPc, 0, 5.0), Err(ScheduleError::Steps(0)));
        assert_eq!(Schedule::new(SolverKind::UniPc, 1001, 5.0), Err(ScheduleError::Steps(1001)));
        for shift in [0.0, -1.0, f64::INFINITY] {
            assert_eq!(Schedule::new(SolverKind::UniPc, 4, shift), Err(ScheduleError::Shift(shift)));
        }
        assert!(matches!(Schedule::new(SolverKind::UniPc, 4, f64::NAN), Err(ScheduleError::Shift(_))));
        assert!(matches!(Schedule::new(SolverKind::UniPc, 40, 1e12), Err(ScheduleError::Levels { .. })));
        assert!(matches!(Schedule::new(SolverKind::UniPc, 40, 1e-300), Err(ScheduleError::Levels { .. })));
        assert!(matches!(Schedule::new(SolverKind::UniPc, 40, f64::MAX), Err(ScheduleError::Levels { .. })));
        assert_eq!(Schedule::distilled(&[0], 5.0, 0), Err(ScheduleError::DistilledTimestep(0)));
        assert!(Schedule::distilled(&[], 5.0, 0).is_err());
        assert!(Schedule::distilled(&[250, 500], 5.0, 0).is_err());
        assert!(Schedule::from_levels(vec![0.5, 0.0], vec![f64::NAN]).is_err());
        assert!(Schedule::from_levels(vec![0.5, 0.1], vec![500.0]).is_err());
        assert!(Schedule::from_levels(vec![f64::NAN, 0.0], vec![500.0]).is_err());
    }
}
