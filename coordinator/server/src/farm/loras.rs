//! LoRA files on their way in: streamed into the artifact directory, never whole in memory. What is in them is the
//! workers' to read.

use tokio_stream::StreamExt;
use tonic::{Status, Streaming};
use wanfarm_proto::convert::digest_field;
use wanfarm_proto::v1;
use wanfarm_types::{DType, Digest, MAX_LORA_BYTES, TensorRef};

use crate::artifacts::{ArtifactError, Artifacts};

/// A LoRA file as a tensor, which is how workers read it.
fn tensor(blake3: Digest, bytes: u64) -> TensorRef {
    TensorRef { digest: blake3, dtype: DType::U8, shape: vec![bytes] }
}

/// Stores a file whose first chunk says what it is; on return it survives a power cut.
pub(super) async fn receive(artifacts: &Artifacts, mut chunks: Streaming<v1::LoraChunk>) -> Result<Digest, Status> {
    let first = chunks.next().await.ok_or_else(|| Status::invalid_argument("no chunk of a LoRA file came"))??;
    let (digest, bytes) = (digest_field(&first.blake3)?, first.bytes);
    if bytes > MAX_LORA_BYTES {
        return Err(Status::invalid_argument(format!("a LoRA file has at most {} GiB", MAX_LORA_BYTES >> 30)));
    }
    if artifacts.holds(&tensor(digest, bytes)).await {
        return Ok(digest);
    }
    artifacts.check_room(bytes).await.map_err(Status::resource_exhausted)?;
    let full = |error: ArtifactError| Status::resource_exhausted(error.to_string());
    let mut storing = artifacts.begin(&digest).await.map_err(full)?;
    let (mut hasher, mut next) = (blake3::Hasher::new(), Some(first));
    while let Some(chunk) = next {
        hasher.update(&chunk.data);
        if hasher.count() > bytes {
            return Err(Status::invalid_argument(format!("more came than the {bytes} bytes announced")));
        }
        storing.write(chunk.data.into()).await.map_err(full)?;
        next = chunks.next().await.transpose()?;
    }
    let got = Digest(*hasher.finalize().as_bytes());
    if got != digest || hasher.count() != bytes {
        return Err(Status::invalid_argument(format!("other bytes came than were announced: their digest is {got}")));
    }
    storing.finish().await.map_err(full)?;
    Ok(digest)
}
