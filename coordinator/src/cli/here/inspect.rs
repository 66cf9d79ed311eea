//! `coordinator inspect`.

use std::path::PathBuf;

use wanfarm_model::ops::device::DeviceKind;
use wanfarm_tools::inspect::{Questions, inspect as examine, inspect_lora, is_lora};

use crate::cli::error::CliError;
use crate::cli::say::out;
use crate::cli::say::print_json;
use crate::exit::Exit;

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct InspectArgs {
    /// A model folder, one file of weights, or a LoRA file.
    #[arg(value_parser = crate::cli::path::existing())]
    path: PathBuf,
    /// Count memory for this device: cpu, metal, cuda [default: the best this build supports].
    #[arg(long, value_name = "DEVICE")]
    device: Option<DeviceKind>,
    /// Hash every file with BLAKE3, which takes minutes for large models.
    #[arg(long)]
    digests: bool,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// Ends well when something can be served from here and nothing that is here is damaged.
pub(super) fn inspect(args: InspectArgs) -> Result<Exit, CliError> {
    if is_lora(&args.path) {
        let report = inspect_lora(&args.path).map_err(|error| CliError::new(Exit::BadModelFiles, error))?;
        if args.json {
            print_json(&report)?;
        } else {
            out!("{report}");
        }
        return Ok(Exit::Ok);
    }
    let questions = Questions { device: args.device.unwrap_or_else(DeviceKind::preferred), digests: args.digests };
    let report = examine(&args.path, questions).map_err(|error| CliError::new(Exit::BadModelFiles, error))?;
    if args.json {
        print_json(&report)?;
    } else {
        out!("{report}");
    }
    Ok(if report.is_usable() { Exit::Ok } else { Exit::BadModelFiles })
}
