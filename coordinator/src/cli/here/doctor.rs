//! `coordinator doctor`.

use std::path::PathBuf;

use clap::Args;
use wanfarm_tools::doctor::Examination;
use wanfarm_workers::Dtype;

use super::ComputeArgs;
use crate::cli::error::CliError;
use crate::cli::say::outln;
use crate::doctor::{Report, judge, line};
use crate::exit::Exit;

#[derive(Debug, Args)]
pub(in crate::cli) struct DoctorArgs {
    /// The model folder.
    #[arg(long, value_name = "DIR", value_parser = crate::cli::path::existing())]
    model: PathBuf,
    #[command(flatten)]
    compute: ComputeArgs,
    /// Print JSON, once everything is known.
    #[arg(long)]
    json: bool,
}

pub(super) fn doctor(args: DoctorArgs) -> Result<Exit, CliError> {
    super::limit_threads(super::cores())?;
    let device = args.compute.device()?;
    let dtype = args.compute.dtype.unwrap_or_else(|| Dtype::preferred(device));
    let (bf16, budget) = (dtype == Dtype::Bf16, Some(wanfarm_workers::budget(device).0));
    let examination = Examination { model: &args.model, device, bf16, length: None, budget };
    let mut checks = Vec::new();
    let mut found = |finding| {
        if !args.json {
            outln!("{}", line(&finding));
        }
        checks.push(finding);
    };
    let rendered = examination.run(&mut found).map_err(|error| CliError::new(Exit::SomeFailed, error))?;
    if let Some(rendered) = rendered {
        judge(&rendered).map_err(|error| CliError::new(Exit::SomeFailed, error))?.into_iter().for_each(found);
    }
    let report = Report::new(args.model, device, checks);
    if args.json {
        let json = serde_json::to_string_pretty(&report).map_err(|error| CliError::new(Exit::SomeFailed, error))?;
        outln!("{json}");
    } else {
        outln!("{}", report.summary());
    }
    Ok(report.exit())
}
