//! `coordinator status`.

use std::io::IsTerminal;
use std::sync::Arc;
use std::time::Duration;

use wanfarm_client::{Accelerated, Client, Target, accelerations};
use wanfarm_types::{About, JobStatus, JobSummary, VideoStatus};

use super::follow::{Connection, Interest, follow_from_afar};
use super::reference::JobReference;
use super::say::{errln, out, outln};
use super::table::table;
use super::{CliError, CoordinatorArg, block_on, notify, print_json};
use crate::clock::Clock;
use crate::exit::Exit;
use crate::logging;
use crate::progress::{counted, list, together};

/// How often the table of all jobs is drawn anew.
const LOOK_EVERY: Duration = Duration::from_secs(2);

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  coordinator status                 all jobs, and what they wait for
  coordinator status night           one job: its videos, the time left
  coordinator status 3 --watch       follow job 3 until it has ended
  coordinator status 3 --json | jq '.videos[] | select(.state == \"failed\")'")]
pub(super) struct StatusArgs {
    /// Number or name of a job [default: all of them].
    job: Option<JobReference>,
    #[command(flatten)]
    coordinator: CoordinatorArg,
    /// Stay and show changes; of one job, until it has ended.
    #[arg(long)]
    watch: bool,
    /// With --watch: tell the desktop when a job has ended.
    #[arg(long, requires = "watch")]
    notify: bool,
    /// Print JSON; with --watch, one object a line.
    #[arg(long)]
    json: bool,
}

pub(super) fn status(args: StatusArgs) -> Result<Exit, CliError> {
    logging::quiet();
    block_on(async {
        let target = &args.coordinator.target()?;
        let mut client = Client::connect(target).await?;
        match (&args.job, args.watch) {
            (None, false) => show_jobs(&client.jobs().await?, args.json)?,
            (None, true) => watch_jobs(client, target, &args).await?,
            (Some(job), false) => {
                let job = job.find(&mut client).await?;
                let detail = client.job(job).await?;
                if args.json {
                    print_json(&detail)?;
                } else {
                    out!("{}", one_job(&detail, &Clock::now()));
                }
            }
            (Some(job), true) => {
                let job = job.find(&mut client).await?;
                let connection = Connection { client, target, here: None, notify: args.notify };
                let interest = if args.json { Interest::Json } else { Interest::Progress };
                follow_from_afar(connection, job, interest).await?;
            }
        }
        Ok(Exit::Ok)
    })
}

fn show_jobs(jobs: &[JobSummary], json: bool) -> Result<(), CliError> {
    if json {
        return print_json(&serde_json::json!({ "jobs": jobs }));
    }
    out!("{}", all_jobs(jobs));
    Ok(())
}

