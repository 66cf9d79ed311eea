//! Models that somebody gave the coordinator to hand on: files by what is in them, and for each model a note of what it is
//! made of, written when all of it is here. A file that broke off is gone on with.
//!
//! `models/files/DIGEST` are whole, `models/files/DIGEST.part` are not, `models/NAME.json` are the notes. What no note names goes
//! when nothing has come for a week.

#![expect(clippy::disallowed_methods, reason = "callers are on threads that may block, or read files as they are sent")]

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures::{Stream, StreamExt};
use tokio::fs::OpenOptions;
use tokio::io::AsyncWriteExt;
use tokio::sync::Semaphore;
use tokio::time::timeout;
use tonic::Status;
use wanfarm_client::HeldModel;
use wanfarm_proto::file_chunks::file_chunks;
use wanfarm_proto::tensors::Chunks;
use wanfarm_types::{Digest, ModelFile, check_label};

use crate::disk_space::{RESERVE, available};
use crate::limits::{MODEL_FILES_READ, SILENCE_TIMEOUT};

/// Models that are kept.
const MAX_MODELS: usize = 64;
/// Files of one model.
const MAX_FILES: usize = 1024;
/// The largest file: a 14B transformer in f32 has 57 GB.
const MAX_BYTES: u64 = 256 << 30;
/// How often the disk is looked at, in bytes.
const LOOK_EVERY: u64 = 64 << 20;
/// How long a file stays that no model is made of.
const UNUSED_LIFETIME: Duration = Duration::from_secs(7 * 24 * 3600);

/// The folder of them. Clones share it.
#[derive(Debug, Clone)]
pub struct ModelStore {
    root: PathBuf,
    /// Files that are just coming: each from one sender.
    coming: Arc<Mutex<BTreeSet<Digest>>>,
    /// Held by whoever changes which models there are.
    changing: Arc<Mutex<()>>,
    readers: Arc<Semaphore>,
}

/// A file that is coming, until it has come or broken off.
struct Coming<'s> {
    store: &'s ModelStore,
    digest: Digest,
}

impl Drop for Coming<'_> {
    fn drop(&mut self) {
        self.store.lock().remove(&self.digest);
    }
}

impl ModelStore {
    /// That of a data directory. Removes what nobody went on with. Blocks.
    pub fn open(root: PathBuf) -> Self {
        let store = Self {
            root,
            coming: Arc::default(),
            changing: Arc::default(),
            readers: Arc::new(Semaphore::new(MODEL_FILES_READ)),
        };
        // A farm renders without them.
        if let Err(error) = store.sweep() {
            tracing::warn!(%error, "models that the coordinator keeps cannot be read");
        }
        store
    }

    /// The models that are kept, by name. Blocks.
    ///
    /// # Errors
    /// A note cannot be read.
    pub fn models(&self) -> io::Result<Vec<HeldModel>> {
        let mut models = Vec::new();
        for entry in listed(&self.root)? {
            if entry.extension().is_some_and(|extension| extension == "json") {
                let unreadable = |error| io::Error::other(format!("{}: {error}", entry.display()));
                models.push(serde_json::from_slice(&fs::read(&entry)?).map_err(unreadable)?);
            }
        }
        models.sort_by(|a: &HeldModel, b| a.name.cmp(&b.name));
        Ok(models)
    }

    /// How many bytes of a file are here, and whether they are all. Blocks.
    pub fn here(&self, file: &Digest) -> (u64, bool) {
        let length = |path: PathBuf| fs::metadata(path).map(|metadata| metadata.len());
        match length(self.whole(file)) {
            Ok(bytes) => (bytes, true),
            Err(_) => (length(self.part(file)).unwrap_or(0), false),
        }
    }

