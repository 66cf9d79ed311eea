//! Commands that run on this machine: coordinate, compute, inspect models. Built with the feature `farm`.

mod bench;
mod calibrate;
mod compare;
mod devices;
mod disk_space;
mod doctor;
mod draw;
mod founding;
mod inspect;
#[cfg(unix)]
mod install;
mod listen;
pub(super) mod local;
mod models;
mod repair;
mod residency;
mod run;
mod serve;
mod worker;

use std::num::NonZeroUsize;
use std::path::PathBuf;

use clap::{Args, Subcommand};
use wanfarm_model::ops::device::DeviceKind;
use wanfarm_server::driver::RestoreError;
use wanfarm_server::server::ServerError;
use wanfarm_workers::Dtype;

use crate::cli::error::CliError;
use crate::exit::Exit;

/// Verbs that need more than a connection to a coordinator.
#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Render a manifest on this machine: starts a coordinator and workers, waits, stops them.
    Run(run::RunArgs),
    /// Run a coordinator that workers and clients dial.
    Serve(serve::ServeArgs),
    /// Run a worker that holds the weights of one or more roles and computes for a coordinator.
    Worker(worker::WorkerArgs),
    /// Make the coordinator or a worker a service of this machine, or take it off again.
    #[cfg(unix)]
    Install(install::InstallArgs),
    /// Describe a folder or file of model weights: what it is, what it needs, what is missing.
    #[command(display_order = 100)]
    Inspect(inspect::InspectArgs),
    /// Which models the farm has; fetch one from it.
    Models(models::ModelsArgs),
    /// List what this build can compute on, on this machine.
    #[command(display_order = 100)]
    Devices(devices::DevicesArgs),
    /// Check that this machine computes a model correctly: files, operations, networks, a small render.
    #[command(display_order = 101)]
    Doctor(doctor::DoctorArgs),
    /// Measure how fast this machine is at what a render is made of, and what videos would take.
    #[command(display_order = 102)]
    Bench(bench::BenchArgs),
    /// Measure a model's own MagCache curve, and write it beside the model.
    #[command(display_order = 103)]
    Calibrate(calibrate::CalibrateArgs),
    /// Compare two renders: structural similarity (SSIM) and signal-to-noise ratio (PSNR).
    #[command(display_order = 104)]
    Compare(compare::CompareArgs),
    /// Set aside what of a coordinator's database cannot be read, so that it starts again.
    #[command(display_order = 105)]
    Repair(repair::RepairArgs),
}

#[derive(Debug, Clone, Args)]
pub(in crate::cli) struct ComputeArgs {
    /// Where to compute: cpu, metal, cuda [default: as `coordinator devices` says].
    #[arg(long, value_name = "DEVICE", env = "WANFARM_DEVICE")]
    device: Option<DeviceKind>,
    /// Element type of the transformers' matrix products: f32, bf16 [default: f32 on the CPU, bf16 elsewhere].
    #[arg(long, value_name = "DTYPE", env = "WANFARM_DTYPE")]
    dtype: Option<Dtype>,
}

impl ComputeArgs {
    /// The device that is meant, which is there.
    fn device(&self) -> Result<DeviceKind, CliError> {
        let device = self.device.unwrap_or_else(DeviceKind::preferred);
        device.find().map_err(|error| CliError::new(Exit::Usage, error))?;
        Ok(device)
    }
}

impl Command {
    pub(super) fn execute(self) -> Result<Exit, CliError> {
        match self {
            Self::Run(args) => run::run(args),
            Self::Serve(args) => serve::serve(args),
            Self::Worker(args) => worker::worker(args),
            #[cfg(unix)]
            Self::Install(args) => install::install(args),
            Self::Inspect(args) => inspect::inspect(args),
            Self::Models(args) => models::models(args),
            Self::Devices(args) => devices::devices(args),
            Self::Doctor(args) => doctor::doctor(args),
            Self::Bench(args) => bench::bench(args),
            Self::Calibrate(args) => calibrate::calibrate(args),
            Self::Compare(args) => compare::compare(args),
            Self::Repair(args) => repair::repair(args),
        }
    }
}

fn not_started(error: ServerError) -> CliError {
    let mended_first = matches!(error, ServerError::Output(_) | ServerError::Restore(RestoreError::Wanted(_)));
    let exit = if mended_first { Exit::Usage } else { Exit::SomeFailed };
    CliError::new(exit, error)
}

/// Cores that this process may use.
fn cores() -> NonZeroUsize {
    std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN)
}

/// To be called before anything else: this may start the program over with another environment, the one that workers
/// compute in.
fn limit_threads(threads: NonZeroUsize) -> Result<(), CliError> {
    let failed = |error| CliError::new(Exit::SomeFailed, format!("cannot set the number of threads: {error}"));
    wanfarm_workers::limit_threads(threads).map_err(failed)
}

/// The directory of a command when `--data` is absent.
fn data_directory(given: Option<PathBuf>, name: &str) -> Result<PathBuf, CliError> {
    let default = || dirs::data_dir().map(|dir| dir.join("wanfarm").join(name));
    given.or_else(default).ok_or_else(|| {
        CliError::new(Exit::Usage, "this system names no data directory for you; say where with --data DIR")
    })
}
