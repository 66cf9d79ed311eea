//! `coordinator run`: a farm of one machine for one manifest, which it remembers.

use std::collections::BTreeMap;
use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::sync::watch;
use wanfarm_client::{Client, Submitted, Target, Way};
use wanfarm_manifest::{Manifest, chains, slug};
use wanfarm_model::folder::{self, ModelFolder};
use wanfarm_scheduler::VideoPlan;
use wanfarm_server::catalog::fingerprint;
use wanfarm_server::estimate::{Estimate, Workforce, Workload};
use wanfarm_server::remember::{Memory, Wanted};
use wanfarm_server::server::{self, ServerConfig};
use wanfarm_tools::inspect;
use wanfarm_types::{Digest, ItemSize, JobId, ModelInfo, Role, Size, VideoRequest};
use wanfarm_workers::{Dtype, machine};

use super::draw::KeptDraw;
use super::residency::Layout;
use super::{ComputeArgs, data_directory, local, not_started};
use crate::cli::args::{TakenArgs, faulty};
use crate::cli::error::CliError;
use crate::cli::follow::{self, Connection, Interest};
use crate::cli::given::GivenArgs;
use crate::cli::path;
use crate::cli::runtime::{asked_to_stop, block_on};
use crate::cli::say::errln;
use crate::cli::say::note;
use crate::cli::submit::{names_said, nothing_left};
use crate::exit::Exit;
use crate::logging;
use crate::progress::counted;
use crate::supervisor::{self, SupervisorError, Workers};

/// Bytes of encoded texts that are kept for the next run of a manifest, as `serve` keeps them by default.
const KEPT_TEXTS: u64 = 1 << 30;
/// The key of a run's only job.
const KEY: &str = "run";

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  coordinator run night.toml --models /models
  coordinator run night.toml               again: goes on, renders what is new
  coordinator run night.toml --overwrite   replaces what other settings made
  coordinator run night.toml --force       renders everything once more
  coordinator run night.toml --video 3     renders the fourth video only
  coordinator run --model wan --prompt \"a fox\" --seed 7 --image fox.png
  coordinator run --model wan --prompts shots.txt --frames 81
                                           what a manifest would say, typed

Only one run is under way at a time; another one waits for its turn.")]
pub(in crate::cli) struct RunArgs {
    #[command(flatten)]
    given: GivenArgs,
    /// Folder with one subfolder per model; may be repeated. The manifest's folder is searched as well.
    #[arg(long, value_name = "DIR", env = "WANFARM_MODELS", value_parser = path::new())]
    models: Vec<PathBuf>,
    /// Where the pictures, clips and LoRA files lie that the manifest names [default: where it lies].
    #[arg(long, value_name = "DIR", value_parser = path::new())]
    files: Option<PathBuf>,
    /// Render one video only, by its place in the manifest from 0.
    #[arg(long, value_name = "N")]
    video: Option<u32>,
    /// With --video: so many from there on, as far as there are.
    #[arg(long, value_name = "N", requires = "video", default_value = "1")]
    count: std::num::NonZeroU32,
    /// Where finished files go.
    #[arg(long, value_name = "DIR", env = "WANFARM_OUTPUT", default_value = "output", value_parser = path::new())]
    output: PathBuf,
    /// Working data, by manifest and output folder: what the same command goes on from [default: the platform's data
    /// directory].
    #[arg(long, value_name = "DIR", value_parser = path::new())]
    data: Option<PathBuf>,
    /// Memory for all weights and what is computed with them, 48GiB, 48GB or bytes: where the model's roles do not fit
    /// together, they take turns [default: 90 % of what Metal recommends or of what is free on the GPU; 75 % of main
    /// memory, or of the container's limit, on the processor].
    #[arg(long, value_name = "SIZE", env = "WANFARM_MEMORY")]
    memory: Option<Size>,
    /// Compute threads of each worker [default: cores divided by workers].
    #[arg(long, value_name = "N", env = "WANFARM_THREADS")]
    threads: Option<std::num::NonZeroUsize>,
    #[command(flatten)]
    compute: ComputeArgs,
    #[command(flatten)]
    taken: TakenArgs,
    /// Render every video again, also those that are done and stand as they were written: these are replaced.
    #[arg(long, conflicts_with = "skip_existing")]
    force: bool,
    /// Tell the desktop when the job has ended.
    #[arg(long)]
    notify: bool,
    /// Print every update as a line of JSON; faults of the manifest too.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: RunArgs) -> Result<Exit, CliError> {
    logging::quiet();
    args.compute.device()?;
    let mut manifest = args.given.read(args.files.as_deref(), args.json)?;
    let folders = local::folders(&args.models, args.given.path());
    let model = find_model(&folders, &manifest.model)?;
    let roles = model.info().roles();
    // Looked at here, before any process starts; the workers look again at what they load.
    inspect::check(&model, &roles).map_err(|error| CliError::new(Exit::BadModelFiles, error))?;
    let base = data_directory(args.data.clone(), "run")?;
    // Its own, which it goes on from; and what the workers of all runs know.
    let (data, of_workers) = (base.join(name(&args, &manifest)?), base.join("workers"));
    let drawn =
        manifest.draws_seeds().then(|| KeptDraw::of(&data)).transpose().map_err(|error| unusable(&data, &error))?;
    if let Some(drawn) = &drawn {
        manifest.draw = drawn.draw();
    }
    let videos = manifest.check(Some(model.info())).map_err(|faults| faulty(&faults, args.json))?;
    let videos = chosen(&args, &mut manifest, videos)?;
    let layout = layout(&args, &manifest, &model, &videos)?;
    note(&local::notes(&manifest, &model)?);
    if !args.json {
        errln!("{layout}");
    }

