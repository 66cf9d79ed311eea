//! Giving the coordinator the files that a job names, in chunks.

use std::fs::File;
use std::io::{self, Write};

use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use wanfarm_manifest::{LocalFile, pack};
use wanfarm_proto::tensors::CHUNK_BYTES;
use wanfarm_proto::v1;

use super::{Client, ClientError};

/// Chunks read ahead of the network.
const AHEAD: usize = 4;

impl Client {
    /// Gives the coordinator the files it does not have yet, each once.
    ///
    /// # Errors
    /// When a file is no longer what the manifest was checked with, or the coordinator refuses it.
    pub async fn put_files(&mut self, files: &[LocalFile]) -> Result<(), ClientError> {
        if files.is_empty() {
            return Ok(());
        }
        let digests = files.iter().map(|file| file.blake3.0.to_vec()).collect();
        let mut missing = self.farm.missing_files(v1::MissingFilesRequest { digests }).await?.into_inner().digests;
        for file in files {
            if let Some(at) = missing.iter().position(|digest| *digest == file.blake3.0) {
                missing.swap_remove(at);
                self.put_file(file).await?;
            }
        }
        Ok(())
    }

    async fn put_file(&mut self, file: &LocalFile) -> Result<(), ClientError> {
        let (chunks, outgoing) = mpsc::channel(AHEAD);
        let sent = file.clone();
        let read = tokio::task::spawn_blocking(move || send(&sent, chunks));
        let put = self.farm.put_file(ReceiverStream::new(outgoing)).await;
        // What is wrong with the file says more than what the coordinator made of it.
        let unusable = |why: String| ClientError::File { path: file.path.clone(), why };
        read.await.map_err(|error| unusable(error.to_string()))?.map_err(unusable)?;
        put?;
        Ok(())
    }
}

/// Sends a file's chunks, or those of the one file that a folder of pictures is sent as.
fn send(file: &LocalFile, chunks: mpsc::Sender<v1::GivenChunk>) -> Result<(), String> {
    let first = v1::GivenChunk { blake3: file.blake3.0.to_vec(), bytes: file.bytes, data: Vec::new() };
    let mut sending = Sending { next: first, hasher: blake3::Hasher::new(), chunks, heard: true };
    let sent = if file.path.is_dir() {
        pack(&file.path, &mut sending)
    } else {
        File::open(&file.path).and_then(|mut opened| io::copy(&mut opened, &mut sending)).map(drop)
    };
    match sent {
        // Nobody listens any more: the coordinator's answer says why.
        _ if !sending.heard => Ok(()),
        Err(error) => Err(error.to_string()),
        Ok(()) => sending.finish(file),
    }
}

/// A file on its way. The last chunk is held back until the file is known to be what was announced, so that the coordinator
/// never has another one whole.
struct Sending {
    next: v1::GivenChunk,
    hasher: blake3::Hasher,
    chunks: mpsc::Sender<v1::GivenChunk>,
    /// Whether somebody listens.
    heard: bool,
}

impl Sending {
    fn finish(self, file: &LocalFile) -> Result<(), String> {
        if self.hasher.count() != file.bytes || *self.hasher.finalize().as_bytes() != file.blake3.0 {
            return Err("it has changed since the manifest was checked; try again".to_owned());
        }
        let _ = self.chunks.blocking_send(self.next);
        Ok(())
    }
}

impl Write for Sending {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.next.data.len() == CHUNK_BYTES && !bytes.is_empty() {
            let full = std::mem::take(&mut self.next);
            self.heard = self.chunks.blocking_send(full).is_ok();
            if !self.heard {
                return Err(io::ErrorKind::BrokenPipe.into());
            }
        }
        let taken = bytes.len().min(CHUNK_BYTES - self.next.data.len());
        self.next.data.extend(&bytes[..taken]);
        self.hasher.update(&bytes[..taken]);
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
