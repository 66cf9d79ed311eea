//! `coordinator bench`.

use std::path::PathBuf;

use clap::Args;
use serde::Serialize;
use wanfarm_model::ops::device::DeviceKind;
use wanfarm_tools::bench::{Bench, Results, VideoTime};
use wanfarm_workers::{Dtype, machine};

use super::ComputeArgs;
use crate::cli::error::CliError;
use crate::cli::say::{outln, print_json};
use crate::cli::table::table;
use crate::exit::Exit;

/// What it is for.
const AFTER_HELP: &str = "Needs no model: weights are random, at the sizes of the published ones.\n\n\
     Each line: what was measured, work in a second by the median run, its share\n\
     of the best product or copy, seconds of that run, half the distance of the\n\
     quartiles.\n\
     What does not fit into memory or time is left out, and says why.\n\n\
     Leave the machine alone meanwhile, on mains and cool, and compare two runs.\n\
     To tell others: coordinator bench --json > bench.json";

#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub(in crate::cli) struct BenchArgs {
    #[command(flatten)]
    compute: ComputeArgs,
    /// Time for everything, 1 to 3600; what has begun is finished.
    #[arg(long, value_name = "N", default_value_t = 300, value_parser = clap::value_parser!(u32).range(1..=3600))]
    seconds: u32,
    /// Read a model's files too, to see how fast they load.
    #[arg(long, value_name = "DIR", value_parser = crate::cli::path::existing())]
    model: Option<PathBuf>,
    /// Print JSON, once everything is known: one document to put into an issue.
    #[arg(long)]
    json: bool,
}

/// The JSON output.
#[derive(Debug, Serialize)]
struct BenchReport<'a> {
    version: &'static str,
    /// The operating system and its version.
    system: Option<String>,
    device: &'static str,
    /// The device and what it is part of.
    name: &'a str,
    /// Bytes of the device's memory that may be used.
    memory_bytes: u64,
    threads: usize,
    dtype: String,
    seconds: u32,
    #[serde(flatten)]
    results: &'a Results,
}

pub(super) fn bench(args: BenchArgs) -> Result<Exit, CliError> {
    let threads = super::cores();
    super::limit_threads(threads)?;
    let device = args.compute.device()?;
    let dtype = args.compute.dtype.unwrap_or_else(|| Dtype::preferred(device));
    let memory_bytes = usable_memory(device)?;
    let name = machine::describe(device);
    let bf16 = dtype == Dtype::Bf16;
    let (seconds, model) = (args.seconds.into(), args.model.as_deref());
    let bench = Bench { device, bf16, seconds, memory_bytes, name: &name, model };
    let system = machine::system();
    if !args.json {
        let system = system.as_deref().unwrap_or("an unknown system");
        outln!("{name}, {system}, {dtype}, coordinator {}", env!("CARGO_PKG_VERSION"));
    }
    let results = bench
        .run(&mut |line| {
            if !args.json {
                outln!("{line}");
            }
        })
        .map_err(|error| CliError::new(Exit::SomeFailed, error))?;
    if args.json {
        let report = BenchReport {
            version: env!("CARGO_PKG_VERSION"),
            system,
            device: device.name(),
            name: &name,
            memory_bytes,
            threads: threads.get(),
            dtype: dtype.to_string(),
            seconds: args.seconds,
            results: &results,
        };
        print_json(&report)?;
    } else {
        outln!("\n{}", videos(&results.videos, results.chip.is_some()));
    }
    Ok(Exit::Ok)
}

/// Bytes that networks may take: a GPU's own limit, or half of main memory.
fn usable_memory(device: DeviceKind) -> Result<u64, CliError> {
    let found = device.find().map_err(|error| CliError::new(Exit::Usage, error))?;
    Ok(found.memory_bytes.unwrap_or_else(|| machine::memory_bytes() / 2))
}

fn videos(times: &[VideoTime], known: bool) -> String {
    if times.is_empty() {
        return "what videos take is not known: there was no time or memory for a block; give more with --seconds\n"
            .to_owned();
    }
    let seconds = |seconds: f64| format!("{seconds:.1} s");
    let row = |time: &VideoTime| {
        let expected = time.expected_seconds.map(seconds).unwrap_or_default();
        [time.what.clone(), seconds(time.seconds), expected]
    };
    let expected = if known { "EXPECTED OF THIS CHIP" } else { "" };
    let text = table(["BY WHAT WAS MEASURED", "TAKES", expected], times.iter().map(row));
    text + "a step is two forward passes, with and without the prompt; what is expected is calculated\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_videos_take_is_a_table_with_what_is_expected_where_the_chip_is_known() {
        let time = |expected_seconds| VideoTime { what: "a step".to_owned(), seconds: 12.34, expected_seconds };
        let text = videos(&[time(Some(10.))], true);
        assert!(text.contains("EXPECTED OF THIS CHIP") && text.contains("12.3 s") && text.contains("10.0 s"), "{text}");
        assert!(!videos(&[time(None)], false).contains("CHIP"));
        assert!(videos(&[], false).contains("--seconds"));
    }
}
