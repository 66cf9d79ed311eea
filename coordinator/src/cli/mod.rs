//! The command line: what can be typed, and what `--help` teaches.

mod address;
mod calibrate;
mod compare;
mod control;
mod doctor;
mod download;
mod follow;
mod forecast;
mod inspect;
mod path;
mod report;
mod room;
mod run;
mod say;
mod serve;
mod status;
mod submit;
mod table;
mod which;
mod worker;
mod workers;

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use wanfarm_client::{ClientError, JobVerb};
use wanfarm_manifest::{Faults, Manifest, Taken};
use wanfarm_model::folder::ModelFolder;
use wanfarm_model::ops::device::DeviceKind;
use wanfarm_model::text::Tokenizer;
use wanfarm_server::driver::RestoreError;
use wanfarm_server::server::ServerError;
use wanfarm_types::Role;
use wanfarm_workers::Dtype;

use crate::exit::Exit;
use crate::logging;
use say::{errln, outln};

/// Renders batches of Wan2.2 videos on as many machines as you have.
#[derive(Debug, Parser)]
#[command(
    name = "coordinator",
    version,
    about = "Renders batches of Wan2.2 videos on as many machines as you have.",
    after_help = "On one machine:\n\
                  \x20 coordinator run shots.toml\n\
                  On a farm:\n\
                  \x20 coordinator serve                       on one machine\n\
                  \x20 coordinator worker --coordinator HOST --role dit-high --models DIR\n\
                  \x20                                         on each of the others\n\
                  \x20 coordinator submit night.toml --follow\n\
                  \x20 coordinator status; coordinator workers; coordinator report night\n\n\
                  Exit codes: 0 ok, 1 some videos failed, 2 wrong usage or manifest, 3 no connection,\n\
                  4 bad model files, 130 interrupted."
)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Render a manifest on this machine: starts a coordinator and workers, waits, stops them.
    Run(RunArgs),
    /// Run a coordinator that workers and clients dial.
    Serve(ServeArgs),
    /// Run a worker that holds the weights of one or more roles and computes for a coordinator.
    Worker(WorkerArgs),
    /// Queue a manifest with a coordinator.
    Submit(submit::SubmitArgs),
    /// Show all jobs, or one job with its videos.
    Status(status::StatusArgs),
    /// Start nothing more of a job; what runs stops after its step.
    Pause(control::JobArgs),
    /// Undo pause.
    Resume(control::JobArgs),
    /// Give up what has not finished of a job, or one video of it; finished files stay.
    Cancel(control::ControlArgs),
    /// Try failed and cancelled videos of a job again, or one of them, from where they got to.
    Retry(control::ControlArgs),
    /// Keep nothing of a job but its finished files: not its line, not its report, nothing to go on from.
    Forget(control::ForgetArgs),
    /// List the workers; drain one, give it work again, or forget one that is gone.
    Workers(workers::WorkersArgs),
    /// Fetch the finished files of a job, checked by their digests.
    Download(download::DownloadArgs),
    /// The morning report of a job: what came of it, and where the time went.
    Report(report::ReportArgs),
    /// Describe a folder or file of model weights: what it is, what it needs, what is missing.
    Inspect(inspect::InspectArgs),
    /// Check that this machine computes a model correctly: files, operations, networks, a small render.
    Doctor(doctor::DoctorArgs),
    /// Measure a model's own MagCache curve, and write it beside the model.
    Calibrate(calibrate::CalibrateArgs),
    /// Compare two renders: structural similarity (SSIM) and signal-to-noise ratio (PSNR).
    Compare(compare::CompareArgs),
    /// Print the JSON Schema of the manifest, for editors.
    Schema,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  coordinator run night.toml --models /models
  coordinator run night.toml               again: goes on, renders what is new
  coordinator run night.toml --overwrite   replaces what other settings made
  coordinator run night.toml --force       renders everything once more

