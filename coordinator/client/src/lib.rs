//! The farm API from the client's side: submit a job, follow it, steer it, fetch what came of it.

mod accelerations;
mod disk_shortage;
mod files;
mod forecast;
mod granting;
mod grants;
pub mod held;
mod time_words;
mod verbs;

use std::path::PathBuf;
use std::time::Duration;

use tonic::transport::Channel;
use tonic::{Code, Status, Streaming};
use wanfarm_proto::MAX_MESSAGE_BYTES;
use wanfarm_proto::convert::digest_field;
use wanfarm_proto::tensors::root_cause;
use wanfarm_proto::v1::{self, access_client::AccessClient, farm_client::FarmClient, tensors_client::TensorsClient};
use wanfarm_types::{
    About, Digest, FileState, JobId, JobReport, JobStatus, JobSummary, LogLine, LostFile, ModelInfo, WorkerId,
    WorkerStatus,
};

use wanfarm_manifest::{Submission, Taken};

pub use accelerations::{Accelerated, accelerations};
pub use wanfarm_proto::dial::{Target, Way};

pub use disk_shortage::DiskShortage;
pub use forecast::{BalanceForecast, FaultForecast, Forecast, RoleForecast, StageForecast};
pub use grants::{GrantKind, GrantLine};
pub use held::{HeldBytes, HeldModel, HeldRole};
pub use time_words::span;
pub use verbs::{JobVerb, Submitted, WorkerVerb};
/// A connection on which nothing is heard for this long, and then no answer for as long again, is cut.
const SILENCE: Duration = Duration::from_secs(10);

/// A connection to a coordinator.
#[derive(Debug, Clone)]
pub struct Client {
    farm: FarmClient<Channel>,
    access: AccessClient<Channel>,
    tensors: TensorsClient<Channel>,
}

/// A request came to nothing.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// No coordinator answers at the address.
    #[error(
        "no coordinator answers at {url}: {reason}; start one with `coordinator serve`, or name another with --coordinator"
    )]
    NoConnection {
        /// The address.
        url: String,
        /// The transport's error.
        reason: String,
    },
    /// A file that the manifest names cannot be sent.
    #[error("cannot send {}: {why}", path.display())]
    File {
        /// The path.
        path: PathBuf,
        /// The reason.
        why: String,
    },
    /// The coordinator says no.
    #[error("the coordinator refuses: {0}")]
    Refused(String),
    /// The connection broke on the way.
    #[error("the connection to the coordinator broke: {0}; jobs go on without us, ask again when it is back")]
    Broken(String),
    /// The coordinator tried and could not.
    #[error("the coordinator could not do it: {0}")]
    Failed(String),
    /// Something else listens there, or another version.
    #[error("what answers there is no coordinator of this version ({0}); install one version everywhere")]
    Stranger(String),
}

/// A finished file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RemoteFile {
    /// The video, by its place in the manifest.
    pub video: u32,
    /// Below the output directory, with `/`; as the coordinator says, so not to be trusted.
    pub path: String,
    /// Length in bytes.
    pub bytes: u64,
    /// BLAKE3 digest.
    pub blake3: Digest,
    /// Why it cannot be read, if so.
    pub lost: Option<LostFile>,
}

impl ClientError {
    /// The coordinator cannot be reached now, and may be again later.
    pub fn is_broken(&self) -> bool {
        matches!(self, Self::NoConnection { .. } | Self::Broken(_))
    }
}

impl From<Status> for ClientError {
    fn from(status: Status) -> Self {
        match status.code() {
            Code::InvalidArgument
            | Code::NotFound
            | Code::AlreadyExists
            | Code::FailedPrecondition
            | Code::OutOfRange
            | Code::PermissionDenied
            | Code::Unauthenticated => Self::Refused(status.message().to_owned()),
            Code::Internal | Code::ResourceExhausted | Code::DataLoss => Self::Failed(status.message().to_owned()),
            Code::Unimplemented => Self::Stranger(status.message().to_owned()),
            _ => Self::Broken(status.message().to_owned()),
        }
    }
}

