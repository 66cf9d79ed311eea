//! What the driver answers, as the wire has it.

use std::sync::Arc;

use serde::Serialize;
use tonic::Status;
use wanfarm_client::Shortage;
use wanfarm_manifest::Taken;
use wanfarm_proto::v1;
use wanfarm_types::Role;

use crate::estimate::{Basis, Estimate, StageEstimate};
use crate::jobs::{JobPhase, JobSummary, VideoPhase, VideoStatus};
use crate::requests::{Changes, JobReport, RequestError, StoredWeights, WorkerStatus};
use crate::totals::{Effort, Machine};

/// What is to become of names that are taken.
pub(super) fn taken(wire: i32) -> Result<Taken, Status> {
    match v1::Taken::try_from(wire) {
        Ok(v1::Taken::Unspecified | v1::Taken::Refuse) => Ok(Taken::Refuse),
        Ok(v1::Taken::Overwrite) => Ok(Taken::Overwrite),
        Ok(v1::Taken::NewName) => Ok(Taken::NewName),
        Ok(v1::Taken::Skip) => Ok(Taken::Skip),
        Err(_) => Err(Status::invalid_argument(format!("taken {wire} is none of what this version knows"))),
    }
}

/// What the wire carries as it is.
pub(super) fn json(value: &impl Serialize) -> Result<String, Status> {
    serde_json::to_string(value).map_err(|error| Status::internal(error.to_string()))
}

/// Why a request came to nothing, with the code that says whether asking again can help.
pub(super) fn refusal(error: RequestError) -> Status {
    let message = error.to_string();
    match error {
        RequestError::NoSuchImage(_)
        | RequestError::NoSuchLora(_)
        | RequestError::NoSuchJob(_)
        | RequestError::NoSuchVideo { .. }
        | RequestError::NoSuchWorker(_) => Status::not_found(message),
        RequestError::Full(_) => Status::resource_exhausted(message),
        RequestError::OneVideo(_) | RequestError::Unfit(_) => Status::invalid_argument(message),
        RequestError::KeyTaken { .. } => Status::already_exists(message),
        RequestError::Taken(..)
        | RequestError::NeverPlanned(_)
        | RequestError::NotPlanned(_)
        | RequestError::Waits(..)
        | RequestError::Ended(_)
        | RequestError::NotEnded(_)
        | RequestError::NothingToRetry(_)
        | RequestError::NotRetriable(_)
        | RequestError::RefusedAgain(_)
        | RequestError::WorkerLives { .. } => Status::failed_precondition(message),
    }
}

pub(super) fn update(changes: Changes) -> v1::JobUpdate {
    v1::JobUpdate {
        job: Some(summary(changes.job, changes.waiting_for)),
        videos: changes.videos.into_iter().map(video).collect(),
    }
}

pub(super) fn summary(job: JobSummary, waiting_for: String) -> v1::JobSummary {
    let state = match job.phase {
        JobPhase::WaitingForModel | JobPhase::Active => v1::JobState::Active,
        JobPhase::Paused => v1::JobState::Paused,
        JobPhase::Finished if job.done > 0 => v1::JobState::Done,
        JobPhase::Finished if job.failed > 0 => v1::JobState::Failed,
        JobPhase::Finished => v1::JobState::Cancelled,
    };
    v1::JobSummary {
        job: job.job.0,
        name: job.name,
        model: job.model,
        priority: job.priority,
        state: state.into(),
        videos: job.videos,
        done: job.done,
        failed: job.failed,
        waiting_for,
        cancelled: job.cancelled,
        running: job.running,
        unreported: job.unreported.unwrap_or_default(),
        submitted: job.submitted,
        ended: job.ended,
        report: job.report.display().to_string(),
    }
}

fn video(video: Arc<VideoStatus>) -> v1::VideoStatus {
    // Copied here, outside the driver's loop.
    let video = Arc::unwrap_or_clone(video);
    let state = match video.phase {
        VideoPhase::Waiting => v1::VideoState::Waiting,
        VideoPhase::Running => v1::VideoState::Running,
        VideoPhase::Writing => v1::VideoState::Writing,
        VideoPhase::Done => v1::VideoState::Done,
        VideoPhase::Failed => v1::VideoState::Failed,
        VideoPhase::Cancelled => v1::VideoState::Cancelled,
    };
    v1::VideoStatus {
        index: video.index,
        state: state.into(),
        stage: video.stage.map_or(v1::Stage::Unspecified, Into::into).into(),
        steps_done: video.steps_done,
        steps: video.steps,
        seconds_per_step: video.seconds_per_step,
        worker: video.worker,
        output: video.output,
        error: video.error,
        files: video.files.iter().map(|path| path.display().to_string()).collect(),
        verdict: video.verdict,
        label: video.label,
        seconds: video.seconds,
        cache: if video.cache.is_none() { String::new() } else { json(&video.cache).unwrap_or_default() },
        loras: video.loras.into_iter().map(Into::into).collect(),
        notes: video.notes,
    }
}

