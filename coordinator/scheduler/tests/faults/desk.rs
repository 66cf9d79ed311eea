//! A desk to drive one scheduler by hand: it remembers what every worker was told, plays the honest worker where asked,
//! and checks the invariants after every input.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use uuid::Uuid;
use wanfarm_scheduler::{
    Action, ArtifactId, Assignment, Change, Config, Input, Instant, JobPlan, Scheduler, Served, SizeClass, TextKey,
    VideoPhase, VideoPlan, WorkerHello, WorkerView,
};
use wanfarm_types::{
    AttemptId, Checkpoint, DType, Digest, Failure, FailureKind, Footprint, Incarnation, ItemOutputs, JobId, ModelRole,
    Report, Role, Stage, StepRange, StepTiming, TensorRef, VideoId, WorkerId,
};

pub(crate) const ALL: &[Role] = &[Role::TextEncoder, Role::DitHigh, Role::DitLow, Role::Vae];
pub(crate) const LEASE: u64 = 30_000;

pub(crate) struct Desk {
    pub(crate) scheduler: Scheduler,
    config: Config,
    pub(crate) now: u64,
    pub(crate) rows: Vec<Change>,
    /// Everything done since it was last taken.
    pub(crate) log: Vec<Action>,
    /// What each worker was given and has not answered for.
    pub(crate) given: BTreeMap<u64, Vec<Assignment>>,
    boots: BTreeMap<u64, u64>,
    /// Durable copies succeed at once.
    pub(crate) store: bool,
}

pub(crate) fn worker(n: u64) -> WorkerId {
    WorkerId(Uuid::from_u128(u128::from(n)))
}

pub(crate) fn video(job: u64, index: u32) -> VideoId {
    VideoId { job: JobId(job), index }
}

pub(crate) fn failure(kind: FailureKind) -> Failure {
    Failure { kind, message: format!("{kind:?}") }
}

pub(crate) fn tensor(n: u64) -> TensorRef {
    let digest = Digest(std::array::from_fn(|i| n.to_le_bytes()[i % 8]));
    TensorRef { digest, dtype: DType::F32, shape: vec![1] }
}

fn number(id: WorkerId) -> u64 {
    id.0.as_u128() as u64
}

/// A job whose videos have steps 0..3 on the high expert and 3..6 on the low one, and prompts of their own.
pub(crate) fn job(id: u64, priority: i32, videos: u32) -> JobPlan {
    let video = |index: u32| VideoPlan {
        texts: vec![TextKey(tensor(id * 1000 + u64::from(index)).digest)],
        has_image: false,
        stages: vec![
            (Stage::DenoiseHigh, StepRange { first: 0, end: 3 }),
            (Stage::DenoiseLow, StepRange { first: 3, end: 6 }),
        ],
        size: SizeClass(100),
        encode: None,
        decode: None,
        frame: 10,
        kept: 0,
        work: Vec::new(),
        after: Vec::new(),
        name: String::new(),
    };
    JobPlan {
        id: JobId(id),
        priority,
        model: "a14b".into(),
        early_look: false,
        videos: (0..videos).map(video).collect(),
    }
}

impl Desk {
    pub(crate) fn new() -> Self {
        Self::with(Config::default())
    }

    pub(crate) fn with(config: Config) -> Self {
        let scheduler = Scheduler::new(config.clone(), AttemptId(1));
        Self {
            scheduler,
            config,
            now: 0,
            rows: Vec::new(),
            log: Vec::new(),
            given: BTreeMap::new(),
            boots: BTreeMap::new(),
            store: true,
        }
    }

    /// Workers 1, 2, … with these roles, and then the job.
    pub(crate) fn rendering(plan: JobPlan, workers: &[&[Role]]) -> Self {
        let mut desk = Self::new();
        (1..).zip(workers).for_each(|(n, roles)| desk.boot(n, roles));
        desk.add(plan);
        desk
    }

    pub(crate) fn add(&mut self, plan: JobPlan) {
        self.input(Input::JobAdded(plan));
    }