impl Client {
    /// Dials a coordinator.
    ///
    /// # Errors
    /// When nobody answers.
    pub async fn connect(target: &Target) -> Result<Self, ClientError> {
        let no = |reason: String| ClientError::NoConnection { url: target.url(), reason };
        let endpoint = target.endpoint().map_err(|error| no(root_cause(&error)))?;
        let endpoint = endpoint.connect_timeout(SILENCE).tcp_nodelay(true);
        let endpoint = endpoint.http2_keep_alive_interval(SILENCE).keep_alive_timeout(SILENCE);
        let channel = target.way().connect(&endpoint).await.map_err(|error| no(root_cause(&error)))?;
        let (access, tensors) = (AccessClient::new(channel.clone()), TensorsClient::new(channel.clone()));
        let farm = FarmClient::new(channel)
            .max_decoding_message_size(MAX_MESSAGE_BYTES)
            .max_encoding_message_size(MAX_MESSAGE_BYTES);
        Ok(Self { farm, access, tensors })
    }

    /// What the coordinator knows of a model; `None` before a worker has announced it.
    ///
    /// # Errors
    /// When the coordinator cannot be reached.
    pub async fn model(&mut self, name: &str) -> Result<Option<ModelInfo>, ClientError> {
        let reply = self.farm.get_model(v1::GetModelRequest { name: name.to_owned() }).await?.into_inner();
        if reply.info.is_empty() {
            return Ok(None);
        }
        let info: ModelInfo = serde_json::from_str(&reply.info).map_err(stranger)?;
        info.check().map_err(stranger)?;
        Ok(Some(info))
    }

    /// Queues a job of which this is said, and says which of the coordinator's disks have too little room for it. Its files must have
    /// been given before.
    ///
    /// # Errors
    /// When the coordinator refuses it or cannot be reached.
    pub async fn submit(
        &mut self,
        submission: Submission,
        about: About,
    ) -> Result<(Submitted, Vec<DiskShortage>), ClientError> {
        Ok(submitted(self.farm.submit(wire(submission, about)).await?.into_inner()))
    }

    /// Queues videos of a job, by their places in its manifest, once more with other seeds, as a job of its own; `seed` for a single
    /// one, else they are drawn.
    ///
    /// # Errors
    /// When one of them is not there, the coordinator refuses it or cannot be reached.
    pub async fn render_again(
        &mut self,
        job: JobId,
        videos: Vec<u32>,
        seed: Option<u64>,
    ) -> Result<(Submitted, Vec<DiskShortage>), ClientError> {
        let request = v1::RenderAgainRequest { job: job.0, videos, seed };
        Ok(submitted(self.farm.render_again(request).await?.into_inner()))
    }

    /// Estimates a job without queueing it.
    ///
    /// # Errors
    /// When the coordinator refuses it or cannot be reached.
    pub async fn estimate(&mut self, submission: Submission) -> Result<Forecast, ClientError> {
        let of = Some(v1::estimate_request::Of::Submission(wire(submission, About::default())));
        Ok(self.farm.estimate(v1::EstimateRequest { of }).await?.into_inner().into())
    }

    /// The remaining work of a job.
    ///
    /// # Errors
    /// When there is no such job or the coordinator cannot be reached.
    pub async fn remaining(&mut self, job: JobId) -> Result<Forecast, ClientError> {
        let of = Some(v1::estimate_request::Of::Job(job.0));
        Ok(self.farm.estimate(v1::EstimateRequest { of }).await?.into_inner().into())
    }

    /// Follows a job: everything first, then the news, until it has ended.
    ///
    /// # Errors
    /// When there is no such job or the connection breaks.
    pub async fn watch(&mut self, job: JobId) -> Result<Watch, ClientError> {
        Ok(Watch(self.farm.watch(v1::WatchRequest { job: job.0 }).await?.into_inner()))
    }

    /// A job as it stands, with its videos.
    ///
    /// # Errors
    /// When there is no such job or the connection breaks.
    pub async fn job(&mut self, job: JobId) -> Result<JobStatus, ClientError> {
        let first = self.watch(job).await?.next().await?;
        let status = first.ok_or_else(|| ClientError::Broken("it ended early".to_owned()))?;
        if status.job.state.is_end() {
            return Ok(status);
        }
        let of = Some(v1::estimate_request::Of::Job(job.0));
        let rest = self.farm.estimate(v1::EstimateRequest { of }).await?.into_inner();
        let eta = Some(rest.eta).filter(|eta| !eta.is_empty());
        Ok(JobStatus { seconds_left: rest.seconds, eta, ..status })
    }

