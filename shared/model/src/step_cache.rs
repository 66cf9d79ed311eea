//! The velocity of each step of one expert's part of one video, by way of a step cache.
//!
//! A cache is made for one video and one expert, and ends with it: nothing it keeps reaches the other expert or the
//! next video. What it needs to go on elsewhere travels with the latents: never what the blocks added, which is
//! gigabytes, but the latents from which they added it, from which it is computed again, to the same bytes.
//!
//! Not here: which steps are skipped (`wanfarm_sampling::cache`), and the loop over the steps.

use std::ops::Range;

use wanfarm_sampling::cache::{
    Branch, Drift, Phases, Plan, TeaZones, computes_both, mag_plan, may_reuse, root_mean_square_distance, tea_plan,
    weighted_difference,
};
use wanfarm_sampling::{Schedule, guide};
use wanfarm_types::{CacheSettings, CfgCache, Expert, SenCache};

use crate::conditioning::Conditioning;
use crate::dit::{Blocks, Residual, WanModel};
use crate::error::ModelError;

/// The steps a cache is for.
#[derive(Debug, Clone)]
pub struct ExpertSteps<'a> {
    /// Levels and timesteps of the whole video.
    pub schedule: &'a Schedule,
    /// The expert whose steps these are.
    pub expert: Expert,
    /// All steps of this expert, whether or not they are run here.
    pub steps: Range<u32>,
    /// Of the latents: channels, frames, height, width.
    pub shape: [usize; 4],
    /// Guidance; at 1, only the pass with the prompt is run.
    pub scale: f64,
}

/// What travels with the latents: a tensor's shape and values.
pub type Kept = (Vec<usize>, Vec<f32>);

/// One pass of the transformer: which, over which latents, at which timestep, with or without its blocks. `None` if
/// nobody wants the result any more.
pub type Pass<'p> = dyn FnMut(Branch, &[f32], f64, Blocks<'_>) -> Result<Option<Vec<f32>>, ModelError> + 'p;

/// A step cache at work.
#[derive(Debug)]
pub struct StepCache<'a> {
    part: ExpertSteps<'a>,
    strategy: Strategy,
}

#[derive(Debug)]
enum Strategy {
    /// Passes skip their blocks by plan. Nothing is skipped in an empty one.
    Plan { plan: Plan, passes: [KeptPass; 2] },
    /// The second pass is the first and a difference.
    Difference { settings: CfgCache, difference: Option<Vec<f32>> },
    /// The velocity is that of an earlier step.
    Velocity { settings: SenCache, kept: Option<KeptVelocity> },
}

/// What a pass keeps for the steps that skip its blocks.
#[derive(Debug, Default)]
struct KeptPass {
    /// The latents from which the residual was computed.
    latents: Option<Vec<f32>>,
    /// Absent after the video came from elsewhere, until it is needed.
    residual: Option<Residual>,
}

#[derive(Debug)]
struct KeptVelocity {
    velocity: Vec<f32>,
    latents: Vec<f32>,
    /// The step at which it was computed follows from the number of skipped ones.
    drift: Drift,
}

impl<'a> StepCache<'a> {
    /// A cache of these settings, with nothing in it.
    ///
    /// # Errors
    /// The change of the model's embeddings of time could not be computed.
    pub fn new(
        settings: &CacheSettings,
        part: ExpertSteps<'a>,
        model: &WanModel,
        conditioning: &Conditioning,
    ) -> Result<Self, ModelError> {
        let steps = part.schedule.steps();
        let strategy = match settings {
            CacheSettings::None => return Ok(Self::following(Plan::default(), part)),
            CacheSettings::Magcache(settings) => {
                let high = match part.expert {
                    Expert::Single => None,
                    Expert::High => Some(part.steps.end),
                    Expert::Low => Some(part.steps.start),
                };
                return Ok(Self::following(mag_plan(settings, Phases { steps, high }, false), part));
            }
            CacheSettings::Teacache(settings) => {
                let times = part.schedule.timesteps();
                let plan = tea_plan(settings, &TeaZones::new(settings, part.steps.clone()), steps, |step| {
                    let at = |step: u32| times.get(step as usize).copied().unwrap_or_default();
                    conditioning.time_change(model, at(step.saturating_sub(1)), at(step), settings.projected)
                })?;
                return Ok(Self::following(plan, part));
            }
            CacheSettings::CfgCache(settings) => Strategy::Difference { settings: *settings, difference: None },
            CacheSettings::Sencache(settings) => Strategy::Velocity { settings: *settings, kept: None },
        };
        Ok(Self { part, strategy })
    }

