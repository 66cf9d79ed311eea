//! Messages of the farm API, as protobuf: into domain types and back. The first byte says which one it is.
#![no_main]

use std::fmt::Debug;

use libfuzzer_sys::fuzz_target;
use prost::Message;
use wanfarm_client::Forecast;
use wanfarm_fuzz::{models, seeds};
use wanfarm_manifest::{Submission, Taken, check_count, check_submission, complete, plan};
use wanfarm_proto::v1;
use wanfarm_types::fixtures::request;
use wanfarm_types::{
    About, CacheRequest, ClipSource, Decode, Digest, Expert, FrameOf, FrameRate, Guidance, ImageSource, JobReport,
    JobStatus, JobSummary, LogLine, LoraRef, Nag, SenCacheRequest, SolverKind, VideoRequest, VideoStatus, WorkerStatus,
};

/// Larger jobs are converted and no more.
const MAX_VIDEOS: usize = 64;

fuzz_target!(init: seeds::write(seeds), |data: &[u8]| {
    let [kind, body @ ..] = data else { return };
    match kind % 9 {
        0 => submit(body),
        1 => strict::<v1::VideoRequest, VideoRequest>(body),
        2 => strict::<v1::WorkerStatus, WorkerStatus>(body),
        3 => lenient::<v1::JobUpdate, JobStatus>(body),
        4 => lenient::<v1::JobSummary, JobSummary>(body),
        5 => lenient::<v1::VideoStatus, VideoStatus>(body),
        6 => lenient::<v1::GetReportReply, JobReport>(body),
        7 => lenient::<v1::LogLine, LogLine>(body),
        _ => {
            let Ok(wire) = v1::EstimateReply::decode(body) else { return };
            let _ = serde_json::to_string(&Forecast::from(wire)).expect("a forecast is JSON for programs");
        }
    }
});

/// What is taken comes back as it is.
fn strict<W, D>(body: &[u8])
where
    W: Message + Default + From<D>,
    D: TryFrom<W> + Clone + Debug,
{
    let Some(domain) = W::decode(body).ok().and_then(|wire| D::try_from(wire).ok()) else { return };
    let again = D::try_from(W::from(domain.clone())).ok().expect("what was taken is taken again");
    // As text: a number that is none is not itself.
    assert_eq!(format!("{again:?}"), format!("{domain:?}"));
}

fn lenient<W, D>(body: &[u8])
where
    W: Message + Default + From<D>,
    D: From<W> + Clone + Debug,
{
    let Ok(wire) = W::decode(body) else { return };
    let domain = D::from(wire);
    assert_eq!(format!("{:?}", D::from(W::from(domain.clone()))), format!("{domain:?}"));
}

/// As a coordinator takes a job.
fn submit(body: &[u8]) {
    let Ok(wire) = v1::SubmitRequest::decode(body) else { return };
    let about = About { owner: wire.owner, note: wire.note, labels: wire.labels.into_iter().collect() };
    if about.check().is_err() || check_count(wire.videos.len()).is_err() || wire.videos.len() > MAX_VIDEOS {
        return;
    }
    let videos: Result<Vec<VideoRequest>, _> = wire.videos.into_iter().map(TryInto::try_into).collect();
    let Ok(videos) = videos else { return };
    let mut submission = Submission {
        client_key: wire.client_key,
        name: wire.name,
        model: wire.model,
        priority: wire.priority.unwrap_or(50),
        early_look: wire.early_look,
        taken: Taken::Refuse,
        videos,
    };
    complete(&mut submission);
    if check_submission(&submission).is_err() {
        return;
    }
    let json = serde_json::to_string(&submission.videos).expect("requests are JSON in rows");
    assert_eq!(serde_json::from_str::<Vec<VideoRequest>>(&json).expect("they are read again"), submission.videos);
    assert_eq!(submission.digest(), submission.clone().digest());
    for info in models::all() {
        for (plan, spec) in plan::resolve_all(&submission.videos, |_| None, &info).into_iter().flatten() {
            assert!((1..=spec.steps).contains(&plan.total_steps()) && plan.size.0 > 0, "{spec:?}");
        }
    }
}

