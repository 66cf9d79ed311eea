//! Durable copies of tensors and first frames: objects named by their BLAKE3 digest, in a directory of this machine.
//!
//! An object appears under its name only when its bytes are on disk, so whatever is found is whole. Deliberately not
//! here: what a tensor means, and when it may be forgotten.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use futures::future::BoxFuture;
use futures::{FutureExt, StreamExt, TryStreamExt};
use object_store::local::LocalFileSystem;
use object_store::path::Path as Location;
use object_store::{ObjectStore, ObjectStoreExt, WriteMultipart};
use tonic::Status;
use wanfarm_proto::tensors::{CHUNK_BYTES, ChunkSource, Chunks, beyond, not_held};
use wanfarm_types::{Digest, TensorRef};

use crate::disk_space::{self, RESERVE};

/// Bytes written at once: few enough to be still in the processor's cache.
const PART: usize = 1 << 20;
/// Parts that may wait for the disk before more is read from the network.
const PARTS: usize = 8;

/// A content-addressed directory: `root/ab/abcdef…`.
#[derive(Debug, Clone)]
pub struct Artifacts {
    root: PathBuf,
    objects: LocalFileSystem,
}

/// An artifact could not be stored, read or removed.
#[derive(Debug, thiserror::Error)]
#[error("cannot {verb} {}: {source}{}", path.display(), hint(source))]
pub struct ArtifactError {
    verb: &'static str,
    path: PathBuf,
    source: object_store::Error,
}

fn hint(source: &object_store::Error) -> &'static str {
    if disk_space::is_full(source) { " (free space on this volume; nothing was lost)" } else { "" }
}

impl ArtifactError {
    /// True when the volume is full: waiting and trying again makes sense.
    pub fn is_full(&self) -> bool {
        disk_space::is_full(&self.source)
    }
}

impl Artifacts {
    /// Opens the directory, making it if needed, and clears what interrupted writes left. Blocks.
    ///
    /// # Errors
    /// When the directory cannot be made or listed.
    #[expect(clippy::disallowed_methods, reason = "runs before the loop starts")]
    pub fn open(root: &Path) -> Result<Self, ArtifactError> {
        let fail = |source: io::Error| {
            let source = object_store::Error::Generic { store: "local", source: Box::new(source) };
            ArtifactError { verb: "open the artifact directory", path: root.to_owned(), source }
        };
        fs::create_dir_all(root).map_err(fail)?;
        for shelf in fs::read_dir(root).map_err(fail)?.flatten() {
            for entry in fs::read_dir(shelf.path()).into_iter().flatten().flatten() {
                // Objects on their way are called NAME#NUMBER, which no listing shows.
                if entry.file_name().to_string_lossy().contains('#') {
                    fs::remove_file(entry.path()).map_err(fail)?;
                }
            }
        }
        let objects = LocalFileSystem::new_with_prefix(root).map_err(|source| ArtifactError {
            verb: "open the artifact directory",
            path: root.to_owned(),
            source,
        })?;
        Ok(Self { root: root.to_owned(), objects: objects.with_fsync(true) })
    }

    /// The directory.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Checks that so many bytes leave the space that the database needs.
    ///
    /// # Errors
    /// When the space does not suffice.
    pub async fn check_room(&self, bytes: u64) -> Result<(), String> {
        let root = self.root.clone();
        let free = tokio::task::spawn_blocking(move || disk_space::available(&root)).await.ok().flatten();
        match free {
            Some(free) if free < bytes.saturating_add(RESERVE) => {
                Err(format!("no room for a file of {bytes} bytes in {}", self.root.display()))
            }
            _ => Ok(()),
        }
    }

    /// Where the bytes of an object are, if it is here.
    pub fn path(&self, digest: &Digest) -> PathBuf {
        self.root.join(location(digest).as_ref())
    }

    fn error(&self, verb: &'static str, digest: &Digest) -> impl FnOnce(object_store::Error) -> ArtifactError {
        let path = self.path(digest);
        move |source| ArtifactError { verb, path, source }
    }

