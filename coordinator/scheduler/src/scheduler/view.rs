//! What people are shown: a copy of the state in public words. Deliberately read-only and without estimates;
//! whoever shows them computes them from the measured paces.

use std::collections::BTreeSet;

use wanfarm_types::{AttemptId, Incarnation, JobId, Role, Stage, VideoId, WorkerId};

use super::Scheduler;
use crate::job::PoolId;
use crate::placement::LaneId;
use crate::worker::Session;
use crate::{Instant, JobPhase, SizeClass, VideoPhase, VideoPlan};

/// Everything at one moment.
#[derive(Debug, Clone, PartialEq)]
pub struct View {
    /// By number.
    pub jobs: Vec<JobView>,
    /// By id.
    pub workers: Vec<WorkerView>,
    /// By model and stage; only those with ready items or workers.
    pub queues: Vec<QueueView>,
}

/// A job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobView {
    /// Its number.
    pub id: JobId,
    /// Its model.
    pub model: String,
    /// Higher goes first.
    pub priority: i32,
    /// Where it stands.
    pub state: JobPhase,
    /// In manifest order.
    pub videos: Vec<VideoView>,
}

/// A video.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VideoView {
    /// Which.
    pub id: VideoId,
    /// Where it stands.
    pub state: VideoPhase,
    /// The stage it is in or waits for; `None` once it is decoded or closed.
    pub stage: Option<Stage>,
    /// Steps that need not be computed again.
    pub steps_done: u32,
    /// Steps of which a durable checkpoint exists.
    pub durable_steps: u32,
    /// All its steps.
    pub steps: u32,
    /// Its frames are being written to files.
    pub writing: bool,
    /// Who works on it, and in which attempt.
    pub attempts: Vec<(AttemptId, WorkerId)>,
    /// Failures since it last came farther than ever.
    pub strikes: u32,
}

/// A worker.
#[derive(Debug, Clone, PartialEq)]
pub struct WorkerView {
    /// Who.
    pub id: WorkerId,
    /// Its last known boot.
    pub incarnation: Incarnation,
    /// For people.
    pub name: String,
    /// How it is connected.
    pub session: Session,
    /// When its silence ends its attempts.
    pub lease: Option<Instant>,
    /// Models and roles it serves.
    pub serves: Vec<(String, Role)>,
    /// What it computes: attempt, video, stage, steps done so far.
    pub running: Option<(AttemptId, VideoId, Stage, u32)>,
    /// What it computes after that.
    pub next: Option<(AttemptId, VideoId, Stage)>,
    /// Gets nothing more.
    pub draining: bool,
    /// It is told to leave as soon as it has finished and nothing that only it holds is needed.
    pub leaves: bool,
    /// Why it gets nothing more, if so.
    pub set_aside: Option<String>,
    /// Those it gets no work for, and why; of one that was turned away, all of them.
    pub refused: Vec<(String, Role, String)>,
    /// Seconds per step, or per item of a stage without steps, the median of the last five:
    /// (model, stage, size, seconds).
    pub pace: Vec<(String, Stage, SizeClass, f64)>,
}

/// What is left of an open video.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Remaining<'s> {
    /// All of it.
    pub plan: &'s VideoPlan,
    /// Steps that need not be computed again.
    pub steps_done: u32,
    /// Its texts are encoded.
    pub has_texts: bool,
    /// Its first frame is encoded.
    pub has_image: bool,
    /// It is decoded.
    pub decoded: bool,
}

/// The ready items of one stage of one model, and who could take them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueueView {
    /// The model.
    pub model: String,
    /// The stage.
    pub stage: Stage,
    /// Items whose inputs are there and that nobody has.
    pub ready: usize,
    /// Available workers of the role.
    pub workers: usize,
    /// Those of them without an item.
    pub idle: usize,
}

impl Scheduler {
    /// A copy of the state for displays. Linear in its size: not for every event.
    pub fn view(&self) -> View {
        View {
            jobs: self.jobs.keys().filter_map(|&id| self.view_job(id)).collect(),
            workers: self.workers.keys().filter_map(|&id| self.view_worker(id)).collect(),
            queues: self.view_queues(),
        }
    }

    /// One job.
    pub fn view_job(&self, id: JobId) -> Option<JobView> {
        let job = self.jobs.get(&id)?;
        let videos = (0..job.videos).filter_map(|index| self.view_video(VideoId { job: id, index })).collect();
        let model = self.models.name(job.model).to_owned();
        Some(JobView { id, model, priority: job.priority, state: job.state, videos })
    }

