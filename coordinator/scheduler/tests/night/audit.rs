//! What the committed rows say, kept by itself and never asked of the scheduler: which jobs are in, which attempts are
//! out, which videos have ended, what comes after what, which artifacts are referred to. Rows that contradict one another fail the night.

use std::collections::{BTreeMap, BTreeSet};

use wanfarm_scheduler::{ArtifactId, AttemptEnd, Change, JobPhase, TextKey, VideoPhase};
use wanfarm_types::{AttemptId, Digest, JobId, Role, Stage, TensorRef, VideoId, WorkerId};

use crate::worker::FORGED;

/// What has at most one attempt out at a time.
type Work = (Option<TextKey>, Option<VideoId>, bool);

#[derive(Default)]
pub(crate) struct Audit {
    pub(crate) jobs: BTreeMap<JobId, JobPhase>,
    pub(crate) pins: BTreeMap<(JobId, Role), Digest>,
    out: BTreeMap<AttemptId, (Work, WorkerId)>,
    busy: BTreeMap<Work, AttemptId>,
    done: BTreeSet<VideoId>,
    after: BTreeMap<VideoId, Vec<VideoId>>,
    artifacts: BTreeMap<ArtifactId, Vec<TensorRef>>,
    newest: u64,
}

impl Audit {
    pub(crate) fn of(rows: &[Change]) -> Self {
        let mut audit = Self::default();
        rows.iter().for_each(|row| audit.take(row));
        audit
    }

    pub(crate) fn take(&mut self, row: &Change) {
        match row {
            Change::JobAdded(plan) => {
                assert!(self.jobs.insert(plan.id, JobPhase::Active).is_none(), "{} was added twice", plan.id);
                for (index, video) in (0..).zip(&plan.videos) {
                    let of_job = |index| VideoId { job: plan.id, index };
                    self.after.insert(of_job(index), video.after.iter().copied().map(of_job).collect());
                }
            }
            Change::JobPhase { job, state } => drop(self.jobs.insert(*job, *state)),
            Change::JobPriority { job, .. } => assert!(self.jobs.contains_key(job), "nobody has heard of {job}"),
            Change::JobForgotten(job) => {
                assert_eq!(self.jobs.get(job), Some(&JobPhase::Finished), "{job} was forgotten unfinished");
                self.pins.retain(|(of, _), _| of != job);
                let left = self.artifacts.keys().any(|artifact| match artifact {
                    ArtifactId::Text(_) => false,
                    ArtifactId::Image(video) | ArtifactId::Checkpoint { video, .. } => video.job == *job,
                });
                assert!(!left, "{job} was forgotten and left artifacts");
            }
            Change::WeightsPinned { job, role, weights: Some(weights) } => {
                self.pins.insert((*job, *role), *weights);
            }
            Change::WeightsPinned { job, role, weights: None } => drop(self.pins.remove(&(*job, *role))),
            Change::VideoPhase { video, state: VideoPhase::Done } => {
                assert!(self.done.insert(*video), "{video} finished twice");
            }
            Change::VideoPhase { video, .. } => assert!(!self.done.contains(video), "{video} was done"),
            Change::ArtifactDurable { .. } | Change::TextKept { .. } => {
                self.artifacts.extend(row.durable().map(|(artifact, tensors)| (artifact, tensors.to_vec())));
            }
            Change::ArtifactForgotten(artifact) => drop(self.artifacts.remove(artifact)),
            Change::AttemptIssued { attempt, item, text, worker, .. } => {
                assert!(attempt.0 > self.newest, "{attempt} is not newer than all before it");
                self.newest = attempt.0;
                let ready = text.is_some() || self.after[&item.video].iter().all(|before| self.done.contains(before));
                assert!(ready, "{attempt} of {} is computed before what it starts from is written", item.video);
                let work = (*text, text.is_none().then_some(item.video), item.stage == Stage::EncodeImage);
                let other = self.busy.insert(work, *attempt);
                assert!(other.is_none(), "{attempt} was issued while {other:?} was out for {work:?}");
                self.out.insert(*attempt, (work, *worker));
            }
            Change::AttemptEnded { attempt, end, .. } => {
                let forged = matches!(end, AttemptEnd::Failed(failure) if failure.message == FORGED);
                assert!(!forged, "{attempt} was ended by a worker that did not have it");
                let work = self.out.remove(attempt);
                assert!(work.is_some(), "{attempt} ended and was not out");
                work.and_then(|(work, _)| self.busy.remove(&work));
            }
            Change::WorkerState { .. } | Change::WorkerForgotten(_) => {}
        }
    }

    pub(crate) fn is_done(&self, video: VideoId) -> bool {
        self.done.contains(&video)
    }

    /// The worker an attempt is out with.
    pub(crate) fn holder(&self, attempt: AttemptId) -> Option<WorkerId> {
        self.out.get(&attempt).map(|&(_, worker)| worker)
    }

    /// Attempts that are out with other workers.
    pub(crate) fn held_by_others(&self, worker: WorkerId) -> impl Iterator<Item = AttemptId> {
        self.out.iter().filter(move |(_, (_, holder))| *holder != worker).map(|(&attempt, _)| attempt)
    }

    /// Digests that rows refer to.
    pub(crate) fn referenced(&self) -> BTreeSet<Digest> {
        self.artifacts.values().flatten().map(|tensor| tensor.digest).collect()
    }
}
