//! LoRA files as gRPC sends them: in chunks, the first of which says what is to come.

use bytes::Bytes;
use futures::StreamExt;
use tonic::{Status, Streaming};
use wanfarm_proto::convert::digest_field;
use wanfarm_proto::v1;
use wanfarm_types::Digest;

use super::uploads;
use crate::artifacts::Artifacts;

/// Stores a file whose first chunk says what it is; on return it survives a power cut.
pub(super) async fn receive(artifacts: &Artifacts, mut chunks: Streaming<v1::LoraChunk>) -> Result<Digest, Status> {
    let first = chunks.next().await.ok_or_else(|| Status::invalid_argument("no chunk of a LoRA file came"))??;
    let file = (digest_field(&first.blake3)?, first.bytes);
    let rest = chunks.map(|chunk| chunk.map(|chunk| Bytes::from(chunk.data)));
    let first = futures::stream::iter([Ok(Bytes::from(first.data))]);
    uploads::receive(artifacts, file, first.chain(rest)).await?;
    Ok(file.0)
}
