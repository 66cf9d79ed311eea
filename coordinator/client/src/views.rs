//! What a coordinator tells, in the shapes that `--json` prints. They are documented in `deploy/README.md` and only ever
//! grow: scripts rely on every field. What is not known is `null`.

use serde::Serialize;
use wanfarm_proto::v1;
use wanfarm_types::{CacheSettings, LoraRef, Role, Stage};

use crate::rfc3339;

impl WorkerView {
    /// Its process has ended, as far as is known.
    pub fn is_gone(&self) -> bool {
        ["gone", "left (drained)", "refused"].contains(&self.state.as_str())
    }
}

/// A job's line.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct JobView {
    /// Its number.
    pub job: u64,
    /// Its name.
    pub name: String,
    /// Its model.
    pub model: String,
    /// Higher goes first.
    pub priority: u32,
    /// `active`, `paused`, `done` or `cancelled`.
    pub state: &'static str,
    /// Videos in all.
    pub videos: u32,
    /// Videos whose files are in place.
    pub done: u32,
    /// Videos given up with an error.
    pub failed: u32,
    /// Videos given up by an operator.
    pub cancelled: u32,
    /// Videos being worked on.
    pub running: u32,
    /// What it cannot go on without.
    pub waiting_for: Option<String>,
    /// Why its report could not be written, when it has ended.
    pub unreported: Option<String>,
    /// When, in UTC as RFC 3339 has it.
    pub submitted: Option<String>,
    /// When its last video ended, likewise.
    pub ended: Option<String>,
    /// Where its report is, or will be when it has ended, on the coordinator's machine.
    pub report: Option<String>,
}

/// A video's line.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct VideoView {
    /// Place in the manifest, from 0.
    pub index: u32,
    /// `waiting`, `running`, `writing`, `done`, `failed` or `cancelled`.
    pub state: &'static str,
    /// The stage it is in.
    pub stage: Option<&'static str>,
    /// Denoising steps that have run.
    pub steps_done: u32,
    /// Denoising steps in all; 0 while unknown.
    pub steps: u32,
    /// Of the last step.
    pub seconds_per_step: Option<f64>,
    /// Who works on it.
    pub worker: Option<String>,
    /// Where its files go below the output directory, without extension.
    pub output: String,
    /// Why it failed.
    pub error: Option<String>,
    /// Files in place, on the coordinator's machine.
    pub files: Vec<String>,
    /// The quality gate's: `ok`, or what it looks like.
    pub verdict: Option<String>,
    /// What was asked for.
    pub prompt: String,
    /// That workers spent on it, when it is done.
    pub seconds: Option<f64>,
    /// Its step cache with every setting.
    pub cache: Option<CacheSettings>,
    /// Its LoRA files, in the order in which they are added.
    pub loras: Vec<LoraRef>,
    /// What people should know of it though nothing failed.
    pub notes: Vec<String>,
}

/// A worker's line.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct WorkerView {
    /// Its identity, a UUID.
    pub id: String,
    /// For people.
    pub name: String,
    /// `idle`, `busy`, `draining`, `drained`, `set aside`, `refused`, `lost` or `gone`.
    pub state: String,
    /// Why, when there is more to say.
    pub detail: Option<String>,
    /// What it can do.
    pub roles: Vec<&'static str>,
    /// For which models.
    pub models: Vec<String>,
    /// On what.
    pub device: String,
    /// Main memory of its machine.
    pub memory_bytes: Option<u64>,
    /// What it computes.
    pub running: Option<RunningView>,
    /// Its measured speeds.
    pub paces: Vec<PaceView>,
    /// How its weights are stored.
    pub weights: Vec<WeightsView>,
    /// Where its tensors are read.
    pub address: Option<String>,
    /// Whether others can read them there.
    pub reachable: Option<bool>,
}

/// How the weights of a role are stored.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct WeightsView {
    /// Of which model.
    pub model: String,
    /// For which role.
    pub role: &'static str,
    /// As most of their numbers are: `bf16`, `q8_0`, `f8_e4m3`, …
    pub encoding: String,
    /// All of them.
    pub bytes: u64,
}

/// What a worker computes.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RunningView {
    /// `JOB/INDEX`.
    pub video: String,
    /// Which stage.
    pub stage: &'static str,
    /// Steps of the video that have run.
    pub steps_done: u32,
    /// All its steps.
    pub steps: u32,
}

/// A measured speed.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PaceView {
    /// On this model.
    pub model: String,
    /// In this stage.
    pub stage: &'static str,
    /// Size of the videos; 0 for texts.
    pub tokens: u64,
    /// Per step; of stages without steps, per item.
    pub seconds: f64,
}