Only one run is under way at a time; another one waits for its turn.")]
struct RunArgs {
    /// Manifest: TOML, YAML or JSON.
    #[arg(value_parser = path::existing())]
    manifest: PathBuf,
    /// Folder with one subfolder per model; may be repeated. The manifest's folder is searched as well.
    #[arg(long, value_name = "DIR", value_parser = path::new())]
    models: Vec<PathBuf>,
    /// Where finished files go.
    #[arg(long, value_name = "DIR", default_value = "output", value_parser = path::new())]
    output: PathBuf,
    /// Working data, by manifest and output folder: what the same command goes on from [default: the platform's data
    /// directory].
    #[arg(long, value_name = "DIR", value_parser = path::new())]
    data: Option<PathBuf>,
    /// Compute threads of each worker [default: cores divided by workers].
    #[arg(long, value_name = "N")]
    threads: Option<std::num::NonZeroUsize>,
    #[command(flatten)]
    compute: ComputeArgs,
    #[command(flatten)]
    taken: TakenArgs,
    /// Render every video again, also those that are done and stand as they were written: these are replaced.
    #[arg(long, conflicts_with = "skip_existing")]
    force: bool,
    /// Print every update as a line of JSON; faults of the manifest too.
    #[arg(long)]
    json: bool,
}

/// What becomes of videos whose names are taken, by files or by other jobs. None of these: nothing is rendered.
#[derive(Debug, Clone, Copy, Args)]
#[group(multiple = false)]
struct TakenArgs {
    /// Replace what stands where videos are to go: files, and folders that hold nothing but frames.
    #[arg(long)]
    overwrite: bool,
    /// Give videos whose names are taken names that are free: NAME-2 and so on.
    #[arg(long)]
    new_name: bool,
    /// Leave out the videos that stand there whole, as their sidecars tell; render the others.
    #[arg(long)]
    skip_existing: bool,
}

impl TakenArgs {
    fn taken(self) -> Taken {
        match self {
            Self { overwrite: true, .. } => Taken::Overwrite,
            Self { new_name: true, .. } => Taken::NewName,
            Self { skip_existing: true, .. } => Taken::Skip,
            _ => Taken::Refuse,
        }
    }
}

#[derive(Debug, Args)]
struct ServeArgs {
    /// Address to listen on; clients, workers and tensors all use it. [::] is every interface, by IPv4 and IPv6;
    /// 127.0.0.1:7700 is for this machine alone.
    #[arg(long, value_name = "HOST:PORT", default_value = "[::]:7700", value_parser = address::listen)]
    listen: SocketAddr,
    /// Working data of this coordinator: the database, artifacts. What it needs to go on after a restart [default: the platform's data directory].
    #[arg(long, value_name = "DIR", value_parser = path::new())]
    data: Option<PathBuf>,
    /// Where the files of jobs go that are submitted from now on; older jobs keep their folder.
    #[arg(long, value_name = "DIR", default_value = "output", value_parser = path::new())]
    output: PathBuf,
    /// How long a job is kept after it has ended, as 30d or 12h; then all but its finished files is forgotten: its line and
    /// report, and what `retry` would go on from. forever: until `coordinator forget`.
    #[arg(long, value_name = "TIME", default_value = "30d")]
    keep: serve::Retention,
    /// After how long without a sign of life a worker's work goes elsewhere.
    #[arg(long, value_name = "SECONDS", default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..=3600))]
    lease: u64,
    /// Take a worker to hang when it is connected but finishes no step for this long, and for ten times as long as its
    /// steps take; its work goes elsewhere.
    #[arg(long, value_name = "SECONDS", default_value_t = 600, value_parser = clap::value_parser!(u64).range(1..))]
    stall: u64,
    /// Keep the state of a video durably after this many steps: what may be lost with a worker [default: every step, or
    /// none but the last of a stage with --checkpoint-seconds].
    #[arg(long, value_name = "STEPS", value_parser = clap::value_parser!(u32).range(1..))]
    checkpoint_steps: Option<u32>,
    /// The same by time: after as many seconds of computing, at the end of a step. With both, whichever comes first.
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..))]
    checkpoint_seconds: Option<u64>,
}

