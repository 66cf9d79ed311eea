//! The ledger of attempts that are out with a worker. What has ended is not here: it is a row.

use std::collections::{BTreeMap, BTreeSet};

use wanfarm_types::{
    AttemptId, Checkpoint, Incarnation, JobId, LoadProgress, StepRange, StepTiming, VideoId, WorkItem, WorkerId,
};

use crate::job::{LaneId, PoolId};
use crate::{Instant, TextKey};

/// What an item belongs to. Each has at most one attempt out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Work {
    /// `encode_text` of one text, for all its readers.
    Text(TextKey),
    /// `encode_image` of one video; may run beside its text.
    Image(VideoId),
    /// Denoising and decoding of one video, which follow one another.
    Video(VideoId),
}

/// How an attempt is revoked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Revocation {
    /// For an idle worker: only if it has not started.
    IfUnstarted,
    /// Pause, cancel, drain, something more urgent, or a faster worker: at the next step boundary.
    Stop,
}

/// One attempt that is out.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Attempt {
    pub(crate) work: Work,
    pub(crate) item: WorkItem,
    pub(crate) job: JobId,
    pub(crate) lane: LaneId,
    /// The priority at which its work was counted when it was given out.
    pub(crate) charged: i32,
    pub(crate) worker: WorkerId,
    pub(crate) incarnation: Incarnation,
    /// The state it goes on from, unless it was read from rows.
    pub(crate) from: Option<Checkpoint>,
    /// The worker said so, or showed a step.
    pub(crate) started: bool,
    pub(crate) revocation: Option<Revocation>,
    /// The idle worker that it is revoked for, if any.
    pub(crate) awaited_by: Option<WorkerId>,
    /// The work of one step, or of an item without steps.
    pub(crate) step_work: u64,
    /// When it is expected to end, if its worker's speed is known.
    pub(crate) ends: Option<Instant>,
    /// By when it must show its next point; none while it is queued behind another.
    pub(crate) deadline: Option<Instant>,
    /// What its worker holds once it has begun, as far as is known.
    pub(crate) held: BTreeSet<PoolId>,
    /// How far the weights for it are loaded.
    pub(crate) load: Option<LoadProgress>,
    /// Steps done, over the whole schedule.
    pub(crate) reached: u32,
    pub(crate) step_seconds: Vec<f64>,
    /// Read from rows after a restart, and its worker has not confirmed it yet.
    pub(crate) restored: bool,
}

impl Attempt {
    pub(crate) fn new(
        work: Work,
        item: WorkItem,
        (lane, charged): (LaneId, i32),
        step_work: u64,
        worker: WorkerId,
        incarnation: Incarnation,
    ) -> Self {
        Self {
            work,
            item,
            job: item.video.job,
            lane,
            charged,
            worker,
            incarnation,
            from: None,
            started: false,
            revocation: None,
            awaited_by: None,
            step_work,
            ends: None,
            deadline: None,
            held: [lane.pool()].into(),
            load: None,
            reached: item.steps.first,
            step_seconds: Vec::new(),
            restored: false,
        }
    }

    pub(crate) fn pool(&self) -> PoolId {
        self.lane.pool()
    }

    pub(crate) fn is_denoising(&self) -> bool {
        self.item.stage.expert().is_some()
    }

    /// Steps to go, the one being computed included; 1 for an item without steps.
    pub(crate) fn left(&self) -> u32 {
        if self.is_denoising() { self.item.steps.end.saturating_sub(self.reached).max(1) } else { 1 }
    }

    /// The work that was given out and not done.
    pub(crate) fn undone(&self) -> u64 {
        let steps = match (self.is_denoising(), self.started) {
            (true, _) => self.item.steps.end.saturating_sub(self.reached),
            (false, started) => u32::from(!started),
        };
        self.step_work.saturating_mul(u64::from(steps))
    }

    /// The steps that ran.
    pub(crate) fn ran(&self) -> StepRange {
        StepRange { first: self.item.steps.first, end: self.reached }
    }

    /// What is known of its time without a final report.
    pub(crate) fn timing(&self) -> StepTiming {
        let step_seconds = self.step_seconds.clone();
        StepTiming { seconds: step_seconds.iter().sum(), step_seconds, ..StepTiming::default() }
    }
}

/// All attempts that are out, and the number of the next one.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Ledger {
    live: BTreeMap<AttemptId, Attempt>,
    next: AttemptId,
}

impl Ledger {
    pub(crate) fn new(next: AttemptId) -> Self {
        Self { live: BTreeMap::new(), next }
    }

    /// Gives out a number greater than all before it.
    pub(crate) fn issue(&mut self, attempt: Attempt) -> AttemptId {
        let id = self.next;
        self.next = AttemptId(id.0 + 1);
        self.live.insert(id, attempt);
        id
    }

    /// Puts back an attempt that was out before a restart.
    pub(crate) fn restore(&mut self, id: AttemptId, attempt: Attempt) {
        self.next = self.next.max(AttemptId(id.0 + 1));
        self.live.insert(id, attempt);
    }

    /// Skips the number of an attempt that a worker has: rows restored from an older copy do not know of it, and a late
    /// report of it must not be taken for one of a newer attempt. Implausibly large numbers are ignored.
    pub(crate) fn skip(&mut self, id: AttemptId) {
        if id.0 < 1 << 62 {
            self.next = self.next.max(AttemptId(id.0 + 1));
        }
    }

    pub(crate) fn next(&self) -> AttemptId {
        self.next
    }

    pub(crate) fn get(&self, id: AttemptId) -> Option<&Attempt> {
        self.live.get(&id)
    }

    pub(crate) fn get_mut(&mut self, id: AttemptId) -> Option<&mut Attempt> {
        self.live.get_mut(&id)
    }

    pub(crate) fn end(&mut self, id: AttemptId) -> Option<Attempt> {
        self.live.remove(&id)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (AttemptId, &Attempt)> {
        self.live.iter().map(|(&id, attempt)| (id, attempt))
    }
}