    /// Takes a file of so many bytes, whose first `offset` are here; on return it survives a power cut. What has come when it breaks off
    /// stays.
    ///
    /// # Errors
    /// When other bytes come than are announced, or there is no room for them.
    pub async fn receive(
        &self,
        (digest, bytes): (Digest, u64),
        offset: u64,
        chunks: impl Stream<Item = Result<Bytes, Status>>,
    ) -> Result<(), Status> {
        if bytes > MAX_BYTES {
            return Err(Status::invalid_argument(format!("a file of a model has at most {} GiB", MAX_BYTES >> 30)));
        }
        let busy = || Status::aborted("somebody else gives the same file; wait for it");
        let _coming = self.comes(digest).ok_or_else(busy)?;
        let refused = |error: io::Error| Status::resource_exhausted(format!("cannot keep the file: {error}"));
        let (part, whole) = (self.part(&digest), self.whole(&digest));
        let folder = self.root.join("files");
        if whole.is_file() {
            return Ok(());
        }
        let opened = {
            let part = part.clone();
            blocking(move || begin(&folder, &part)).await?.map_err(refused)?
        };
        let (mut hasher, here) = opened;
        if offset != here {
            return Err(Status::out_of_range(format!("{here} bytes of it are here; go on from there")));
        }
        let mut file = OpenOptions::new().append(true).open(&part).await.map_err(refused)?;
        let (mut looked, mut chunks) = (None, std::pin::pin!(chunks));
        let late = |_| Status::aborted("the file does not arrive; go on from where it stopped");
        while let Some(chunk) = timeout(SILENCE_TIMEOUT, chunks.next()).await.map_err(late)?.transpose()? {
            if hasher.count() + chunk.len() as u64 > bytes {
                return Err(Status::invalid_argument(format!("more came than the {bytes} bytes announced")));
            }
            if looked.is_none_or(|looked| hasher.count() - looked >= LOOK_EVERY) {
                looked = Some(hasher.count());
                self.check_room(bytes - hasher.count()).await?;
            }
            file.write_all(&chunk).await.map_err(refused)?;
            // Whoever goes on after a break reads what is here: nothing may be still on its way to the file.
            file.flush().await.map_err(refused)?;
            hasher.update(&chunk);
        }
        if hasher.count() < bytes {
            return Err(Status::aborted(format!("{} of {bytes} bytes came; go on from there", hasher.count())));
        }
        let got = Digest(*hasher.finalize().as_bytes());
        blocking(move || match got == digest {
            true => settle(&part, &whole).map_err(refused),
            false => {
                fs::remove_file(&part).map_err(refused)?;
                Err(Status::invalid_argument(format!("other bytes came than were announced: their digest is {got}")))
            }
        })
        .await?
    }

    /// Keeps a model whose files are all here. Blocks.
    ///
    /// # Errors
    /// When a file is missing, or a name or path is none.
    pub fn keep(&self, mut model: HeldModel) -> Result<(), Status> {
        let _changing = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        check(&model).map_err(Status::invalid_argument)?;
        let failed = |error: io::Error| Status::internal(format!("cannot keep the model: {error}"));
        let missing = model.files().into_iter().find(|file| !self.whole(&file.blake3).is_file());
        if let Some(ModelFile { path, .. }) = missing {
            return Err(Status::failed_precondition(format!("{path} is not here; give it first")));
        }
        let models = self.models().map_err(failed)?;
        if models.len() >= MAX_MODELS && models.iter().all(|known| known.name != model.name) {
            return Err(Status::resource_exhausted(format!("{MAX_MODELS} models are kept; forget one first")));
        }
        for role in &mut model.roles {
            (role.workers, role.kept) = (0, true);
        }
        let note = serde_json::to_vec_pretty(&model).map_err(|error| Status::internal(error.to_string()))?;
        let path = self.note(&model.name);
        wanfarm_durable::write(&path, &path.with_extension("draft"), &note).map_err(failed)
    }

    /// Forgets a model, and the files that no other is made of; their bytes. Blocks.
    ///
    /// # Errors
    /// When there is none of that name, or the disk refuses.
    pub fn forget(&self, name: &str) -> Result<u64, Status> {
        let _changing = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        let failed = |error: io::Error| Status::internal(format!("cannot forget the model: {error}"));
        let (gone, others): (Vec<_>, Vec<_>) =
            self.models().map_err(failed)?.into_iter().partition(|model| model.name == name);
        let gone = gone.first().ok_or_else(|| Status::not_found(format!("the coordinator keeps no model {name}")))?;
        let needed: BTreeSet<Digest> = others.iter().flat_map(HeldModel::files).map(|file| file.blake3).collect();
        let own: BTreeSet<Digest> =
            gone.files().into_iter().map(|file| file.blake3).filter(|file| !needed.contains(file)).collect();
        fs::remove_file(self.note(name)).map_err(failed)?;
        let mut freed = 0;
        for file in own {
            freed += self.here(&file).0;
            fs::remove_file(self.whole(&file)).map_err(failed)?;
        }
        Ok(freed)
    }

