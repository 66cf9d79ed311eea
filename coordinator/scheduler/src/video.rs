//! A video's state, and what follows from it: the next thing to do. Deliberately a pure function of the state,
//! asked anew after every change, so that no transition can forget to queue something.

use wanfarm_types::{AttemptId, Checkpoint, Stage, StepRange, TensorRef, WorkerId};

use crate::chain::Link;
use crate::pace::effort;
use crate::stage_result::{Checkpoints, Holder, StageResult};
use crate::strikes::Strikes;
use crate::{Instant, VideoPhase, VideoPlan};

/// A video.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Video {
    pub(crate) plan: VideoPlan,
    pub(crate) link: Link,
    pub(crate) state: VideoPhase,
    pub(crate) image: Option<StageResult>,
    pub(crate) checkpoints: Checkpoints,
    pub(crate) frames: Option<Frames>,
    /// Denoising or decoding under way.
    pub(crate) attempt: Option<AttemptId>,
    /// Image encoding under way.
    pub(crate) image_attempt: Option<AttemptId>,
    /// Outputs being written, from the frames of this attempt.
    pub(crate) writing: Option<AttemptId>,
    pub(crate) output_tries: u32,
    /// Not before this instant, after a failed write.
    pub(crate) write_after: Instant,
    /// It rests until then, because its inputs were lost again and again.
    pub(crate) rests_until: Option<Instant>,
    /// The farthest it ever came: the value of [`Video::progress`] then.
    pub(crate) best: u32,
    pub(crate) strikes: Strikes,
    /// Times it was stopped in its present stage to go on on a faster worker.
    pub(crate) moves: u32,
    /// It is listed as wanting its texts.
    pub(crate) wants_texts: bool,
    /// What of it is counted as load of the pools.
    pub(crate) counted: Option<Extent>,
    /// The worker at which its frames are counted as still to be written.
    pub(crate) unwritten_at: Option<WorkerId>,
}

/// How far a video is, as far as its remaining work depends on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Extent {
    pub(crate) steps_done: u32,
    pub(crate) decoded: bool,
}

/// Decoded frames; they only ever lie in a worker's memory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Frames {
    pub(crate) tensor: TensorRef,
    pub(crate) holder: Holder,
    /// What they were decoded from; it may be lost by now.
    pub(crate) state: Checkpoint,
}

/// What a video needs next, given its state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct NextStep {
    /// It goes on: its attempts under way are still needed.
    pub(crate) going_on: bool,
    /// Its texts must be encoded (or are, and must be kept).
    pub(crate) texts: bool,
    /// Its image should be encoded.
    pub(crate) image: bool,
    /// This stage should run, with these steps.
    pub(crate) run: Option<(Stage, StepRange)>,
    /// Its outputs should be written.
    pub(crate) write: bool,
}

impl Video {
    pub(crate) fn new(plan: VideoPlan, link: Link) -> Self {
        Self {
            plan,
            link,
            state: VideoPhase::Open,
            image: None,
            checkpoints: Checkpoints::default(),
            frames: None,
            attempt: None,
            image_attempt: None,
            writing: None,
            output_tries: 0,
            write_after: Instant(0),
            rests_until: None,
            best: 0,
            strikes: Strikes::default(),
            moves: 0,
            wants_texts: false,
            counted: None,
            unwritten_at: None,
        }
    }

    /// How far it is: steps done, plus one once it is decoded, not counting what was lost again.
    pub(crate) fn progress(&self) -> u32 {
        self.checkpoints.steps_done() + u32::from(self.frames.is_some())
    }

    pub(crate) fn extent(&self) -> Extent {
        Extent { steps_done: self.checkpoints.steps_done(), decoded: self.frames.is_some() }
    }

    /// The work that is left from `extent` on, by stage, without encoding; none from `None`.
    pub(crate) fn load(&self, extent: Option<Extent>) -> impl Iterator<Item = (Stage, u128)> + '_ {
        let denoising = self.plan.stages.iter().map(move |&(stage, steps)| {
            let left = |extent: Extent| StepRange { first: extent.steps_done.max(steps.first), ..steps };
            (stage, extent.map_or(0, |extent| self.plan.work_of(left(extent))))
        });
        let decoding = (Stage::Decode, 100 * u64::from(extent.is_some_and(|extent| !extent.decoded)));
        let work = |(stage, percent): (Stage, u64)| {
            (stage, u128::from(percent) * u128::from(effort(stage, self.plan.size_of(stage))) / 100)
        };
        denoising.chain([decoding]).map(work)
    }

    /// Clears the strikes when progress exceeds the best so far.
    pub(crate) fn note_progress(&mut self) {
        if self.progress() > self.best {
            self.best = self.progress();
            self.strikes.clear();
        }
    }

    pub(crate) fn image_is_usable(&self) -> bool {
        self.image.as_ref().is_some_and(StageResult::is_usable)
    }

    /// `active`: its job is; `waits`: for a video that it comes after; `texts_usable`: all its texts are.
    pub(crate) fn next_step(&self, active: bool, waits: bool, texts_usable: bool, now: Instant) -> NextStep {
        if !active || !self.state.is_open() {
            return NextStep::default();
        }
        let mut next_step = NextStep { going_on: true, ..NextStep::default() };
        if waits {
            next_step.texts = true;
            return next_step;
        }
        if self.frames.is_some() {
            next_step.write = self.writing.is_none() && self.write_after <= now;
            return next_step;
        }
        let done = self.checkpoints.steps_done();
        let free = self.attempt.is_none();
        let ready = free && self.rests_until.is_none();
        match self.plan.stage_of(done) {
            None if ready => next_step.run = Some((Stage::Decode, StepRange { first: 0, end: 0 })),
            None => {}
            Some((stage, steps)) => {
                let image_usable = !self.plan.has_image || self.image_is_usable();
                next_step.texts = true;
                next_step.image = free && !image_usable && self.image_attempt.is_none();
                if ready && image_usable && texts_usable {
                    next_step.run = Some((stage, StepRange { first: done, end: steps.end }));
                }
            }
        }
        next_step
    }
}
