//! Solvers: from a state and the DiT's velocity to the next state. The state is all there is, so any machine can go
//! on from any other's. Not the formulas' weights (`multistep`), the levels (`schedule`) or guidance (`guidance`).

use wanfarm_types::SolverKind;

use crate::Schedule;
use crate::multistep::{Corrector, Predictor, corrector, predictor};
use crate::update::Row;

/// Everything a solver needs to go on: what travels between machines is `sample`, then `history` in order.
///
/// The history, by solver, before step `k` of `n` (nothing before step 0 and after the last step):
/// * UniPC: the corrected sample of step `k−1`; the x0 predictions of step `k−1` and, from `k = 2`, of step `k−2`.
/// * DPM++: the x0 prediction of step `k−1`.
/// * Euler, Lightning, DMD and rCM: none.
///
/// Shapes: every tensor has the latents' shape, flattened row-major.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct SolverState {
    /// The latents: what the DiT sees at the next step.
    pub sample: Vec<f32>,
    /// What the solver remembers.
    pub history: Vec<Vec<f32>>,
}

/// Input that does not fit the step it was given to.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SolverError {
    /// There is no such step.
    #[error("step {step} is beyond a schedule of {steps} steps (steps count from 0)")]
    Step {
        /// The step asked for.
        step: u32,
        /// Steps of the schedule.
        steps: u32,
    },
    /// The state is that of another step or another solver.
    #[error("step {step} of {solver} starts from {expected} history tensors, not {got}: this is another step's state")]
    History {
        /// Name of the solver.
        solver: &'static str,
        /// The step asked for.
        step: u32,
        /// Tensors it needs.
        expected: usize,
        /// Tensors it was given.
        got: usize,
    },
    /// Noise is drawn where none is wanted, or is missing where it is.
    #[error("step {step} draws noise and has none, or draws none and has some")]
    Noise {
        /// The step asked for.
        step: u32,
    },
    /// A tensor is not as long as the sample.
    #[error("{what} has {got} elements where the latents have {expected}")]
    Length {
        /// Name of the tensor.
        what: &'static str,
        /// Elements of the latents.
        expected: usize,
        /// Elements it has.
        got: usize,
    },
}

/// How many history tensors belong to the state after `steps_done` of `steps` steps.
pub fn history_len(solver: SolverKind, steps_done: u32, steps: u32) -> usize {
    if steps_done == 0 || steps_done >= steps {
        return 0;
    }
    match solver {
        SolverKind::UniPc if steps_done == 1 => 2,
        SolverKind::UniPc => 3,
        SolverKind::DpmPlusPlus => 1,
        SolverKind::Euler | SolverKind::Lightning | SolverKind::Dmd | SolverKind::Rcm => 0,
    }
}

/// A solver on a schedule: per step, one row of weights for each tensor of the next state.
#[derive(Debug, Clone, PartialEq)]
pub struct Solver {
    kind: SolverKind,
    /// What the first noise is multiplied by.
    start: f64,
    steps: Vec<Vec<Row>>,
}

/// Which of the history's tensors is the newest x0 prediction, of so many; `None` where there is none.
pub fn estimate_at(solver: SolverKind, history: usize) -> Option<usize> {
    match solver {
        // Behind the corrected sample.
        SolverKind::UniPc => (history >= 2).then_some(1),
        SolverKind::DpmPlusPlus => (history >= 1).then_some(0),
        SolverKind::Euler | SolverKind::Lightning | SolverKind::Dmd | SolverKind::Rcm => None,
    }
}

/// The order of a row's inputs: the velocity, the sample, then the history.
const VELOCITY: usize = 0;
const SAMPLE: usize = 1;
const HISTORY: usize = 2;
const NOISE: usize = 2;

impl Solver {
    /// Computes every weight of every step, in f64, from the noise levels alone.
    pub fn new(kind: SolverKind, schedule: &Schedule) -> Self {
        let step = match kind {
            SolverKind::UniPc => unipc,
            SolverKind::DpmPlusPlus => dpm_plus_plus,
            SolverKind::Euler | SolverKind::Lightning => euler,
            SolverKind::Dmd | SolverKind::Rcm => renoise,
        };
        let last = schedule.timesteps().len() - 1;
        let mut steps: Vec<_> = (0..=last).map(|k| step(schedule.sigmas(), k)).collect();
        steps[last].truncate(1);
        let start = if kind == SolverKind::Rcm { schedule.sigmas()[0] } else { 1.0 };
        Self { kind, start, steps }
    }