    /// Every object with its length. What does not belong here is not listed.
    ///
    /// # Errors
    /// When the directory cannot be read.
    pub async fn list(&self) -> Result<BTreeMap<Digest, u64>, ArtifactError> {
        let listed = self.objects.list(None).map_ok(|object| {
            let digest = object.location.filename().and_then(|name| name.parse::<Digest>().ok());
            digest.map(|digest| (digest, object.size))
        });
        let listed: Vec<_> = listed.try_collect().await.map_err(|source| ArtifactError {
            verb: "list",
            path: self.root.clone(),
            source,
        })?;
        Ok(listed.into_iter().flatten().collect())
    }

    /// Stores bytes whose digest the caller has checked; on return they survive a power cut.
    ///
    /// # Errors
    /// When the disk refuses; nothing is left behind.
    pub async fn put(&self, digest: &Digest, bytes: Bytes) -> Result<(), ArtifactError> {
        self.objects.put(&location(digest), bytes.into()).await.map_err(self.error("store", digest)).map(drop)
    }

    /// Begins to store an object in chunks. Dropped before [`Storing::finish`], it leaves nothing.
    ///
    /// # Errors
    /// When the disk refuses.
    pub async fn begin(&self, digest: &Digest) -> Result<Storing, ArtifactError> {
        let upload = self.objects.put_multipart(&location(digest)).await.map_err(self.error("store", digest))?;
        let parts = WriteMultipart::new_with_chunk_size(upload, PART);
        Ok(Storing { artifacts: self.clone(), digest: *digest, parts })
    }

    /// An object of exactly so many bytes, in memory; `None` if it is not here.
    pub async fn whole(&self, digest: &Digest, bytes: u64) -> Option<Bytes> {
        let location = location(digest);
        let found = self.objects.head(&location).await.ok().filter(|object| object.size == bytes)?;
        self.objects.get_range(&location, 0..found.size).await.ok()
    }

    /// True when a tensor is here, whole.
    pub async fn holds(&self, tensor: &TensorRef) -> bool {
        let found = self.objects.head(&location(&tensor.digest)).await;
        found.is_ok_and(|object| Some(object.size) == tensor.byte_len())
    }

    /// Forgets objects; one that is not here is no error.
    ///
    /// # Errors
    /// The first object that is there and cannot be removed; the others are removed all the same.
    pub async fn remove(&self, digests: &[Digest]) -> Result<(), ArtifactError> {
        let mut result = Ok(());
        for digest in digests {
            match self.objects.delete(&location(digest)).await {
                Ok(()) | Err(object_store::Error::NotFound { .. }) => {}
                Err(source) => result = result.and(Err(self.error("remove", digest)(source))),
            }
        }
        result
    }

    async fn read(&self, digest: Digest, offset: u64) -> Result<Chunks, Status> {
        let path = location(&digest);
        let fail = |error: object_store::Error| Status::internal(error.to_string());
        let length = match self.objects.head(&path).await {
            Ok(object) => object.size,
            Err(object_store::Error::NotFound { .. }) => return Err(not_held(&digest)),
            Err(error) => return Err(fail(error)),
        };
        if offset > length {
            return Err(beyond(&digest, offset, length));
        }
        let objects = self.objects.clone();
        let chunks = futures::stream::try_unfold(offset, move |from| {
            let (objects, path) = (objects.clone(), path.clone());
            async move {
                let end = from.saturating_add(CHUNK_BYTES as u64).min(length);
                if from == end {
                    return Ok(None);
                }
                let chunk = objects.get_range(&path, from..end).await.map_err(fail)?;
                Ok(Some((chunk, end)))
            }
        });
        Ok(chunks.boxed())
    }
}

/// An object being stored.
#[derive(Debug)]
pub struct Storing {
    artifacts: Artifacts,
    digest: Digest,
    parts: WriteMultipart,
}

impl Storing {
    /// Writes a chunk; returns when few enough are on their way to the disk.
    ///
    /// # Errors
    /// When the disk refuses.
    pub async fn write(&mut self, chunk: Bytes) -> Result<(), ArtifactError> {
        self.parts.put(chunk);
        self.parts.wait_for_capacity(PARTS).await.map_err(self.artifacts.error("store", &self.digest))
    }

