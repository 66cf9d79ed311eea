//! Where jobs and their videos stand.

use wanfarm_types as domain;

use super::lenient::{all, known, positive, share, shared, some, stage};
use super::request::{swept_from_wire, swept_to_wire};
use crate::v1;

impl From<domain::JobSummary> for v1::JobSummary {
    fn from(job: domain::JobSummary) -> Self {
        Self {
            job: job.job.0,
            name: job.name,
            model: job.model,
            priority: job.priority,
            state: v1::JobState::from(job.state).into(),
            videos: job.videos,
            done: job.done,
            failed: job.failed,
            cancelled: job.cancelled,
            running: job.running,
            waiting_for: job.waiting_for.unwrap_or_default(),
            unreported: job.unreported.unwrap_or_default(),
            submitted: job.submitted.unwrap_or_default(),
            ended: job.ended.unwrap_or_default(),
            report: job.report.unwrap_or_default(),
            owner: job.about.owner.unwrap_or_default(),
            note: job.about.note.unwrap_or_default(),
            labels: job.about.labels.into_iter().collect(),
        }
    }
}

impl From<v1::JobSummary> for domain::JobSummary {
    fn from(wire: v1::JobSummary) -> Self {
        Self {
            job: domain::JobId(wire.job),
            name: wire.name,
            model: wire.model,
            priority: wire.priority,
            state: known(wire.state).unwrap_or_default(),
            videos: wire.videos,
            done: wire.done,
            failed: wire.failed,
            cancelled: wire.cancelled,
            running: wire.running,
            waiting_for: some(wire.waiting_for),
            unreported: some(wire.unreported),
            submitted: some(wire.submitted),
            ended: some(wire.ended),
            report: some(wire.report),
            about: domain::About {
                owner: some(wire.owner),
                note: some(wire.note),
                labels: wire.labels.into_iter().collect(),
            },
        }
    }
}

impl From<domain::VideoStatus> for v1::VideoStatus {
    fn from(video: domain::VideoStatus) -> Self {
        // A cache has no part that JSON cannot hold.
        let cache = |cache| serde_json::to_string(&cache).unwrap_or_default();
        Self {
            index: video.index,
            state: v1::VideoState::from(video.state).into(),
            stage: stage(video.stage),
            steps_done: video.steps_done,
            steps: video.steps,
            seconds_per_step: video.seconds_per_step.unwrap_or(0.0),
            worker: video.worker.unwrap_or_default(),
            output: video.output,
            error: video.error.unwrap_or_default(),
            files: video.files,
            verdict: video.verdict.unwrap_or_default(),
            prompt: video.prompt,
            seconds: video.seconds.unwrap_or(0.0),
            cache: video.cache.map(cache).unwrap_or_default(),
            nag: video.nag.map(Into::into),
            decode: (!video.decode.is_full()).then(|| v1::Decode::from(video.decode).into()),
            loras: all(video.loras),
            notes: video.notes,
            started: video.started.unwrap_or_default(),
            ended: video.ended.unwrap_or_default(),
            eta: video.eta.unwrap_or_default(),
            swept: swept_to_wire(&video.swept),
            name: video.name.unwrap_or_default(),
            waiting_for: video.waiting_for.unwrap_or_default(),
            loading: video.loading.map(v1::LoadProgress::from),
        }
    }
}

impl From<domain::LoadProgress> for v1::LoadProgress {
    fn from(progress: domain::LoadProgress) -> Self {
        let domain::LoadProgress { read, of, seconds } = progress;
        Self { read_bytes: read, of_bytes: of, seconds }
    }
}

impl From<v1::LoadProgress> for domain::LoadProgress {
    fn from(wire: v1::LoadProgress) -> Self {
        Self { read: wire.read_bytes, of: wire.of_bytes, seconds: wire.seconds }
    }
}

