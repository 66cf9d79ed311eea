//! `coordinator show`: the settings that a finished file was rendered with.

use std::path::PathBuf;

use super::error::CliError;
use super::path;
use super::say::out;
use crate::exit::Exit;

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  coordinator show output/night/0003-a-fox-7.mp4
  coordinator show frames/00000.png > again.toml
  coordinator run output/night/0003-a-fox-7.mp4 --new-name
                                           renders it again

Pictures and LoRA files are named, not contained: put their paths in.")]
pub(super) struct ShowArgs {
    /// An mp4 file, or a PNG file of a folder of frames or a contact sheet, as the farm wrote it.
    #[arg(value_parser = path::existing())]
    file: PathBuf,
}

pub(super) fn show(args: &ShowArgs) -> Result<Exit, CliError> {
    let told = |why: std::io::Error| CliError::new(Exit::Usage, format!("{}: {why}", args.file.display()));
    out!("{}", wanfarm_manifest::settings_in(&args.file).map_err(told)?);
    Ok(Exit::Ok)
}
