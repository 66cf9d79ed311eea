//! `coordinator inspect`.

use std::path::PathBuf;

use wanfarm_model::inspect::{Questions, inspect as examine};
use wanfarm_model::ops::device::DeviceKind;

use super::Failed;
use super::say::{out, outln};
use crate::exit::Exit;

#[derive(Debug, clap::Args)]
pub(super) struct InspectArgs {
    /// A model folder, or one file of weights.
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
pub(super) fn inspect(args: InspectArgs) -> Result<Exit, Failed> {
    let questions = Questions { device: args.device.unwrap_or_else(DeviceKind::preferred), digests: args.digests };
    let report = examine(&args.path, questions).map_err(|error| Failed::new(Exit::BadModelFiles, error))?;
    if args.json {
        let json = serde_json::to_string_pretty(&report).map_err(|error| Failed::new(Exit::SomeFailed, error))?;
        outln!("{json}");
    } else {
        out!("{report}");
    }
    Ok(if report.is_usable() { Exit::Ok } else { Exit::BadModelFiles })
}