/// A job with its videos.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct JobDetail {
    /// Its line.
    pub job: JobView,
    /// Its videos' lines.
    pub videos: Vec<VideoView>,
    /// Until its last file, by the workers of now; `null` when that cannot be told.
    pub seconds_left: Option<f64>,
}

/// What came of a job: printed by `report --json`, and written to `report.json` when the job has ended.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ReportView {
    /// Its line.
    pub job: JobView,
    /// Where its files lie, on the coordinator's machine.
    pub output_dir: String,
    /// From its submission to its last file, or to now.
    pub wall_seconds: f64,
    /// From its first computation to its last file, or to now; `null` while there was none.
    pub render_seconds: Option<f64>,
    /// The role whose workers were busy for the largest part of that time.
    pub bottleneck: Option<String>,
    /// Where the time went, by stage.
    pub stages: Vec<EffortView>,
    /// Where the time went, by role.
    pub roles: Vec<EffortView>,
    /// Where the time went, by worker.
    pub workers: Vec<EffortView>,
    /// Its videos' lines.
    pub videos: Vec<VideoView>,
    /// The workers that took part.
    pub machines: Vec<MachineView>,
    /// Files of finished videos that are not there as they were written, as far as their lengths tell.
    pub lost: Vec<LostView>,
}

/// A file of a finished video that is not there as it was written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LostView {
    /// Of which video.
    pub video: u32,
    /// Below the job's output directory.
    pub path: String,
    /// `damaged`, `missing`, `unreadable` or `replaced`.
    pub state: &'static str,
    /// The job that has replaced it.
    pub replaced_by: Option<u64>,
}

impl std::fmt::Display for LostView {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.replaced_by {
            Some(job) => write!(f, "{}: replaced by job {job}", self.path),
            None => write!(f, "{}: {}", self.path, self.state),
        }
    }
}

/// What has become of a file; `None` when it is as it was written.
fn lost(state: v1::FileState) -> Option<&'static str> {
    match state {
        v1::FileState::Whole => None,
        v1::FileState::Damaged => Some("damaged"),
        v1::FileState::Missing => Some("missing"),
        v1::FileState::Unreadable => Some("unreadable"),
        v1::FileState::Replaced => Some("replaced"),
        v1::FileState::Unspecified => Some("unknown"),
    }
}

/// What a worker computed on, and with.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct MachineView {
    /// The worker.
    pub name: String,
    /// Its device.
    pub device: String,
    /// Main memory of its machine.
    pub memory_bytes: Option<u64>,
    /// How its weights are stored.
    pub weights: Vec<WeightsView>,
}

/// What was done in a stage, by the workers of a role, or by a worker.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct EffortView {
    /// The stage, the role or the worker.
    pub name: String,
    /// Workers that took part.
    pub workers: u64,
    /// The part of the job's rendering time for which these were computing, from 0 to 1, on average.
    pub busy: Option<f64>,
    /// Items tried.
    pub attempts: u64,
    /// Of these: failed, given back, or lost with their worker.
    pub failed: u64,
    /// Denoising steps.
    pub steps: u64,
    /// Of computing.
    pub seconds: f64,
    /// That items waited in line, each for itself: more than the clock shows where many waited at once.
    pub queue_seconds: f64,
    /// That free devices waited for inputs.
    pub input_wait_seconds: f64,
    /// Passes that ran the transformer's blocks.
    pub evaluations: u64,
    /// Passes that step caches stood in for.
    pub skipped: u64,
}

impl JobView {
    /// Nothing more will happen to it by itself.
    pub fn has_ended(&self) -> bool {
        matches!(self.state, "done" | "failed" | "cancelled")
    }
}

impl From<v1::JobSummary> for JobView {
    fn from(wire: v1::JobSummary) -> Self {
        Self {
            job: wire.job,
            name: wire.name,
            model: wire.model,
            priority: wire.priority,
            state: match v1::JobState::try_from(wire.state) {
                Ok(v1::JobState::Active) => "active",
                Ok(v1::JobState::Paused) => "paused",
                Ok(v1::JobState::Done) => "done",
                Ok(v1::JobState::Cancelled) => "cancelled",
                Ok(v1::JobState::Failed) => "failed",
                // Of a newer coordinator.
                Ok(v1::JobState::Unspecified) | Err(_) => "unknown",
            },
            videos: wire.videos,
            done: wire.done,
            failed: wire.failed,
            cancelled: wire.cancelled,
            running: wire.running,
            waiting_for: some(wire.waiting_for),
            unreported: some(wire.unreported),
            submitted: rfc3339(wire.submitted),
            ended: wire.ended.and_then(rfc3339),
            report: some(wire.report),
        }
    }
}