fn seeds() -> Vec<Vec<u8>> {
    let lora = LoraRef {
        name: "a.safetensors".into(),
        blake3: Digest([1; 32]),
        bytes: 9,
        strength: 0.5,
        expert: Some(Expert::High),
    };
    let full = VideoRequest {
        name: Some("shot".into()),
        negative: Some("n".into()),
        width: Some(480),
        height: Some(832),
        frames: Some(17),
        fps: FrameRate::new(24_000, 1001).ok(),
        steps: Some(9),
        shift: Some(5.0),
        solver: Some(SolverKind::Euler),
        guidance: Some(Guidance { high: 4.0, low: 3.0 }),
        nag: Some(Nag::default()),
        cache: Some(CacheRequest::Sencache(SenCacheRequest { tolerance: Some(0.25), ..Default::default() })),
        decode: Decode::Tiny,
        loras: vec![lora],
        swept: [("pace", "slow")].into_iter().collect(),
        ..request()
    };
    let from = VideoRequest {
        seed: 8,
        image: Some(ImageSource::Frame(FrameOf { video: 0, frame: None })),
        overlap: Some(5),
        output: "b".into(),
        join: Some("film.mp4".into()),
        ..request()
    };
    let pictures = VideoRequest {
        image: Some(ImageSource::File(Digest([2; 32]))),
        last_image: Some(ImageSource::File(Digest([3; 32]))),
        ..request()
    };
    let clip = VideoRequest { video: Some(ClipSource::File(Digest([4; 32]))), strength: Some(0.5), ..request() };
    let submission = |videos: &[&VideoRequest]| {
        let wire = v1::SubmitRequest {
            client_key: "k".into(),
            name: "night".into(),
            model: "m".into(),
            priority: Some(3),
            owner: Some("ann".into()),
            labels: [("shot".to_owned(), "010".to_owned())].into(),
            videos: videos.iter().map(|&video| video.clone().into()).collect(),
            ..v1::SubmitRequest::default()
        };
        seeds::behind(0, wire.encode_to_vec())
    };
    let mut seeds = vec![submission(&[&full, &from]), submission(&[&pictures]), submission(&[&clip])];
    seeds.extend(
        [&full, &from, &pictures, &clip]
            .map(|video| seeds::behind(1, v1::VideoRequest::from(video.clone()).encode_to_vec())),
    );
    let worker = v1::WorkerStatus {
        worker_id: uuid::Uuid::from_u128(5).to_string(),
        name: "mac".into(),
        roles: vec![1, 2],
        memory_bytes: 9,
        running: Some(v1::RunningItem {
            video: Some(v1::VideoId { job: 3, index: 1 }),
            stage: 1,
            ..Default::default()
        }),
        paces: vec![v1::Pace { model: "m".into(), stage: 2, tokens: 9, seconds: 0.5 }],
        memory: Some(v1::WorkerMemory { budget_bytes: 9, ..Default::default() }),
        busy: Some(0.5),
        ..v1::WorkerStatus::default()
    };
    seeds.push(seeds::behind(2, worker.encode_to_vec()));
    let job = JobSummary { name: "night".into(), videos: 2, done: 1, ..JobSummary::default() };
    let video =
        VideoStatus { prompt: "a cat".into(), seconds: Some(0.5), nag: Some(Nag::default()), ..VideoStatus::default() };
    let status = JobStatus { job: job.clone(), videos: vec![video.clone().into()], ..JobStatus::default() };
    seeds.push(seeds::behind(3, v1::JobUpdate::from(status).encode_to_vec()));
    seeds.push(seeds::behind(4, v1::JobSummary::from(job).encode_to_vec()));
    seeds.push(seeds::behind(5, v1::VideoStatus::from(video).encode_to_vec()));
    let effort = v1::Effort { name: "decode".into(), attempts: 3, seconds: 0.5, busy: Some(0.5), ..Default::default() };
    let report = v1::GetReportReply { stages: vec![effort], wall_seconds: 1.5, ..v1::GetReportReply::default() };
    seeds.push(seeds::behind(6, report.encode_to_vec()));
    seeds.push(seeds::behind(7, v1::LogLine { at: "now".into(), level: 2, text: "hot".into() }.encode_to_vec()));
    let estimate = v1::EstimateReply {
        videos: 2,
        seconds: Some(1.5),
        stages: vec![v1::StageEstimate { stage: 1, units: 3, ..Default::default() }],
        balance: Some(v1::Balance::default()),
        ..v1::EstimateReply::default()
    };
    seeds.push(seeds::behind(8, estimate.encode_to_vec()));
    seeds
}
