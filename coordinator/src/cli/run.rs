//! `coordinator run`: a farm of one machine for one manifest.

use std::path::{Path, PathBuf};

use tokio::sync::watch;
use wanfarm_model::files::{self, ModelFolder};
use wanfarm_model::inspect;
use wanfarm_model::ops::device::DeviceKind;
use wanfarm_types::{Role, VideoRequest};

use super::follow::{self, Connection, Interest};
use super::submit::{names_said, nothing_left};
use super::{Failed, RunArgs, asked_to_stop, block_on, data_directory, read_manifest};
use crate::client::Client;
use crate::driver::Keep;
use crate::exit::Exit;
use crate::jobs::Submission;
use crate::logging;
use crate::manifest::Manifest;
use crate::server::{self, ServerConfig};
use crate::supervisor::{self, SupervisorError, Workers};

pub(super) fn run(args: RunArgs) -> Result<Exit, Failed> {
    logging::quiet();
    let device = args.compute.device.unwrap_or_else(DeviceKind::preferred);
    device.supported().map_err(|error| Failed::new(Exit::Usage, error))?;
    let manifest = read_manifest(&args.manifest, args.json)?;
    let folders = model_folders(&args);
    let model = find_model(&folders, &manifest.model)?;
    let roles = model.card().roles();
    // Looked at here, before any process starts; the workers look again at what they load.
    inspect::check(&model, &roles).map_err(|error| Failed::new(Exit::BadModelFiles, error))?;
    let videos = manifest.check(Some(model.card())).map_err(|faults| super::faulty(&faults, args.json))?;
    super::note(&super::notes(&manifest, &model)?);
    let key = resume_key(&manifest, &videos, &model, &args.output)?;
    let submission = manifest.submission(key, args.taken.taken(), videos);
    let data = data_directory(args.data.clone(), "run")?;
    super::room::check(&manifest, model.card(), &submission.videos, &args.output, &data)?;
    block_on(render(args, data, folders, roles, manifest, submission))
}

async fn render(
    args: RunArgs,
    data: PathBuf,
    models: Vec<PathBuf>,
    roles: Vec<Role>,
    manifest: Manifest,
    submission: Submission,
) -> Result<Exit, Failed> {
    let config = ServerConfig {
        listen: ([127, 0, 0, 1], 0).into(),
        data: data.clone(),
        output: args.output.clone(),
        // A run that was killed goes on; what else lies there from earlier runs is over.
        keep: Keep::Only(submission.client_key.clone()),
        retention: None,
        // Somebody is waiting: what a few seconds do not cure is theirs to mend.
        scheduler: wanfarm_scheduler::Config { max_output_tries: 3, ..Default::default() },
    };
    let mut coordinator = server::start(config).await.map_err(super::not_started)?;
    let url = format!("http://{}", coordinator.address);
    let (stop, stopped) = watch::channel(false);
    let workers = Workers {
        coordinator: url.clone(),
        models,
        data: data.join("workers"),
        threads: args.threads.map_or_else(|| default_threads(roles.len()), std::num::NonZeroUsize::get),
        processes: roles.into_iter().map(|role| vec![role]).collect(),
        // Whatever else lies in these folders is not looked at.
        arguments: [vec!["--only".to_owned(), manifest.model.clone()], compute_arguments(&args)].concat(),
    };
    let mut workers = tokio::spawn(supervisor::supervise(workers, stopped));
    let result = tokio::select! {
        ended = follow_job(&url, &manifest, submission, &args.output) => ended,
        ended = &mut workers => Err(worker_failure(ended)),
        failed = coordinator.failed() => Err(Failed::new(Exit::SomeFailed, failed)),
        () = asked_to_stop() => Err(Failed::new(
            Exit::Interrupted,
            format!("interrupted; what was finished is in {}, and the same command goes on from there", args.output.display()),
        )),
    };
    // Workers first: they say goodbye to a coordinator that is still there.
    let _ = stop.send(true);
    if !workers.is_finished() {
        let _ = workers.await;
    }
    coordinator.stop().await;
    result
}

/// What makes two runs the same: every setting, the model's files, and where the videos go.
fn resume_key(
    manifest: &Manifest,
    videos: &[VideoRequest],
    model: &ModelFolder,
    output: &Path,
) -> Result<String, Failed> {
    let failed = |error: &dyn std::fmt::Display| Failed::new(Exit::SomeFailed, error);
    let output = std::path::absolute(output).map_err(|error| failed(&error))?;
    let mut files = Vec::new();
    for role in model.card().roles() {
        for file in model.files(role) {
            let found = std::fs::metadata(&file).map_err(|error| failed(&error))?;
            files.push((file, found.len(), found.modified().ok()));
        }
    }
    let same = (&manifest.name, &manifest.model, manifest.priority, manifest.early_look, videos, output, files);
    let json = serde_json::to_vec(&same).map_err(|error| failed(&error))?;
    Ok(format!("run {}", blake3::hash(&json)))
}

async fn follow_job(url: &str, manifest: &Manifest, submission: Submission, output: &Path) -> Result<Exit, Failed> {
    let mut client = Client::connect(url).await.map_err(super::client_failed)?;
    client.put_images(&manifest.images).await.map_err(super::client_failed)?;
    client.put_loras(&manifest.loras).await.map_err(super::client_failed)?;
    let (submitted, _) = client.submit(submission).await.map_err(super::client_failed)?;
    let Some(job) = submitted.job else { return nothing_left(submitted, false) };
    names_said(submitted);
    let connection = Connection { client, url, here: true };
    follow::follow(connection, job, Interest::Progress, Some(output)).await.map_err(super::client_failed)?.exit()
}

fn worker_failure(ended: Result<Result<(), SupervisorError>, tokio::task::JoinError>) -> Failed {
    match ended {
        Ok(Err(error @ SupervisorError::Unable { exit, .. })) => Failed::new(exit, error),
        Ok(Err(error)) => Failed::new(Exit::SomeFailed, error),
        Ok(Ok(())) => Failed::new(Exit::SomeFailed, "the workers have stopped"),
        Err(panic) => Failed::new(Exit::SomeFailed, panic),
    }
}

fn model_folders(args: &RunArgs) -> Vec<PathBuf> {
    args.models.iter().cloned().chain(super::forecast::beside(&args.manifest)).collect()
}

fn find_model(folders: &[PathBuf], name: &str) -> Result<ModelFolder, Failed> {
    let bad = |error| Failed::new(Exit::BadModelFiles, error);
    let Some(folder) = files::find(folders, name).map_err(bad)? else {
        let looked = folders.iter().map(|folder| folder.display().to_string()).collect::<Vec<_>>().join(", ");
        return Err(Failed::new(
            Exit::BadModelFiles,
            format!("no model folder named {name} in {looked}; say where models are with --models DIR"),
        ));
    };
    files::open(&folder).map_err(bad)
}

/// Cores shared out among the workers, at least one each.
fn default_threads(workers: usize) -> usize {
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZeroUsize::get);
    (cores / workers.max(1)).max(1)
}

fn compute_arguments(args: &RunArgs) -> Vec<String> {
    let device = args.compute.device.map(|device| ["--device".to_owned(), device.name().to_owned()]);
    let dtype = args.compute.dtype.map(|dtype| ["--dtype".to_owned(), dtype.to_string()]);
    device.into_iter().chain(dtype).flatten().collect()
}
