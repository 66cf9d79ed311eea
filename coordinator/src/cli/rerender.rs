//! `coordinator rerender`: videos once more with other seeds.

use wanfarm_client::Client;
use wanfarm_types::VideoState;

use super::reference::Target;
use super::say::{errln, outln, print_json, say_shortages};
use super::submit::{QueuedReply, names_said, nothing_left};
use super::{CliError, CoordinatorArg, block_on};
use crate::exit::Exit;
use crate::logging;
use crate::progress::counted;

#[derive(Debug, clap::Args)]
#[command(after_help = "  coordinator rerender night/3              one video, with a seed that is drawn\n\
                        \x20 coordinator rerender night/3 --seed 7\n\
                        \x20 coordinator rerender night --suspect      those that do not look right")]
pub(super) struct RerenderArgs {
    /// A job by number or name, or one video of it as JOB/INDEX.
    #[arg(value_name = "JOB[/VIDEO]")]
    which: Target,
    /// The seed of a single video; without it, one is drawn for each.
    #[arg(long, value_name = "SEED")]
    seed: Option<u64>,
    /// Of a job only the videos whose verdict is another than ok.
    #[arg(long)]
    suspect: bool,
    #[command(flatten)]
    coordinator: CoordinatorArg,
    /// Print the new job's line as JSON.
    #[arg(long)]
    json: bool,
}

pub(super) fn rerender(args: RerenderArgs) -> Result<Exit, CliError> {
    logging::quiet();
    let RerenderArgs { which, seed, suspect, coordinator, json } = args;
    if seed.is_some() && which.video.is_none() {
        return Err(CliError::new(Exit::Usage, "--seed is for a single video, JOB/INDEX"));
    }
    block_on(async {
        let mut client = Client::connect(&coordinator.target()?).await?;
        let job = which.find(&mut client).await?;
        let videos = match which.video {
            Some(video) => vec![video],
            None => {
                let videos = client.job(job).await?.videos;
                let doubted = |verdict: &Option<String>| verdict.as_ref().is_some_and(|verdict| verdict != "ok");
                let wanted = videos.iter().filter(|video| !suspect || doubted(&video.verdict));
                // What is still to come would be rendered twice.
                let ended = wanted.filter(|video| matches!(video.state, VideoState::Done | VideoState::Failed));
                ended.map(|video| video.index).collect()
            }
        };
        if videos.is_empty() {
            let which = if suspect { "has no suspect video" } else { "has no video that is done or has failed" };
            return Err(CliError::new(Exit::Usage, format!("job {job} {which}")));
        }
        let count = videos.len() as u64;
        let (submitted, shortages) = client.render_again(job, videos, seed).await?;
        let Some(new) = submitted.job else { return nothing_left(submitted, json) };
        say_shortages(&shortages);
        if json {
            let line = client.jobs().await?.into_iter().find(|line| line.job == new);
            let (renamed, left_out) = (submitted.renamed, submitted.left_out);
            line.map_or(Ok(()), |line| print_json(&QueuedReply { line, renamed, left_out }))?;
        } else {
            names_said(submitted);
            // The number alone, for scripts; the rest is for people.
            outln!("{new}");
            errln!("{} of job {job} rendered again as job {new}", counted(count, "video"));
        }
        Ok(Exit::Ok)
    })
}
