//! Rows of every kind, and random batches of them from a seed.

use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use uuid::Uuid;
use wanfarm_manifest::first_frame::Image;
use wanfarm_manifest::{Submission, Taken, plan};
use wanfarm_scheduler::{ArtifactId, AttemptEnd, Change, JobPhase, JobPlan, TextKey, VideoPhase};
use wanfarm_types::fixtures::{info, request};
use wanfarm_types::{
    About, Access, AttemptId, CacheRequest, ClipLength, DType, Digest, Effort, EventKind, Excerpt, Expert, Experts,
    Failure, FailureKind, GrantId, Guidance, ImageSource, Incarnation, JobId, KeyId, LoraRef, Machine, MagCacheRequest,
    MagCurve, ModelFile, Nag, Rights, Role, Stage, StepRange, StepTiming, TensorRef, VideoId, VideoRequest, VideoSpec,
    WebhookId, WorkItem, WorkerId,
};

use crate::access::{GrantRow, Proof};
use crate::outputs::{Content, KeptExcerpt, Print, Written};
use crate::store::{JobEnd, JobRow, Row, WebhookRow};
use crate::times::Moment;
use crate::totals::{Share, Totals};

pub(super) fn digest(n: u8) -> Digest {
    Digest([n; 32])
}

pub(super) fn worker(n: u128) -> WorkerId {
    WorkerId(Uuid::from_u128(n))
}

/// A request whose numbers only survive exact reading and writing.
fn exact() -> VideoRequest {
    VideoRequest {
        prompt: "a \"cat\" — 猫\n'; DROP TABLE job; --".into(),
        negative: Some(String::new()),
        seed: u64::MAX,
        shift: Some(0.1 + 0.2),
        guidance: Some(Guidance { high: 1.0 / 3.0, low: 5e-324 }),
        name: Some("shot \"猫\"".into()),
        image: Some(ImageSource::File(digest(9))),
        nag: Some(Nag { scale: 11.0 / 3.0, ..Nag::default() }),
        cache: Some(CacheRequest::Magcache(MagCacheRequest {
            curve: Some(MagCurve::Ti2v5bImage),
            threshold: Some(0.1 + 0.2),
            ..MagCacheRequest::default()
        })),
        loras: vec![LoraRef {
            name: "film \"grain\".safetensors".into(),
            blake3: digest(10),
            bytes: 1 << 40,
            strength: -1.0 / 3.0,
            expert: Some(Expert::Low),
        }],
        swept: [("pace", "slow\n猫"), ("animal", "fox")].into_iter().collect(),
        ..request()
    }
}

pub(super) fn job(id: u64, key: &str, videos: usize) -> Row {
    let submission = Submission {
        client_key: key.into(),
        name: "night".into(),
        model: "m".into(),
        priority: 50,
        early_look: true,
        taken: Taken::NewName,
        videos: vec![exact(); videos],
    };
    Row::Job(JobRow {
        id: JobId(id),
        submission,
        asked: Digest([9; 32]),
        submitted: Moment { at: 1_791_000_000.123_456_7, elapsed: 0.1 + 0.2 },
        output: "/renders/é \"x\"".into(),
        report: "night-1.report.json".into(),
    })
}

fn spec() -> VideoSpec {
    VideoRequest { guidance: exact().guidance, nag: exact().nag, shift: exact().shift, seed: u64::MAX, ..request() }
        .resolve(&info(Experts::Dual { boundary: 0.875 }))
        .unwrap()
}

/// The settings of a job's videos, of which the first is refused.
pub(super) fn resolved(job: u64, videos: usize) -> Row {
    let refused = || Err("width = 65 is not a multiple of 16".to_owned());
    let videos = (0..videos).map(|index| if index == 0 { refused() } else { Ok(spec()) }).collect();
    Row::Resolved { job: JobId(job), videos }
}

pub(super) fn planned(job: u64, videos: usize) -> Row {
    let video = plan::plan(&spec(), &info(Experts::Dual { boundary: 0.875 })).unwrap();
    let plan = JobPlan {
        id: JobId(job),
        priority: -3,
        model: "m".into(),
        early_look: true,
        videos: vec![video; videos.saturating_sub(1)],
    };
    Row::Scheduler(Change::JobAdded(plan))
}