impl From<v1::VideoStatus> for domain::VideoStatus {
    fn from(wire: v1::VideoStatus) -> Self {
        Self {
            index: wire.index,
            state: known(wire.state).unwrap_or_default(),
            stage: known(wire.stage),
            steps_done: wire.steps_done,
            steps: wire.steps,
            seconds_per_step: positive(wire.seconds_per_step),
            worker: some(wire.worker),
            output: wire.output,
            error: some(wire.error),
            files: wire.files,
            verdict: some(wire.verdict),
            prompt: wire.prompt,
            seconds: positive(wire.seconds),
            cache: serde_json::from_str(&wire.cache).ok(),
            nag: wire.nag.and_then(|nag| nag.try_into().ok()),
            decode: wire.decode.and_then(known).unwrap_or_default(),
            loras: wire.loras.into_iter().filter_map(|lora| lora.try_into().ok()).collect(),
            notes: wire.notes,
            started: some(wire.started),
            ended: some(wire.ended),
            eta: some(wire.eta),
            swept: swept_from_wire(wire.swept),
            name: some(wire.name),
            waiting_for: some(wire.waiting_for),
            loading: wire.loading.map(domain::LoadProgress::from),
        }
    }
}

impl From<domain::JobStatus> for v1::JobUpdate {
    fn from(update: domain::JobStatus) -> Self {
        Self { job: Some(update.job.into()), videos: shared(update.videos) }
    }
}

impl From<v1::JobUpdate> for domain::JobStatus {
    fn from(wire: v1::JobUpdate) -> Self {
        Self { job: wire.job.unwrap_or_default().into(), videos: share(wire.videos), ..Self::default() }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use std::sync::Arc;

    pub(in crate::convert) fn job() -> domain::JobSummary {
        domain::JobSummary {
            job: domain::JobId(3),
            name: "night".into(),
            model: "m".into(),
            priority: 50,
            state: domain::JobState::Paused,
            videos: 6,
            done: 1,
            failed: 2,
            cancelled: 1,
            running: 1,
            waiting_for: Some("room".into()),
            unreported: None,
            submitted: Some("2026-11-28T21:04:05.250Z".into()),
            ended: None,
            report: Some("/out/night.report.json".into()),
            about: domain::About {
                owner: Some("ann".into()),
                note: Some("for the morning".into()),
                labels: [("shot".into(), "010".into())].into(),
            },
        }
    }

    pub(in crate::convert) fn video() -> domain::VideoStatus {
        let lora = domain::LoraRef {
            name: "l".into(),
            blake3: domain::Digest([1; 32]),
            bytes: 1,
            strength: 0.5,
            expert: None,
        };
        domain::VideoStatus {
            index: 4,
            state: domain::VideoState::Running,
            stage: Some(domain::Stage::DenoiseLow),
            steps_done: 3,
            steps: 40,
            seconds_per_step: Some(1.0 / 3.0),
            worker: Some("mac".into()),
            output: "night/0004".into(),
            error: None,
            files: vec!["/out/night/0004.mp4".into()],
            verdict: Some("ok".into()),
            prompt: "a cat".into(),
            seconds: Some(2.5),
            cache: Some(domain::CacheSettings::CfgCache(domain::CfgCache::default())),
            nag: Some(domain::Nag::default()),
            decode: domain::Decode::Tiny,
            loras: vec![lora],
            notes: vec!["long".into()],
            started: Some("2026-11-28T21:04:05.250Z".into()),
            ended: Some("2026-11-28T22:04:05.250Z".into()),
            eta: Some("2026-11-28T22:04:06.250Z".into()),
            swept: [("pace", "slow"), ("animal", "fox")].into_iter().collect(),
            name: Some("shot-02".into()),
            waiting_for: Some("shot-01".into()),
            loading: Some(domain::LoadProgress { read: 1, of: 2, seconds: 0.5 }),
        }
    }

    #[test]
    fn where_jobs_and_videos_stand_crosses_the_wire_unchanged() {
        let videos = vec![Arc::new(video()), Arc::new(video())];
        let status = domain::JobStatus { job: job(), videos, ..domain::JobStatus::default() };
        assert_eq!(domain::JobStatus::from(v1::JobUpdate::from(status.clone())), status);
    }

    #[test]
    fn what_is_not_known_is_absent_and_what_is_new_is_unknown() {
        let wire = v1::VideoStatus { state: 99, stage: 99, ..v1::VideoStatus::default() };
        let video = domain::VideoStatus::from(wire);
        assert_eq!(video, domain::VideoStatus::default());
        assert_eq!((video.state, video.stage), (domain::VideoState::Unknown, None));
        let job = domain::JobSummary::from(v1::JobSummary { state: 99, ..v1::JobSummary::default() });
        assert_eq!((job.state, job.waiting_for), (domain::JobState::Unknown, None));
    }
}
