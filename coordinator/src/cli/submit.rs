//! `coordinator submit`.

use std::path::PathBuf;

use super::follow::{Connection, Interest, follow_from_afar};
use super::say::{errln, outln};
use super::{CoordinatorArg, Failed, block_on, client_failed, faulty, forecast, note, print_json, read_manifest};
use crate::client::Client;
use crate::exit::Exit;
use crate::logging;

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  coordinator submit night.toml --dry-run    who would do it, how long it takes
  coordinator submit night.toml              queue it and print its number
  coordinator submit night.toml --follow     stay until it ends, exit as it does
  coordinator submit night.toml --key 11-21  the same key is the same job")]
pub(super) struct SubmitArgs {
    /// Manifest: TOML, YAML or JSON, by its ending; - for standard input.
    pub(super) manifest: PathBuf,
    #[command(flatten)]
    pub(super) coordinator: CoordinatorArg,
    /// Stay until the job has ended, show its progress, and exit with its code.
    #[arg(long, conflicts_with = "dry_run")]
    follow: bool,
    /// Queue nothing; say how many videos it makes, who serves its model, how long it takes, how to balance workers.
    #[arg(long)]
    dry_run: bool,
    /// With --dry-run: folder with one subfolder per model, to say what each role needs of a machine's memory; may be
    /// repeated. The manifest's folder is searched as well.
    #[arg(long, value_name = "DIR", requires = "dry_run")]
    pub(super) models: Vec<PathBuf>,
    /// A key of your own that makes submitting twice harmless.
    #[arg(long, value_name = "KEY", conflicts_with = "dry_run")]
    key: Option<String>,
    /// Print JSON, faults of the manifest included.
    #[arg(long)]
    pub(super) json: bool,
}

pub(super) fn submit(args: SubmitArgs) -> Result<Exit, Failed> {
    logging::quiet();
    let manifest = read_manifest(&args.manifest, args.json)?;
    if args.dry_run {
        return forecast::dry_run(&args, &manifest);
    }
    block_on(async {
        let url = &args.coordinator.coordinator;
        let mut client = Client::connect(url).await.map_err(client_failed)?;
        // While nobody has announced the model, what depends on it shows when somebody does.
        let card = client.model(&manifest.model).await.map_err(client_failed)?;
        let videos = manifest.check(card.as_ref()).map_err(|faults| faulty(&faults, args.json))?;
        note(&card.map(|card| manifest.lora_notes(&card)).unwrap_or_default());
        let submission = manifest.submission(args.key.unwrap_or_default(), videos);
        client.put_images(&manifest.images).await.map_err(client_failed)?;
        client.put_loras(&manifest.loras).await.map_err(client_failed)?;
        let job = client.submit(submission).await.map_err(client_failed)?;
        if args.follow {
            let connection = Connection { client, url, here: false };
            let interest = if args.json { Interest::Json } else { Interest::Progress };
            return follow_from_afar(connection, job, interest).await?.exit();
        }
        let line = client.jobs().await.map_err(client_failed)?.into_iter().find(|line| line.job == job.0);
        match line {
            Some(line) if args.json => print_json(&line)?,
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
