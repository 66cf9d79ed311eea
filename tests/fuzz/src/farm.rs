//! The database of a farm in which every table has a line, for a fuzzer to spoil.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use uuid::Uuid;
use wanfarm_manifest::first_frame::Image;
use wanfarm_manifest::{Submission, Taken, plan};
use wanfarm_scheduler::{ArtifactId, AttemptEnd, Change, JobPhase, JobPlan, TextKey, VideoPhase};
use wanfarm_server::store::{DataDirectory, EventRow, JobEnd, JobRow, Row, SqliteStore, Store, WebhookRow};
use wanfarm_server::times::Moment;
use wanfarm_types::fixtures::request;
use wanfarm_types::{
    About, AttemptId, ClipLength, DType, Digest, EventKind, Failure, Incarnation, JobId, ModelFile, Role, Stage,
    StepRange, StepTiming, TensorRef, VideoId, VideoRequest, WebhookId, WorkItem, WorkerId,
};

use crate::models;

/// The name of a database in its data directory.
pub const DATABASE: &str = "coordinator.sqlite";
/// Every table with the columns in which something may stand.
pub const TABLES: [(&str, &[&str]); 16] = [
    ("model", &["name", "info"]),
    ("weights", &["model", "role", "weights", "files"]),
    ("image", &["digest", "bytes", "width", "height", "pictures", "microseconds"]),
    ("worker", &["id", "name", "device", "seen_elapsed"]),
    ("worker_state", &["worker", "name", "draining", "set_aside", "assigned"]),
    ("worker_note", &["worker", "note"]),
    ("output_mount", &["folder", "mount"]),
    ("webhook", &["id", "url", "secret", "kinds", "created", "told"]),
    (
        "job",
        &[
            "id",
            "client_key",
            "name",
            "model",
            "priority",
            "early_look",
            "submitted",
            "resolved",
            "plan",
            "state",
            "held",
            "reported",
            "taken",
            "asked",
            "submitted_elapsed",
            "output",
            "report",
            "priority_now",
            "about",
            "forecast_at",
            "forecast_seconds",
            "ended",
            "ended_elapsed",
            "totals",
        ],
    ),
    (
        "video",
        &[
            "place", "request", "number", "spec", "refused", "plan", "state", "failure", "written", "verdict",
            "seconds", "frames", "started", "ended",
        ],
    ),
    ("pin", &["role", "weights"]),
    ("text_artifact", &["text", "tensors", "weights", "job"]),
    ("checkpoint", &["video", "steps_done", "tensors"]),
    (
        "attempt",
        &[
            "id",
            "video",
            "stage",
            "first_step",
            "end_step",
            "text",
            "worker",
            "incarnation",
            "begun",
            "begun_elapsed",
            "waited",
            "outcome",
            "failure",
            "ran_first",
            "ran_end",
            "seconds",
            "step_seconds",
            "forward_passes",
            "input_wait_seconds",
            "load_seconds",
            "text_tokens",
        ],
    ),
    ("sqlite_sequence", &["seq"]),
    ("event", &["id", "at", "kind", "job", "video", "worker", "name", "asker", "old", "new", "detail"]),
];

/// A new database with these rows, in a data directory of its own.
pub fn written(folder: &Path) -> PathBuf {
    let directory = DataDirectory::open(folder).expect("a data directory");
    let mut store = SqliteStore::open(&directory).expect("a new database");
    store.commit(&rows()).expect("rows can be written");
    folder.join(DATABASE)
}