    super::disk_space::check(&manifest, model.info(), &videos, &args.output, &base)?;
    let _turn = take_turn(&base)?;
    // What has never been rendered has nothing to be compared with.
    let weights = if data.is_dir() { weights(&model, &layout, &of_workers)? } else { BTreeMap::new() };
    let wanted = Wanted {
        submission: manifest.submission(KEY.to_owned(), args.taken.taken(), videos),
        info: model.info().clone(),
        weights,
        images: manifest.images.iter().map(|file| file.image).collect(),
        again: args.force,
    };
    let workers = Workers {
        coordinator: String::new(),
        models: folders,
        data: of_workers,
        threads: args.threads.map_or_else(|| default_threads(layout.processes.len()), std::num::NonZeroUsize::get),
        // Whatever else lies in these folders is not looked at.
        arguments: [vec!["--only".to_owned(), manifest.model.clone()], compute_arguments(&args), within(&layout)]
            .concat(),
        processes: layout.processes,
    };
    if let Some(drawn) = &drawn {
        drawn.keep().map_err(|error| unusable(&data, &error))?;
    }
    let exit = block_on(render(args, data.clone(), workers, manifest, wanted))?;
    if let Some(drawn) = drawn.filter(|_| exit == Exit::Ok) {
        drawn.forget().map_err(|error| unusable(&data, &error))?;
    }
    Ok(exit)
}

async fn render(
    args: RunArgs,
    data: PathBuf,
    mut workers: Workers,
    manifest: Manifest,
    wanted: Wanted,
) -> Result<Exit, CliError> {
    let config = ServerConfig {
        listen: ([127, 0, 0, 1], 0).into(),
        data,
        output: args.output.clone(),
        wanted: Some(wanted.clone()),
        security: None,
        retention: None,
        // Interactive: give up after a few seconds and let the user fix it.
        scheduler: wanfarm_scheduler::Config { max_output_tries: 3, kept_text_bytes: KEPT_TEXTS, ..Default::default() },
    };
    let mut coordinator =
        server::start(config, |farm| wanfarm_http::router(farm, wanfarm_http::Outside::default()).into())
            .await
            .map_err(not_started)?;
    let target = Target::new(&coordinator.address.to_string(), Way::plain());
    workers.coordinator = target.url();
    let same = if args.force { "the same command without --force" } else { "the same command" };
    let interrupted = || {
        let output = args.output.display();
        let words = format!("interrupted; what was finished is in {output}, and {same} goes on from there");
        CliError::new(Exit::Interrupted, words)
    };
    let queued = tokio::select! {
        queued = queue(&target, coordinator.memory, &args, &manifest, wanted) => queued,
        () = asked_to_stop() => Err(interrupted()),
    };
    let result = match queued {
        Err(failed) => Err(failed),
        Ok(Queued::Nothing(exit)) => Ok(exit),
        Ok(Queued::Job(client, job)) => {
            let over = coordinator.memory.is_some_and(Memory::is_over);
            let interest = if args.json { Interest::Json } else { Interest::Progress };
            let again = format!("{same} again; what is done stays");
            let connection = Connection { client: *client, target: &target, here: Some(&again), notify: args.notify };
            let followed = follow::follow(connection, job, interest, Some(&args.output));
            let ended = async { followed.await?.exit() };
            let (stop, stopped) = watch::channel(false);
            // Where nothing is left to compute, none are started.
            let processes = if over { Vec::new() } else { workers.processes.clone() };
            let mut workers = tokio::spawn(supervisor::supervise(Workers { processes, ..workers }, stopped));
            let result = tokio::select! {
                ended = ended => ended,
                ended = &mut workers, if !over => Err(worker_failure(ended)),
                failed = coordinator.failed() => Err(CliError::new(Exit::SomeFailed, failed)),
                () = asked_to_stop() => Err(interrupted()),
            };
            // Workers first: they say goodbye to a coordinator that is still there.
            let _ = stop.send(true);
            if !workers.is_finished() {
                let _ = workers.await;
            }
            result
        }
    };
    coordinator.stop().await;
    result
}