#[derive(Debug, Args)]
struct WorkerArgs {
    #[command(flatten)]
    coordinator: CoordinatorArg,
    /// What to serve: text-encoder, dit-high, dit-low, dit, vae; several with commas.
    #[arg(long = "role", value_name = "ROLE", value_delimiter = ',', required = true)]
    roles: Vec<Role>,
    /// Folder with one subfolder per model; may be repeated.
    #[arg(long, value_name = "DIR", required = true, value_parser = path::new())]
    models: Vec<PathBuf>,
    /// Serve this model alone; may be repeated [default: all that are there].
    #[arg(long, value_name = "MODEL")]
    only: Vec<String>,
    /// Working data of this worker alone: its identity, logs [default: the platform's data directory].
    #[arg(long, value_name = "DIR", value_parser = path::new())]
    data: Option<PathBuf>,
    /// Compute threads [default: all cores].
    #[arg(long, value_name = "N")]
    threads: Option<std::num::NonZeroUsize>,
    /// Address of this worker's tensor service, which the other machines read its results from; [::]:7701 is a port to
    /// open in a firewall [default: a free port, on every interface].
    #[arg(long, value_name = "HOST:PORT", value_parser = address::listen)]
    listen: Option<SocketAddr>,
    /// Address under which others reach that service, if it is another: behind NAT, in a container
    /// [default: the one it listens on].
    #[arg(long, value_name = "HOST:PORT")]
    advertise: Option<String>,
    /// Name shown to people [default: host name and roles].
    #[arg(long)]
    name: Option<String>,
    #[command(flatten)]
    compute: ComputeArgs,
    /// Leave when standard input is closed.
    #[arg(long, hide = true)]
    exit_with_parent: bool,
}

#[derive(Debug, Clone, Args)]
struct ComputeArgs {
    /// Where to compute: cpu, metal, cuda [default: the best this build supports].
    #[arg(long, value_name = "DEVICE")]
    device: Option<DeviceKind>,
    /// Element type of the transformers' matrix products: f32, bf16 [default: f32 on the CPU, bf16 elsewhere].
    #[arg(long, value_name = "DTYPE")]
    dtype: Option<Dtype>,
}

#[derive(Debug, Args)]
struct CoordinatorArg {
    /// The coordinator's address: HOST, HOST:PORT or http://HOST:PORT.
    #[arg(
        long,
        value_parser = address::coordinator,
        value_name = "URL",
        env = "WANFARM_COORDINATOR",
        default_value = "http://127.0.0.1:7700",
        global = true
    )]
    coordinator: String,
}

/// A command failed: what to tell the person, and how to exit.
#[derive(Debug)]
pub struct Failed {
    exit: Exit,
    message: String,
}

impl Failed {
    fn new(exit: Exit, message: impl ToString) -> Self {
        Self { exit, message: message.to_string() }
    }

    /// How to exit.
    pub fn exit(&self) -> Exit {
        self.exit
    }
}

impl std::fmt::Display for Failed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.message)
    }
}

impl Cli {
    /// Does what was typed.
    ///
    /// # Errors
    /// With the message and the exit code.
    pub fn execute(self) -> Result<Exit, Failed> {
        match self.command {
            Command::Run(args) => run::run(args),
            Command::Serve(args) => serve::serve(args),
            Command::Worker(args) => worker::worker(args),
            Command::Submit(args) => submit::submit(args),
            Command::Status(args) => status::status(args),
            Command::Pause(args) => control::control(args.into(), JobVerb::Pause),
            Command::Resume(args) => control::control(args.into(), JobVerb::Resume),
            Command::Cancel(args) => control::control(args, JobVerb::Cancel),
            Command::Retry(args) => control::control(args, JobVerb::Retry),
            Command::Forget(args) => control::forget(args),
            Command::Workers(args) => workers::workers(args),
            Command::Download(args) => download::download(args),
            Command::Report(args) => report::report(args),
            Command::Inspect(args) => inspect::inspect(args),
            Command::Doctor(args) => doctor::doctor(args),
            Command::Calibrate(args) => calibrate::calibrate(args),
            Command::Compare(args) => compare::compare(args),
            Command::Schema => {
                outln!("{:#}", wanfarm_manifest::schema());
                Ok(Exit::Ok)
            }
        }
    }
}

fn read_manifest(path: &std::path::Path, json: bool) -> Result<Manifest, Failed> {
    Manifest::read(path).map_err(|faults| faulty(&faults, json))
}

/// A manifest with faults: all of them, for a person or for a program.
fn faulty(faults: &Faults, json: bool) -> Failed {
    if json {
        outln!("{:#}", faults.to_json());
    } else {
        errln!("{}", faults.render(logging::colour(&std::io::stderr())).trim_end());
    }
    Failed::new(Exit::Usage, "")
}

/// Tells a person what is worth knowing; programs read standard output.
fn note(notes: &[String]) {
    for note in notes {
        errln!("note: {note}");
    }
}