    /// Every job's line.
    ///
    /// # Errors
    /// When the coordinator cannot be reached.
    pub async fn jobs(&mut self) -> Result<Vec<JobSummary>, ClientError> {
        let jobs = self.farm.list_jobs(v1::ListJobsRequest::default()).await?.into_inner().jobs;
        Ok(jobs.into_iter().map(Into::into).collect())
    }

    /// Every worker's line.
    ///
    /// # Errors
    /// When the coordinator cannot be reached.
    pub async fn workers(&mut self) -> Result<Vec<WorkerStatus>, ClientError> {
        let workers = self.farm.list_workers(v1::ListWorkersRequest::default()).await?.into_inner().workers;
        workers.into_iter().map(|worker| worker.try_into().map_err(stranger)).collect()
    }

    /// The last `tail` lines that a worker has logged; with `follow`, those that come as well.
    ///
    /// # Errors
    /// When there is no such worker or the coordinator cannot be reached.
    pub async fn worker_log(&mut self, worker: WorkerId, tail: u32, follow: bool) -> Result<WorkerLog, ClientError> {
        let asked = v1::WorkerLogRequest { worker_id: worker.to_string(), tail, follow };
        Ok(WorkerLog(self.farm.worker_log(asked).await?.into_inner()))
    }

    /// The report of a job so far.
    ///
    /// # Errors
    /// When there is no such job or the coordinator cannot be reached.
    pub async fn report(&mut self, job: JobId) -> Result<JobReport, ClientError> {
        Ok(self.farm.get_report(v1::GetReportRequest { job: job.0, ..Default::default() }).await?.into_inner().into())
    }

    /// Steers a job, or one of its videos.
    ///
    /// # Errors
    /// When there is no such job or video, it cannot be steered so, or the coordinator cannot be reached.
    pub async fn control_job(&mut self, job: JobId, video: Option<u32>, verb: JobVerb) -> Result<(), ClientError> {
        let cancel = verb == JobVerb::Forget { cancel: true };
        let priority = if let JobVerb::SetPriority(priority) = verb { Some(priority) } else { None };
        let verb = match verb {
            JobVerb::Pause => v1::JobVerb::Pause,
            JobVerb::Resume => v1::JobVerb::Resume,
            JobVerb::Cancel => v1::JobVerb::Cancel,
            JobVerb::Retry => v1::JobVerb::Retry,
            JobVerb::SetPriority(_) => v1::JobVerb::SetPriority,
            JobVerb::Forget { .. } => v1::JobVerb::Forget,
        };
        let request = v1::ControlJobRequest { job: job.0, video, verb: verb.into(), cancel, priority };
        self.farm.control_job(request).await?;
        Ok(())
    }

    /// Steers a worker.
    ///
    /// # Errors
    /// When there is no such worker, it cannot be steered so, or the coordinator cannot be reached.
    pub async fn control_worker(&mut self, worker: WorkerId, verb: WorkerVerb) -> Result<(), ClientError> {
        let (mut roles, mut note, worker_id) = (Vec::new(), String::new(), worker.to_string());
        let verb = match verb {
            WorkerVerb::Drain => v1::WorkerVerb::Drain,
            WorkerVerb::Enable => v1::WorkerVerb::Enable,
            WorkerVerb::Forget => v1::WorkerVerb::Forget,
            WorkerVerb::Assign(to) => {
                roles.extend(to.into_iter().map(|role| i32::from(v1::Role::from(role))));
                v1::WorkerVerb::Assign
            }
            WorkerVerb::Auto => v1::WorkerVerb::Auto,
            WorkerVerb::Note(text) => {
                note = text.unwrap_or_default();
                v1::WorkerVerb::Note
            }
        };
        self.farm.control_worker(v1::ControlWorkerRequest { worker_id, verb: verb.into(), roles, note }).await?;
        Ok(())
    }