    /// The bytes of a file from `offset` on; `None` when it is not here, or not whole.
    pub async fn chunks(&self, file: &Digest, offset: u64) -> Option<Result<Chunks, Status>> {
        let path = self.whole(file);
        if !tokio::fs::try_exists(&path).await.unwrap_or(false) {
            return None;
        }
        let busy = |_| Status::resource_exhausted("others read files here; ask again");
        match self.readers.clone().try_acquire_owned().map_err(busy) {
            Ok(turn) => Some(file_chunks(&path, *file, offset, turn).await),
            Err(busy) => Some(Err(busy)),
        }
    }

    /// Removes files that no model is made of and nothing has come of for long.
    fn sweep(&self) -> io::Result<()> {
        let models = self.models()?;
        let needed: BTreeSet<String> =
            models.iter().flat_map(HeldModel::files).map(|file| file.blake3.to_string()).collect();
        for path in listed(&self.root.join("files"))? {
            let is_needed = path.file_name().and_then(|name| name.to_str()).is_some_and(|name| needed.contains(name));
            let age = fs::metadata(&path)?.modified()?.elapsed();
            if !is_needed && age.is_ok_and(|age| age > UNUSED_LIFETIME) {
                fs::remove_file(&path)?;
            }
        }
        Ok(())
    }

    async fn check_room(&self, bytes: u64) -> Result<(), Status> {
        let root = self.root.clone();
        let free = blocking(move || available(&root)).await?;
        match free {
            Some(free) if free < bytes.saturating_add(RESERVE) => {
                let why = format!("no room for {bytes} more bytes in {}", self.root.display());
                Err(Status::resource_exhausted(why))
            }
            _ => Ok(()),
        }
    }

