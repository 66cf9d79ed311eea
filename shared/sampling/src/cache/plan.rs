//! Which passes of which steps reuse what the blocks added at an earlier step.

use std::ops::Range;

/// One of the two passes that guidance combines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Branch {
    /// With the prompt.
    Cond,
    /// With the negative prompt.
    Uncond,
}

impl Branch {
    /// Both, in the order in which they are computed.
    pub const BOTH: [Branch; 2] = [Branch::Cond, Branch::Uncond];
}

/// For each step and pass, whether it is skipped.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Plan {
    skips: Vec<[bool; 2]>,
}

impl Plan {
    /// A plan of this many steps, all computed.
    pub fn dense(steps: u32) -> Self {
        Self { skips: vec![[false; 2]; steps as usize] }
    }

    pub(super) fn set(&mut self, step: u32, branch: Branch, skip: bool) {
        if let Some(skips) = self.skips.get_mut(step as usize) {
            skips[branch as usize] = skip;
        }
    }

    /// Whether a pass is skipped; steps beyond the plan are not.
    pub fn skips(&self, step: u32, branch: Branch) -> bool {
        self.skips.get(step as usize).is_some_and(|skips| skips[branch as usize])
    }

    /// The steps at which a pass is skipped.
    pub fn skipped(&self, branch: Branch) -> Vec<u32> {
        (0..self.skips.len() as u32).filter(|&step| self.skips(step, branch)).collect()
    }

    /// How many steps' work is done, both passes of a step being one.
    pub fn work(&self) -> f64 {
        self.skips.iter().flatten().filter(|skip| !**skip).count() as f64 / 2.0
    }

    /// The step whose effect the pass of `step` reuses; `None` if it is computed. Steps before `phase` belong to another
    /// transformer, whose effect is nothing to this one.
    pub fn source(&self, step: u32, branch: Branch, phase: &Range<u32>) -> Option<u32> {
        if !self.skips(step, branch) || !phase.contains(&step) {
            return None;
        }
        (phase.start..step).rev().find(|&earlier| !self.skips(earlier, branch))
    }
}
