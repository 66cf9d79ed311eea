//! `coordinator pause`, `resume`, `priority`, `cancel`, `retry` and `forget`.

use wanfarm_client::{Client, JobVerb};

use super::reference::{JobReference, Target, name};
use super::say::outln;
use super::{CliError, CoordinatorArg, block_on, print_json};
use crate::exit::Exit;
use crate::logging;
use crate::progress::counted;

/// Arguments of verbs on a whole job.
#[derive(Debug, clap::Args)]
pub(super) struct JobArgs {
    /// A job by number or name.
    #[arg(value_name = "JOB")]
    which: JobReference,
    #[command(flatten)]
    coordinator: CoordinatorArg,
    /// Print the job's line as JSON.
    #[arg(long)]
    json: bool,
}

impl From<JobArgs> for ControlArgs {
    fn from(JobArgs { which, coordinator, json }: JobArgs) -> Self {
        Self { which: which.into(), coordinator, json }
    }
}

#[derive(Debug, clap::Args)]
pub(super) struct ControlArgs {
    /// A job by number or name, or one video of it as JOB/INDEX.
    #[arg(value_name = "JOB[/VIDEO]")]
    which: Target,
    #[command(flatten)]
    coordinator: CoordinatorArg,
    /// Print the job's line as JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, clap::Args)]
pub(super) struct ForgetArgs {
    /// A job by number or name.
    #[arg(value_name = "JOB")]
    which: JobReference,
    /// Cancel it first if it has not ended.
    #[arg(long)]
    cancel: bool,
    #[command(flatten)]
    coordinator: CoordinatorArg,
    /// Print what was the job's line as JSON.
    #[arg(long)]
    json: bool,
}

pub(super) fn forget(args: ForgetArgs) -> Result<Exit, CliError> {
    logging::quiet();
    block_on(async {
        let mut client = Client::connect(&args.coordinator.target()?).await?;
        let line = args.which.line(&mut client).await?;
        let verb = JobVerb::Forget { cancel: args.cancel };
        client.control_job(line.job, None, verb).await?;
        if args.json {
            print_json(&line)?;
        } else {
            outln!("{} {}: forgotten; its finished files stay", line.job, line.name);
        }
        Ok(Exit::Ok)
    })
}

#[derive(Debug, clap::Args)]
pub(super) struct PriorityArgs {
    /// A job by number or name.
    #[arg(value_name = "JOB")]
    which: JobReference,
    /// Higher goes first; 50 where nothing else was said.
    #[arg(value_parser = clap::value_parser!(u32).range(0..=100))]
    priority: u32,
    #[command(flatten)]
    coordinator: CoordinatorArg,
    /// Print the job's line as JSON.
    #[arg(long)]
    json: bool,
}

pub(super) fn prioritise(args: PriorityArgs) -> Result<Exit, CliError> {
    let PriorityArgs { which, priority, coordinator, json } = args;
    control(ControlArgs { which: which.into(), coordinator, json }, JobVerb::SetPriority(priority))
}

pub(super) fn control(args: ControlArgs, verb: JobVerb) -> Result<Exit, CliError> {
    logging::quiet();
    block_on(async {
        let mut client = Client::connect(&args.coordinator.target()?).await?;
        let (job, video) = (args.which.find(&mut client).await?, args.which.video);
        client.control_job(job, video, verb).await?;
        let mut lines = client.jobs().await?;
        lines.retain(|line| line.job == job);
        let Some(line) = lines.pop() else { return Ok(Exit::Ok) };
        if args.json {
            print_json(&line)?;
        } else {
            let done = match verb {
                JobVerb::Pause => "paused; what runs stops after its step".to_owned(),
                JobVerb::Resume => "resumed".to_owned(),
                JobVerb::SetPriority(priority) => format!("has priority {priority}"),
                JobVerb::Cancel => "cancelled; what is finished stays".to_owned(),
                JobVerb::Retry => "failed and cancelled videos are tried again".to_owned(),
                JobVerb::Forget { .. } => "forgotten".to_owned(),
            };
            let ended = line.done + line.failed + line.cancelled;
            outln!("{} {}: {done} ({ended} of {} ended)", name(job, video), line.name, counted(line.videos, "video"));
        }
        Ok(Exit::Ok)
    })
}