pub(super) fn durable(artifact: ArtifactId, n: u8) -> Row {
    let tensor = |n| TensorRef { digest: digest(n), dtype: DType::F32, shape: vec![16, 21, 90, 160] };
    Row::Scheduler(Change::ArtifactDurable { artifact, tensors: vec![tensor(n), tensor(n.wrapping_add(1))] })
}

pub(super) fn kept(text: u8, n: u8) -> Row {
    let tensors = vec![TensorRef { digest: digest(n), dtype: DType::F32, shape: vec![31, 4096] }];
    let (text, weights) = (TextKey(digest(text)), digest(n.wrapping_add(9)));
    Row::Scheduler(Change::TextKept { text, tensors, weights, job: JobId(u64::from(n)) })
}

pub(super) fn issued(attempt: u64, video: VideoId) -> Row {
    Row::Scheduler(Change::AttemptIssued {
        attempt: AttemptId(attempt),
        item: WorkItem { video, stage: Stage::DenoiseHigh, steps: StepRange { first: 3, end: 26 } },
        text: None,
        worker: worker(7),
        incarnation: Incarnation(Uuid::from_u128(8)),
    })
}

pub(super) fn ended(attempt: u64, end: AttemptEnd) -> Row {
    let step_seconds = vec![0.1, 1.0 / 3.0];
    let timing = StepTiming {
        seconds: 0.1 + 0.2,
        step_seconds,
        forward_passes: vec![2, 0],
        input_wait_seconds: 1e-9,
        load_seconds: 1.5,
        text_tokens: 655,
    };
    let steps = StepRange { first: 3, end: 5 };
    Row::Scheduler(Change::AttemptEnded { attempt: AttemptId(attempt), end, steps, timing })
}

fn begun(attempt: u64, n: u8) -> Row {
    let at = Moment { at: f64::from(n), elapsed: f64::from(n) / 7.0 };
    Row::Begun { attempt: AttemptId(attempt), at, waited: f64::from(n) / 9.0 }
}

/// The end of a job, or that it has none.
fn over(job: u64, n: Option<u8>) -> Row {
    let end = n.map(|n| {
        let effort = Effort { attempts: 3, seconds: f64::from(n) / 3.0, ..Effort::default() };
        let share = Share { worker: worker(7), name: format!("mac {n}"), stage: Stage::Decode, effort };
        let machine =
            Machine { name: "mac".into(), device: "cpu".into(), memory_bytes: Some(u64::MAX), weights: Vec::new() };
        let totals = Totals { begun: Some(1.0 / 3.0), shares: vec![share], machines: vec![machine] };
        Box::new(JobEnd { at: Moment { at: f64::from(n), elapsed: f64::from(n) / 7.0 }, totals })
    });
    Row::Ended { job: JobId(job), end }
}

/// A job of which every table tells something.
pub(super) fn everything() -> Vec<Row> {
    let video = VideoId { job: JobId(1), index: 0 };
    let (name, device) = ("mac".to_owned(), "cpu".to_owned());
    let pin = Change::WeightsPinned { job: JobId(1), role: Role::Vae, weights: Some(digest(1)) };
    let outputs = Row::Outputs { video, written: [].into(), verdict: "ok".into(), seconds: 1.0, frames: [].into() };
    let files = vec![ModelFile { path: "high.safetensors".into(), blake3: digest(1) }];
    vec![
        Row::Model(info(Experts::Dual { boundary: 0.5 })),
        Row::Weights { model: "m".into(), role: Role::DitHigh, weights: digest(1), files },
        Row::Image(Image { digest: digest(1), bytes: 9, width: 64, height: 32, clip: None }),
        grant(3),
        Row::Worker { worker: worker(7), name, device, seen: 1.5 },
        Row::WorkerNote { worker: worker(7), note: Some("fan is loud\nsince Monday — 猫".into()) },
        job(1, "a", 2),
        resolved(1, 2),
        planned(1, 2),
        target(3),
        Row::Scheduler(pin),
        outputs,
        issued(1, video),
        begun(1, 3),
        ended(1, AttemptEnd::Done),
        durable(ArtifactId::Checkpoint { video, steps_done: 3 }, 1),
        kept(1, 1),
        over(1, Some(4)),
    ]
}

