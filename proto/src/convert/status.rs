//! Where jobs, videos and workers stand, and what came of a job. Read leniently: what a later version says and this one
//! does not know is unknown, or left out.

use wanfarm_types as domain;

use super::enums::FromWireNumber;
use super::parse_uuid;
use crate::v1;

fn some(text: String) -> Option<String> {
    (!text.is_empty()).then_some(text)
}

fn positive(number: f64) -> Option<f64> {
    (number > 0.0).then_some(number)
}

fn stage(stage: Option<domain::Stage>) -> i32 {
    stage.map_or(v1::Stage::Unspecified, Into::into).into()
}

fn known<D: FromWireNumber>(number: i32) -> Option<D> {
    D::from_wire_number(number).ok()
}

fn all<W, D: From<W>>(each: Vec<W>) -> Vec<D> {
    each.into_iter().map(Into::into).collect()
}

/// Takes what is shared, copying it if it still is.
fn shared<W: From<domain::VideoStatus>>(videos: Vec<std::sync::Arc<domain::VideoStatus>>) -> Vec<W> {
    videos.into_iter().map(|video| std::sync::Arc::unwrap_or_clone(video).into()).collect()
}

fn share(videos: Vec<v1::VideoStatus>) -> Vec<std::sync::Arc<domain::VideoStatus>> {
    videos.into_iter().map(|video| std::sync::Arc::new(video.into())).collect()
}

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
            loras: all(video.loras),
            notes: video.notes,
            started: video.started.unwrap_or_default(),
            ended: video.ended.unwrap_or_default(),
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
            loras: wire.loras.into_iter().filter_map(|lora| lora.try_into().ok()).collect(),
            notes: wire.notes,
            started: some(wire.started),
            ended: some(wire.ended),
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
        Self { job: wire.job.unwrap_or_default().into(), videos: share(wire.videos), seconds_left: None }
    }
}

impl From<domain::JobReport> for v1::GetReportReply {
    fn from(report: domain::JobReport) -> Self {
        Self {
            job: Some(report.job.into()),
            output_dir: report.output_dir,
            wall_seconds: report.wall_seconds,
            render_seconds: report.render_seconds.unwrap_or(0.0),
            bottleneck: report.bottleneck.unwrap_or_default(),
            stages: all(report.stages),
            roles: all(report.roles),
            workers: all(report.workers),
            videos: shared(report.videos),
            machines: all(report.machines),
            lost: all(report.lost),
        }
    }
}

impl From<v1::GetReportReply> for domain::JobReport {
    fn from(wire: v1::GetReportReply) -> Self {
        Self {
            job: wire.job.unwrap_or_default().into(),
            output_dir: wire.output_dir,
            wall_seconds: wire.wall_seconds,
            render_seconds: positive(wire.render_seconds),
            bottleneck: some(wire.bottleneck),
            stages: all(wire.stages),
            roles: all(wire.roles),
            workers: all(wire.workers),
            videos: share(wire.videos),
            machines: all(wire.machines),
            lost: all(wire.lost),
        }
    }
}

impl From<domain::EffortLine> for v1::Effort {
    fn from(line: domain::EffortLine) -> Self {
        let domain::EffortLine { name, workers, busy, effort } = line;
        Self {
            name,
            workers,
            busy,
            attempts: effort.attempts,
            failed: effort.failed,
            steps: effort.steps,
            seconds: effort.seconds,
            queue_seconds: effort.queue_seconds,
            input_wait_seconds: effort.input_wait_seconds,
            loads: effort.loads,
            load_seconds: effort.load_seconds,
            forward_passes: effort.forward_passes,
            skipped: effort.skipped,
        }
    }
}

impl From<v1::Effort> for domain::EffortLine {
    fn from(wire: v1::Effort) -> Self {
        let effort = domain::Effort {
            attempts: wire.attempts,
            failed: wire.failed,
            steps: wire.steps,
            seconds: wire.seconds,
            queue_seconds: wire.queue_seconds,
            input_wait_seconds: wire.input_wait_seconds,
            loads: wire.loads,
            load_seconds: wire.load_seconds,
            forward_passes: wire.forward_passes,
            skipped: wire.skipped,
        };
        Self { name: wire.name, workers: wire.workers, busy: wire.busy, effort }
    }
}

impl From<domain::Machine> for v1::Machine {
    fn from(machine: domain::Machine) -> Self {
        let domain::Machine { name, device, memory_bytes, weights } = machine;
        Self { name, device, memory_bytes: memory_bytes.unwrap_or(0), weights: all(weights) }
    }
}

impl From<v1::Machine> for domain::Machine {
    fn from(wire: v1::Machine) -> Self {
        let memory_bytes = Some(wire.memory_bytes).filter(|bytes| *bytes > 0);
        Self { name: wire.name, device: wire.device, memory_bytes, weights: weights(wire.weights) }
    }
}

