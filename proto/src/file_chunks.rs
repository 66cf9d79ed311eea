//! The bytes of a file, in chunks, for whoever serves files as tensors.

use std::path::Path;

use bytes::Bytes;
use futures::StreamExt;
use tokio::fs::File;
use tokio::io::{AsyncReadExt, AsyncSeekExt, SeekFrom};
use tonic::Status;
use wanfarm_types::Digest;

use crate::tensors::{CHUNK_BYTES, Chunks, beyond};

/// A file from `offset` on, as it is read; `turn` is held until the reader has gone. Whether it has the bytes of this digest is for the reader
/// to check.
///
/// # Errors
/// `data_loss` when it cannot be read, `out_of_range` beyond its end.
pub async fn file_chunks(
    path: &Path,
    digest: Digest,
    offset: u64,
    turn: impl Send + 'static,
) -> Result<Chunks, Status> {
    let unreadable = |error: std::io::Error| Status::data_loss(format!("a model file cannot be read: {error}"));
    let mut file = File::open(path).await.map_err(unreadable)?;
    let length = file.metadata().await.map_err(unreadable)?.len();
    if offset > length {
        return Err(beyond(&digest, offset, length));
    }
    file.seek(SeekFrom::Start(offset)).await.map_err(unreadable)?;
    let chunks = futures::stream::unfold(Some((file, turn)), move |reading| async move {
        let (mut file, turn) = reading?;
        let mut chunk = Vec::with_capacity(CHUNK_BYTES);
        match (&mut file).take(CHUNK_BYTES as u64).read_to_end(&mut chunk).await {
            Ok(0) => None,
            Ok(_) => Some((Ok(Bytes::from(chunk)), Some((file, turn)))),
            Err(error) => Some((Err(unreadable(error)), None)),
        }
    });
    Ok(chunks.boxed())
}