    /// Puts the object under its name; on return it survives a power cut. The caller has checked its digest.
    ///
    /// # Errors
    /// When the disk refuses; nothing is left behind.
    pub async fn finish(self) -> Result<(), ArtifactError> {
        let Self { artifacts, digest, parts } = self;
        parts.finish().await.map_err(artifacts.error("store", &digest)).map(drop)
    }
}

impl ChunkSource for Artifacts {
    fn chunks(&self, digest: Digest, offset: u64) -> BoxFuture<'static, Result<Chunks, Status>> {
        let artifacts = self.clone();
        async move { artifacts.read(digest, offset).await }.boxed()
    }
}

fn location(digest: &Digest) -> Location {
    let name = digest.to_string();
    Location::from_iter([&name[..2], &name])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digest(bytes: &[u8]) -> Digest {
        Digest(*blake3::hash(bytes).as_bytes())
    }

    async fn read(artifacts: &Artifacts, digest: Digest, offset: u64) -> Result<Vec<u8>, Status> {
        let chunks: Vec<Bytes> = artifacts.chunks(digest, offset).await?.try_collect().await?;
        assert!(chunks.iter().all(|chunk| chunk.len() <= CHUNK_BYTES));
        Ok(chunks.concat())
    }

    #[tokio::test]
    async fn what_is_put_is_read_and_removed() {
        let dir = tempfile::tempdir().unwrap();
        let artifacts = Artifacts::open(dir.path()).unwrap();
        let bytes = Bytes::from((0..3 * CHUNK_BYTES as u32 / 2).flat_map(u32::to_le_bytes).collect::<Vec<_>>());
        let name = digest(&bytes);
        assert_eq!(read(&artifacts, name, 0).await.unwrap_err().code(), tonic::Code::NotFound);
        let mut storing = artifacts.begin(&name).await.unwrap();
        for chunk in bytes.chunks(CHUNK_BYTES - 7) {
            storing.write(bytes.slice_ref(chunk)).await.unwrap();
        }
        assert!(artifacts.list().await.unwrap().is_empty());
        storing.finish().await.unwrap();
        artifacts.put(&name, bytes.clone()).await.unwrap();
        assert_eq!(read(&artifacts, name, 0).await.unwrap(), bytes);
        assert_eq!(read(&artifacts, name, 5).await.unwrap(), bytes[5..]);
        let code = read(&artifacts, name, bytes.len() as u64 + 1).await.unwrap_err().code();
        assert_eq!(code, tonic::Code::OutOfRange);
        assert_eq!(artifacts.list().await.unwrap(), [(name, bytes.len() as u64)].into());
        artifacts.remove(&[digest(b"absent"), name]).await.unwrap();
        assert!(artifacts.list().await.unwrap().is_empty());
    }

    #[tokio::test]
    async fn an_interrupted_write_is_cleared_at_the_next_start() {
        let dir = tempfile::tempdir().unwrap();
        let artifacts = Artifacts::open(dir.path()).unwrap();
        artifacts.put(&digest(b"x"), Bytes::from_static(b"x")).await.unwrap();
        let mut storing = artifacts.begin(&digest(b"half")).await.unwrap();
        storing.write(Bytes::from_static(b"ha")).await.unwrap();
        // As a power cut would leave it.
        std::mem::forget(storing);
        let files = |dir: &Path| walk(dir).len();
        assert_eq!(files(dir.path()), 2);
        let artifacts = Artifacts::open(dir.path()).unwrap();
        assert_eq!(files(dir.path()), 1);
        assert!(artifacts.list().await.unwrap().contains_key(&digest(b"x")));
    }

    fn walk(root: &Path) -> Vec<PathBuf> {
        let shelves = fs::read_dir(root).unwrap().flatten();
        shelves.flat_map(|shelf| fs::read_dir(shelf.path()).unwrap().flatten()).map(|entry| entry.path()).collect()
    }

    #[tokio::test]
    async fn a_refused_write_names_the_file_and_leaves_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let artifacts = Artifacts::open(dir.path()).unwrap();
        let name = digest(b"y");
        fs::write(dir.path().join(&name.to_string()[..2]), b"a file where a directory must be").unwrap();
        let error = artifacts.put(&name, Bytes::from_static(b"y")).await.unwrap_err();
        assert!(error.to_string().contains(&name.to_string()), "{error}");
        assert!(!error.is_full());
    }
}