    /// A cache that skips the blocks by this plan.
    pub fn following(plan: Plan, part: ExpertSteps<'a>) -> Self {
        Self { part, strategy: Strategy::Plan { plan, passes: Default::default() } }
    }

    /// The passes that skip their blocks, where that is known beforehand.
    pub fn plan(&self) -> Option<&Plan> {
        if let Strategy::Plan { plan, .. } = &self.strategy { Some(plan) } else { None }
    }

    /// Takes what travelled with the latents that `step` starts from.
    ///
    /// # Errors
    /// It is not what this cache keeps there.
    pub fn resume(&mut self, step: u32, kept: Vec<Kept>) -> Result<(), ModelError> {
        let (shape, got) = (self.part.shape.to_vec(), kept.len());
        let wrong =
            || ModelError::input("state", format!("its {got} tensors are not what a step cache keeps at {step}"));
        let mut kept = kept.into_iter();
        let mut latents =
            || kept.next().filter(|(found, _)| *found == shape).map(|(_, values)| values).ok_or_else(wrong);
        match &mut self.strategy {
            Strategy::Plan { plan, passes } => {
                let sources = Branch::BOTH.map(|branch| source(plan, &self.part, step, branch));
                for (index, source) in sources.into_iter().enumerate() {
                    passes[index] = KeptPass::default();
                    let both = index == 1 && source == sources[0];
                    passes[index].latents = match source {
                        None => None,
                        Some(_) if both => passes[0].latents.clone(),
                        Some(_) => Some(latents()?),
                    };
                }
            }
            Strategy::Difference { settings, difference } => {
                let needed = !is_full(settings, &self.part, step) && self.part.scale != 1.;
                *difference = if needed { Some(latents()?) } else { None };
            }
            Strategy::Velocity { settings, kept: state } => {
                *state = None;
                if may_reuse(settings, step, self.part.schedule.steps(), &self.part.steps) {
                    let (velocity, latents) = (latents()?, latents()?);
                    let drift = kept.next().filter(|(shape, values)| shape[..] == [2] && values.len() == 2);
                    let (_, drift) = drift.ok_or_else(wrong)?;
                    let drift = Drift { sum: drift[0], skipped: drift[1] as u32 };
                    *state = Some(KeptVelocity { velocity, latents, drift });
                }
            }
        }
        if kept.next().is_some() { Err(wrong()) } else { Ok(()) }
    }

    /// What has to travel with the latents that `step` starts from.
    pub fn kept(&self, step: u32) -> Vec<Kept> {
        let shaped = |values: &Vec<f32>| (self.part.shape.to_vec(), values.clone());
        match &self.strategy {
            Strategy::Plan { plan, passes } => {
                let sources = Branch::BOTH.map(|branch| source(plan, &self.part, step, branch));
                let needed = |index: usize| sources[index].is_some() && (index == 0 || sources[1] != sources[0]);
                let tensors = (0..2).filter(|&index| needed(index)).filter_map(|i| passes[i].latents.as_ref());
                tensors.map(shaped).collect()
            }
            Strategy::Difference { settings, difference } => {
                difference.iter().filter(|_| !is_full(settings, &self.part, step)).map(shaped).collect()
            }
            Strategy::Velocity { settings, kept } => {
                let may_reuse = may_reuse(settings, step, self.part.schedule.steps(), &self.part.steps);
                let kept = kept.iter().filter(|_| may_reuse);
                let drift = |drift: Drift| (vec![2], vec![drift.sum, drift.skipped as f32]);
                kept.flat_map(|kept| [shaped(&kept.velocity), shaped(&kept.latents), drift(kept.drift)]).collect()
            }
        }
    }

