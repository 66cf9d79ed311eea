//! The networks in memory. A worker without a budget holds one per role, of the model used last, loaded before it says
//! hello where that is clear. One with a budget loads what an item needs when it begins, and holds beside it what the
//! item's assignment says.

use std::collections::BTreeMap;
use std::sync::Arc;

use candle_core::{DType, Device};
use tracing::{info, warn};
use wanfarm_model::dit::WanModel;
use wanfarm_model::ops::device::DeviceKind;
use wanfarm_model::text::Tokenizer;
use wanfarm_model::umt5::Umt5;
use wanfarm_model::vae::WanVae;
use wanfarm_model::{ModelError, Weights};
use wanfarm_types::{Failure, FailureKind, ModelRole, Role, Size};

use super::denoise::Denoiser;
use super::is_short_of_memory;
use super::loading::ReadAhead;
use super::text::TextEncoder;
use super::vae::Vae;
use crate::WorkerError;
use crate::device::Resident;
use crate::models::{Catalog, Model};
use crate::runner::{Control, Loading, Output, PreparedItem, RoleRunner};

/// All roles of this worker on one device.
pub(crate) struct Roles {
    catalog: Arc<Catalog>,
    device: Device,
    dtype: DType,
    /// Whether items say what stays in memory.
    elastic: bool,
    held: BTreeMap<ModelRole, Box<dyn RoleRunner>>,
    /// What others know of `held`.
    resident: Resident,
}

impl Roles {
    /// Opens the device. Without a budget it loads for each role the first model it serves; faults of its files show now
    /// and not at the first item.
    pub(crate) fn open(
        catalog: Arc<Catalog>,
        kind: DeviceKind,
        dtype: DType,
        elastic: bool,
        resident: Resident,
    ) -> Result<Self, WorkerError> {
        let device = kind.open().map_err(|error| WorkerError::Device(Box::new(error)))?;
        let mut roles = Self { catalog: catalog.clone(), device, dtype, elastic, held: BTreeMap::new(), resident };
        for role in catalog.roles().into_iter().filter(|_| !elastic) {
            if let Some(model) = catalog.first(role) {
                roles.load(model, role, Box::new(drop)).map_err(|error| model.unusable(error))?;
            }
        }
        Ok(roles)
    }

    #[cfg(test)]
    pub(super) fn resident(&self) -> Resident {
        self.resident.clone()
    }

    /// Lets go of what may not be in memory beside the item's role, before anything is loaded: two may not fit.
    fn make_room(&mut self, wanted: &ModelRole, keep: &[ModelRole]) {
        let elastic = self.elastic;
        self.let_go(|held| match elastic {
            true => held != wanted && !keep.contains(held),
            false => held != wanted && held.role == wanted.role,
        });
        for (_, runner) in self.held.iter_mut().filter(|(held, _)| elastic && *held != wanted) {
            runner.rest();
        }
    }

    fn let_go(&mut self, mut gone: impl FnMut(&ModelRole) -> bool) {
        let before = self.held.len();
        self.held.retain(|held, _| !gone(held));
        if self.held.len() < before {
            // Only now does a GPU's memory pool take the buffers back; a fault shows at the next operation.
            let _ = self.device.synchronize();
            self.tell();
        }
    }

    fn tell(&self) {
        self.resident.set(self.held.keys().cloned().collect());
    }

    fn load(&mut self, model: &Model, role: Role, report: Loading) -> Result<(), ModelError> {
        let weights = model.folder.weights(role)?;
        // Layers of the text encoder pass through memory whenever a text is encoded; now none of them is read.
        let (files, bytes) = match role {
            Role::TextEncoder => (Vec::new(), 0),
            _ => (model.folder.files(role), weights.files().dtypes().values().map(|share| share.bytes).sum()),
        };
        let reading = ReadAhead::begin(files, bytes, weights.taken(), report);
        let network = self.network(model, role, weights);
        let progress = reading.end(network.is_ok());
        self.held.insert(model.role(role), network?);
        self.tell();
        let seconds = progress.seconds;
        info!(model = %model.name(), %role, bytes, seconds, "weights loaded");
        Ok(())
    }

    fn network(&self, model: &Model, role: Role, weights: Weights) -> Result<Box<dyn RoleRunner>, ModelError> {
        let (folder, device) = (&model.folder, &self.device);
        Ok(match role {
            Role::TextEncoder => Box::new(TextEncoder {
                tokenizer: Tokenizer::load(folder.tokenizer())?,
                umt5: Umt5::load(weights, device)?,
            }),
            Role::DitHigh | Role::DitLow | Role::Dit => {
                let config = folder.dit_config(role, &weights)?;
                let network = WanModel::load(config, &weights, self.dtype, device)?;
                Box::new(Denoiser::new(network, weights, folder.info().clone(), self.catalog.clone()))
            }
            Role::Vae => {
                let config = folder.vae_config(&weights)?;
                Box::new(Vae::new(WanVae::load(config, &weights, device)?, folder.tiny_vae().cloned(), device.clone()))
            }
        })
    }

    /// Loads a role for an item. If memory is short it lets go of everything else, and tries once more.
    fn load_for(&mut self, model: &Model, role: Role, control: &mut dyn Control) -> Result<(), Failure> {
        let mut loaded = self.load(model, role, control.loading());
        if let Err(error) = &loaded
            && is_short_of_memory(error)
            && !self.held.is_empty()
        {
            warn!(model = %model.name(), %role, "no memory for its weights beside others, which go: {error}");
            self.let_go(|_| true);
            loaded = self.load(model, role, control.loading());
        }
        control.loaded();
        loaded.map_err(|error| not_loaded(model, role, &error))
    }
}

/// What weights that cannot be loaded mean for the item: nothing; others may have them.
fn not_loaded(model: &Model, role: Role, error: &ModelError) -> Failure {
    let helps = match is_short_of_memory(error) {
        true => "; weights in Q8_0 need about half of bf16's memory; or take another machine for this role",
        false => "; mend its files, `coordinator inspect` says what is wrong, and start this worker again",
    };
    let needs = Size(model.footprint(role).weights);
    let message = format!("{role} of {}, {needs} in memory, could not be loaded: {error}{helps}", model.name());
    Failure { kind: FailureKind::NotLoaded, message }
}

impl RoleRunner for Roles {
    fn run(&mut self, item: &PreparedItem, control: &mut dyn Control) -> Result<Output, Failure> {
        let (catalog, role) = (self.catalog.clone(), item.item.stage.role());
        let model = catalog.find(&item.spec.model).filter(|model| model.serves(role));
        let unknown = || Failure::deterministic(format!("this worker does not serve {role} of {}", item.spec.model));
        let model = model.ok_or_else(unknown)?;
        let wanted = model.role(role);
        self.make_room(&wanted, &item.keep);
        if !self.held.contains_key(&wanted) {
            self.load_for(model, role, control)?;
        }
        self.held.get_mut(&wanted).ok_or_else(unknown)?.run(item, control)
    }
}