    /// What a render from noise alone begins with.
    ///
    /// Source: of rCM NVlabs/rcm@5b41aa9 `rcm/inference/wan2pt1_t2v_rcm_infer.py`; all others begin with the noise.
    pub fn begin(&self, mut noise: Vec<f32>) -> Vec<f32> {
        if self.start != 1.0 {
            noise.iter_mut().for_each(|value| *value = (f64::from(*value) * self.start) as f32);
        }
        noise
    }

    /// Whether a step draws noise anew.
    pub fn draws_noise(&self, step: u32) -> bool {
        self.kind.draws_noise() && (step as usize) + 1 < self.steps.len()
    }

    /// The state after step `step`, given the DiT's velocity at the sample of `state`.
    ///
    /// Each element of the result is a sum of elements of the same index, accumulated in f64 and rounded to f32 once:
    /// resuming from any state gives the bytes of the undisturbed run.
    ///
    /// # Errors
    /// No such step, a history of the wrong length, tensors of unequal lengths, or a step that draws noise.
    pub fn advance(&self, step: u32, state: &SolverState, velocity: &[f32]) -> Result<SolverState, SolverError> {
        self.advance_with(step, state, velocity, None)
    }

    /// The same, with the noise that is drawn in this step, if it draws any.
    ///
    /// # Errors
    /// As [`Self::advance`], and no noise where some is drawn, or some where none is.
    pub fn advance_with(
        &self,
        step: u32,
        state: &SolverState,
        velocity: &[f32],
        noise: Option<&[f32]>,
    ) -> Result<SolverState, SolverError> {
        let steps = self.steps.len() as u32;
        let rows = self.steps.get(step as usize).ok_or(SolverError::Step { step, steps })?;
        let (expected, got) = (history_len(self.kind, step, steps), state.history.len());
        if got != expected {
            return Err(SolverError::History { solver: self.kind.name(), step, expected, got });
        }
        if self.draws_noise(step) != noise.is_some() {
            return Err(SolverError::Noise { step });
        }
        // What draws noise has no history.
        let history = state.history.iter().map(Vec::as_slice).chain(noise);
        let inputs: Vec<&[f32]> = [velocity, &state.sample].into_iter().chain(history).collect();
        let expected = state.sample.len();
        for (index, input) in inputs.iter().enumerate() {
            if input.len() != expected {
                let what = match index {
                    VELOCITY => "the velocity",
                    _ if noise.is_some() => "the noise",
                    _ => "a history tensor",
                };
                return Err(SolverError::Length { what, expected, got: input.len() });
            }
        }
        let mut tensors = rows.iter().map(|row| row.apply(&inputs));
        Ok(SolverState { sample: tensors.next().unwrap_or_default(), history: tensors.collect() })
    }
}

/// x0 = x − σ·v.
fn x0_prediction(sigma: f64) -> Row {
    Row::sum([(1.0, &Row::input(SAMPLE)), (-sigma, &Row::input(VELOCITY))])
}

/// The level before step `k`, where step `k` is of second order: never the first step, never the last.
fn second_order(sigmas: &[f64], k: usize) -> Option<f64> {
    let last = k + 2 == sigmas.len();
    if last { None } else { k.checked_sub(1).map(|before| sigmas[before]) }
}

/// Correct the sample with the step that led to it, then predict the next.
///
/// Source: Wan2.2@42bf4cf `wan/utils/fm_solvers_unipc.py#L657` (step).
fn unipc(sigmas: &[f64], k: usize) -> Vec<Row> {
    let (last_sample, m0, m1) = (&Row::input(HISTORY), &Row::input(HISTORY + 1), &Row::input(HISTORY + 2));
    let ahead = x0_prediction(sigmas[k]);
    let corrected = match k.checked_sub(1) {
        None => Row::input(SAMPLE),
        Some(from) => {
            let c: Corrector = corrector(second_order(sigmas, from), sigmas[from], sigmas[k]);
            Row::sum([(c.sample, last_sample), (c.current, m0), (c.previous, m1), (c.ahead, &ahead)])
        }
    };
    let p: Predictor = predictor(second_order(sigmas, k), sigmas[k], sigmas[k + 1]);
    let next = Row::sum([(p.sample, &corrected), (p.current, &ahead), (p.previous, m0)]);
    let mut rows = vec![next, corrected, ahead];
    rows.extend((k > 0).then(|| m0.clone()));
    rows
}

/// The predictor alone.
///
/// Source: Wan2.2@42bf4cf `wan/utils/fm_solvers.py#L708` (step).
fn dpm_plus_plus(sigmas: &[f64], k: usize) -> Vec<Row> {
    let current = x0_prediction(sigmas[k]);
    let p: Predictor = predictor(second_order(sigmas, k), sigmas[k], sigmas[k + 1]);
    let next = Row::sum([(p.sample, &Row::input(SAMPLE)), (p.current, &current), (p.previous, &Row::input(HISTORY))]);
    vec![next, current]
}