    /// The files of a job's finished videos, one after the other.
    ///
    /// # Errors
    /// When there is no such job or video, or the coordinator cannot be reached.
    pub async fn files(&mut self, job: JobId, video: Option<u32>) -> Result<Files, ClientError> {
        Ok(Files(self.farm.list_files(v1::ListFilesRequest { job: job.0, video }).await?.into_inner()))
    }

    /// The bytes of one of them.
    ///
    /// # Errors
    /// When there is no such file or the coordinator cannot be reached.
    pub async fn read_file(&mut self, job: JobId, file: &RemoteFile) -> Result<Chunks, ClientError> {
        let request = v1::ReadFileRequest { job: job.0, video: file.video, path: file.path.clone() };
        Ok(Chunks(self.farm.read_file(request).await?.into_inner()))
    }
}

fn stranger(error: impl std::fmt::Display) -> ClientError {
    ClientError::Stranger(error.to_string())
}

/// What came of a submission.
fn submitted(reply: v1::SubmitReply) -> (Submitted, Vec<DiskShortage>) {
    let v1::SubmitReply { job, already, renamed, left_out, shortages } = reply;
    let submitted = Submitted { job: job.map(JobId), already, renamed, left_out };
    (submitted, shortages.into_iter().map(Into::into).collect())
}

fn wire(submission: Submission, About { owner, note, labels }: About) -> v1::SubmitRequest {
    v1::SubmitRequest {
        owner,
        note,
        labels: labels.into_iter().collect(),
        client_key: submission.client_key,
        name: submission.name,
        model: submission.model,
        priority: Some(submission.priority),
        videos: submission.videos.into_iter().map(Into::into).collect(),
        early_look: submission.early_look,
        taken: match submission.taken {
            Taken::Refuse => v1::Taken::Refuse,
            Taken::Overwrite => v1::Taken::Overwrite,
            Taken::NewName => v1::Taken::NewName,
            Taken::Skip => v1::Taken::Skip,
        }
        .into(),
    }
}

/// News of a job, as it comes.
#[derive(Debug)]
pub struct Watch(Streaming<v1::JobUpdate>);

impl Watch {
    /// The next: of the first update all videos, then those that changed; `None` when the job has ended.
    ///
    /// # Errors
    /// When the connection breaks.
    pub async fn next(&mut self) -> Result<Option<JobStatus>, ClientError> {
        Ok(self.0.message().await?.map(Into::into))
    }
}

/// What a worker logs.
#[derive(Debug)]
pub struct WorkerLog(Streaming<v1::LogLine>);

impl WorkerLog {
    /// The next line; `None` after the last.
    ///
    /// # Errors
    /// When the connection breaks.
    pub async fn next(&mut self) -> Result<Option<LogLine>, ClientError> {
        Ok(self.0.message().await?.map(Into::into))
    }
}

/// The files of finished videos, as they are looked at.
#[derive(Debug)]
pub struct Files(Streaming<v1::OutputFile>);

impl Files {
    /// The next; `None` after the last.
    ///
    /// # Errors
    /// When the connection breaks, or the coordinator cannot read a file.
    pub async fn next(&mut self) -> Result<Option<RemoteFile>, ClientError> {
        let Some(file) = self.0.message().await? else { return Ok(None) };
        let blake3 = digest_field(&file.blake3).map_err(Status::from)?;
        let (video, bytes, lost) = (file.video, file.bytes, LostFile::from(file));
        let path = lost.path.clone();
        let lost = Some(lost).filter(|lost| lost.state != FileState::Whole);
        Ok(Some(RemoteFile { video, path, bytes, blake3, lost }))
    }
}

/// The bytes of a file, in chunks.
#[derive(Debug)]
pub struct Chunks(Streaming<v1::FileChunk>);

impl Chunks {
    /// The next; `None` after the last.
    ///
    /// # Errors
    /// When the connection breaks, or the coordinator cannot read on.
    pub async fn next(&mut self) -> Result<Option<Vec<u8>>, ClientError> {
        Ok(self.0.message().await?.map(|chunk| chunk.data))
    }
}
