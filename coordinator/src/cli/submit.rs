//! `coordinator submit`.

use std::path::PathBuf;
use std::time::Duration;

use serde::Serialize;
use wanfarm_client::{Client, ClientError, DiskShortage, Submitted, Target};
use wanfarm_manifest::{Draw, Manifest, Submission};
use wanfarm_types::{About, JobSummary};

use super::args::AboutArgs;
use super::follow::{Connection, Interest, again, follow_from_afar};
use super::forecast::{self, Question};
use super::given::GivenArgs;
use super::say::{errln, outln};
use super::{CliError, CoordinatorArg, TakenArgs, block_on, faulty, note, print_json, say_shortages};
use crate::exit::Exit;
use crate::logging;
use crate::progress::counted;

/// How often a connection that breaks is made again.
const TRIES: u32 = 3;
/// How long a coordinator that has gone away is waited for each time.
const RECONNECT_TIMEOUT: Duration = Duration::from_secs(30);

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  coordinator submit night.toml --dry-run    who would do it, how long it takes
  coordinator submit night.toml              queue it and print its number
  coordinator submit night.toml --follow     stay until it ends, exit as it does
  coordinator submit night.toml --key 11-21  the same key is the same job
  coordinator submit night.toml --skip-existing
                                             render what is not there yet
  coordinator submit --model wan --prompt \"a fox\" --seed 7
                                             what a manifest would say, typed

A job whose names are taken, by files or by other jobs, is refused unless
--new-name, --skip-existing or --overwrite says what to do.")]
pub(super) struct SubmitArgs {
    #[command(flatten)]
    given: GivenArgs,
    #[command(flatten)]
    pub(super) coordinator: CoordinatorArg,
    /// Stay until the job has ended, show its progress, and exit with its code.
    #[arg(long, conflicts_with = "dry_run")]
    follow: bool,
    /// With --follow: tell the desktop when the job has ended.
    #[arg(long, requires = "follow")]
    notify: bool,
    /// Queue nothing; say how many videos it makes, who serves its model, how long it takes, how to balance workers.
    #[arg(long)]
    dry_run: bool,
    /// With --dry-run: folder with one subfolder per model, to say what each role needs of a machine's memory; may be
    /// repeated. The manifest's folder is searched as well.
    #[cfg(feature = "farm")]
    #[arg(long, value_name = "DIR", env = "WANFARM_MODELS", value_parser = super::path::existing())]
    pub(super) models: Vec<PathBuf>,
    #[command(flatten)]
    pub(super) taken: TakenArgs,
    #[command(flatten)]
    about: AboutArgs,
    /// A key of your own: the same manifest with the same key is the same job, however often it is submitted; another
    /// manifest is refused [default: drawn anew each time].
    #[arg(long, value_name = "KEY", conflicts_with = "dry_run")]
    key: Option<String>,
    /// Print JSON, faults of the manifest included.
    #[arg(long)]
    pub(super) json: bool,
}

impl SubmitArgs {
    /// Folders that models may lie in: those named, and the manifest's.
    fn models(&self) -> Vec<PathBuf> {
        #[cfg(feature = "farm")]
        return super::here::local::folders(&self.models, self.given.path());
        #[cfg(not(feature = "farm"))]
        return Vec::new();
    }
}