    /// Adds a job whose texts worker 1 encodes at once.
    pub(crate) fn add_encoded(&mut self, plan: JobPlan) {
        self.add(plan);
        self.play_text(1);
    }

    pub(crate) fn input(&mut self, input: Input) {
        self.scheduler.handle(Instant(self.now), input);
        self.collect();
    }

    fn collect(&mut self) {
        self.scheduler.check_invariants().expect("the invariants hold");
        let mut copies = Vec::new();
        while let Some(action) = self.scheduler.poll_action() {
            match &action {
                Action::Commit(rows) => self.rows.extend(rows.iter().cloned()),
                Action::Assign(assignment) => {
                    self.given.entry(number(assignment.worker)).or_default().push((**assignment).clone());
                }
                Action::Drop { worker, attempt, .. } => self.forget(number(*worker), *attempt),
                Action::MakeDurable { artifact, .. } if self.store => copies.push(*artifact),
                _ => {}
            }
            self.log.push(action);
        }
        copies.into_iter().for_each(|artifact| self.input(Input::Durable(artifact)));
    }

    fn forget(&mut self, n: u64, attempt: AttemptId) {
        if let Some(given) = self.given.get_mut(&n) {
            given.retain(|assignment| assignment.attempt != attempt);
        }
    }

    /// Time passes; heartbeats of the named workers arrive on the way.
    pub(crate) fn pass(&mut self, millis: u64, alive: &[u64]) {
        let end = self.now + millis;
        while self.now < end {
            self.now = (self.now + 5_000).min(end);
            for &n in alive {
                self.input(Input::Heartbeat { worker: worker(n), incarnation: self.incarnation(n) });
            }
            if self.scheduler.poll_timeout().is_some_and(|at| at.0 <= self.now) {
                self.scheduler.handle_timeout(Instant(self.now));
                self.collect();
            }
        }
    }

    pub(crate) fn incarnation(&self, n: u64) -> Incarnation {
        let boots = self.boots.get(&n).copied().unwrap_or(0);
        Incarnation(Uuid::from_u128(u128::from(n) << 64 | u128::from(boots)))
    }

    /// A first boot, or another one.
    pub(crate) fn boot(&mut self, n: u64, roles: &[Role]) {
        self.boot_with(n, roles, 1);
    }

    pub(crate) fn boot_with(&mut self, n: u64, roles: &[Role], weights: u64) {
        *self.boots.entry(n).or_default() += 1;
        self.given.remove(&n);
        self.hello_with(n, roles, &[], weights);
    }

    /// Hello of the present boot, which says that it has `running`.
    pub(crate) fn hello(&mut self, n: u64, roles: &[Role], running: &[AttemptId]) {
        self.hello_with(n, roles, running, 1);
    }

    pub(crate) fn hello_with(&mut self, n: u64, roles: &[Role], running: &[AttemptId], weights: u64) {
        let serves: Vec<_> = roles.iter().map(|&role| (role, weights)).collect();
        self.hello_of(n, &serves, running);
    }

    /// As [`Self::hello`], with weights of their own for each role.
    pub(crate) fn hello_of(&mut self, n: u64, serves: &[(Role, u64)], running: &[AttemptId]) {
        self.hello_from(n, serves, running, None, &[]);
    }

    /// A first boot, or another one, of a worker that may serve everything and holds what it is told to. Experts take 60,
    /// the text encoder 20, the autoencoder 5, an item 5.
    pub(crate) fn boot_elastic(&mut self, n: u64, budget: u64) {
        *self.boots.entry(n).or_default() += 1;
        self.given.remove(&n);
        self.hello_elastic(n, budget, &[], &[]);
    }

    pub(crate) fn hello_elastic(&mut self, n: u64, budget: u64, running: &[AttemptId], loaded: &[Role]) {
        let serves: Vec<_> = ALL.iter().map(|&role| (role, 1)).collect();
        self.hello_from(n, &serves, running, Some(budget), loaded);
    }

