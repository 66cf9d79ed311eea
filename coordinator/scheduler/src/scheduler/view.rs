//! What people are shown: a copy of the state in public words. Deliberately read-only and without estimates;
//! callers compute them from the measured paces.

use std::collections::BTreeSet;
use std::sync::Arc;

use wanfarm_types::{
    AttemptId, Incarnation, ItemSize, JobId, Loading, ModelRole, Role, Stage, VideoId, WorkerId, WorkerMemory,
};

use super::Scheduler;
use crate::attempts::Attempt;
use crate::job::{ModelId, PoolId};
use crate::placement::Residency;
use crate::worker::Session;
use crate::{Instant, NoRoom, Room, Rooms, SizeClass, VideoPhase, VideoPlan};

/// A worker.
#[derive(Debug, Clone, PartialEq)]
pub struct WorkerView {
    /// Identity of the worker.
    pub id: WorkerId,
    /// Its last known boot.
    pub incarnation: Incarnation,
    /// Display name.
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
    /// The roles that an operator wants it to be given work of, if not all.
    pub assigned: Option<BTreeSet<Role>>,
    /// Why it gets nothing more, if so.
    pub set_aside: Option<String>,
    /// Those it gets no work for, and why; of one that was turned away, all of them.
    pub refused: Vec<(String, Role, String)>,
    /// Seconds per step, or per item of a stage without steps, the median of the last five:
    /// (model, stage, size, seconds).
    pub pace: Vec<(String, Stage, SizeClass, f64)>,
    /// Its memory; `None` where it holds all it serves.
    pub memory: Option<WorkerMemory>,
    /// What it could not load lately.
    pub unloadable: Vec<ModelRole>,
}

/// How far a video is. The default is a video of which nothing is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Progress {
    /// Steps that need not be computed again.
    pub steps_done: u32,
    /// Its texts are encoded.
    pub has_texts: bool,
    /// Its first frame is encoded.
    pub has_image: bool,
    /// It is decoded.
    pub decoded: bool,
}

impl Scheduler {
    /// Every job it knows, in order.
    pub fn job_ids(&self) -> impl Iterator<Item = JobId> {
        self.jobs.keys().copied()
    }

    /// Where the videos of a job stand; none of one that it does not know.
    pub fn phases(&self, id: JobId) -> impl Iterator<Item = (VideoId, &VideoPhase)> {
        let videos = self.jobs.get(&id).map_or(0, |job| job.videos);
        let video = move |index| self.videos.get_key_value(&VideoId { job: id, index });
        (0..videos).filter_map(video).map(|(&id, video)| (id, &video.state))
    }

    /// The stage that a video is in or waits for; `None` once it is decoded or closed.
    pub fn stage(&self, id: VideoId) -> Option<Stage> {
        let video = self.videos.get(&id).filter(|video| video.state.is_open() && video.frames.is_none())?;
        let steps_done = video.checkpoints.steps_done();
        let missing_text =
            || video.plan.texts.iter().any(|key| !self.texts.get(key).is_some_and(crate::job::Text::is_usable));
        Some(match video.plan.stage_of(steps_done) {
            None => Stage::Decode,
            Some(_) if steps_done == 0 && missing_text() => Stage::EncodeText,
            Some(_) if steps_done == 0 && video.plan.has_image && !video.image_is_usable() => Stage::EncodeImage,
            Some((stage, _)) => stage,
        })
    }

    /// Steps of a video that need not be computed again.
    pub fn steps_done(&self, id: VideoId) -> Option<u32> {
        self.videos.get(&id).map(|video| video.checkpoints.steps_done())
    }

    /// Steps of a video of which a durable checkpoint exists.
    pub fn durable_steps(&self, id: VideoId) -> Option<u32> {
        self.videos.get(&id).map(|video| video.checkpoints.durable_steps())
    }

    /// Failures of a video since its best progress.
    pub fn strikes(&self, id: VideoId) -> Option<u32> {
        self.videos.get(&id).map(|video| video.strikes.tries)
    }

    /// Ready items of a stage that no worker has.
    pub fn ready(&self, stage: Stage) -> usize {
        let lanes = self.models.ids().flat_map(|model| self.board.lanes_of(model, stage));
        lanes.map(|lane| lane.at_least(i32::MIN)).sum()
    }