fn webhook(n: u8) -> WebhookId {
    WebhookId(Uuid::from_u128(n.into()))
}

/// A target of webhooks.
fn target(n: u8) -> Row {
    Row::Webhook(WebhookRow {
        id: webhook(n % 3),
        url: format!("https://hooks.example/é?token={n}"),
        secret: format!("whsec_{n}"),
        kinds: EventKind::ALL.iter().take(usize::from(n % 4)).copied().collect(),
        created: f64::from(n) / 3.0,
        told: u64::from(n),
    })
}

/// Somebody who may do something.
fn grant(n: u8) -> Row {
    let (digest, left) = (Digest([n; 32]), u32::from(n % 4));
    let proof = match n % 3 {
        0 => Proof::Key(KeyId(digest)),
        1 => Proof::Bearer(digest),
        _ => Proof::Invitation { token: digest, left },
    };
    Row::Grant(GrantRow {
        id: GrantId(u64::from(n % 5)),
        name: format!("mäc {n}"),
        rights: Rights::new(Access::ALL.into_iter().skip(usize::from(n % 4))).unwrap(),
        proof,
        created: f64::from(n) / 3.0,
        expires: n.is_multiple_of(2).then(|| f64::from(n) / 7.0),
    })
}

/// A farm with jobs 1 to 4 of three videos each, of which two are planned.
pub(super) fn farm() -> Vec<Row> {
    (1..5).flat_map(|n| [job(n, &format!("key {n}"), 3), resolved(n, 3), planned(n, 3)]).collect()
}

/// A random batch for that farm. Some batches are refused.
pub(super) fn batch(rng: &mut SmallRng) -> Vec<Row> {
    let rows = rng.random_range(1..4);
    (0..rows).flat_map(|_| any(rng)).collect()
}

pub(super) fn rng(seed: u64) -> SmallRng {
    SmallRng::seed_from_u64(seed)
}