    /// One video.
    pub fn view_video(&self, id: VideoId) -> Option<VideoView> {
        let video = self.videos.get(&id)?;
        let steps_done = video.trail.steps_done();
        let missing_text =
            || video.plan.texts.iter().any(|key| !self.texts.get(key).is_some_and(crate::job::Text::is_usable));
        let stage = match video.plan.stage_of(steps_done) {
            _ if !video.state.is_open() || video.frames.is_some() => None,
            None => Some(Stage::Decode),
            Some(_) if steps_done == 0 && missing_text() => Some(Stage::EncodeText),
            Some(_) if steps_done == 0 && video.plan.has_image && !video.image_is_usable() => Some(Stage::EncodeImage),
            Some((stage, _)) => Some(stage),
        };
        let attempts = [video.image_attempt, video.attempt].into_iter().flatten();
        Some(VideoView {
            id,
            state: video.state.clone(),
            stage,
            steps_done,
            durable_steps: video.trail.durable_steps(),
            steps: video.plan.total_steps(),
            writing: video.writing.is_some(),
            attempts: attempts.filter_map(|id| Some((id, self.ledger.get(id)?.worker))).collect(),
            strikes: video.strikes.tries,
        })
    }

    /// What is left of a job's open videos, for estimates.
    pub fn remaining(&self, id: JobId) -> impl Iterator<Item = Remaining<'_>> {
        let videos = self.jobs.get(&id).map_or(0, |job| job.videos);
        let videos = (0..videos).filter_map(move |index| self.videos.get(&VideoId { job: id, index }));
        videos.filter(|video| video.state.is_open()).map(|video| Remaining {
            plan: &video.plan,
            steps_done: video.trail.steps_done(),
            has_texts: video
                .plan
                .texts
                .iter()
                .all(|text| self.texts.get(text).is_some_and(crate::job::Text::is_usable)),
            has_image: video.image_is_usable(),
            decoded: video.frames.is_some(),
        })
    }

    /// Everyone who was ever heard of, in order.
    pub fn worker_ids(&self) -> impl Iterator<Item = WorkerId> {
        self.workers.keys().copied()
    }

    /// Why a worker gets nothing more, in a word, if that is so.
    pub fn barred(&self, id: WorkerId) -> Option<&'static str> {
        let worker = self.workers.get(&id)?;
        let set_aside = worker.set_aside.as_ref().map(|_| "set aside");
        let refused = worker.is_refused().then_some("refused for its weights");
        set_aside.or(refused).or(worker.draining.then_some("drained"))
    }

    /// For what of a model a worker may be given work, if it is free: not what it is refused.
    pub fn roles(&self, id: WorkerId, model: &str) -> BTreeSet<Role> {
        let Some((worker, model)) = self.workers.get(&id).zip(self.models.find(model)) else { return BTreeSet::new() };
        let pools = worker.serves.keys().filter(|pool| pool.model == model && worker.is_member(**pool));
        pools.map(|pool| pool.role).collect()
    }

    /// One worker.
    pub fn view_worker(&self, id: WorkerId) -> Option<WorkerView> {
        let worker = self.workers.get(&id)?;
        let running = worker.running.and_then(|id| Some((id, self.ledger.get(id)?)));
        let next = worker.next.and_then(|id| Some((id, self.ledger.get(id)?)));
        let name = |model| self.models.name(model).to_owned();
        Some(WorkerView {
            id,
            incarnation: worker.incarnation,
            name: worker.name.clone(),
            session: worker.session,
            lease: worker.lease,
            serves: worker.serves.keys().map(|pool| (name(pool.model), pool.role)).collect(),
            running: running.map(|(id, attempt)| (id, attempt.item.video, attempt.item.stage, attempt.reached)),
            next: next.map(|(id, attempt)| (id, attempt.item.video, attempt.item.stage)),
            draining: worker.draining,
            leaves: worker.leaves,
            set_aside: worker.set_aside.clone(),
            refused: worker.refused.iter().map(|(pool, why)| (name(pool.model), pool.role, why.to_string())).collect(),
            pace: worker
                .pace
                .iter()
                .filter_map(|(&(model, stage, size), pace)| Some((name(model), stage, size, pace.seconds()?)))
                .collect(),
        })
    }

    fn view_queues(&self) -> Vec<QueueView> {
        let mut queues = Vec::new();
        for model in self.models.ids() {
            for stage in Stage::ALL {
                let ready = [false, true]
                    .into_iter()
                    .filter_map(|begins| self.board.lane(LaneId { model, stage, begins }))
                    .map(|lane| lane.at_least(i32::MIN))
                    .sum();
                let pool = self.board.pool(PoolId { model, role: stage.role() });
                let (workers, idle) = pool.map_or((0, 0), |pool| (pool.members.len(), pool.idle.len()));
                if ready > 0 || workers > 0 {
                    queues.push(QueueView { model: self.models.name(model).to_owned(), stage, ready, workers, idle });
                }
            }
        }
        queues
    }
}