    fn comes(&self, digest: Digest) -> Option<Coming<'_>> {
        self.lock().insert(digest).then(|| Coming { store: self, digest })
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeSet<Digest>> {
        self.coming.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn whole(&self, file: &Digest) -> PathBuf {
        self.root.join("files").join(file.to_string())
    }

    fn part(&self, file: &Digest) -> PathBuf {
        self.root.join("files").join(format!("{file}.part"))
    }

    fn note(&self, name: &str) -> PathBuf {
        self.root.join(format!("{name}.json"))
    }
}

/// What has come of a file, read once more.
fn begin(folder: &Path, part: &Path) -> io::Result<(blake3::Hasher, u64)> {
    fs::create_dir_all(folder)?;
    let file = fs::OpenOptions::new().create(true).append(true).read(true).open(part)?;
    let mut hasher = blake3::Hasher::new();
    hasher.update_reader(file)?;
    let here = hasher.count();
    Ok((hasher, here))
}

/// Puts a file that has come whole in its place.
fn settle(part: &Path, whole: &Path) -> io::Result<()> {
    wanfarm_durable::sync(&fs::File::open(part)?, part)?;
    fs::rename(part, whole)?;
    whole.parent().map_or(Ok(()), wanfarm_durable::sync_folder)
}

/// The entries of a folder; none where there is no such folder.
fn listed(folder: &Path) -> io::Result<Vec<PathBuf>> {
    match fs::read_dir(folder) {
        Ok(entries) => entries.map(|entry| Ok(entry?.path())).collect(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}

/// Whether whoever fetches it can lay it down below a folder of its name.
fn check(model: &HeldModel) -> Result<(), String> {
    let HeldModel { name, preset, roles, beside: _ } = model;
    for label in [name, preset] {
        check_label("name", label).map_err(|bad| bad.to_string())?;
    }
    let is_plain = |part: &str| !part.is_empty() && part != "." && part != ".." && !part.contains(['/', '\\']);
    if !is_plain(name) || name.starts_with('.') {
        return Err(format!("{name:?} is no name of a model"));
    }
    if roles.is_empty() || model.files().len() > MAX_FILES {
        return Err(format!("a model has a role at least, and at most {MAX_FILES} files"));
    }
    match model.files().into_iter().find(|file| file.path.len() > 4096 || !file.path.split('/').all(is_plain)) {
        Some(file) => Err(format!("{:?} is no path below a folder", file.path)),
        None => Ok(()),
    }
}

async fn blocking<T: Send + 'static>(run: impl FnOnce() -> T + Send + 'static) -> Result<T, Status> {
    tokio::task::spawn_blocking(run).await.map_err(|error| Status::internal(error.to_string()))
}

#[cfg(test)]
mod tests {
    use futures::stream;
    use tonic::Code;
    use wanfarm_client::HeldRole;
    use wanfarm_types::Role;

    use super::*;

    fn digest(bytes: &[u8]) -> Digest {
        Digest(*blake3::hash(bytes).as_bytes())
    }

    fn model(name: &str, files: &[(&str, &[u8])]) -> HeldModel {
        let files = files.iter().map(|(path, bytes)| ModelFile { path: (*path).to_owned(), blake3: digest(bytes) });
        let role = HeldRole { role: Role::Vae, workers: 9, files: files.collect(), kept: false };
        HeldModel { name: name.to_owned(), preset: "t2v-1.3b".to_owned(), roles: vec![role], beside: Vec::new() }
    }

    async fn give(store: &ModelStore, announced: &[u8], offset: usize, sent: &[u8]) -> Result<(), Code> {
        let chunks: Vec<_> = sent.chunks(3).map(|chunk| Ok(Bytes::copy_from_slice(chunk))).collect();
        let about = (digest(announced), announced.len() as u64);
        store.receive(about, offset as u64, stream::iter(chunks)).await.map_err(|status| status.code())
    }

    async fn read(store: &ModelStore, file: &Digest, offset: u64) -> Vec<u8> {
        let chunks: Vec<_> = store.chunks(file, offset).await.unwrap().unwrap().collect().await;
        chunks.into_iter().flat_map(|chunk| chunk.unwrap()).collect()
    }

    #[tokio::test]
    async fn a_file_is_gone_on_with_and_counts_when_it_is_what_was_announced() {
        let dir = tempfile::tempdir().unwrap();
        let store = ModelStore::open(dir.path().join("models"));
        let file = b"fourteen bytes";
        assert_eq!(give(&store, file, 0, &file[..6]).await, Err(Code::Aborted));
        assert_eq!(store.here(&digest(file)), (6, false));
        assert!(store.chunks(&digest(file), 0).await.is_none(), "a part is nothing that is handed on");
        // Another process goes on, and is told where from.
        let store = ModelStore::open(dir.path().join("models"));
        assert_eq!(give(&store, file, 0, file).await, Err(Code::OutOfRange));
        assert_eq!(give(&store, file, 6, &file[6..]).await, Ok(()));
        assert_eq!(store.here(&digest(file)), (14, true));
        assert_eq!(give(&store, file, 0, file).await, Ok(()), "it is here");
        assert_eq!(read(&store, &digest(file), 9).await, b"bytes");

        assert_eq!(give(&store, b"announced", 0, b"otherwise").await, Err(Code::InvalidArgument));
        assert_eq!(store.here(&digest(b"announced")), (0, false));
        assert_eq!(give(&store, b"short", 0, b"longer").await, Err(Code::InvalidArgument));
        let _coming = store.comes(digest(b"two")).unwrap();
        assert_eq!(give(&store, b"two", 0, b"two").await, Err(Code::Aborted), "one sender at a time");
    }

    #[tokio::test]
    async fn a_model_is_kept_whole_and_leaves_nothing_but_what_others_are_made_of() {
        let dir = tempfile::tempdir().unwrap();
        let store = ModelStore::open(dir.path().join("models"));
        let (own, shared): (&[u8], &[u8]) = (b"own", b"shared");
        let (one, two) = (model("one", &[("vae/a", own), ("t5", shared)]), model("two", &[("t5", shared)]));
        let code = |kept: Result<(), Status>| kept.map_err(|status| status.code());
        give(&store, own, 0, own).await.unwrap();
        assert_eq!(code(store.keep(one.clone())), Err(Code::FailedPrecondition));
        give(&store, shared, 0, shared).await.unwrap();
        store.keep(one).unwrap();
        store.keep(two).unwrap();
        let kept = store.models().unwrap();
        assert_eq!(kept.iter().map(|model| model.name.as_str()).collect::<Vec<_>>(), ["one", "two"]);
        assert!(kept[0].roles[0].kept && kept[0].roles[0].workers == 0);
        for (name, path) in [("../up", "a"), (".hidden", "a"), ("", "a"), ("x", "../a"), ("x", "/a"), ("x", "a\\b")] {
            assert_eq!(code(store.keep(model(name, &[(path, own)]))), Err(Code::InvalidArgument), "{name} {path}");
        }
        assert_eq!(store.forget("one").unwrap(), own.len() as u64);
        assert_eq!(store.forget("one").unwrap_err().code(), Code::NotFound);
        assert_eq!((store.here(&digest(own)).1, store.here(&digest(shared)).1), (false, true));
        assert_eq!(store.forget("two").unwrap(), shared.len() as u64);
        assert_eq!(listed(&dir.path().join("models/files")).unwrap(), [] as [PathBuf; 0]);
    }
}
