//! The LoRA files at hand: those in the `loras` folders beside the models, and those that the coordinator gave. A file
//! counts by its bytes; of one name there may be several.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

use tokio::io::AsyncWriteExt;
use tracing::{info, warn};
use wanfarm_model::ModelError;
use wanfarm_proto::tensors::{PullError, Puller, Pulling};
use wanfarm_types::{DType, Digest, LoraRef, MAX_LORA_BYTES, TensorRef};

use crate::digests::{KnownDigests, Seen, hash};

/// Where LoRA files lie in a folder of models, and in the data folder.
pub(crate) const FOLDER: &str = "loras";
/// What the files that came from the coordinator may take together; the least recently used make room.
const MAX_CACHED_BYTES: u64 = 32 << 30;

/// The folders that are looked into, and where files from elsewhere are kept.
#[derive(Debug)]
pub(crate) struct Loras {
    folders: Vec<PathBuf>,
    given: PathBuf,
    digests: Mutex<KnownDigests>,
}

/// A file is not at hand.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LoraMissing {
    /// The coordinator is unreachable; it may well have the file.
    #[error("{0}")]
    Unreachable(PullError),
    /// No location has it, or it cannot be kept.
    #[error(
        "the LoRA file {name} with BLAKE3 {blake3} is neither in {} nor to be had from the coordinator ({why}); \
         put it there or submit the job anew", folders.join(", ")
    )]
    NotFound { name: String, blake3: Digest, folders: Vec<String>, why: String },
}

impl Loras {
    /// Of these folders of models and this data folder.
    pub(crate) fn new(models: &[PathBuf], data: &Path) -> Self {
        let folders = models.iter().map(|folder| folder.join(FOLDER)).collect();
        let digests = KnownDigests::of_loras(data);
        Self { folders, given: data.join(FOLDER), digests: Mutex::new(digests) }
    }

    /// The file that a video names, if one of its bytes is here. Blocks, the first time for as long as hashing takes.
    pub(crate) fn find(&self, lora: &LoraRef) -> Result<Option<PathBuf>, String> {
        let name = &lora.name;
        if Path::new(name).file_name().is_none_or(|plain| plain != name.as_str()) {
            return Err(format!("the LoRA {name:?} is not named by a file name"));
        }
        let given = self.kept_as(lora);
        if fs::metadata(&given).is_ok_and(|file| file.len() == lora.bytes) {
            // Its bytes were hashed when they came. The time of its last use says when it may go.
            let _ = fs::File::open(&given).and_then(|file| file.set_modified(SystemTime::now()));
            return Ok(Some(given));
        }
        for folder in &self.folders {
            let path = folder.join(name);
            if !path.is_file() {
                continue;
            }
            match self.digest(&path) {
                Ok(digest) if digest == lora.blake3 => return Ok(Some(path)),
                Ok(_) => info!("{} is another file than the LoRA {name} of BLAKE3 {}", path.display(), lora.blake3),
                Err(error) => warn!("{error}"),
            }
        }
        Ok(None)
    }

    fn digest(&self, path: &Path) -> Result<Digest, ModelError> {
        let known = || self.digests.lock().unwrap_or_else(PoisonError::into_inner);
        let seen = Seen::of(path)?;
        if let Some(digest) = known().known(&seen) {
            return Ok(digest);
        }
        // Unlocked: the device looks for a file that is known while another is hashed for the next item.
        let digest = hash(path)?;
        known().learn(seen, digest);
        Ok(digest)
    }

    fn kept_as(&self, lora: &LoraRef) -> PathBuf {
        self.given.join(format!("{}.safetensors", lora.blake3))
    }

    /// Brings a file from the coordinator, never whole in memory.
    pub(crate) async fn fetch(&self, lora: &LoraRef, puller: &Puller, coordinator: &str) -> Result<(), LoraMissing> {
        let nowhere = |why: String| LoraMissing::NotFound {
            name: lora.name.clone(),
            blake3: lora.blake3,
            folders: self.folders.iter().map(|folder| folder.display().to_string()).collect(),
            why,
        };
        if lora.bytes > MAX_LORA_BYTES {
            return Err(nowhere(format!("it is said to have {} bytes", lora.bytes)));
        }
        let tensor = TensorRef { digest: lora.blake3, dtype: DType::U8, shape: vec![lora.bytes] };
        let missed = |error| match error {
            error @ PullError::Unavailable { reached: false, .. } => LoraMissing::Unreachable(error),
            error => nowhere(error.to_string()),
        };
        let disk = |error: std::io::Error| nowhere(error.to_string());
        let pulling = puller.open(&tensor, coordinator).await.map_err(missed)?;
        self.make_room(lora.bytes).map_err(disk)?;
        let path = self.kept_as(lora);
        let draft = path.with_extension("new");
        let kept = match keep(pulling, &draft).await {
            Ok(()) => tokio::fs::rename(&draft, &path).await.map_err(disk),
            Err(Unkept::Missed(error)) => Err(missed(error)),
            Err(Unkept::Disk(error)) => Err(disk(error)),
        };
        if kept.is_ok() {
            info!(lora = %lora.name, bytes = lora.bytes, "came from the coordinator");
        } else {
            let _ = tokio::fs::remove_file(&draft).await;
        }
        kept
    }

    /// Removes the files used longest ago until so many bytes more are not too many.
    fn make_room(&self, bytes: u64) -> std::io::Result<()> {
        fs::create_dir_all(&self.given)?;
        let entries = fs::read_dir(&self.given)?.collect::<Result<Vec<_>, _>>()?;
        let mut files = Vec::new();
        for entry in entries {
            let about = entry.metadata()?;
            files.push((about.modified()?, about.len(), entry.path()));
        }
        files.sort();
        let mut sum = files.iter().fold(bytes, |sum, (_, length, _)| sum.saturating_add(*length));
        for (_, length, path) in files {
            if sum <= MAX_CACHED_BYTES {
                break;
            }
            fs::remove_file(path)?;
            sum = sum.saturating_sub(length);
        }
        Ok(())
    }
}

enum Unkept {
    Missed(PullError),
    Disk(std::io::Error),
}

async fn keep(mut pulling: Pulling, draft: &Path) -> Result<(), Unkept> {
    let mut file = tokio::fs::File::create(draft).await.map_err(Unkept::Disk)?;
    while let Some(chunk) = pulling.next().await.map_err(Unkept::Missed)? {
        file.write_all(&chunk).await.map_err(Unkept::Disk)?;
    }
    let (file, path) = (file.into_std().await, draft.to_owned());
    let synced = tokio::task::spawn_blocking(move || wanfarm_durable::sync(&file, &path)).await;
    synced.map_err(std::io::Error::other).and_then(|synced| synced).map_err(Unkept::Disk)
}