pub(super) fn worker(worker: WorkerStatus) -> v1::WorkerStatus {
    let running = worker.running.map(|item| v1::RunningItem {
        video: Some(item.video.into()),
        stage: v1::Stage::from(item.stage).into(),
        steps_done: item.steps_done,
        steps: item.steps,
    });
    let pace =
        |(model, stage, tokens, seconds)| v1::Pace { model, stage: v1::Stage::from(stage).into(), tokens, seconds };
    v1::WorkerStatus {
        worker_id: worker.worker.to_string(),
        name: worker.name,
        roles: worker.roles.into_iter().map(|role| v1::Role::from(role).into()).collect(),
        models: worker.models,
        device: worker.device,
        state: worker.state.to_owned(),
        detail: worker.detail,
        memory_bytes: worker.memory_bytes,
        running,
        paces: worker.paces.into_iter().map(pace).collect(),
        weights: worker.weights.into_iter().map(weights).collect(),
        address: worker.address,
        reachable: worker.reachable,
    }
}

fn weights(stored: StoredWeights) -> v1::Weights {
    let StoredWeights { model, role, encoding, bytes } = stored;
    v1::Weights { model, role: v1::Role::from(role).into(), encoding, bytes }
}

pub(super) fn report(report: JobReport, lost: Vec<v1::OutputFile>) -> v1::GetReportReply {
    let totals = report.totals;
    let stages = totals.by(|share| share.stage).into_iter().map(|(stage, done)| effort(stage.name(), done));
    let roles = totals.by(|share| share.stage.role()).into_iter().map(|(role, done)| effort(role.name(), done));
    // By name, for people; two workers of one name stay two.
    let workers = totals.by(|share| (share.name.clone(), share.worker));
    let workers = workers.into_iter().map(|((name, _), done)| effort(&name, done));
    v1::GetReportReply {
        job: Some(summary(report.job, report.waiting_for)),
        videos: report.videos.into_iter().map(video).collect(),
        stages: stages.collect(),
        roles: roles.collect(),
        workers: workers.collect(),
        output_dir: report.files.root.display().to_string(),
        lost,
        machines: totals.machines.into_iter().map(machine).collect(),
        wall_seconds: report.wall_seconds,
        render_seconds: report.render_seconds,
    }
}

fn machine(machine: Machine) -> v1::Machine {
    let Machine { name, device, memory_bytes, weights: stored } = machine;
    v1::Machine { name, device, memory_bytes, weights: stored.into_iter().map(weights).collect() }
}

fn effort(name: &str, (workers, done): (u64, Effort)) -> v1::Effort {
    v1::Effort {
        name: name.to_owned(),
        workers,
        attempts: done.attempts,
        failed: done.failed,
        steps: done.steps,
        seconds: done.seconds,
        queue_seconds: done.queue_seconds,
        input_wait_seconds: done.input_wait_seconds,
        evaluations: done.evaluations,
        skipped: done.skipped,
    }
}

pub(super) fn shortage(short: Shortage) -> v1::Shortage {
    let Shortage { place, needs_bytes, free_bytes, certain } = short;
    v1::Shortage { place, needs_bytes, free_bytes, certain }
}

/// An estimate; the caller adds what it knows of the model and of single videos.
pub(super) fn estimate(estimate: Estimate, roles: Vec<(Role, u32, u64)>) -> v1::EstimateReply {
    let served = |(role, workers, memory)| v1::ServedBy {
        role: v1::Role::from(role).into(),
        workers,
        least_memory_bytes: if workers == 0 { 0 } else { memory },
    };
    let balance = estimate.balance.map(|balance| {
        let (high_workers, low_workers) = balance.now.unwrap_or_default();
        let (high, low) = balance.team;
        v1::Balance { measured: balance.measured, high_share: balance.high_share, high, low, high_workers, low_workers }
    });
    v1::EstimateReply {
        model_known: true,
        roles: roles.into_iter().map(served).collect(),
        stages: estimate.stages.into_iter().map(stage).collect(),
        seconds: estimate.seconds,
        bottleneck: estimate.bottleneck.map_or(v1::Stage::Unspecified, Into::into).into(),
        balance,
        ..v1::EstimateReply::default()
    }
}

fn stage(line: StageEstimate) -> v1::StageEstimate {
    let basis = match line.basis {
        None => v1::Basis::Unspecified,
        Some(Basis::Measured) => v1::Basis::Measured,
        Some(Basis::Scaled) => v1::Basis::Scaled,
    };
    v1::StageEstimate {
        stage: v1::Stage::from(line.stage).into(),
        units: line.units,
        work: line.work,
        workers: u32::try_from(line.workers).unwrap_or(u32::MAX),
        seconds_per_unit: line.seconds_per_unit,
        basis: basis.into(),
        seconds: line.seconds,
    }
}