    /// The guided velocity at a step; `None` if it was cancelled.
    ///
    /// # Errors
    /// Those of a pass; a step beyond the schedule.
    pub fn velocity(
        &mut self,
        step: u32,
        latents: &[f32],
        pass: &mut Pass<'_>,
    ) -> Result<Option<Vec<f32>>, ModelError> {
        let ExpertSteps { schedule, scale, shape, .. } = &self.part;
        let time = |step: u32| {
            let time = schedule.timesteps().get(step as usize).copied();
            time.ok_or_else(|| ModelError::input("step", format!("there is none with the number {step}")))
        };
        let (timestep, next) = (time(step)?, step + 1);
        let both = |cond: Vec<f32>, uncond: Vec<f32>| {
            guide(&cond, &uncond, *scale).map_err(|error| ModelError::input("velocities", error.to_string()))
        };
        match &mut self.strategy {
            Strategy::Plan { plan, passes } => {
                let mut results = Vec::new();
                for branch in branches(*scale) {
                    let kept = &mut passes[*branch as usize];
                    let result = if let Some(source) = source(plan, &self.part, step, *branch) {
                        if kept.residual.is_none() {
                            let before = kept.latents.as_deref().unwrap_or_default();
                            if pass(*branch, before, time(source)?, Blocks::Keep(&mut kept.residual))?.is_none() {
                                return Ok(None);
                            }
                        }
                        let missing = || ModelError::input("residual", "a pass kept none");
                        pass(*branch, latents, timestep, Blocks::Reuse(kept.residual.as_ref().ok_or_else(missing)?))?
                    } else if source_of_next(plan, &self.part, next, *branch) {
                        kept.latents = Some(latents.to_vec());
                        pass(*branch, latents, timestep, Blocks::Keep(&mut kept.residual))?
                    } else {
                        *kept = KeptPass::default();
                        pass(*branch, latents, timestep, Blocks::Run)?
                    };
                    let Some(result) = result else { return Ok(None) };
                    results.push(result);
                }
                let mut results = results.into_iter();
                match (results.next(), results.next()) {
                    (Some(cond), Some(uncond)) => both(cond, uncond).map(Some),
                    (cond, _) => Ok(cond),
                }
            }
            Strategy::Difference { settings, difference } => {
                let Some(cond) = pass(Branch::Cond, latents, timestep, Blocks::Run)? else { return Ok(None) };
                if *scale == 1. {
                    return Ok(Some(cond));
                }
                if let Some(difference) = difference.as_ref().filter(|_| !is_full(settings, &self.part, step)) {
                    let [_, _, height, width] = *shape;
                    let weighted = weighted_difference(difference, height, width, settings.alpha);
                    let uncond = cond.iter().zip(&weighted).map(|(cond, difference)| cond + difference).collect();
                    return both(cond, uncond).map(Some);
                }
                let Some(uncond) = pass(Branch::Uncond, latents, timestep, Blocks::Run)? else { return Ok(None) };
                *difference = Some(uncond.iter().zip(&cond).map(|(uncond, cond)| uncond - cond).collect());
                both(cond, uncond).map(Some)
            }
            Strategy::Velocity { settings, kept } => {
                if let Some(kept) =
                    kept.as_mut().filter(|_| may_reuse(settings, step, schedule.steps(), &self.part.steps))
                {
                    let source = step.saturating_sub(kept.drift.skipped + 1);
                    let moved = root_mean_square_distance(latents, &kept.latents);
                    let drift = kept.drift.and(moved, (timestep - time(source)?).abs());
                    if drift.is_within(settings) {
                        kept.drift = Drift { skipped: drift.skipped + 1, ..drift };
                        return Ok(Some(kept.velocity.clone()));
                    }
                }
                let Some(cond) = pass(Branch::Cond, latents, timestep, Blocks::Run)? else { return Ok(None) };
                let velocity = if *scale == 1. {
                    cond
                } else {
                    let Some(uncond) = pass(Branch::Uncond, latents, timestep, Blocks::Run)? else { return Ok(None) };
                    both(cond, uncond)?
                };
                *kept = Some(KeptVelocity {
                    velocity: velocity.clone(),
                    latents: latents.to_vec(),
                    drift: Drift::default(),
                });
                Ok(Some(velocity))
            }
        }
    }
}

/// The passes that guidance needs.
fn branches(scale: f64) -> &'static [Branch] {
    if scale == 1. { &Branch::BOTH[..1] } else { &Branch::BOTH }
}

/// The step whose residual a pass of `step` reuses.
fn source(plan: &Plan, part: &ExpertSteps<'_>, step: u32, branch: Branch) -> Option<u32> {
    branches(part.scale).contains(&branch).then(|| plan.source(step, branch, &part.steps)).flatten()
}

/// Whether the pass of `next` reuses the residual of the step before it.
fn source_of_next(plan: &Plan, part: &ExpertSteps<'_>, next: u32, branch: Branch) -> bool {
    source(plan, part, next, branch) == next.checked_sub(1)
}

fn is_full(settings: &CfgCache, part: &ExpertSteps<'_>, step: u32) -> bool {
    computes_both(settings, step, part.schedule.steps(), &part.steps, part.expert == Expert::High)
}
