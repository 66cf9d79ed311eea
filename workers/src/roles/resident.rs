//! The networks in memory: one per role, of the model used last. Loaded before the worker says hello where that is
//! clear, else when an item needs it.

use std::collections::BTreeMap;
use std::sync::Arc;

use candle_core::{DType, Device};
use tracing::info;
use wanfarm_model::ModelError;
use wanfarm_model::dit::WanModel;
use wanfarm_model::ops::device::DeviceKind;
use wanfarm_model::text::Tokenizer;
use wanfarm_model::umt5::Umt5;
use wanfarm_model::vae::WanVae;
use wanfarm_types::{Failure, Role};

use super::denoise::Denoiser;
use super::text::TextEncoder;
use super::vae::Vae;
use crate::models::{Catalog, Model};
use crate::runner::{Control, Output, PreparedItem, RoleRunner};
use crate::{Dtype, WorkerError};

/// All roles of this worker on one device.
pub(crate) struct Roles {
    catalog: Arc<Catalog>,
    device: Device,
    dtype: DType,
    resident: BTreeMap<Role, (String, Box<dyn RoleRunner>)>,
}

impl Roles {
    /// Opens the device, and loads for each role the first model it serves; faults of its files show now and not at
    /// the first item.
    pub(crate) fn load(catalog: Arc<Catalog>, kind: DeviceKind, dtype: Dtype) -> Result<Self, WorkerError> {
        let device = kind.open().map_err(|error| WorkerError::Device(Box::new(error)))?;
        let dtype = match dtype {
            Dtype::F32 => DType::F32,
            Dtype::Bf16 => DType::BF16,
        };
        let mut roles = Self { catalog: catalog.clone(), device, dtype, resident: BTreeMap::new() };
        for role in catalog.roles() {
            if let Some(model) = catalog.first(role) {
                roles.runner(model, role).map_err(|error| model.unusable(error))?;
            }
        }
        Ok(roles)
    }

    fn runner(&mut self, model: &Model, role: Role) -> Result<&mut Box<dyn RoleRunner>, ModelError> {
        if self.resident.get(&role).is_none_or(|(resident, _)| resident != model.name()) {
            // First out, then in: two do not fit.
            self.resident.remove(&role);
            let runner = load(model, role, self.dtype, &self.device, self.catalog.clone())?;
            info!(model = %model.name(), role = %role, "weights loaded");
            self.resident.insert(role, (model.name().to_owned(), runner));
        }
        let found = self.resident.get_mut(&role).map(|(_, runner)| runner);
        found.ok_or_else(|| ModelError::input("role", format!("{role} is not loaded")))
    }
}

impl RoleRunner for Roles {
    fn run(&mut self, item: &PreparedItem, control: &mut dyn Control) -> Result<Output, Failure> {
        let (catalog, role) = (self.catalog.clone(), item.item.stage.role());
        let model = catalog.find(&item.spec.model).filter(|model| model.serves(role));
        let model = model.ok_or_else(|| {
            Failure::deterministic(format!("this worker does not serve {role} of {}", item.spec.model))
        })?;
        let runner = self.runner(model, role).map_err(|error| super::explain(item, error))?;
        runner.run(item, control)
    }
}

fn load(
    model: &Model,
    role: Role,
    dtype: DType,
    device: &Device,
    catalog: Arc<Catalog>,
) -> Result<Box<dyn RoleRunner>, ModelError> {
    let folder = &model.folder;
    let weights = folder.weights(role)?;
    Ok(match role {
        Role::TextEncoder => Box::new(TextEncoder {
            tokenizer: Tokenizer::load(folder.tokenizer())?,
            umt5: Umt5::load(weights, device)?,
        }),
        Role::DitHigh | Role::DitLow | Role::Dit => {
            let config = folder.dit_config(role, &weights)?;
            let network = WanModel::load(config, &weights, dtype, device)?;
            Box::new(Denoiser::new(network, weights, folder.info().clone(), catalog))
        }
        Role::Vae => {
            let config = folder.vae_config(&weights)?;
            Box::new(Vae { model: WanVae::load(config, &weights, device)? })
        }
    })
}