    /// A job's open videos, by their places in its plan, and how far they are, for estimates.
    pub fn remaining(&self, id: JobId) -> impl Iterator<Item = (u32, &VideoPlan, Progress)> {
        let videos = self.jobs.get(&id).map_or(0, |job| job.videos);
        let videos = (0..videos).filter_map(move |index| Some((index, self.videos.get(&VideoId { job: id, index })?)));
        videos.filter(|(_, video)| video.state.is_open()).map(|(index, video)| {
            let is_usable = |text| self.texts.get(text).is_some_and(crate::job::Text::is_usable);
            let progress = Progress {
                steps_done: video.checkpoints.steps_done(),
                has_texts: video.plan.texts.iter().all(is_usable),
                has_image: video.image_is_usable(),
                decoded: video.frames.is_some(),
            };
            (index, &video.plan, progress)
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

    /// Why a worker that serves a role of a model gets no work of it, in a few words, if that is so.
    pub fn passed_over(&self, id: WorkerId, model: &str, role: Role) -> Option<&'static str> {
        let (worker, model) = self.workers.get(&id).zip(self.models.find(model))?;
        let pool = PoolId { model, role };
        let why = if worker.can_run(pool) { "assigned to other roles" } else { "refused for its weights" };
        (worker.serves.contains_key(&pool) && !worker.is_member(pool)).then_some(why)
    }

    /// For what of a model a worker may be given work, if it is free: not what it is refused or not assigned to.
    pub fn roles(&self, id: WorkerId, model: &str) -> BTreeSet<Role> {
        let Some((worker, model)) = self.workers.get(&id).zip(self.models.find(model)) else { return BTreeSet::new() };
        let pools = worker.serves.keys().filter(|pool| pool.model == model && worker.is_member(**pool));
        pools.map(|pool| pool.role).collect()
    }

    /// What has no room on any of the workers that could be given it, of the videos of a job that go on.
    pub fn no_room(&self, id: JobId) -> Option<NoRoom> {
        let model = self.jobs.get(&id)?.model;
        let all = self.remaining(id).flat_map(|(_, plan, progress)| {
            let left = plan.stages.iter().filter(move |(_, steps)| steps.end > progress.steps_done);
            let size = plan.item_size();
            left.map(|(stage, _)| *stage).chain([Stage::Decode]).map(move |stage| (stage.role(), size))
        });
        let all: BTreeSet<(Role, ItemSize)> = all.collect();
        let rooms =
            self.rooms_of(model, |id, pool| self.board.pool(pool).is_some_and(|pool| pool.members.contains(&id)));
        all.into_iter().find_map(|(role, size)| rooms.lack(role, size))
    }

    /// What everyone who is known to serve a model has for it in memory, those that are away among them.
    pub fn rooms(&self, model: &str) -> Rooms {
        self.models.find(model).map(|model| self.rooms_of(model, |_, _| true)).unwrap_or_default()
    }

    fn rooms_of(&self, model: ModelId, counts: impl Fn(WorkerId, PoolId) -> bool) -> Rooms {
        let mut rooms = Rooms::default();
        for (&id, worker) in &self.workers {
            let pools = worker.serves.keys().filter(|pool| pool.model == model && counts(id, **pool));
            for pool in pools {
                let room = |memory: &Arc<Residency>| {
                    let footprint = memory.roles.get(pool).copied().unwrap_or_default();
                    Room { budget: memory.budget, footprint }
                };
                rooms.add(pool.role, worker.residency.as_ref().map(room));
            }
        }
        rooms
    }

    /// Milliseconds after which a worker has the weights of a role in memory; 0 where it holds them.
    pub fn load_time(&self, id: WorkerId, model: &str, role: Role) -> u64 {
        let found = self.workers.get(&id).and_then(|worker| worker.residency.as_ref()).zip(self.models.find(model));
        found.map_or(0, |(memory, model)| memory.load_time(PoolId { model, role }))
    }

    /// One worker.
    pub fn view_worker(&self, id: WorkerId) -> Option<WorkerView> {
        let worker = self.workers.get(&id)?;
        let running = worker.running.and_then(|id| Some((id, self.ledger.get(id)?)));
        let next = worker.next.and_then(|id| Some((id, self.ledger.get(id)?)));
        let name = |model| self.models.name(model).to_owned();
        let named = |pool: &PoolId| self.models.role(*pool);
        let loading = |attempt: &Attempt| {
            let load = attempt.load.filter(|load| !load.is_done())?;
            Some(Loading { role: named(&attempt.pool()), progress: load })
        };
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
            assigned: worker.assigned.clone(),
            set_aside: worker.set_aside.clone(),
            refused: worker.refused.iter().map(|(pool, why)| (name(pool.model), pool.role, why.to_string())).collect(),
            pace: worker
                .pace
                .iter()
                .filter_map(|(&(model, stage, size), pace)| Some((name(model), stage, size, pace.seconds()?)))
                .collect(),
            memory: worker.residency.as_ref().map(|memory| WorkerMemory {
                budget_bytes: memory.budget,
                weights_bytes: memory.weights(),
                loaded: memory.held().iter().map(named).collect(),
                loading: running.and_then(|(_, attempt)| loading(attempt)),
            }),
            unloadable: worker.unloadable.keys().map(named).collect(),
        })
    }
}