impl From<v1::VideoStatus> for VideoView {
    fn from(wire: v1::VideoStatus) -> Self {
        Self {
            index: wire.index,
            state: match v1::VideoState::try_from(wire.state) {
                Ok(v1::VideoState::Waiting) => "waiting",
                Ok(v1::VideoState::Running) => "running",
                Ok(v1::VideoState::Writing) => "writing",
                Ok(v1::VideoState::Done) => "done",
                Ok(v1::VideoState::Failed) => "failed",
                Ok(v1::VideoState::Cancelled) => "cancelled",
                Ok(v1::VideoState::Unspecified) | Err(_) => "unknown",
            },
            stage: stage(wire.stage).map(Stage::name),
            steps_done: wire.steps_done,
            steps: wire.steps,
            seconds_per_step: positive(wire.seconds_per_step),
            worker: some(wire.worker),
            output: wire.output,
            error: some(wire.error),
            files: wire.files,
            verdict: some(wire.verdict),
            prompt: wire.label,
            seconds: positive(wire.seconds),
            // Of a newer coordinator, what this version does not know is not told.
            cache: serde_json::from_str(&wire.cache).ok().filter(|cache: &CacheSettings| !cache.is_none()),
            loras: wire.loras.into_iter().filter_map(|lora| lora.try_into().ok()).collect(),
            notes: wire.notes,
        }
    }
}

impl From<v1::WorkerStatus> for WorkerView {
    fn from(wire: v1::WorkerStatus) -> Self {
        let running = wire.running.and_then(|item| {
            let video = item.video?;
            Some(RunningView {
                video: format!("{}/{}", video.job, video.index),
                stage: stage(item.stage).map_or("unknown", Stage::name),
                steps_done: item.steps_done,
                steps: item.steps,
            })
        });
        let pace = |pace: v1::Pace| PaceView {
            model: pace.model,
            stage: stage(pace.stage).map_or("unknown", Stage::name),
            tokens: pace.tokens,
            seconds: pace.seconds,
        };
        Self {
            id: wire.worker_id,
            name: wire.name,
            state: wire.state,
            detail: some(wire.detail),
            roles: wire.roles.into_iter().map(role).collect(),
            models: wire.models,
            device: wire.device,
            memory_bytes: (wire.memory_bytes > 0).then_some(wire.memory_bytes),
            running,
            paces: wire.paces.into_iter().map(pace).collect(),
            weights: wire.weights.into_iter().map(weights).collect(),
            address: some(wire.address),
            reachable: wire.reachable,
        }
    }
}

impl From<v1::GetReportReply> for ReportView {
    fn from(wire: v1::GetReportReply) -> Self {
        let efforts = |efforts: Vec<v1::Effort>| -> Vec<EffortView> {
            efforts.into_iter().map(|effort| EffortView::new(effort, wire.render_seconds)).collect()
        };
        let roles = efforts(wire.roles);
        let busiest = roles.iter().filter(|role| role.busy.is_some_and(|busy| busy > 0.0));
        let busiest = busiest.max_by(|a, b| a.busy.unwrap_or(0.0).total_cmp(&b.busy.unwrap_or(0.0)));
        Self {
            job: wire.job.unwrap_or_default().into(),
            output_dir: wire.output_dir,
            wall_seconds: wire.wall_seconds,
            render_seconds: positive(wire.render_seconds),
            bottleneck: busiest.map(|role| role.name.clone()),
            stages: efforts(wire.stages),
            workers: efforts(wire.workers),
            roles,
            videos: wire.videos.into_iter().map(Into::into).collect(),
            machines: wire.machines.into_iter().map(Into::into).collect(),
            lost: wire.lost.into_iter().filter_map(LostView::of).collect(),
        }
    }
}

impl LostView {
    /// `None` for a file that is as it was written.
    pub(super) fn of(wire: v1::OutputFile) -> Option<Self> {
        let (state, replaced_by) = (lost(wire.state())?, Some(wire.replaced_by).filter(|job| *job != 0));
        Some(Self { video: wire.video, path: wire.path, state, replaced_by })
    }
}

impl From<v1::Machine> for MachineView {
    fn from(wire: v1::Machine) -> Self {
        let v1::Machine { name, device, memory_bytes, weights: stored } = wire;
        let memory_bytes = (memory_bytes > 0).then_some(memory_bytes);
        Self { name, device, memory_bytes, weights: stored.into_iter().map(weights).collect() }
    }
}