pub(super) fn submit(args: SubmitArgs) -> Result<Exit, CliError> {
    logging::quiet();
    let mut manifest = args.given.read(None, args.json)?;
    let about = args.about.over(&manifest.about)?;
    if args.dry_run {
        let (coordinator, taken, json) = (args.coordinator.target()?, args.taken.taken(), args.json);
        return forecast::dry_run(
            &Question { coordinator: &coordinator, models: args.models(), taken, json },
            &manifest,
        );
    }
    // Always one: whatever breaks on the way, asking again makes no second job.
    let drawn = || uuid::Builder::from_random_bytes(rand::random()).into_uuid().to_string();
    let key = args.key.clone().unwrap_or_else(drawn);
    manifest.draw = Draw::of(&key);
    block_on(async {
        let target = &args.coordinator.target()?;
        let mut client = Client::connect(target).await?;
        // Until a worker has announced the model, faults that depend on it cannot show.
        let info = client.model(&manifest.model).await?;
        let videos = manifest.check(info.as_ref()).map_err(|faults| faulty(&faults, args.json))?;
        note(&info.map(|info| manifest.setting_notes(&info)).unwrap_or_default());
        let submission = manifest.submission(key.clone(), args.taken.taken(), videos);
        let queued = queue(&mut client, target, &manifest, &submission, &about).await;
        let (submitted, shortages) = queued.map_err(|error| unsure(error, &key))?;
        let Submitted { job: Some(job), renamed, left_out, already } = submitted else {
            return nothing_left(submitted, args.json);
        };
        if already {
            errln!("already queued as job {job}");
        }
        say_shortages(&shortages);
        if !args.json {
            names_said(submitted);
        }
        if args.follow {
            let connection = Connection { client, target, here: None, notify: args.notify };
            let interest = if args.json { Interest::Json } else { Interest::Progress };
            return follow_from_afar(connection, job, interest).await?.exit();
        }
        let line = client.jobs().await?.into_iter().find(|line| line.job == job);
        match line {
            Some(line) if args.json => print_json(&QueuedReply { line, renamed, left_out })?,
            line => {
                // The number alone, for scripts; the rest is for people.
                outln!("{job}");
                if let Some(waiting_for) = line.and_then(|line| line.waiting_for) {
                    errln!("queued; it waits for {waiting_for}");
                }
            }
        }
        Ok(Exit::Ok)
    })
}

/// Gives the coordinator what it lacks, and queues the job. A connection that breaks meanwhile is made again.
async fn queue(
    client: &mut Client,
    target: &Target,
    manifest: &Manifest,
    submission: &Submission,
    about: &About,
) -> Result<(Submitted, Vec<DiskShortage>), ClientError> {
    let mut tries = 0;
    loop {
        let tried = async {
            client.put_files(&manifest.files()).await?;
            client.submit(submission.clone(), about.clone()).await
        };
        match tried.await {
            Ok(submitted) => return Ok(submitted),
            Err(error) if error.is_broken() && tries < TRIES => {
                tries += 1;
                errln!("{error}; trying again");
                match tokio::time::timeout(RECONNECT_TIMEOUT, again(target)).await {
                    Ok(new) => *client = new,
                    Err(_) => return Err(error),
                }
            }
            Err(error) => return Err(error),
        }
    }
}

/// Says how to find out what a broken connection leaves open.
fn unsure(error: ClientError, key: &str) -> CliError {
    let broken = matches!(error, ClientError::Broken(_));
    let failed = CliError::from(error);
    match broken {
        true => CliError::new(
            failed.exit(),
            format!("{failed}; it may be queued or not: the same command with --key {key} makes sure of one job"),
        ),
        false => failed,
    }
}

/// The JSON output for a queued job.
#[derive(Debug, Serialize)]
pub(super) struct QueuedReply {
    #[serde(flatten)]
    pub(super) line: JobSummary,
    /// Videos that got a new name.
    pub(super) renamed: u32,
    /// Videos that stand there whole.
    pub(super) left_out: u32,
}

/// Says what became of names that were taken.
pub(super) fn names_said(submitted: Submitted) {
    let Submitted { renamed, left_out, .. } = submitted;
    if renamed > 0 {
        let verb = if renamed == 1 { "gets" } else { "get" };
        errln!("{} {verb} a new name, because theirs is taken", counted(renamed, "video"));
    }
    if left_out > 0 {
        let (stand, are) = if left_out == 1 { ("stands", "is") } else { ("stand", "are") };
        errln!("{} {stand} there whole and {are} left out", counted(left_out, "video"));
    }
}

/// The end of a command of whose job nothing is left to render.
pub(super) fn nothing_left(submitted: Submitted, json: bool) -> Result<Exit, CliError> {
    names_said(submitted);
    if json {
        print_json(&serde_json::json!({ "job": null, "renamed": 0, "left_out": submitted.left_out }))?;
    } else {
        errln!("nothing is left to render");
    }
    Ok(Exit::Ok)
}
