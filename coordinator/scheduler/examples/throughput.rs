//! How long a decision takes: a large farm renders a large batch in virtual time, with a scheduler that is real.
//! `cargo run --release -p wanfarm-scheduler --example throughput [VIDEOS] [WORKERS]`

use std::collections::BTreeMap;

use uuid::Uuid;
use wanfarm_scheduler::{
    Action, Assignment, Config, Input, Instant, ItemOutputs, JobPlan, Report, Scheduler, Served, SizeClass, TextKey,
    VideoPlan, WorkerHello,
};
use wanfarm_types::{
    AttemptId, Checkpoint, DType, Digest, Incarnation, JobId, Role, Stage, StepRange, StepTiming, TensorRef, WorkerId,
};

const STEPS: u32 = 8;

struct Farm {
    scheduler: Scheduler,
    now: u64,
    /// What arrives when; the number keeps the order of what arrives together.
    arrivals: BTreeMap<(u64, u64), Input>,
    sequence: u64,
    inputs: u64,
    assigned: u64,
    spent: std::time::Duration,
    slowest: std::time::Duration,
}

impl Farm {
    #[expect(clippy::disallowed_methods, reason = "this measures the scheduler from outside")]
    fn handle(&mut self, input: Input) {
        let start = std::time::Instant::now();
        self.scheduler.handle(Instant(self.now), input);
        let spent = start.elapsed();
        self.spent += spent;
        self.slowest = self.slowest.max(spent);
        self.inputs += 1;
        while let Some(action) = self.scheduler.poll_action() {
            match action {
                Action::Assign(assignment) => self.work(&assignment),
                Action::MakeDurable { artifact, .. } => self.later(500, Input::Durable(artifact)),
                Action::WriteOutputs { video, .. } => self.later(2_000, Input::OutputsWritten(video)),
                _ => {}
            }
        }
    }

    fn later(&mut self, delay: u64, input: Input) {
        self.sequence += 1;
        self.arrivals.insert((self.now + delay, self.sequence), input);
    }

    /// The worker reports on time; a prefetched item waits for nothing here, which only makes the farm busier.
    fn work(&mut self, assignment: &Assignment) {
        self.assigned += 1;
        let Assignment { worker, incarnation, attempt, item, .. } = *assignment;
        let tensor = |step: u32| TensorRef {
            digest: Digest(std::array::from_fn(|i| (attempt.0 >> (i % 8)) as u8 ^ step as u8)),
            dtype: DType::F32,
            shape: vec![1],
        };
        let mut at = 100 + attempt.0 % 97;
        let mut report = |at, report| self.later(at, Input::Report { worker, incarnation, attempt, report });
        report(at, Report::Started);
        for step in item.steps.first..item.steps.end {
            at += 20_000;
            let checkpoint = Checkpoint { steps_done: step + 1, tensors: vec![tensor(step)] };
            report(at, Report::StepDone { checkpoint, seconds: 20.0 });
        }
        let outputs = match item.stage {
            Stage::EncodeText => ItemOutputs::Text(tensor(0)),
            Stage::EncodeImage => ItemOutputs::Image(vec![tensor(0)]),
            Stage::Decode => ItemOutputs::Frames(tensor(0)),
            _ => ItemOutputs::Checkpoint(Checkpoint {
                steps_done: item.steps.end,
                tensors: vec![tensor(item.steps.end)],
            }),
        };
        report(at + 3_000, Report::ItemDone { outputs, timing: StepTiming::default() });
    }
}

fn main() {
    let mut args = std::env::args().skip(1).map(|arg| arg.parse::<u32>());
    let videos = args.next().and_then(Result::ok).unwrap_or(10_000);
    let workers = args.next().and_then(Result::ok).unwrap_or(1_000);
    let scheduler = Scheduler::new(Config::default(), AttemptId(1));
    let mut farm = Farm {
        scheduler,
        now: 0,
        arrivals: BTreeMap::new(),
        sequence: 0,
        inputs: 0,
        assigned: 0,
        spent: Default::default(),
        slowest: Default::default(),
    };
    for number in 0..workers {
        let roles = match number % 10 {
            0 => vec![Role::TextEncoder, Role::Vae],
            1..=6 => vec![Role::DitHigh],
            _ => vec![Role::DitLow],
        };
        let serves = roles.into_iter().map(|role| Served { model: "a14b".into(), role, weights: Digest([1; 32]) });
        farm.handle(Input::WorkerJoined(WorkerHello {
            worker: WorkerId(Uuid::from_u128(u128::from(number) + 1)),
            incarnation: Incarnation(Uuid::from_u128(1)),
            name: format!("mac-{number}"),
            serves: serves.collect(),
            running: Vec::new(),
            holding: Vec::new(),
        }));
    }
    let jobs = 10;
    for job in 0..jobs {
        let video = |index: u32| VideoPlan {
            texts: vec![key(job * videos + index), key(u32::MAX)],
            has_image: index % 2 == 1,
            stages: vec![
                (Stage::DenoiseHigh, StepRange { first: 0, end: STEPS / 2 }),
                (Stage::DenoiseLow, StepRange { first: STEPS / 2, end: STEPS }),
            ],
            size: SizeClass(75_600),
        };
        let videos = (0..videos / jobs).map(video).collect();
        let plan = JobPlan {
            id: JobId(u64::from(job) + 1),
            priority: (job % 3) as i32,
            model: "a14b".into(),
            early_look: false,
            videos,
        };
        farm.handle(Input::JobAdded(plan));
    }
    let mut heartbeat = 0;
    while let Some(((at, _), input)) = farm.arrivals.pop_first() {
        farm.now = at;
        while heartbeat < at {
            heartbeat += 7_500;
            for number in 0..workers {
                let worker = WorkerId(Uuid::from_u128(u128::from(number) + 1));
                farm.handle(Input::Heartbeat { worker, incarnation: Incarnation(Uuid::from_u128(1)) });
            }
        }
        farm.handle(input);
    }
    let open = farm.scheduler.view().jobs.iter().flat_map(|job| &job.videos).filter(|v| v.state.is_open()).count();
    println!(
        "{videos} videos on {workers} workers: {} inputs, {} assignments, {open} videos left open",
        farm.inputs, farm.assigned
    );
    println!(
        "{:.2} µs per input, {:.2} µs per assignment all told, slowest input {:.2} ms, {:.1} h of virtual time",
        farm.spent.as_secs_f64() * 1e6 / farm.inputs as f64,
        farm.spent.as_secs_f64() * 1e6 / farm.assigned as f64,
        farm.slowest.as_secs_f64() * 1e3,
        farm.now as f64 / 3.6e6,
    );
}

fn key(number: u32) -> TextKey {
    TextKey(Digest(std::array::from_fn(|i| number.to_le_bytes()[i % 4])))
}
