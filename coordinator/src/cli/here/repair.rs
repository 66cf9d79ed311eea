//! `coordinator repair`.

use std::path::PathBuf;

use wanfarm_server::store::{self, DataDirectory};

use super::data_directory;
use crate::cli::error::CliError;
use crate::cli::path;
use crate::cli::say::outln;
use crate::exit::Exit;

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  coordinator repair                        of serve on this machine
  coordinator repair --data /srv/wanfarm    of one with its own data folder

Stop the coordinator first. Jobs in which something cannot be read are taken
out whole, of all else single rows. Finished files are not touched, and a copy
of the database stays as it was.")]
pub(in crate::cli) struct RepairArgs {
    /// The coordinator's data folder [default: the platform's data directory].
    #[arg(long, value_name = "DIR", value_parser = path::new())]
    data: Option<PathBuf>,
}

pub(super) fn repair(args: RepairArgs) -> Result<Exit, CliError> {
    let data = data_directory(args.data, "coordinator")?;
    if !data.is_dir() {
        return Err(CliError::new(
            Exit::Usage,
            format!("there is no folder {}; say where with --data DIR", data.display()),
        ));
    }
    let directory = DataDirectory::open(&data).map_err(|error| CliError::new(Exit::SomeFailed, error))?;
    let repaired = store::repair(&directory).map_err(|error| CliError::new(Exit::SomeFailed, error))?;
    let Some(copy) = repaired.copy else {
        outln!("everything in {} can be read", data.display());
        return Ok(Exit::Ok);
    };
    for aside in repaired.aside {
        outln!("set aside: {aside}");
    }
    outln!("all else can be read; the database as it was is {}", copy.display());
    Ok(Exit::Ok)
}