/// x + (σ' − σ)·v.
fn euler(sigmas: &[f64], k: usize) -> Vec<Row> {
    vec![Row::sum([(1.0, &Row::input(SAMPLE)), (sigmas[k + 1] - sigmas[k], &Row::input(VELOCITY))])]
}

/// Predict the video, and noise it anew to the next level.
fn renoise(sigmas: &[f64], k: usize) -> Vec<Row> {
    let next = sigmas[k + 1];
    let video = x0_prediction(sigmas[k]);
    if next == 0.0 {
        return vec![video];
    }
    vec![Row::sum([(1.0 - next, &video), (next, &Row::input(NOISE))])]
}

#[cfg(test)]
mod tests {
    use super::*;

    const KINDS: [SolverKind; 4] =
        [SolverKind::UniPc, SolverKind::DpmPlusPlus, SolverKind::Euler, SolverKind::Lightning];

    /// A velocity field that is neither linear nor the same for every element.
    fn velocity(sample: &[f32], timestep: f64) -> Vec<f32> {
        let n = sample.len();
        (0..n).map(|i| (0.7 * sample[i] - 0.2 * sample[(i + 1) % n] * (0.01 * timestep as f32).sin()).tanh()).collect()
    }

    fn run(kind: SolverKind, schedule: &Schedule, state: SolverState, steps: std::ops::Range<u32>) -> SolverState {
        let solver = Solver::new(kind, schedule);
        steps.fold(state, |state, step| {
            let v = velocity(&state.sample, schedule.timesteps()[step as usize]);
            let next = solver.advance(step, &state, &v).unwrap();
            assert_eq!(next.history.len(), history_len(kind, step + 1, schedule.steps()));
            assert!(next.sample.iter().all(|x| x.is_finite()));
            next
        })
    }

    fn start() -> SolverState {
        SolverState { sample: crate::randn(3, 1500), history: vec![] }
    }

    #[test]
    fn resuming_at_any_step_changes_no_byte() {
        for kind in KINDS {
            for steps in [1, 2, 3, 7] {
                let schedule = Schedule::new(kind, steps, 5.0).unwrap();
                let whole = run(kind, &schedule, start(), 0..steps);
                for k in 0..steps {
                    let half = run(kind, &schedule, start(), 0..k);
                    // Over the wire: raw bytes, sample first.
                    let bytes: Vec<Vec<[u8; 4]>> = std::iter::once(&half.sample)
                        .chain(&half.history)
                        .map(|tensor| tensor.iter().map(|x| x.to_le_bytes()).collect())
                        .collect();
                    let mut tensors = bytes.into_iter().map(|t| t.into_iter().map(f32::from_le_bytes).collect());
                    let half = SolverState { sample: tensors.next().unwrap(), history: tensors.collect() };
                    let resumed = run(kind, &schedule, half, k..steps);
                    assert_eq!(bits(&resumed.sample), bits(&whole.sample), "{kind:?}, step {k} of {steps}");
                }
            }
        }
    }

    fn bits(tensor: &[f32]) -> Vec<u32> {
        tensor.iter().map(|x| x.to_bits()).collect()
    }

    #[test]
    fn cutting_the_tensor_changes_no_byte() {
        for kind in KINDS {
            let schedule = Schedule::new(kind, 4, 5.0).unwrap();
            let solver = Solver::new(kind, &schedule);
            let state = run(kind, &schedule, start(), 0..3);
            let v = crate::randn(4, state.sample.len());
            let whole = solver.advance(3, &state, &v).unwrap().sample;
            let cut = |range: std::ops::Range<usize>| {
                let history = state.history.iter().map(|h| h[range.clone()].to_vec()).collect();
                let part = SolverState { sample: state.sample[range.clone()].to_vec(), history };
                solver.advance(3, &part, &v[range]).unwrap().sample
            };
            assert_eq!(bits(&[cut(0..311), cut(311..1500)].concat()), bits(&whole));
        }
    }

