//! Giving the coordinator the LoRA files that a job names, in chunks.

use std::fs::File;
use std::io::Read;
use std::path::PathBuf;

use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use wanfarm_manifest::LoraFile;
use wanfarm_proto::tensors::CHUNK_BYTES;
use wanfarm_proto::v1;

use super::{Client, ClientError};

/// Chunks read ahead of the network.
const AHEAD: usize = 4;

impl Client {
    /// Gives the coordinator the LoRA files it does not have yet, each once.
    ///
    /// # Errors
    /// When a file is no longer what the manifest was checked with, or the coordinator refuses it.
    pub async fn put_loras(&mut self, loras: &[LoraFile]) -> Result<(), ClientError> {
        if loras.is_empty() {
            return Ok(());
        }
        let digests = loras.iter().map(|file| file.blake3.0.to_vec()).collect();
        let missing = self.farm.missing_loras(v1::MissingLorasRequest { digests }).await?.into_inner().digests;
        for file in loras.iter().filter(|file| missing.iter().any(|digest| *digest == file.blake3.0)) {
            self.put_lora(file).await?;
        }
        Ok(())
    }

    async fn put_lora(&mut self, file: &LoraFile) -> Result<(), ClientError> {
        let (chunks, outgoing) = mpsc::channel(AHEAD);
        let (path, blake3, bytes) = (file.path.clone(), file.blake3.0.to_vec(), file.bytes);
        let read =
            tokio::task::spawn_blocking(move || read(path, v1::LoraChunk { blake3, bytes, data: Vec::new() }, chunks));
        let put = self.farm.put_lora(ReceiverStream::new(outgoing)).await;
        // What is wrong with the file says more than what the coordinator made of it.
        let unusable = |why: String| ClientError::File { path: file.path.clone(), why };
        read.await.map_err(|error| unusable(error.to_string()))?.map_err(unusable)?;
        put?;
        Ok(())
    }
}

/// Sends a file's chunks, the first of which says what it is.
fn read(path: PathBuf, mut first: v1::LoraChunk, chunks: mpsc::Sender<v1::LoraChunk>) -> Result<(), String> {
    let words = |error: std::io::Error| error.to_string();
    let (mut file, expected) = (File::open(path).map_err(words)?, first.bytes);
    let (mut hasher, digest) = (blake3::Hasher::new(), first.blake3.clone());
    loop {
        let mut data = Vec::with_capacity(CHUNK_BYTES);
        file.by_ref().take(CHUNK_BYTES as u64).read_to_end(&mut data).map_err(words)?;
        hasher.update(&data);
        // Found before the last chunk leaves, so that the coordinator never has it whole.
        let more = !data.is_empty() && hasher.count() < expected;
        if !more && (hasher.count() != expected || hasher.finalize().as_bytes()[..] != digest[..]) {
            return Err("it has changed since the manifest was checked; try again".to_owned());
        }
        // Nobody listens any more: the coordinator's answer says why.
        if chunks.blocking_send(v1::LoraChunk { data, ..std::mem::take(&mut first) }).is_err() || !more {
            return Ok(());
        }
    }
}
