//! Following a job to its end: the coordinator's updates become progress on the terminal and a summary.
//!
//! A coordinator that goes away comes back, and its jobs keep their numbers: the follower waits for it and goes on.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use wanfarm_client::{Client, ClientError, Target, Watch};
use wanfarm_types::{Backoff, JobId, JobState, JobStatus, JobSummary, VideoStatus};

use super::say::{errln, outln};
use super::{CliError, asked_to_stop, notify};
use crate::exit::Exit;
use crate::progress::{Progress, Summary};

/// Between two tries to reach a coordinator.
const BACKOFF: Backoff = Backoff::new(Duration::from_millis(200), Duration::from_secs(5));

/// The end of a followed job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Outcome {
    /// Videos without files in place: failed or cancelled.
    failed: usize,
    /// Why the job has no report, if so.
    unreported: Option<String>,
}

impl Outcome {
    /// How the command ends that has followed.
    pub(super) fn exit(self) -> Result<Exit, CliError> {
        match self {
            Self { unreported: Some(why), .. } => {
                Err(CliError::new(Exit::SomeFailed, format!("the report of the job could not be written: {why}")))
            }
            Self { failed: 0, .. } => Ok(Exit::Ok),
            Self { .. } => Ok(Exit::SomeFailed),
        }
    }
}

/// What is shown while following.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Interest {
    /// Progress, and a summary at the end.
    Progress,
    /// Every update as a line of JSON.
    Json,
}

/// A coordinator, and where it is dialled.
pub(super) struct Connection<'u> {
    pub(super) client: Client,
    pub(super) target: &'u Target,
    /// The command that retries failed videos, for a coordinator in this process: it is never dialled again.
    pub(super) here: Option<&'u str>,
    /// The desktop is told of the job's end.
    pub(super) notify: bool,
}

/// Follows a job until it has ended. `output` is where its files are, if this machine knows.
pub(super) async fn follow(
    connection: Connection<'_>,
    job: JobId,
    interest: Interest,
    output: Option<&Path>,
) -> Result<Outcome, ClientError> {
    let Connection { mut client, target, here, notify } = connection;
    let mut display = Display::new(interest, target.url(), here);
    let mut updates = client.watch(job).await?;
    loop {
        let lost = match updates.next().await {
            Ok(Some(update)) => {
                // A watcher ends when its output is closed; a render goes on.
                if !display.show(update) && here.is_none() {
                    break;
                }
                continue;
            }
            Ok(None) if display.job.state.is_end() => break,
            Ok(None) => ClientError::Broken("it ended before the job did".to_owned()),
            Err(error) if error.is_broken() => error,
            Err(error) => return Err(error),
        };
        if here.is_some() {
            return Err(lost);
        }
        display.say(&format!("the coordinator is away ({lost}); waiting for it"));
        (client, updates) = resume(target, job).await?;
        display.say("the coordinator is back");
    }
    let output = match output {
        Some(output) => output.to_owned(),
        None => client.report(job).await.map(|report| report.output_dir.into()).unwrap_or_default(),
    };
    if notify && display.job.state.is_end() {
        notify::ended(&display.job).await;
    }
    Ok(display.end(output))
}

/// Follows a job of a coordinator that runs elsewhere; the job continues when this command is stopped.
pub(super) async fn follow_from_afar(
    connection: Connection<'_>,
    job: JobId,
    interest: Interest,
) -> Result<Outcome, CliError> {
    let url = connection.target.url();
    tokio::select! {
        outcome = follow(connection, job, interest, None) => outcome.map_err(CliError::from),
        () = asked_to_stop() => Err(CliError::new(
            Exit::Interrupted,
            format!("no longer following; job {job} goes on, see: coordinator status {job} --watch --coordinator {url}"),
        )),
    }
}

/// Dials until the coordinator answers.
pub(super) async fn again(target: &Target) -> Client {
    let mut failures = 0;
    loop {
        tokio::time::sleep(BACKOFF.pause(failures)).await;
        if let Ok(client) = Client::connect(target).await {
            return client;
        }
        failures = failures.saturating_add(1);
    }
}

/// Dials until the job can be watched again.
async fn resume(target: &Target, job: JobId) -> Result<(Client, Watch), ClientError> {
    loop {
        let mut client = again(target).await;
        match client.watch(job).await {
            Ok(updates) => return Ok((client, updates)),
            Err(error) if error.is_broken() => {}
            Err(error) => return Err(error),
        }
    }
}

/// What is shown while a job runs.
struct Display {
    interest: Interest,
    /// Where the coordinator is dialled, for commands that are suggested.
    url: String,
    here: Option<String>,
    started: Instant,
    job: JobSummary,
    videos: BTreeMap<u32, Arc<VideoStatus>>,
    progress: Option<Progress>,
}

impl Display {
    fn new(interest: Interest, url: String, here: Option<&str>) -> Self {
        let (started, job) = (Instant::now(), JobSummary::default());
        Self { interest, url, here: here.map(str::to_owned), started, job, videos: BTreeMap::new(), progress: None }
    }

    /// False when it was to be read and nobody does any more.
    fn show(&mut self, JobStatus { job, videos, .. }: JobStatus) -> bool {
        let mut read = true;
        if self.interest == Interest::Json {
            read = outln!("{}", serde_json::json!({ "job": job, "videos": videos }));
        } else {
            let total = job.videos as usize;
            let progress = self.progress.get_or_insert_with(|| Progress::new(job.job, total, Instant::now()));
            progress.update(Instant::now(), &videos);
            match &job.waiting_for {
                Some(hint) if job.waiting_for != self.job.waiting_for => progress.say(&format!("waiting for {hint}")),
                _ => {}
            }
            if job.state == JobState::Paused && self.job.state != JobState::Paused {
                let (job, url) = (job.job, &self.url);
                progress.say(&format!("paused; go on with: coordinator resume {job} --coordinator {url}"));
            }
        }
        self.videos.extend(videos.into_iter().map(|video| (video.index, video)));
        self.job = job;
        read
    }

    fn say(&mut self, line: &str) {
        match &mut self.progress {
            Some(progress) => progress.say(line),
            None => errln!("{line}"),
        }
    }

    fn end(self, output_dir: PathBuf) -> Outcome {
        let Self { interest, url, here, started, job, videos, progress, .. } = self;
        drop(progress);
        let summary = Summary {
            retry: here.unwrap_or_else(|| retry_command(job.job, &url)),
            wall: Some(started.elapsed()),
            output_dir,
            job,
            videos: videos.into_values().collect(),
        };
        if interest == Interest::Progress {
            outln!("{summary}");
        }
        Outcome { failed: summary.videos.len() - summary.done(), unreported: summary.job.unreported }
    }
}

/// Has failed videos of a job tried again by the coordinator that has it.
pub(super) fn retry_command(job: JobId, url: &str) -> String {
    format!("coordinator retry {job} --coordinator {url}")
}
