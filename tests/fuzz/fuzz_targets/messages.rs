//! What workers and coordinators say to one another. The first byte says which message the JSON behind it is read as.
#![no_main]

use std::fmt::Debug;

use libfuzzer_sys::fuzz_target;
use serde::Serialize;
use serde::de::DeserializeOwned;
use uuid::Uuid;
use wanfarm_fuzz::{models, seeds};
use wanfarm_manifest::plan;
use wanfarm_proto::{Location, PROTOCOL, v1};
use wanfarm_scheduler::JobPlan;
use wanfarm_types::fixtures::request;
use wanfarm_types::{
    Assignment, AttemptId, Checkpoint, CoordinatorMessage, DType, Digest, Errand, Failure, Footprint, Hello,
    Incarnation, ItemInputs, ItemOutputs, JobId, LoadProgress, LogEntry, LogLevel, ModelFile, ModelInfo, ModelRole,
    Report, Role, ServedModel, ServedRole, Stage, StepRange, StepTiming, TensorRef, VideoId, WorkItem, WorkerId,
    WorkerMessage,
};
use wanfarm_weights::transformer::parameters;

/// Bytes of a reason and of a line of a log.
const MOST: [usize; 2] = [2048, 1024];

fuzz_target!(init: seeds::write(seeds), |data: &[u8]| {
    let [kind, body @ ..] = data else { return };
    match kind % 5 {
        0 => hello(body),
        1 => worker(body),
        2 => coordinator(body),
        3 => {
            let Some(assignment) = read::<Assignment>(body) else { return };
            let _ = assignment.check();
        }
        _ => {
            let Some(info) = read::<ModelInfo>(body) else { return };
            if info.check().is_ok() {
                model(&info);
            }
        }
    }
});

/// A message, which is read again as it was.
fn read<M: Serialize + DeserializeOwned + PartialEq + Debug>(body: &[u8]) -> Option<M> {
    let frame = v1::Frame { protocol: PROTOCOL, version: "1".into(), body: body.to_vec() };
    let message = frame.read::<M>().ok()?;
    assert_eq!(v1::Frame::of(&message).read::<M>().as_ref(), Ok(&message));
    Some(message)
}

fn hello(body: &[u8]) {
    let Some(hello) = read::<Hello>(body) else { return };
    if let Ok(location) = hello.tensor_address.parse::<Location>() {
        assert_eq!(location.to_string().parse().as_ref(), Ok(&location));
    }
    if hello.check().is_ok() {
        assert!([&hello.name, &hello.host, &hello.device].iter().all(|label| !label.contains(char::is_control)));
        hello.models.iter().for_each(|served| model(&served.info));
    }
}

fn worker(body: &[u8]) {
    let Some(message) = read::<WorkerMessage>(body) else { return };
    let is_kept = message.check().is_ok();
    match message {
        WorkerMessage::Report(_, Report::Failed(Failure { message, .. })) => {
            let shows = |letter: char| !letter.is_control() || letter == '\n' || letter == '\t';
            assert!(message.len() <= MOST[0] && message.chars().all(shows), "{message:?}");
        }
        WorkerMessage::Log { entries, .. } => {
            for LogEntry { text, .. } in entries {
                assert!(text.len() <= MOST[1] && !text.contains(char::is_control), "{text:?}");
            }
        }
        WorkerMessage::Report(_, Report::ItemDone { outputs, .. }) if is_kept => {
            assert!(outputs.tensors().iter().all(|tensor| tensor.byte_len().is_some()));
        }
        _ => {}
    }
}

fn coordinator(body: &[u8]) {
    let Some(message) = read::<CoordinatorMessage>(body) else { return };
    if let CoordinatorMessage::Assign(assignment) = message {
        let _ = assignment.check();
    }
}

/// With whatever a worker may announce, a coordinator plans, and looks whether a LoRA file suits it.
fn model(info: &ModelInfo) {
    let mut requests = vec![request()];
    requests.extend(models::all().iter().map(|of| {
        let given = &of.defaults;
        let (width, height, frames) = (Some(given.width), Some(given.height), Some(given.frames));
        wanfarm_types::VideoRequest { width, height, frames, steps: Some(1000), ..request() }
    }));
    let resolved = plan::resolve_all(&requests, |_| None, info);
    let videos = resolved.into_iter().flatten().map(|(plan, _)| plan).collect();
    let job = JobPlan { id: JobId(1), priority: 0, model: info.name.clone(), early_look: false, videos };
    assert_eq!(job.check(), Ok(()));
    for param in parameters(&info.transformer) {
        assert!(param.shape.iter().try_fold(1usize, |count, &dim| count.checked_mul(dim)).is_some(), "{param:?}");
    }
    let _ = (info.distilled(), info.takes_last_image(), info.and(info, true));
}

