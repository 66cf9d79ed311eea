//! Models of which the farm has the files, with its workers or the coordinator, and the files themselves: for machines that
//! compute, and for those who give the farm a model.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;
use wanfarm_proto::convert::digest_field;
use wanfarm_proto::tensors::CHUNK_BYTES;
use wanfarm_proto::v1;
use wanfarm_types::{Digest, ModelFile, Role};

use super::{Client, ClientError, stranger};

/// Chunks read ahead of the network.
const AHEAD: usize = 4;

/// A model that is on the farm.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct HeldModel {
    /// Its name.
    pub name: String,
    /// What it is.
    pub preset: String,
    /// Its parts.
    pub roles: Vec<HeldRole>,
    /// Files beside those of the roles that say what it is.
    pub beside: Vec<ModelFile>,
}

/// A role of it, with the files that most workers have, or else the coordinator keeps.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct HeldRole {
    /// The role.
    pub role: Role,
    /// How many workers have the files, and are connected.
    pub workers: u32,
    /// The files. As the coordinator says, so not to be trusted.
    pub files: Vec<ModelFile>,
    /// Whether the coordinator keeps them, and hands them on itself.
    pub kept: bool,
}

impl HeldModel {
    /// All its files, each once.
    pub fn files(&self) -> BTreeSet<&ModelFile> {
        self.roles.iter().flat_map(|role| &role.files).chain(&self.beside).collect()
    }
}

/// The bytes of a file, as they come.
#[derive(Debug)]
pub struct HeldBytes(Streaming<v1::Chunk>);

impl HeldBytes {
    /// The next; `None` after the last.
    ///
    /// # Errors
    /// When the connection breaks.
    pub async fn next(&mut self) -> Result<Option<Bytes>, ClientError> {
        Ok(self.0.message().await?.map(|chunk| chunk.data))
    }
}

impl Client {
    /// The models that are on the farm.
    ///
    /// # Errors
    /// When the coordinator refuses it or cannot be reached.
    pub async fn held_models(&mut self) -> Result<Vec<HeldModel>, ClientError> {
        let models = self.farm.list_models(v1::ListModelsRequest {}).await?.into_inner().models;
        models.into_iter().map(model).collect()
    }

    /// A file, from `offset` on; its digest is for the reader to check.
    ///
    /// # Errors
    /// When nobody has it now, or the coordinator cannot be reached.
    pub async fn read_held(&mut self, file: &Digest, offset: u64) -> Result<HeldBytes, ClientError> {
        let request = v1::ReadRequest { digest: file.0.to_vec(), offset };
        Ok(HeldBytes(self.tensors.read(request).await?.into_inner()))
    }

    /// How much of a file of a model the coordinator has, and whether that is all.
    ///
    /// # Errors
    /// When the coordinator refuses it or cannot be reached.
    pub async fn model_file_here(&mut self, file: &Digest) -> Result<(u64, bool), ClientError> {
        let request = v1::ModelFileHereRequest { blake3: file.0.to_vec() };
        let v1::ModelFileHereReply { bytes, whole } = self.farm.model_file_here(request).await?.into_inner();
        Ok((bytes, whole))
    }

    /// Gives the coordinator a file of a model, from `offset` on; `sent` hears of every chunk.
    ///
    /// # Errors
    /// When the file cannot be read, other bytes come than were announced, or there is no room for them.
    pub async fn put_model_file(
        &mut self,
        path: &Path,
        file: &Digest,
        offset: u64,
        sent: impl Fn(u64) + Send + 'static,
    ) -> Result<(), ClientError> {
        let unusable = |why: String| ClientError::File { path: path.to_owned(), why };
        let (chunks, outgoing) = mpsc::channel(AHEAD);
        let (from, digest) = (path.to_owned(), *file);
        let read = tokio::task::spawn_blocking(move || send(&from, digest, offset, &chunks, &sent));
        let put = self.farm.put_model_file(ReceiverStream::new(outgoing)).await;
        read.await.map_err(|error| unusable(error.to_string()))?.map_err(|error| unusable(error.to_string()))?;
        put?;
        Ok(())
    }

    /// Has the coordinator keep a model whose files it all has.
    ///
    /// # Errors
    /// When it lacks one, or refuses the model.
    pub async fn keep_model(&mut self, model: &HeldModel) -> Result<(), ClientError> {
        self.farm.keep_model(v1::KeepModelRequest { model: Some(wire(model)) }).await?;
        Ok(())
    }

    /// Has the coordinator forget a model that it keeps; bytes that were freed.
    ///
    /// # Errors
    /// When it keeps none of that name.
    pub async fn forget_model(&mut self, name: &str) -> Result<u64, ClientError> {
        Ok(self.farm.forget_model(v1::ForgetModelRequest { name: name.to_owned() }).await?.into_inner().bytes)
    }
}

/// Reads a file from `offset` on and sends it in chunks, as long as somebody listens.
fn send(
    path: &Path,
    file: Digest,
    offset: u64,
    chunks: &mpsc::Sender<v1::ModelChunk>,
    sent: &impl Fn(u64),
) -> io::Result<()> {
    let mut opened = File::open(path)?;
    let bytes = opened.metadata()?.len();
    opened.seek(SeekFrom::Start(offset))?;
    let mut next = v1::ModelChunk { blake3: file.0.to_vec(), bytes, offset, data: Vec::new() };
    loop {
        let length = (&mut opened).take(CHUNK_BYTES as u64).read_to_end(&mut next.data)?;
        let is_last = length < CHUNK_BYTES;
        if chunks.blocking_send(std::mem::take(&mut next)).is_err() || is_last {
            return Ok(());
        }
        sent(length as u64);
    }
}

/// A model as it is said.
pub fn wire(model: &HeldModel) -> v1::HeldModel {
    let file = |file: &ModelFile| v1::HeldFile { path: file.path.clone(), blake3: file.blake3.0.to_vec() };
    let role = |held: &HeldRole| v1::HeldRole {
        role: v1::Role::from(held.role).into(),
        workers: held.workers,
        files: held.files.iter().map(file).collect(),
        kept: held.kept,
    };
    v1::HeldModel {
        name: model.name.clone(),
        preset: model.preset.clone(),
        roles: model.roles.iter().map(role).collect(),
        beside: model.beside.iter().map(file).collect(),
    }
}

/// A model as it was said.
///
/// # Errors
/// A digest or a role is none.
pub fn model(wire: v1::HeldModel) -> Result<HeldModel, ClientError> {
    let file = |file: v1::HeldFile| -> Result<ModelFile, ClientError> {
        Ok(ModelFile { blake3: digest_field(&file.blake3).map_err(stranger)?, path: file.path })
    };
    let beside = wire.beside.into_iter().map(file).collect::<Result<_, _>>()?;
    let role = |held: v1::HeldRole| -> Result<HeldRole, ClientError> {
        let role = Role::try_from(held.role()).map_err(stranger)?;
        let files = held.files.into_iter().map(file).collect::<Result<_, _>>()?;
        Ok(HeldRole { role, workers: held.workers, files, kept: held.kept })
    };
    let roles = wire.roles.into_iter().map(role).collect::<Result<_, _>>()?;
    Ok(HeldModel { name: wire.name, preset: wire.preset, roles, beside })
}