    #[test]
    fn each_step_predicts_the_video_and_noises_it_anew() {
        let schedule = Schedule::from_levels(vec![0.75, 0.5, 0.0], vec![750.0, 500.0]).unwrap();
        let solver = Solver::new(SolverKind::Rcm, &schedule);
        assert_eq!(solver.begin(vec![4.0, -8.0]), [3.0, -6.0]);
        assert_eq!(Solver::new(SolverKind::Dmd, &schedule).begin(vec![4.0]), [4.0]);
        let state = SolverState { sample: vec![3.0, 1.0], history: vec![] };
        let (v, noise) = ([4.0, 0.0], [10.0, -2.0]);
        let next = solver.advance_with(0, &state, &v, Some(&noise)).unwrap();
        assert_eq!(next, SolverState { sample: vec![5.0, -0.5], history: vec![] });
        let last = solver.advance(1, &next, &v).unwrap();
        assert_eq!(last.sample, [3.0, -0.5]);
        assert_eq!(solver.advance(0, &state, &v), Err(SolverError::Noise { step: 0 }));
        assert_eq!(solver.advance_with(1, &state, &v, Some(&noise)), Err(SolverError::Noise { step: 1 }));
        assert!(solver.advance_with(0, &state, &v, Some(&noise[..1])).unwrap_err().to_string().contains("the noise"));
    }

    /// Data and noise both Gaussian: the velocity is linear in x and the exact solution known in closed form.
    /// The error must fall with the order the solver is known for, which fails without a corrector, with a first-order
    /// predictor or with wrong weights.
    #[test]
    fn errors_fall_with_the_order_of_the_solver() {
        let variance = |sigma: f64| 0.25 * (1.0 - sigma).powi(2) + sigma.powi(2);
        // In f64 throughout: the rows themselves, without the rounding of `apply`.
        let error = |kind, steps: u32| {
            let grid = (0..=steps).map(|k| 0.95 - 0.9 * f64::from(k) / f64::from(steps));
            // The level 0 that follows keeps every step before it at full order.
            let sigmas: Vec<f64> = grid.chain([0.0]).collect();
            let mut state = vec![variance(sigmas[0]).sqrt()];
            for (k, &sigma) in sigmas.iter().enumerate().take(steps as usize) {
                let rows = match kind {
                    SolverKind::UniPc => unipc(&sigmas, k),
                    SolverKind::DpmPlusPlus => dpm_plus_plus(&sigmas, k),
                    SolverKind::Euler | SolverKind::Lightning => euler(&sigmas, k),
                    SolverKind::Dmd | SolverKind::Rcm => continue,
                };
                let velocity = state[0] * (sigma - 0.25 * (1.0 - sigma)) / variance(sigma);
                state.insert(VELOCITY, velocity);
                state = rows.iter().map(|row| row.dot(&state)).collect();
            }
            (state[0] - variance(sigmas[steps as usize]).sqrt()).abs()
        };
        for (kind, order) in [(SolverKind::Euler, 1.0), (SolverKind::DpmPlusPlus, 2.0), (SolverKind::UniPc, 3.0)] {
            let measured = (error(kind, 160) / error(kind, 320)).log2();
            assert!((measured - order).abs() < 0.35, "{kind:?} is of order {measured:.2}");
        }
    }

    #[test]
    fn the_last_step_lands_on_the_prediction() {
        for kind in KINDS {
            let schedule = Schedule::new(kind, 1, 5.0).unwrap();
            let state = SolverState { sample: vec![0.5, -2.0], history: vec![] };
            let next = Solver::new(kind, &schedule).advance(0, &state, &[1.0, 0.25]).unwrap();
            let sigma = schedule.sigmas()[0];
            assert_eq!(next.sample, [(0.5 - sigma) as f32, (-2.0 - 0.25 * sigma) as f32]);
            assert_eq!(next.history, Vec::<Vec<f32>>::new());
        }
    }

    #[test]
    fn a_state_of_another_step_is_refused() {
        let schedule = Schedule::new(SolverKind::UniPc, 5, 5.0).unwrap();
        let solver = Solver::new(SolverKind::UniPc, &schedule);
        let state = SolverState { sample: vec![0.0; 4], history: vec![vec![0.0; 4]; 2] };
        assert!(solver.advance(1, &state, &[0.0; 4]).is_ok());
        let expect_history = |step, expected| SolverError::History { solver: "unipc", step, expected, got: 2 };
        assert_eq!(solver.advance(0, &state, &[0.0; 4]), Err(expect_history(0, 0)));
        assert_eq!(solver.advance(2, &state, &[0.0; 4]), Err(expect_history(2, 3)));
        assert_eq!(solver.advance(5, &state, &[0.0; 4]), Err(SolverError::Step { step: 5, steps: 5 }));
        let length = |what, got| Err(SolverError::Length { what, expected: 4, got });
        assert_eq!(solver.advance(1, &state, &[0.0; 3]), length("the velocity", 3));
        let short = SolverState { history: vec![vec![0.0; 4], vec![0.0; 5]], ..state };
        assert_eq!(solver.advance(1, &short, &[0.0; 4]), length("a history tensor", 5));
    }
}