/// What there is to say of a manifest whose model is here.
fn notes(manifest: &Manifest, model: &ModelFolder) -> Result<Vec<String>, Failed> {
    let mut notes = manifest.lora_notes(model.card());
    // Reading the words of a tokenizer takes a second.
    if manifest.has_long_texts() {
        let tokenizer = Tokenizer::load(model.tokenizer()).map_err(|error| Failed::new(Exit::BadModelFiles, error))?;
        notes.extend(manifest.text_notes(|text| tokenizer.encode(text).ok().map(|tokens| tokens.length)));
    }
    Ok(notes)
}

fn client_failed(error: ClientError) -> Failed {
    let exit = match error {
        ClientError::NoConnection { .. } | ClientError::Broken(_) | ClientError::Stranger(_) => Exit::NoConnection,
        ClientError::Refused(_) | ClientError::File { .. } => Exit::Usage,
        ClientError::Failed(_) => Exit::SomeFailed,
    };
    Failed::new(exit, error)
}

fn not_started(error: ServerError) -> Failed {
    let mended_first = matches!(error, ServerError::Output(_) | ServerError::Restore(RestoreError::Wanted(_)));
    let exit = if mended_first { Exit::Usage } else { Exit::SomeFailed };
    Failed::new(exit, error)
}

fn print_json(value: &impl serde::Serialize) -> Result<(), Failed> {
    let json = serde_json::to_string_pretty(value).map_err(|error| Failed::new(Exit::SomeFailed, error))?;
    outln!("{json}");
    Ok(())
}

/// Runs a command's async part. When it has ended, nothing still running in the background is waited for.
fn block_on<T>(command: impl Future<Output = Result<T, Failed>>) -> Result<T, Failed> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(|error| Failed::new(Exit::SomeFailed, format!("cannot start the async runtime: {error}")))?;
    let result = runtime.block_on(command);
    runtime.shutdown_background();
    result
}

/// The directory of a command when `--data` is absent.
fn data_directory(given: Option<PathBuf>, name: &str) -> Result<PathBuf, Failed> {
    let default = || dirs::data_dir().map(|dir| dir.join("wanfarm").join(name));
    given.or_else(default).ok_or_else(|| {
        Failed::new(Exit::Usage, "this system names no data directory for you; say where with --data DIR")
    })
}

/// Resolves when a person or the system asks this process to end.
async fn asked_to_stop() {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        let told = async |kind| match signal(kind) {
            Ok(mut signals) => _ = signals.recv().await,
            // Nothing listens for it, so it ends the process at once, as the system does by default.
            Err(_) => std::future::pending().await,
        };
        tokio::select! {
            () = told(SignalKind::interrupt()) => {}
            () = told(SignalKind::terminate()) => {}
        }
    }
    #[cfg(not(unix))]
    {
        let _ = tokio::signal::ctrl_c().await;
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    /// A terminal opens with 80 columns; a longer line would be broken in the middle of an example.
    #[test]
    fn examples_and_tables_of_the_help_fit_eighty_columns() {
        let mut commands = vec![Cli::command()];
        while let Some(command) = commands.pop() {
            commands.extend(command.get_subcommands().cloned());
            for text in [command.get_after_help(), command.get_after_long_help()].into_iter().flatten() {
                for line in text.to_string().lines().filter(|line| line.starts_with("  ")) {
                    assert!(line.chars().count() <= 80, "{}: {line}", command.get_name());
                }
            }
        }
    }

    #[test]
    fn only_some_verbs_take_single_videos() {
        for (verb, takes) in [("pause", false), ("resume", false), ("forget", false), ("cancel", true), ("retry", true)]
        {
            let video = Cli::try_parse_from(["coordinator", verb, "night/3"]);
            assert_eq!(video.is_ok(), takes, "{verb}");
            assert!(Cli::try_parse_from(["coordinator", verb, "night"]).is_ok());
        }
        let why = Cli::try_parse_from(["coordinator", "pause", "night/3"]).unwrap_err().to_string();
        assert!(why.contains("by its number or name, no single video, not") && !why.contains("INDEX"), "{why}");
    }

    #[test]
    fn every_verb_is_explained() {
        let mut command = Cli::command().term_width(80).mut_subcommands(|verb| {
            // What the variables of whoever tests hold.
            verb.mut_args(|argument| argument.hide_env_values(true))
        });
        command.build();
        command.clone().debug_assert();
        insta::assert_snapshot!("coordinator", command.render_long_help());
        for verb in command.get_subcommands_mut().filter(|verb| verb.get_name() != "help") {
            insta::assert_snapshot!(verb.get_name().to_owned(), verb.render_long_help());
        }
    }
}