fn rows() -> Vec<Row> {
    let (job, worker) = (JobId(1), WorkerId(Uuid::from_u128(7)));
    let video = |index| VideoId { job, index };
    let digest = |n| Digest([n; 32]);
    let [info, ..] = models::all();
    let videos = vec![VideoRequest { swept: [("pace", "slow")].into_iter().collect(), ..request() }; 3];
    let spec = request().resolve(&info).expect("the model renders it");
    let video_plan = plan::plan(&spec, &info).expect("it has a schedule");
    let planned = JobPlan { id: job, priority: 3, model: "m".into(), early_look: true, videos: vec![video_plan; 2] };
    let submission = Submission {
        client_key: "key".into(),
        name: "night".into(),
        model: "m".into(),
        priority: 50,
        early_look: true,
        taken: Taken::NewName,
        videos,
    };
    let submitted = Moment { at: 1_791_000_000.5, elapsed: 1.5 };
    let tensors = vec![TensorRef { digest: digest(1), dtype: DType::F32, shape: vec![16, 21, 90, 160] }];
    let text = TextKey(digest(5));
    let issued = |attempt, index, stage, steps| Change::AttemptIssued {
        attempt: AttemptId(attempt),
        item: WorkItem { video: video(index), stage, steps },
        text: None,
        worker,
        incarnation: Incarnation(Uuid::from_u128(8)),
    };
    let steps = StepRange { first: 0, end: 26 };
    let timing =
        StepTiming { seconds: 1.5, step_seconds: vec![0.5; 3], forward_passes: vec![2; 3], ..Default::default() };
    let about = About { owner: Some("ann".into()), note: None, labels: [("shot".into(), "010".into())].into() };
    let mut rows = vec![
        Row::Model(info),
        Row::Weights {
            model: "m".into(),
            role: Role::DitHigh,
            weights: digest(1),
            files: vec![ModelFile { path: "high.safetensors".into(), blake3: digest(1) }],
        },
        Row::Image(Image {
            digest: digest(1),
            bytes: 9,
            width: 64,
            height: 32,
            clip: Some(ClipLength { pictures: 5, microseconds: Some(500_000) }),
        }),
        Row::Worker { worker, name: "mac".into(), device: "cpu".into(), seen: 1.5 },
        Row::WorkerNote { worker, note: Some("fan is loud".into()) },
        Row::Mount { folder: "/renders".into(), mount: "/".into() },
        Row::Webhook(WebhookRow {
            id: WebhookId(Uuid::from_u128(3)),
            url: "https://hooks.example/x".into(),
            secret: "whsec_1".into(),
            kinds: EventKind::ALL.to_vec(),
            created: 1.5,
            told: 0,
        }),
        Row::Job(JobRow {
            id: job,
            submission,
            asked: digest(9),
            submitted,
            output: "/renders/night".into(),
            report: "night.report.json".into(),
        }),
        Row::Resolved { job, videos: vec![Ok(spec.clone()), Err("width = 65".into()), Ok(spec)] },
        Row::About { job, about },
        Row::Forecast { job, at: 1.5, seconds: 2.5 },
        Row::Suspended { job, reason: Some("the disk is full".into()) },
        Row::Outputs { video: video(0), written: [].into(), verdict: "ok".into(), seconds: 1.5, frames: [].into() },
        Row::VideoTimes { video: video(0), started: Some(1.5), ended: Some(2.5) },
    ];
    rows.extend(
        [
            Change::JobAdded(planned),
            Change::JobPhase { job, state: JobPhase::Paused },
            Change::JobPriority { job, priority: 4 },
            Change::WeightsPinned { job, role: Role::Vae, weights: Some(digest(1)) },
            Change::VideoPhase { video: video(0), state: VideoPhase::Failed(Failure::transient("no luck")) },
            issued(1, 0, Stage::DenoiseHigh, steps),
            issued(2, 1, Stage::DenoiseHigh, steps),
            Change::AttemptEnded {
                attempt: AttemptId(1),
                end: AttemptEnd::Failed(Failure::transient("no luck")),
                steps: StepRange { first: 0, end: 3 },
                timing,
            },
            Change::ArtifactDurable {
                artifact: ArtifactId::Checkpoint { video: video(1), steps_done: 3 },
                tensors: tensors.clone(),
            },
            Change::TextKept { text, tensors, weights: digest(2), job },
            Change::WorkerState {
                worker,
                name: "mac".into(),
                draining: false,
                assigned: Some(BTreeSet::from([Role::Vae])),
                set_aside: Some("three failures".into()),
            },
        ]
        .map(Row::Scheduler),
    );
    rows.extend([
        Row::Begun { attempt: AttemptId(1), at: submitted, waited: 0.5 },
        Row::Ended { job, end: Some(Box::new(JobEnd { at: submitted, totals: Default::default() })) },
        Row::Reported { job, at: Some(2.5) },
        Row::Event(EventRow {
            id: 1,
            at: 1.5,
            job: Some(job),
            video: Some(0),
            worker: Some(worker),
            ..Default::default()
        }),
    ]);
    rows
}