/// The job to follow.
enum Queued {
    Job(Box<Client>, JobId),
    Nothing(Exit),
}

/// Gives the coordinator what it lacks, and the job unless it remembers that.
async fn queue(
    target: &Target,
    memory: Option<Memory>,
    args: &RunArgs,
    manifest: &Manifest,
    wanted: Wanted,
) -> Result<Queued, CliError> {
    let mut client = Client::connect(target).await?;
    client.put_files(&manifest.files()).await?;
    if let Some(memory) = memory {
        remembered(memory);
        return Ok(Queued::Job(Box::new(client), memory.job));
    }
    let (submitted, _) = client.submit(wanted.submission, manifest.about.clone()).await?;
    let Some(job) = submitted.job else { return nothing_left(submitted, args.json).map(Queued::Nothing) };
    names_said(submitted);
    Ok(Queued::Job(Box::new(client), job))
}

/// Says what is not rendered, or not from the beginning.
fn remembered(memory: Memory) {
    let Memory { videos, done, begun, renamed, left_out, .. } = memory;
    if done > 0 {
        errln!("{done} of {videos} videos are done and stand as they were written (--force renders them again)");
    }
    if begun > 0 {
        errln!("{begun} of {videos} videos go on from where they were");
    }
    names_said(Submitted { job: None, already: false, renamed, left_out });
}

fn unusable(folder: &Path, error: &std::io::Error) -> CliError {
    CliError::new(Exit::SomeFailed, format!("cannot use the data directory {}: {error}", folder.display()))
}

/// Waits until no other run of this machine, as far as they share this folder, is under way: models for two at once need
/// twice the memory. The turn lasts as long as what is returned.
fn take_turn(base: &Path) -> Result<File, CliError> {
    let unusable = |error: std::io::Error| unusable(base, &error);
    wanfarm_durable::private_folder(base).map_err(unusable)?;
    let lock = File::create(base.join("run.lock")).map_err(unusable)?;
    match lock.try_lock() {
        Err(TryLockError::WouldBlock) => {
            errln!("another run is under way; this one begins when that has ended");
            lock.lock().map_err(unusable)?;
        }
        Err(TryLockError::Error(error)) => return Err(unusable(error)),
        Ok(()) => {}
    }
    Ok(lock)
}

/// The videos that are meant, and of the files only those that they need.
fn chosen(args: &RunArgs, manifest: &mut Manifest, videos: Vec<VideoRequest>) -> Result<Vec<VideoRequest>, CliError> {
    let Some(first) = args.video else { return Ok(videos) };
    let count = videos.len();
    let places: Vec<u32> =
        (first..).take(args.count.get() as usize).take_while(|place| (*place as usize) < count).collect();
    let mut chosen: Vec<_> = places.iter().filter_map(|place| videos.get(*place as usize)).cloned().collect();
    let mut missing = None;
    chains::renumber(&mut chosen, &places, |at, need| {
        let other = videos.get(need.video() as usize).map(|video| video.label(need.video())).unwrap_or_default();
        missing = Some(format!("video {} needs a frame of {other}, which is not among those chosen", places[at]));
        None
    });
    if let Some(why) = missing {
        return Err(CliError::new(Exit::Usage, why));
    }
    if chosen.is_empty() {
        let why = format!("--video {first}: the manifest has {}, numbered from 0", counted(count as u64, "video"));
        return Err(CliError::new(Exit::Usage, why));
    }
    manifest.images.retain(|file| chosen.iter().flat_map(VideoRequest::files).any(|image| image == file.image.digest));
    manifest.loras.retain(|file| chosen.iter().flat_map(|video| &video.loras).any(|lora| lora.blake3 == file.blake3));
    Ok(chosen)
}

/// The name of the folder of a run: the same for the same manifest, or for what was typed, and the same output folder.
fn name(args: &RunArgs, manifest: &Manifest) -> Result<String, CliError> {
    let typed = args.given.text()?;
    let path = Some(args.given.path()).filter(|_| typed.is_empty()).and_then(|path| fs::canonicalize(path).ok());
    let path = path.unwrap_or_else(|| manifest.name.clone().into());
    let output = std::path::absolute(&args.output).unwrap_or_else(|_| args.output.clone());
    let mut hasher = blake3::Hasher::new();
    for path in [&path, &output] {
        hasher.update(path.as_os_str().as_encoded_bytes()).update(&[0]);
    }
    hasher.update(typed.as_bytes());
    // Others of its videos are another job.
    if let Some(video) = args.video {
        hasher.update(format!("{video}+{}", args.count).as_bytes());
    }
    let stem = path.file_stem().map(|stem| slug(&stem.to_string_lossy())).unwrap_or_default();
    Ok(format!("{stem}-{}", &hasher.finalize().to_hex()[..12]))
}

