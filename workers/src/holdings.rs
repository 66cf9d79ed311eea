//! What this worker holds for others: the tensors it has made, and the files of its models. Tensors come from memory, files from the
//! disk, a piece at a time and few at once, for it has work of its own.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use futures::FutureExt;
use futures::future::BoxFuture;
use tokio::sync::Semaphore;
use tonic::Status;
use wanfarm_proto::file_chunks::file_chunks;
use wanfarm_proto::tensors::{ChunkSource, Chunks, not_held};
use wanfarm_types::{Digest, ServedModel};

use crate::tensors::TensorStore;

/// Files that are read for others at the same time.
const READERS: usize = 2;

/// Where the files of this worker's models lie, by what is in them.
#[derive(Debug)]
pub(crate) struct ModelFiles {
    places: BTreeMap<Digest, PathBuf>,
    readers: Arc<Semaphore>,
}

/// All that others may read here.
#[derive(Debug, Clone)]
pub(crate) struct Holdings {
    tensors: Arc<TensorStore>,
    files: Arc<ModelFiles>,
}

impl ModelFiles {
    /// Those that are told of models, each in its folder.
    pub(crate) fn of<'m>(models: impl IntoIterator<Item = (&'m ServedModel, &'m Path)>) -> Self {
        let files = models.into_iter().flat_map(|(model, folder)| {
            let files = model.roles.iter().flat_map(|role| &role.files).chain(&model.beside);
            files.map(move |file| (file.blake3, folder.join(&file.path)))
        });
        Self { places: files.collect(), readers: Arc::new(Semaphore::new(READERS)) }
    }

    async fn read(&self, digest: Digest, offset: u64) -> Result<Chunks, Status> {
        let path = self.places.get(&digest).ok_or_else(|| not_held(&digest))?;
        let busy = |_| Status::resource_exhausted("others read files here; ask again");
        let turn = self.readers.clone().try_acquire_owned().map_err(busy)?;
        file_chunks(path, digest, offset, turn).await
    }
}

impl Holdings {
    pub(crate) fn new(tensors: Arc<TensorStore>, files: Arc<ModelFiles>) -> Self {
        Self { tensors, files }
    }
}

impl ChunkSource for Holdings {
    fn chunks(&self, digest: Digest, offset: u64) -> BoxFuture<'static, Result<Chunks, Status>> {
        let Self { tensors, files } = self.clone();
        async move {
            if files.places.contains_key(&digest) {
                return files.read(digest, offset).await;
            }
            tensors.chunks(digest, offset).await
        }
        .boxed()
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use futures::StreamExt;
    use wanfarm_types::{Experts, Footprint, Incarnation, ModelFile, Role, ServedRole, fixtures};

    use super::*;

    fn served(blake3: Digest) -> ServedModel {
        let files = vec![ModelFile { path: "vae/vae.safetensors".to_owned(), blake3 }];
        let role =
            ServedRole { role: Role::Vae, files, encoding: "f32".into(), bytes: 1, footprint: Footprint::default() };
        ServedModel { info: fixtures::info(Experts::Single), roles: vec![role], beside: Vec::new() }
    }

    async fn all(chunks: Chunks) -> Vec<u8> {
        let chunks: Vec<Result<Bytes, Status>> = chunks.collect().await;
        chunks.into_iter().flat_map(|chunk| chunk.unwrap()).collect()
    }

    #[tokio::test]
    async fn files_are_read_from_anywhere_by_a_few_at_once() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("vae")).unwrap();
        let bytes: Vec<u8> = (0..600_000u32).map(|n| n as u8).collect();
        let path = folder.path().join("vae/vae.safetensors");
        std::fs::write(&path, &bytes).unwrap();
        let digest = Digest(*blake3::hash(&bytes).as_bytes());
        let model = served(digest);
        let files = Arc::new(ModelFiles::of([(&model, folder.path())]));
        let store = Arc::new(TensorStore::new(Incarnation(uuid::Uuid::from_u128(1))));
        let holdings = Holdings::new(store, files);
        assert_eq!(all(holdings.chunks(digest, 0).await.unwrap()).await, bytes);
        assert_eq!(all(holdings.chunks(digest, 599_999).await.unwrap()).await, bytes[599_999..]);
        assert!(all(holdings.chunks(digest, 600_000).await.unwrap()).await.is_empty());
        let code = |refused: Result<Chunks, Status>| refused.err().map(|status| status.code());
        assert_eq!(code(holdings.chunks(digest, 600_001).await), Some(tonic::Code::OutOfRange));
        assert_eq!(code(holdings.chunks(Digest([9; 32]), 0).await), Some(tonic::Code::NotFound));
        let reading = [holdings.chunks(digest, 0).await.unwrap(), holdings.chunks(digest, 0).await.unwrap()];
        assert_eq!(code(holdings.chunks(digest, 0).await), Some(tonic::Code::ResourceExhausted));
        drop(reading);
        std::fs::remove_file(&path).unwrap();
        assert_eq!(code(holdings.chunks(digest, 0).await), Some(tonic::Code::DataLoss));
    }
}
