//! Files of a model on this machine, given to the coordinator, which keeps them and hands them on.

use std::path::{Path, PathBuf};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use wanfarm_client::{Client, ClientError, HeldModel, HeldRole, Target};
use wanfarm_model::folder::{self, ModelFolder};
use wanfarm_types::{Backoff, Digest, ModelFile};

use crate::cli::error::CliError;
use crate::exit::Exit;

/// Tries in a row that bring nothing.
const TRIES: u32 = 20;
/// Between two tries.
const BACKOFF: Backoff = Backoff::new(Duration::from_millis(200), Duration::from_secs(10));

/// What went.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct Pushed {
    pub(super) files: usize,
    pub(super) bytes: u64,
    /// Files that were there.
    pub(super) kept: usize,
}

/// What a model is made of, as a worker of this machine would announce it. Reads every file that is not known from before.
pub(super) fn look(path: &Path, data: &Path) -> Result<(ModelFolder, HeldModel), CliError> {
    let bad = |why: String| CliError::new(Exit::BadModelFiles, why);
    let found = folder::open(path).map_err(|error| bad(error.to_string()))?;
    let mut roles = Vec::new();
    for role in found.roles() {
        found.check(role).map_err(|error| bad(error.to_string()))?;
        let files = wanfarm_workers::role_files(&found, role, data).map_err(|error| bad(error.to_string()))?;
        roles.push(HeldRole { role, workers: 0, files, kept: true });
    }
    let beside = found.beside().iter().map(|file| of(found.path(), file)).collect::<Result<_, _>>()?;
    let (name, preset) = (found.info().name.clone(), found.info().preset.to_string());
    Ok((found, HeldModel { name, preset, roles, beside }))
}

fn of(folder: &Path, file: &Path) -> Result<ModelFile, CliError> {
    let failed = |why: String| CliError::new(Exit::BadModelFiles, format!("{}: {why}", file.display()));
    let mut hasher = blake3::Hasher::new();
    std::fs::File::open(file)
        .and_then(|file| hasher.update_reader(file).map(drop))
        .map_err(|e| failed(e.to_string()))?;
    let below = file.strip_prefix(folder).map_err(|error| failed(error.to_string()))?;
    let path = below.components().map(|part| part.as_os_str().to_string_lossy()).collect::<Vec<_>>().join("/");
    Ok(ModelFile { path, blake3: Digest(*hasher.finalize().as_bytes()) })
}

/// Gives the coordinator the files that it lacks, one after another, and has it keep the model.
pub(super) async fn push(
    mut client: Client,
    target: &Target,
    folder: &Path,
    model: &HeldModel,
) -> Result<Pushed, CliError> {
    let mut pushed = Pushed::default();
    for file in model.files() {
        match give(&mut client, target, file, &folder.join(&file.path)).await? {
            None => pushed.kept += 1,
            Some(bytes) => (pushed.files, pushed.bytes) = (pushed.files + 1, pushed.bytes + bytes),
        }
    }
    client.keep_model(model).await?;
    Ok(pushed)
}

/// Bytes that went; `None` if the coordinator had it.
async fn give(client: &mut Client, target: &Target, file: &ModelFile, path: &PathBuf) -> Result<Option<u64>, CliError> {
    let bar = ProgressBar::new(std::fs::metadata(path).map_or(0, |metadata| metadata.len()));
    if let Ok(style) =
        ProgressStyle::with_template("{prefix} {binary_bytes} of {binary_total_bytes} {binary_bytes_per_sec} {eta}")
    {
        bar.set_style(style);
    }
    bar.set_prefix(file.path.clone());
    let (mut begun, mut before, mut tries) = (None, 0, 0);
    loop {
        let tried = match client.model_file_here(&file.blake3).await {
            Ok((bytes, true)) => {
                bar.finish_and_clear();
                return Ok(begun.map(|begun| bytes - begun));
            }
            Ok((here, false)) => {
                tries = if here > before { 0 } else { tries };
                (begun, before) = (begun.or(Some(here)), here);
                bar.set_position(here);
                let shown = bar.clone();
                client.put_model_file(path, &file.blake3, here, move |sent| shown.inc(sent)).await
            }
            Err(error) => Err(error),
        };
        let Err(error) = tried else { continue };
        // Somebody else gives the same file, or the one before us is not gone yet; both pass.
        let passes = error.is_broken() || matches!(&error, ClientError::Failed(_));
        tries += 1;
        if !passes || tries >= TRIES {
            bar.finish_and_clear();
            return Err(error.into());
        }
        tokio::time::sleep(BACKOFF.pause(tries)).await;
        if let Ok(again) = Client::connect(target).await {
            *client = again;
        }
    }
}