impl EffortView {
    /// `render_seconds`: how long the job has been rendered.
    fn new(wire: v1::Effort, render_seconds: f64) -> Self {
        let time = render_seconds * wire.workers as f64;
        Self {
            name: wire.name,
            workers: wire.workers,
            // What was under way when the job ended, or before a restart, may count for more than all of the time.
            busy: (time > 0.0).then(|| (wire.seconds / time).min(1.0)),
            attempts: wire.attempts,
            failed: wire.failed,
            steps: wire.steps,
            seconds: wire.seconds,
            queue_seconds: wire.queue_seconds,
            input_wait_seconds: wire.input_wait_seconds,
            evaluations: wire.evaluations,
            skipped: wire.skipped,
        }
    }
}

fn weights(wire: v1::Weights) -> WeightsView {
    let v1::Weights { model, role: number, encoding, bytes } = wire;
    WeightsView { model, role: role(number), encoding, bytes }
}

/// A stage; one of a newer coordinator is none.
pub(super) fn stage(number: i32) -> Option<Stage> {
    v1::Stage::try_from(number).ok()?.try_into().ok()
}

/// A role's name.
pub(super) fn role(number: i32) -> &'static str {
    let role = v1::Role::try_from(number).ok().and_then(|role| Role::try_from(role).ok());
    role.map_or("unknown", Role::name)
}

pub(super) fn some(text: String) -> Option<String> {
    (!text.is_empty()).then_some(text)
}

fn positive(number: f64) -> Option<f64> {
    (number > 0.0).then_some(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(shape: impl Serialize) -> String {
        let value = serde_json::to_value(shape).unwrap();
        value.as_object().unwrap().keys().cloned().collect::<Vec<_>>().join(" ")
    }

    /// Scripts rely on these names, and the guide tells them.
    #[test]
    fn the_guide_lists_every_field() {
        let guide = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/README.md");
        let guide = std::fs::read_to_string(guide).unwrap();
        for (name, keys) in [
            ("JOB", keys(JobView::default())),
            ("VIDEO", keys(VideoView::from(v1::VideoStatus::default()))),
            ("WORKER", keys(WorkerView::from(v1::WorkerStatus::default()))),
            ("EFFORT", keys(EffortView::new(v1::Effort::default(), 0.0))),
            ("MACHINE", keys(MachineView::from(v1::Machine::default()))),
            ("LOST", keys(LostView::of(v1::OutputFile::default()))),
        ] {
            assert!(guide.contains(&format!("{name}: `{keys}`")), "the guide does not say {name}: `{keys}`");
        }
        let detail = keys(JobDetail::default());
        assert_eq!(detail, "job videos seconds_left");
        let report = keys(ReportView::from(v1::GetReportReply::default()));
        let fields = "job output_dir wall_seconds render_seconds bottleneck stages roles workers videos machines lost"
            .to_owned();
        assert_eq!(report, fields);
        let quoted: Vec<_> = fields.split(' ').map(|field| format!("\"{field}\"")).collect();
        let line = guide.lines().find(|line| line.starts_with("| `report JOB`")).unwrap();
        assert!(quoted.iter().all(|field| line.contains(field)), "the guide does not say {fields}: {line}");
    }

    #[test]
    fn the_bottleneck_is_the_role_whose_workers_were_busiest_not_the_one_most_items_waited_for() {
        let role = |name: &str, workers, seconds, queue_seconds| v1::Effort {
            name: name.to_owned(),
            workers,
            seconds,
            queue_seconds,
            ..v1::Effort::default()
        };
        let roles = vec![
            role("text-encoder", 1, 2.0, 4200.0),
            role("dit-high", 4, 300.0, 90.0),
            role("dit-low", 1, 90.0, 80.0),
            role("vae", 1, 120.0, 1.0),
        ];
        let wire = v1::GetReportReply { roles, render_seconds: 100.0, ..v1::GetReportReply::default() };
        let report = ReportView::from(wire);
        let busy: Vec<_> = report.roles.iter().map(|role| role.busy.unwrap()).collect();
        assert_eq!(busy, [0.02, 0.75, 0.9, 1.0]);
        assert_eq!(report.bottleneck.as_deref(), Some("vae"));
        let nothing = ReportView::from(v1::GetReportReply::default());
        assert_eq!((nothing.bottleneck, nothing.render_seconds), (None, None));
    }

    #[test]
    fn what_is_not_known_is_null_and_what_is_new_is_unknown() {
        let video = VideoView::from(v1::VideoStatus { state: 99, stage: 99, ..v1::VideoStatus::default() });
        assert_eq!((video.state, video.stage, video.seconds_per_step), ("unknown", None, None));
        let job = JobView::from(v1::JobSummary { state: 99, ..v1::JobSummary::default() });
        assert_eq!((job.state, job.waiting_for), ("unknown", None));
    }
}