/// The digests of the weights, as the workers will tell them.
fn weights(model: &ModelFolder, layout: &Layout, workers: &Path) -> Result<BTreeMap<Role, Digest>, CliError> {
    let places = layout.processes.iter().enumerate();
    let roles = places.flat_map(|(index, roles)| {
        let data = supervisor::place(workers, index, roles);
        roles.iter().map(move |role| (*role, data.clone()))
    });
    let of = |(role, data): (Role, PathBuf)| Ok((role, fingerprint(&wanfarm_workers::role_files(model, role, &data)?)));
    let digests: Result<_, wanfarm_model::ModelError> = roles.map(of).collect();
    digests.map_err(|error| CliError::new(Exit::BadModelFiles, error))
}

fn worker_failure(ended: Result<Result<(), SupervisorError>, tokio::task::JoinError>) -> CliError {
    match ended {
        Ok(Err(error @ SupervisorError::Unable { exit, .. })) => CliError::new(exit, error),
        Ok(Err(error)) => CliError::new(Exit::SomeFailed, error),
        Ok(Ok(())) => CliError::new(Exit::SomeFailed, "the workers have stopped"),
        Err(panic) => CliError::new(Exit::SomeFailed, panic),
    }
}

fn find_model(folders: &[PathBuf], name: &str) -> Result<ModelFolder, CliError> {
    let bad = |error| CliError::new(Exit::BadModelFiles, error);
    let Some(folder) = folder::find(folders, name).map_err(bad)? else {
        let looked = folders.iter().map(|folder| folder.display().to_string()).collect::<Vec<_>>().join(", ");
        return Err(CliError::new(
            Exit::BadModelFiles,
            format!("no model folder named {name} in {looked}; say where models are with --models DIR"),
        ));
    };
    folder::open(&folder).map_err(bad)
}

/// Cores shared out among the workers, at least one each.
fn default_threads(workers: usize) -> usize {
    (super::cores().get() / workers.max(1)).max(1)
}

/// How the workers share the memory of this machine.
fn layout(
    args: &RunArgs,
    manifest: &Manifest,
    model: &ModelFolder,
    videos: &[VideoRequest],
) -> Result<Layout, CliError> {
    let device = args.compute.device()?;
    let dtype = args.compute.dtype.unwrap_or_else(|| Dtype::preferred(device)).of_tensors();
    let footprint = |role| Ok((role, model.footprint(role, device, dtype)?));
    let footprints: Result<Vec<_>, wanfarm_model::ModelError> =
        model.info().roles().into_iter().map(footprint).collect();
    let footprints = footprints.map_err(|error| CliError::new(Exit::BadModelFiles, error))?;
    let plans = local::resolved(manifest, model.info(), videos)?.into_iter().map(|(plan, _)| plan).collect::<Vec<_>>();
    let largest = |a: ItemSize, b: ItemSize| ItemSize {
        tokens: a.tokens.max(b.tokens),
        frame: a.frame.max(b.frame),
        kept: a.kept.max(b.kept),
    };
    let budget = args.memory.unwrap_or_else(|| wanfarm_workers::budget(device));
    let largest = plans.iter().map(VideoPlan::item_size).fold(ItemSize::default(), largest);
    let mut layout = Layout::new(&footprints, largest, budget).map_err(|why| CliError::new(Exit::Usage, why))?;
    layout.expected = expected(&layout, model.info(), &plans, &machine::describe(device));
    Ok(layout)
}

/// About how long the videos take, where something is known of the device; the weights are loaded meanwhile.
fn expected(layout: &Layout, model: &ModelInfo, plans: &[VideoPlan], device: &str) -> Option<Duration> {
    let mut force = Workforce::new(Some(model.clone()));
    for roles in &layout.processes {
        force.add(roles.iter().copied(), device, []);
    }
    // Processes of one machine share its device: they take their turns on it, and so long as one would for all of it.
    let seconds =
        Estimate::new(&Workload::of(plans), &force).stages.iter().map(|stage| stage.seconds).sum::<Option<f64>>();
    Duration::try_from_secs_f64(seconds?).ok()
}

/// What tells a worker that it does not hold all it serves.
fn within(layout: &Layout) -> Vec<String> {
    layout.within.into_iter().flat_map(|size| ["--memory".to_owned(), size.0.to_string()]).collect()
}

fn compute_arguments(args: &RunArgs) -> Vec<String> {
    let device = args.compute.device.map(|device| ["--device".to_owned(), device.name().to_owned()]);
    let dtype = args.compute.dtype.map(|dtype| ["--dtype".to_owned(), dtype.to_string()]);
    device.into_iter().chain(dtype).flatten().collect()
}