impl From<domain::StoredWeights> for v1::Weights {
    fn from(stored: domain::StoredWeights) -> Self {
        let domain::StoredWeights { model, role, encoding, bytes } = stored;
        Self { model, role: v1::Role::from(role).into(), encoding, bytes }
    }
}

/// Those of roles that this version knows.
fn weights(wire: Vec<v1::Weights>) -> Vec<domain::StoredWeights> {
    let read = |v1::Weights { model, role, encoding, bytes }| {
        Some(domain::StoredWeights { model, role: known(role)?, encoding, bytes })
    };
    wire.into_iter().filter_map(read).collect()
}

impl From<domain::LostFile> for v1::OutputFile {
    fn from(lost: domain::LostFile) -> Self {
        let state = v1::FileState::from(lost.state).into();
        let replaced_by = lost.replaced_by.map_or(0, |job| job.0);
        Self { video: lost.video, path: lost.path, state, replaced_by, ..Self::default() }
    }
}

impl From<v1::OutputFile> for domain::LostFile {
    fn from(wire: v1::OutputFile) -> Self {
        let replaced_by = Some(domain::JobId(wire.replaced_by)).filter(|job| job.0 != 0);
        let state = known(wire.state).unwrap_or(domain::FileState::Unknown);
        Self { video: wire.video, path: wire.path, state, replaced_by }
    }
}

impl From<domain::WorkerStatus> for v1::WorkerStatus {
    fn from(worker: domain::WorkerStatus) -> Self {
        let running = worker.running.map(|item| v1::RunningItem {
            video: Some(item.video.into()),
            stage: stage(item.stage),
            steps_done: item.steps_done,
            steps: item.steps,
        });
        let pace =
            |domain::Pace { model, stage: of, tokens, seconds }| v1::Pace { model, stage: stage(of), tokens, seconds };
        Self {
            worker_id: worker.id.to_string(),
            name: worker.name,
            state: worker.state,
            detail: worker.detail.unwrap_or_default(),
            roles: worker.roles.into_iter().map(|role| v1::Role::from(role).into()).collect(),
            models: worker.models,
            device: worker.device,
            memory_bytes: worker.memory_bytes.unwrap_or(0),
            running,
            paces: worker.paces.into_iter().map(pace).collect(),
            weights: all(worker.weights),
            address: worker.address.unwrap_or_default(),
            reachable: worker.reachable,
            memory: worker.memory.map(v1::WorkerMemory::from),
            assigned: worker.assigned.into_iter().flatten().map(|role| v1::Role::from(role).into()).collect(),
        }
    }
}

impl From<domain::WorkerMemory> for v1::WorkerMemory {
    fn from(memory: domain::WorkerMemory) -> Self {
        let role = |domain::ModelRole { model, role }| v1::ModelRole { model, role: v1::Role::from(role).into() };
        let domain::WorkerMemory { budget_bytes, weights_bytes, loaded, loading } = memory;
        let progress = loading.as_ref().map(|loading| loading.progress.into());
        Self {
            budget_bytes,
            weights_bytes,
            loaded: loaded.into_iter().map(role).collect(),
            loading: loading.map(|loading| role(loading.role)),
            progress,
        }
    }
}

impl From<v1::WorkerMemory> for domain::WorkerMemory {
    fn from(wire: v1::WorkerMemory) -> Self {
        // A role of a later version is left out.
        let role = |of: v1::ModelRole| Some(domain::ModelRole { model: of.model, role: known(of.role)? });
        let progress = wire.progress.map(domain::LoadProgress::from).unwrap_or_default();
        Self {
            budget_bytes: wire.budget_bytes,
            weights_bytes: wire.weights_bytes,
            loaded: wire.loaded.into_iter().filter_map(role).collect(),
            loading: wire.loading.and_then(role).map(|role| domain::Loading { role, progress }),
        }
    }
}

impl TryFrom<v1::WorkerStatus> for domain::WorkerStatus {
    type Error = super::WireError;