    fn hello_from(
        &mut self,
        n: u64,
        serves: &[(Role, u64)],
        running: &[AttemptId],
        budget: Option<u64>,
        loaded: &[Role],
    ) {
        let footprint = |role| {
            let weights = match role {
                Role::TextEncoder => 20,
                Role::DitHigh | Role::DitLow | Role::Dit => 60,
                Role::Vae => 5,
            };
            Footprint { weights, item: 5, per_token: 0, per_frame_token: 0, per_kept_token: 0 }
        };
        let serves = serves.iter().map(|&(role, weights)| Served {
            model: "a14b".into(),
            role,
            weights: tensor(weights).digest,
            footprint: footprint(role),
        });
        let hello = WorkerHello {
            worker: worker(n),
            incarnation: self.incarnation(n),
            name: format!("mac-{n}"),
            serves: serves.collect(),
            budget,
            loaded: loaded.iter().map(|&role| ModelRole { model: "a14b".into(), role }).collect(),
            running: running.to_vec(),
            holding: Vec::new(),
        };
        self.input(Input::WorkerJoined(hello));
    }

    pub(crate) fn lost(&mut self, n: u64) {
        self.input(Input::WorkerLost { worker: worker(n), incarnation: self.incarnation(n) });
    }

    pub(crate) fn gone(&mut self, n: u64, clean: bool) {
        self.given.remove(&n);
        self.input(Input::WorkerGone { worker: worker(n), incarnation: self.incarnation(n), clean });
    }

    pub(crate) fn report(&mut self, n: u64, attempt: AttemptId, report: Report) {
        if report.is_final() {
            self.forget(n, attempt);
        }
        self.input(Input::Report { worker: worker(n), incarnation: self.incarnation(n), attempt, report });
    }

    /// The item worker `n` is to run now.
    pub(crate) fn item(&self, n: u64) -> Assignment {
        self.try_item(n).unwrap_or_else(|| panic!("worker {n} has nothing to do"))
    }

    pub(crate) fn try_item(&self, n: u64) -> Option<Assignment> {
        self.given.get(&n)?.first().cloned()
    }

    pub(crate) fn start(&mut self, n: u64) -> AttemptId {
        let attempt = self.item(n).attempt;
        self.report(n, attempt, Report::Started);
        attempt
    }

    /// The state of a video after a step; it depends on nothing else, as it would on one kind of device.
    pub(crate) fn state(id: VideoId, steps_done: u32) -> Checkpoint {
        let n = id.job.0 * 1_000_000 + u64::from(id.index) * 1_000 + u64::from(steps_done);
        Checkpoint { steps_done, tensors: vec![tensor(n)] }
    }

    pub(crate) fn step(&mut self, n: u64, steps_done: u32) {
        let Assignment { attempt, item, .. } = self.item(n);
        let checkpoint = Self::state(item.video, steps_done);
        self.report(n, attempt, Report::StepDone { checkpoint, seconds: 2.0 });
    }

    pub(crate) fn steps(&mut self, n: u64, steps_done: RangeInclusive<u32>) {
        steps_done.for_each(|done| self.step(n, done));
    }

    /// Plays the running item of worker `n` to its end.
    pub(crate) fn finish(&mut self, n: u64) {
        let Assignment { attempt, item, .. } = self.item(n);
        self.report(n, attempt, Report::Started);
        self.steps(n, item.steps.first + 1..=item.steps.end);
        self.done(n, item.steps.end);
    }

    /// The final report of the running item, after `steps_done` steps if it denoises.
    pub(crate) fn done(&mut self, n: u64, steps_done: u32) {
        let Assignment { attempt, item, .. } = self.item(n);
        let outputs = match item.stage {
            Stage::EncodeText => ItemOutputs::Text(tensor(attempt.0)),
            Stage::EncodeImage => ItemOutputs::Image(vec![tensor(attempt.0)]),
            Stage::Decode => ItemOutputs::Frames(tensor(attempt.0)),
            _ => ItemOutputs::Checkpoint(Self::state(item.video, steps_done)),
        };
        self.report(n, attempt, Report::ItemDone { outputs, timing: StepTiming::default() });
    }

