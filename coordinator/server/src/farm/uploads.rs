//! Files that jobs name, on their way in: streamed into the artifact directory, never whole in memory. Whether one is an
//! image, a clip or a LoRA file is told by its bytes; what is in it is the workers' to read.

use std::path::PathBuf;

use bytes::Bytes;
use futures::{Stream, StreamExt};
use tokio::time::timeout;
use tonic::Status;
use wanfarm_manifest::first_frame::{self, Image};
use wanfarm_types::{DType, Digest, MAX_LORA_BYTES, TensorRef};

use super::{FarmService, on_a_thread};
use crate::artifacts::{ArtifactError, Artifacts};
use crate::limits::{FILES_ARRIVING, SILENCE_TIMEOUT};
use crate::requests::Request;

/// A file as a tensor, which is how workers read it.
fn tensor(blake3: Digest, bytes: u64) -> TensorRef {
    TensorRef { digest: blake3, dtype: DType::U8, shape: vec![bytes] }
}

/// Stores a file of so many bytes with this digest; on return it survives a power cut. False if it was there.
pub(super) async fn receive(
    artifacts: &Artifacts,
    (digest, bytes): (Digest, u64),
    chunks: impl Stream<Item = Result<Bytes, Status>>,
) -> Result<bool, Status> {
    if bytes > MAX_LORA_BYTES {
        return Err(Status::invalid_argument(format!("a file has at most {} GiB", MAX_LORA_BYTES >> 30)));
    }
    if artifacts.holds(&tensor(digest, bytes)).await {
        return Ok(false);
    }
    artifacts.check_room(bytes).await.map_err(Status::resource_exhausted)?;
    let full = |error: ArtifactError| Status::resource_exhausted(error.to_string());
    let mut storing = artifacts.begin(&digest).await.map_err(full)?;
    let mut hasher = blake3::Hasher::new();
    let mut chunks = std::pin::pin!(chunks);
    let late = |_| Status::cancelled("the file does not arrive");
    while let Some(chunk) = timeout(SILENCE_TIMEOUT, chunks.next()).await.map_err(late)?.transpose()? {
        hasher.update(&chunk);
        if hasher.count() > bytes {
            return Err(Status::invalid_argument(format!("more came than the {bytes} bytes announced")));
        }
        storing.write(chunk).await.map_err(full)?;
    }
    let got = Digest(*hasher.finalize().as_bytes());
    if got != digest || hasher.count() != bytes {
        return Err(Status::invalid_argument(format!("other bytes came than were announced: their digest is {got}")));
    }
    storing.finish().await.map_err(full)?;
    Ok(true)
}

impl FarmService {
    /// Whether a file that jobs may name is here. One that is stays for an hour.
    ///
    /// # Errors
    /// When the coordinator stops.
    pub async fn holds_file(&self, file: Digest) -> Result<bool, Status> {
        Ok(self.ask(|reply| Request::MissingFiles { files: vec![file], reply }).await?.is_empty())
    }

    /// Takes a file of so many bytes with this digest: an image, a clip or a LoRA file. False if it was there.
    ///
    /// # Errors
    /// When other bytes come, or there is no room for them.
    pub async fn put_file(
        &self,
        file: Digest,
        bytes: u64,
        chunks: impl Stream<Item = Result<Bytes, Status>>,
    ) -> Result<bool, Status> {
        let busy = || Status::resource_exhausted(format!("{FILES_ARRIVING} files arrive already; give it again later"));
        let turn = timeout(SILENCE_TIMEOUT, self.arriving.acquire()).await.map_err(|_| busy())?.map_err(|_| busy())?;
        let is_new = receive(&self.artifacts, (file, bytes), chunks).await?;
        drop(turn);
        let stored = match self.picture(file, bytes).await? {
            Some(image) => self.ask(|reply| Request::ImageStored { image, reply }).await?,
            None => self.ask(|reply| Request::LoraStored { lora: file, reply }).await?,
        };
        stays(stored)?;
        Ok(is_new)
    }

    /// Where the bytes of a file are that is here.
    pub(super) fn place_of(&self, file: &Digest) -> PathBuf {
        self.artifacts.path(file)
    }

    /// A stored file as an image or a clip, if it is one.
    async fn picture(&self, file: Digest, bytes: u64) -> Result<Option<Image>, Status> {
        let path = self.place_of(&file);
        let read = on_a_thread(move || look(&path, file, bytes));
        read.await?.map_err(|error| Status::internal(format!("cannot read what was stored: {error}")))
    }
}

#[expect(clippy::disallowed_methods, reason = "reads on a thread of its own")]
fn look(path: &std::path::Path, file: Digest, bytes: u64) -> std::io::Result<Option<Image>> {
    if bytes <= first_frame::MAX_BYTES
        && let Ok(image) = Image::read(&std::fs::read(path)?)
    {
        return Ok(Some(image));
    }
    Ok(Image::read_clip(&mut std::fs::File::open(path)?, bytes, file).ok())
}

/// A file that came while the one of the same bytes was being removed has gone with it.
pub(super) fn stays(stored: bool) -> Result<(), Status> {
    if stored { Ok(()) } else { Err(Status::unavailable("a file was just being removed as unused; send it again")) }
}