    fn try_from(wire: v1::WorkerStatus) -> Result<Self, Self::Error> {
        let running = wire.running.and_then(|item| {
            Some(domain::RunningItem {
                video: item.video?.into(),
                stage: known(item.stage),
                steps_done: item.steps_done,
                steps: item.steps,
            })
        });
        let pace =
            |v1::Pace { model, stage, tokens, seconds }| domain::Pace { model, stage: known(stage), tokens, seconds };
        Ok(Self {
            id: domain::WorkerId(parse_uuid("worker_id", &wire.worker_id)?),
            name: wire.name,
            state: wire.state,
            detail: some(wire.detail),
            roles: wire.roles.into_iter().filter_map(known).collect(),
            models: wire.models,
            device: wire.device,
            memory_bytes: Some(wire.memory_bytes).filter(|bytes| *bytes > 0),
            running,
            paces: wire.paces.into_iter().map(pace).collect(),
            weights: weights(wire.weights),
            address: some(wire.address),
            reachable: wire.reachable,
            memory: wire.memory.map(domain::WorkerMemory::from),
            assigned: Some(wire.assigned.into_iter().filter_map(known).collect::<Vec<_>>())
                .filter(|roles| !roles.is_empty()),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use uuid::Uuid;

    fn job() -> domain::JobSummary {
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

    fn video() -> domain::VideoStatus {
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
            loras: vec![lora],
            notes: vec!["long".into()],
            started: Some("2026-11-28T21:04:05.250Z".into()),
            ended: Some("2026-11-28T22:04:05.250Z".into()),
            loading: Some(domain::LoadProgress { read: 1, of: 2, seconds: 0.5 }),
        }
    }

    #[test]
    fn where_jobs_and_workers_stand_crosses_the_wire_unchanged() {
        let status =
            domain::JobStatus { job: job(), videos: vec![Arc::new(video()), Arc::new(video())], seconds_left: None };
        assert_eq!(domain::JobStatus::from(v1::JobUpdate::from(status.clone())), status);
        let weights = vec![domain::StoredWeights {
            model: "m".into(),
            role: domain::Role::Vae,
            encoding: "bf16".into(),
            bytes: 7,
        }];
        let effort = domain::Effort { attempts: 4, failed: 1, steps: 9, seconds: 0.1, ..domain::Effort::default() };
        let line = |name: &str| domain::EffortLine::new(name.into(), 2, effort, Some(3.0));
        let machine =
            domain::Machine { name: "mac".into(), device: "cpu".into(), memory_bytes: None, weights: weights.clone() };
        let lost = |state, replaced_by| domain::LostFile { video: 1, path: "a.mp4".into(), state, replaced_by };
        let report = domain::JobReport {
            job: job(),
            output_dir: "/out".into(),
            wall_seconds: 5.5,
            render_seconds: Some(3.0),
            bottleneck: Some("vae".into()),
            stages: vec![line("decode")],
            roles: vec![line("vae")],
            workers: vec![line("mac")],
            videos: vec![Arc::new(video())],
            machines: vec![machine],
            lost: vec![
                lost(domain::FileState::Missing, None),
                lost(domain::FileState::Replaced, Some(domain::JobId(4))),
            ],
        };
        assert_eq!(domain::JobReport::from(v1::GetReportReply::from(report.clone())), report);
        let video = domain::VideoId { job: domain::JobId(3), index: 4 };
        let stage = Some(domain::Stage::Decode);
        let progress = domain::LoadProgress { read: 1, of: 3, seconds: 0.25 };
        let held = |role| domain::ModelRole { model: "m".into(), role };
        let worker = domain::WorkerStatus {
            id: domain::WorkerId(Uuid::from_u128(5)),
            name: "mac".into(),
            state: "set aside".into(),
            detail: Some("why".into()),
            roles: vec![domain::Role::Dit, domain::Role::Vae],
            models: vec!["m".into()],
            device: "cpu".into(),
            memory_bytes: Some(1 << 36),
            running: Some(domain::RunningItem { video, stage, steps_done: 1, steps: 2 }),
            paces: vec![domain::Pace { model: "m".into(), stage, tokens: 9, seconds: 0.3 }],
            weights,
            address: None,
            reachable: Some(false),
            memory: Some(domain::WorkerMemory {
                budget_bytes: 9,
                weights_bytes: 5,
                loaded: vec![held(domain::Role::Vae)],
                loading: Some(domain::Loading { role: held(domain::Role::Dit), progress }),
            }),
            assigned: Some(vec![domain::Role::Vae]),
        };
        assert_eq!(domain::WorkerStatus::try_from(v1::WorkerStatus::from(worker.clone())), Ok(worker));
    }

    #[test]
    fn what_is_not_known_is_absent_and_what_is_new_is_unknown() {
        let wire = v1::VideoStatus { state: 99, stage: 99, ..v1::VideoStatus::default() };
        let video = domain::VideoStatus::from(wire);
        assert_eq!(video, domain::VideoStatus::default());
        assert_eq!((video.state, video.stage), (domain::VideoState::Unknown, None));
        let job = domain::JobSummary::from(v1::JobSummary { state: 99, ..v1::JobSummary::default() });
        assert_eq!((job.state, job.waiting_for), (domain::JobState::Unknown, None));
        let nothing = domain::JobReport::from(v1::GetReportReply::default());
        assert_eq!((nothing.bottleneck, nothing.render_seconds), (None, None));
        let lost = domain::LostFile::from(v1::OutputFile { state: 99, ..v1::OutputFile::default() });
        assert_eq!((lost.state, lost.replaced_by), (domain::FileState::Unknown, None));
    }
}
