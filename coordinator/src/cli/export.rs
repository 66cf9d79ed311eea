//! `coordinator export`.

mod openjd;

use std::path::{Path, PathBuf};

use clap::Subcommand;

use super::say::{errln, out};
use super::{CliError, note, read_manifest};
use crate::exit::Exit;
use crate::progress::counted;

#[derive(Debug, clap::Args)]
pub(super) struct ExportArgs {
    #[command(subcommand)]
    to: To,
}

#[derive(Debug, Subcommand)]
enum To {
    /// A job template of Open Job Description 2023-09, as Deadline Cloud and others take them: one task per video.
    Openjd(OpenjdArgs),
}

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  coordinator export openjd night.toml --output night.json
  openjd check night.json
  openjd run night.json -p Models=/models -p Output=renders

Each task renders its video with `coordinator run`, which each worker needs, and
the folder of models. The manifest is part of the template; pictures, clips and
LoRA files that it names are looked for in the folder that the parameter Files names.")]
struct OpenjdArgs {
    /// Manifest: TOML, YAML or JSON, by its ending; - for standard input.
    #[arg(value_parser = super::path::existing())]
    manifest: PathBuf,
    /// Where the template goes [default: standard output].
    #[arg(long, short, value_name = "FILE", value_parser = super::path::new())]
    output: Option<PathBuf>,
    /// Videos that a task renders: more of them load the weights less often.
    #[arg(long, value_name = "N", default_value = "1")]
    videos_per_task: std::num::NonZeroU32,
    /// Print faults of the manifest as JSON.
    #[arg(long)]
    json: bool,
}

pub(super) fn export(ExportArgs { to: To::Openjd(args) }: ExportArgs) -> Result<Exit, CliError> {
    let manifest = read_manifest(&args.manifest, None, args.json)?;
    if manifest.has_chains() {
        let why = "a video that needs a frame of another one cannot be a task of its own; submit it to a coordinator";
        return Err(CliError::new(Exit::Usage, why));
    }
    let unwritten = |path: &Path, why: &dyn std::fmt::Display| {
        CliError::new(Exit::SomeFailed, format!("cannot write the template to {}: {why}", path.display()))
    };
    let template = openjd::template(&manifest, args.videos_per_task).ok_or_else(|| {
        CliError::new(Exit::SomeFailed, format!("cannot read {} a second time; try again", args.manifest.display()))
    })?;
    let template = serde_json::to_string_pretty(&template).map_err(|error| CliError::new(Exit::SomeFailed, error))?;
    let Some(path) = &args.output else {
        out!("{template}\n");
        return Ok(Exit::Ok);
    };
    if std::fs::canonicalize(path).is_ok_and(|there| std::fs::canonicalize(&args.manifest).is_ok_and(|it| it == there))
    {
        return Err(CliError::new(
            Exit::Usage,
            format!("{} is the manifest itself; give --output another name", path.display()),
        ));
    }
    if path.extension().is_none_or(|ending| !ending.eq_ignore_ascii_case("json")) {
        note(&["what reads templates goes by the ending of their names: this one is JSON".to_owned()]);
    }
    std::fs::write(path, template + "\n").map_err(|error| unwritten(path, &error))?;
    errln!("{}: {} of job {}", path.display(), counted(manifest.videos() as u64, "video"), manifest.name);
    Ok(Exit::Ok)
}