    pub(crate) fn fail(&mut self, n: u64, kind: FailureKind) {
        let attempt = self.start(n);
        self.report(n, attempt, Report::Failed(failure(kind)));
    }

    /// Finishes items of worker `n` until it has one of this stage.
    pub(crate) fn until(&mut self, n: u64, stage: Stage) -> Assignment {
        while self.item(n).item.stage != stage {
            self.finish(n);
        }
        self.item(n)
    }

    /// Worker `n` encodes all the texts it is given.
    pub(crate) fn play_text(&mut self, n: u64) {
        while self.try_item(n).is_some_and(|item| item.item.stage == Stage::EncodeText) {
            self.finish(n);
        }
    }

    /// Worker `n` finishes what it is given until it has decoded a video.
    pub(crate) fn decode(&mut self, n: u64) {
        self.until(n, Stage::Decode);
        self.finish(n);
    }

    /// Like [`Self::play`], but the log is complete afterwards.
    pub(crate) fn play_keeping_the_log(&mut self) {
        let mut log = Vec::new();
        loop {
            let busy: Vec<u64> = self.given.iter().filter(|(_, given)| !given.is_empty()).map(|(&n, _)| n).collect();
            let fresh = log.len();
            log.append(&mut self.log);
            let writes: Vec<VideoId> = log[fresh..].iter().filter_map(written).collect();
            if writes.is_empty() && busy.is_empty() {
                break;
            }
            writes.into_iter().for_each(|video| self.input(Input::OutputsWritten(video)));
            for n in busy {
                if self.try_item(n).is_some() {
                    self.finish(n);
                }
            }
        }
        self.log = log;
    }

    /// All workers finish whatever they get, and outputs are written, until nothing moves.
    pub(crate) fn play(&mut self) {
        self.play_keeping_the_log();
        self.log.clear();
    }

    /// Plays, after which all of this job's videos have to be done.
    pub(crate) fn complete(&mut self, job: u64) {
        self.play();
        assert!(self.is_done(job), "{:?}", self.states(job));
    }

    /// What `pick` finds in the log, which is empty afterwards.
    pub(crate) fn taken<T>(&mut self, pick: impl Fn(&Action) -> Option<T>) -> Vec<T> {
        self.log.drain(..).filter_map(|action| pick(&action)).collect()
    }

    pub(crate) fn stopped(&self, attempt: AttemptId) -> bool {
        self.said(|action| matches!(action, Action::StopAfterStep { attempt: a, .. } if *a == attempt))
    }

    pub(crate) fn dropped(&self, attempt: AttemptId) -> bool {
        self.said(|action| matches!(action, Action::Drop { attempt: a, .. } if *a == attempt))
    }

    pub(crate) fn said(&self, test: impl Fn(&Action) -> bool) -> bool {
        self.log.iter().any(test)
    }

    pub(crate) fn worker(&self, n: u64) -> WorkerView {
        self.scheduler.view_worker(worker(n)).expect("a known worker")
    }

    pub(crate) fn states(&self, job: u64) -> Vec<VideoPhase> {
        self.scheduler.phases(JobId(job)).map(|(_, phase)| phase.clone()).collect()
    }

    pub(crate) fn is_done(&self, job: u64) -> bool {
        self.states(job).iter().all(|state| *state == VideoPhase::Done)
    }

    /// The coordinator dies and comes back with nothing but its rows.
    pub(crate) fn restart(&mut self) {
        let rows = self.rows.iter().cloned();
        let restored = Scheduler::restore(self.config.clone(), Instant(self.now), AttemptId(1), rows);
        self.scheduler = restored.expect("our own rows");
        self.log.clear();
        self.collect();
    }
}

/// The video that this action wants written.
pub(crate) fn written(action: &Action) -> Option<VideoId> {
    match action {
        Action::WriteOutputs { video, .. } => Some(*video),
        _ => None,
    }
}

pub(crate) fn checkpoint_of(id: VideoId, steps_done: u32) -> ArtifactId {
    ArtifactId::Checkpoint { video: id, steps_done }
}
