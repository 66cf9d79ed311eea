//! Models of which the farm's workers have the files, and the files themselves: for machines that compute.

use bytes::Bytes;
use serde::Serialize;
use tonic::Streaming;
use wanfarm_proto::convert::digest_field;
use wanfarm_proto::v1;
use wanfarm_types::{Digest, ModelFile, Role};

use super::{Client, ClientError, stranger};

/// A model that is on the farm.
#[derive(Debug, Clone, PartialEq, Serialize)]
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

/// A role of it, with the files that most workers have.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct HeldRole {
    /// The role.
    pub role: Role,
    /// How many workers have the files, and are connected.
    pub workers: u32,
    /// The files. As the coordinator says, so not to be trusted.
    pub files: Vec<ModelFile>,
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
}

fn model(wire: v1::HeldModel) -> Result<HeldModel, ClientError> {
    let file = |file: v1::HeldFile| -> Result<ModelFile, ClientError> {
        Ok(ModelFile { blake3: digest_field(&file.blake3).map_err(stranger)?, path: file.path })
    };
    let beside = wire.beside.into_iter().map(file).collect::<Result<_, _>>()?;
    let role = |held: v1::HeldRole| -> Result<HeldRole, ClientError> {
        let role = Role::try_from(held.role()).map_err(stranger)?;
        Ok(HeldRole { role, workers: held.workers, files: held.files.into_iter().map(file).collect::<Result<_, _>>()? })
    };
    let roles = wire.roles.into_iter().map(role).collect::<Result<_, _>>()?;
    Ok(HeldModel { name: wire.name, preset: wire.preset, roles, beside })
}