async fn watch_jobs(mut client: Client, target: &Target, args: &StatusArgs) -> Result<(), CliError> {
    let mut shown: Option<Vec<JobSummary>> = None;
    loop {
        match client.jobs().await {
            Ok(jobs) if shown.as_ref() == Some(&jobs) => {}
            Ok(jobs) => {
                let read = if args.json {
                    outln!("{}", serde_json::json!({ "jobs": jobs }))
                } else if std::io::stdout().is_terminal() {
                    // Clears the screen and starts at its top.
                    out!("\u{1b}[2J\u{1b}[H{}", all_jobs(&jobs))
                } else {
                    outln!("{}", all_jobs(&jobs))
                };
                if !read {
                    return Ok(());
                }
                for job in jobs.iter().filter(|job| args.notify && has_just_ended(job, shown.as_deref())) {
                    notify::ended(job).await;
                }
                shown = Some(jobs);
            }
            Err(error) if error.is_broken() => {
                errln!("the coordinator is away: {error}");
                client = super::follow::again(target).await;
                errln!("the coordinator is back");
            }
            Err(error) => return Err(CliError::from(error)),
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// It went on when jobs were last looked at.
fn has_just_ended(job: &JobSummary, before: Option<&[JobSummary]>) -> bool {
    let went_on = |line: &JobSummary| line.job == job.job && !line.state.is_end();
    job.state.is_end() && before.is_some_and(|before| before.iter().any(went_on))
}

fn all_jobs(jobs: &[JobSummary]) -> String {
    if jobs.is_empty() {
        return "no jobs yet; queue one with: coordinator submit MANIFEST\n".to_owned();
    }
    let row = |job: &JobSummary| {
        let ended = job.done + job.failed + job.cancelled;
        [
            job.job.to_string(),
            job.name.clone(),
            job.state.name().to_owned(),
            format!("{}/{}", ended, job.videos),
            job.running.to_string(),
            job.failed.to_string(),
            job.priority.to_string(),
            job.model.clone(),
            job.waiting_for.clone().unwrap_or_default(),
        ]
    };
    let head = ["JOB", "NAME", "STATE", "ENDED", "RUNNING", "FAILED", "PRIORITY", "MODEL", "WAITING FOR"];
    table(head, jobs.iter().map(row))
}

/// What people say of a job.
fn said(about: &About) -> String {
    let labels: Vec<String> = about.labels.iter().map(|(name, value)| format!("{name}={value}")).collect();
    let labels = (!labels.is_empty()).then(|| labels.join(", "));
    let lines = [("owner", &about.owner), ("labels", &labels), ("note", &about.note)];
    lines.into_iter().filter_map(|(what, said)| Some(format!("{what} {}\n", said.as_ref()?))).collect()
}

/// A line for each step cache, each NAG, each LoRA file and the tiny VAE of these videos.
pub(super) fn accelerations_of(videos: &[Arc<VideoStatus>]) -> String {
    let lines = accelerations(videos.iter().map(|video| Accelerated::from(&**video)));
    lines.into_iter().map(|line| line + "\n").collect()
}

/// Why it failed, what it waits for, or how it came out.
fn remark(video: &VideoStatus) -> String {
    let waiting_for = || video.waiting_for.as_ref().map(|start| format!("waiting for {start}"));
    video.error.clone().or_else(waiting_for).or_else(|| video.verdict.clone()).unwrap_or_default()
}

fn one_job(detail: &JobStatus, clock: &Clock) -> String {
    let JobStatus { job, videos, seconds_left, .. } = detail;
    let counts = [(job.done, "done"), (job.running, "running"), (job.failed, "failed"), (job.cancelled, "cancelled")];
    let counts: Vec<String> =
        counts.iter().filter(|(count, _)| *count > 0).map(|(count, word)| format!("{count} {word}")).collect();
    let mut text = format!("job {} {}: {}, {}", job.job, job.name, job.state.name(), counted(job.videos, "video"));
    if !counts.is_empty() {
        text += &format!(", {}", counts.join(", "));
    }
    if let Some(left) = seconds_left.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok()) {
        text += &format!(", done at about {}", clock.end(left));
    }
    text += &format!("\nmodel {}, priority {}\n", job.model, job.priority);
    text += &said(&job.about);
    if let Some(waiting_for) = &job.waiting_for {
        text += &format!("waiting for {waiting_for}\n");
    }
    text += &accelerations_of(videos);
    text.push('\n');
    let row = |video: &Arc<VideoStatus>| {
        [
            video.index.to_string(),
            video.state.name().to_owned(),
            video.stage.map(|stage| stage.to_string()).unwrap_or_default(),
            if video.steps > 0 { format!("{}/{}", video.steps_done, video.steps) } else { String::new() },
            video.seconds_per_step.map(|seconds| format!("{seconds:.2}")).unwrap_or_default(),
            video.worker.clone().unwrap_or_default(),
            video.output.clone(),
            remark(video),
        ]
    };
    text += &table(["VIDEO", "STATE", "STAGE", "STEP", "S/STEP", "WORKER", "OUTPUT", ""], videos.iter().map(row));
    let notes = videos.iter().flat_map(|video| video.notes.iter().map(|note| (note.as_str(), video.index)));
    // Writing to a text cannot fail.
    let _ = list(&mut text, "notes", &together(notes));
    text
}