fn seeds() -> Vec<Vec<u8>> {
    let body =
        |kind, message: serde_json::Result<Vec<u8>>| seeds::behind(kind, message.expect("it is JSON on the wire"));
    let model_role = ModelRole { model: "m".into(), role: Role::Vae };
    let tensor = TensorRef { digest: Digest([1; 32]), dtype: DType::F32, shape: vec![16, 2] };
    let checkpoint = Checkpoint { steps_done: 4, tensors: vec![tensor.clone()] };
    let mut seeds = Vec::new();
    for info in models::all() {
        seeds.push(body(4, serde_json::to_vec(&info)));
        let served = ServedRole {
            role: Role::Vae,
            files: vec![ModelFile { path: "vae.pth".into(), blake3: Digest([2; 32]) }],
            encoding: "bf16".into(),
            bytes: 7,
            footprint: Footprint::default(),
        };
        let hello = Hello {
            worker: WorkerId(Uuid::from_u128(1)),
            incarnation: Incarnation(Uuid::from_u128(2)),
            name: "Studio – 3/vae".into(),
            host: "studio-3.local".into(),
            device: "cpu".into(),
            memory_bytes: 1 << 36,
            budget_bytes: Some(3 << 34),
            loaded: vec![model_role.clone()],
            tensor_address: "[::]:7001".into(),
            models: vec![ServedModel { info: info.clone(), roles: vec![served], beside: Vec::new() }],
            running: vec![AttemptId(1)],
            holding: Vec::new(),
        };
        seeds.push(body(0, serde_json::to_vec(&hello)));
        let assignment = Assignment {
            attempt: AttemptId(7),
            item: WorkItem {
                video: VideoId { job: JobId(3), index: 1 },
                stage: Stage::Denoise,
                steps: StepRange { first: 4, end: 40 },
            },
            spec: request().resolve(&info).expect("the model renders it"),
            text: String::new(),
            inputs: ItemInputs { text: vec![tensor.clone()], image: Vec::new(), checkpoint: Some(checkpoint.clone()) },
            locations: [(Digest([1; 32]), vec!["http://10.0.0.7:7001".to_owned()])].into(),
            keep: vec![model_role.clone()],
        };
        seeds.push(body(3, serde_json::to_vec(&assignment)));
        seeds.push(body(2, serde_json::to_vec(&CoordinatorMessage::Assign(Box::new(assignment)))));
    }
    let timing =
        StepTiming { seconds: 0.1, step_seconds: vec![0.5; 3], forward_passes: vec![2], ..StepTiming::default() };
    let outputs = [
        ItemOutputs::Text(tensor.clone()),
        ItemOutputs::Image(vec![tensor.clone()]),
        ItemOutputs::Checkpoint(checkpoint.clone()),
        ItemOutputs::Frames(tensor),
    ];
    let mut reports: Vec<Report> =
        outputs.into_iter().map(|outputs| Report::ItemDone { outputs, timing: timing.clone() }).collect();
    reports.extend([
        Report::Started,
        Report::Loading(LoadProgress { read: 1, of: 2, seconds: 0.5 }),
        Report::StepDone { checkpoint, seconds: 0.3 },
        Report::Failed(Failure::transient("no luck\u{1b}")),
        Report::Revoked,
    ]);
    let reports = reports.into_iter().map(|report| WorkerMessage::Report(AttemptId(3), report));
    let entry = LogEntry { age_milliseconds: 500, level: LogLevel::Warn, text: "hot\tstuff".into() };
    let log = WorkerMessage::Log { first: 3, entries: vec![entry] };
    let others = [WorkerMessage::Heartbeat, WorkerMessage::Goodbye { reason: "leaving".into() }, log];
    seeds.extend(reports.chain(others).map(|message| body(1, serde_json::to_vec(&message))));
    let said = [
        CoordinatorMessage::Welcome {
            heartbeat_milliseconds: 1,
            lease_milliseconds: 4,
            wants_log: true,
            certificate: None,
        },
        CoordinatorMessage::Refused { reason: "twice".into(), take_new_identity: true },
        CoordinatorMessage::Revoke(AttemptId(1)),
        CoordinatorMessage::Leave,
        CoordinatorMessage::Send(Errand { number: 1, digest: Digest([1; 32]), offset: 9 }),
    ];
    seeds.extend(said.iter().map(|message| body(2, serde_json::to_vec(message))));
    seeds
}