fn any(rng: &mut SmallRng) -> Vec<Row> {
    let (number, n, attempt) = (rng.random_range(1..5u64), rng.random::<u8>(), rng.random_range(1..30u64));
    let job_id = JobId(number);
    let video = VideoId { job: job_id, index: rng.random_range(0..2) };
    let failure = Failure { kind: FailureKind::NotFinite, message: format!("NaN after step {n}") };
    let change = match rng.random_range(3..28) {
        27 if n < 60 => return vec![Row::GrantForgotten(GrantId(u64::from(n % 5)))],
        27 => return vec![grant(n)],
        25 if n < 60 => return vec![Row::WebhookForgotten(webhook(n % 3))],
        25 => return vec![target(n)],
        26 => return vec![Row::Forecast { job: job_id, at: f64::from(n), seconds: f64::from(n) / 7.0 }],
        24 => {
            let labels = (0..n % 3).map(|label| (format!("shot-{label}"), format!("{n} \"é\""))).collect();
            let about = About { owner: (n % 2 == 0).then(|| "ann".to_owned()), note: None, labels };
            return vec![Row::About { job: job_id, about }];
        }
        23 => {
            let [started, ended] = [2, 3].map(|one| (n % one == 0).then(|| f64::from(n) / 3.0));
            return vec![Row::VideoTimes { video, started, ended }];
        }
        3 => return vec![job(number, &format!("key {number}"), 3), resolved(number, 3), planned(number, 3)],
        4 => return vec![job(number + 4, "", 2)],
        5 => return vec![Row::Model(info(Experts::Dual { boundary: f64::from(n) / 300.0 }))],
        6 => {
            let files = vec![ModelFile { path: format!("{n}.safetensors"), blake3: digest(n) }];
            return vec![Row::Weights { model: "m".into(), role: Role::DitHigh, weights: digest(n % 3), files }];
        }
        7 if n < 60 => return vec![Row::ImageForgotten(digest(n % 4))],
        7 => {
            let microseconds = n.is_multiple_of(4).then_some(u64::from(n));
            let clip = n.is_multiple_of(2).then_some(ClipLength { pictures: n.into(), microseconds });
            let image = Image { digest: digest(n % 4), bytes: u64::from(n), width: 64, height: 32, clip };
            return vec![Row::Image(image)];
        }
        8 if n > 200 => {
            let note = (n % 2 == 0).then(|| format!("fan {n}"));
            return vec![Row::WorkerNote { worker: worker(u128::from(n % 3)), note }];
        }
        8 => {
            return vec![Row::Worker {
                worker: worker(u128::from(n % 3)),
                name: format!("mac {n}"),
                device: "cpu".into(),
                seen: f64::from(n) / 3.0,
            }];
        }
        20 if n < 60 => return vec![Row::ModelForgotten("m".into())],
        20 => return vec![Row::Requeued(JobId(number + u64::from(n % 2) * 4))],
        21 if n < 100 => return vec![Row::WorkerForgotten(worker(u128::from(n % 3)))],
        21 => Change::WorkerForgotten(worker(u128::from(n % 2))),
        9 => return vec![Row::Suspended { job: job_id, reason: (n % 2 == 0).then(|| format!("full {n}")) }],
        10 => {
            let print = |n| Print { bytes: u64::from(n), blake3: digest(n) };
            let frames = Content::Frames((0..n % 4).map(print).collect());
            let written = [
                Written { path: format!("out/{n}.mp4"), content: Content::File(print(n)) },
                Written { path: "out/é".into(), content: frames },
            ];
            let (written, seconds) = (written.into(), f64::from(n) / 7.0);
            let excerpt = |number: u32| match number {
                0 => Excerpt::Clip { first: n.into(), frames: 5 },
                number => Excerpt::Frame(number),
            };
            let frames =
                (0..n % 3).map(|number| KeptExcerpt { excerpt: excerpt(number.into()), file: digest(n) }).collect();
            return vec![Row::Outputs { video, written, verdict: "ok".into(), seconds, frames }];
        }
        11 if n < 128 => return vec![over(number, (n % 2 == 0).then_some(n))],
        11 => return vec![Row::Reported { job: job_id, at: (n % 2 == 0).then(|| f64::from(n) / 3.0) }],
        12 => return vec![issued(attempt, video)],
        13 => return vec![begun(attempt, n)],
        14 => {
            let end = [AttemptEnd::Done, AttemptEnd::Failed(failure), AttemptEnd::Revoked, AttemptEnd::Lost];
            return vec![ended(attempt, end[usize::from(n % 4)].clone())];
        }
        15 => {
            let state = [VideoPhase::Open, VideoPhase::Done, VideoPhase::Failed(failure), VideoPhase::Cancelled];
            Change::VideoPhase { video, state: state[usize::from(n % 4)].clone() }
        }
        16 if n % 5 == 4 => Change::JobPriority { job: job_id, priority: i32::from(n) },
        16 => {
            let state = [JobPhase::Active, JobPhase::Paused, JobPhase::Finished][usize::from(n % 3)];
            Change::JobPhase { job: job_id, state }
        }
        17 => Change::WeightsPinned { job: job_id, role: Role::Vae, weights: (n % 3 > 0).then(|| digest(n)) },
        19 => {
            let (folder, mount) = (format!("/renders/{}", n % 2).into(), format!("/mnt/{n}").into());
            return vec![Row::Mount { folder, mount }];
        }
        18 if n > 220 => return vec![kept(n % 2, n)],
        18 => {
            let artifact = match n % 3 {
                0 => ArtifactId::Text(TextKey(digest(n % 2))),
                1 => ArtifactId::Image(video),
                _ => ArtifactId::Checkpoint { video, steps_done: u32::from(n % 5) },
            };
            let row = durable(artifact, n);
            return if n > 60 { vec![row] } else { vec![Row::Scheduler(Change::ArtifactForgotten(artifact))] };
        }
        _ if n < 40 => Change::JobForgotten(job_id),
        _ => {
            let (name, set_aside) = (format!("mac {n}"), (n % 3 == 0).then(|| "failed thrice".to_owned()));
            let assigned = (n % 3 == 0).then(|| [Role::DitLow, Role::Vae].into());
            Change::WorkerState { worker: worker(u128::from(n % 2)), name, draining: n % 2 == 0, assigned, set_aside }
        }
    };
    vec![Row::Scheduler(change)]
}
