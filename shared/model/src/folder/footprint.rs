//! What a role takes of its device's memory, known from the headers of its files before anything is loaded. Weights are
//! counted as they are held; what an item takes beside them is counted by the networks, each its own.

use std::path::Path;

use candle_core::DType;
use wanfarm_types::{Footprint, Role};
use wanfarm_weights::{FileError, WeightFiles};

use super::parts::Parts;
use crate::error::ModelError;
use crate::ops::device::DeviceKind;
use crate::tiny_vae::TinyConfig;
use crate::weights::Weights;
use crate::{dit, umt5, vae};

/// Bytes of an f32.
const F32: u64 = 4;

impl Parts {
    /// What a role takes whose tensors are `weights`, its matrices multiplied in `dtype` if it is a transformer.
    ///
    /// # Units
    /// Bytes.
    ///
    /// # Errors
    /// The tensors make no such network.
    pub fn footprint(
        &self,
        role: Role,
        weights: &Weights,
        device: DeviceKind,
        dtype: DType,
    ) -> Result<Footprint, ModelError> {
        let held = Held { weights, device };
        Ok(match role {
            // Its layers pass through memory one by one; the file itself stays on disk.
            Role::TextEncoder => {
                let layer = held.sum("blocks.0.", |_| DType::F32);
                umt5::item(&umt5::Config::from_weights(weights.files())?, layer)
            }
            Role::DitHigh | Role::DitLow | Role::Dit => {
                let config = self.dit_config(role, weights.files())?;
                let kept = held.sum("", |name| if held.is_large(name) { dtype } else { DType::F32 });
                Footprint { weights: kept, ..dit::item(&config, dtype, device) }
            }
            Role::Vae => {
                let all = weights.files().names().map(|name| held.elements(name) * F32).sum();
                Footprint { weights: all, ..vae::item(&self.vae_config(weights.files())?, device) }
            }
        })
    }
}

/// What the autoencoder's role takes with the tiny one of this file: both are held, one of them is at work.
///
/// # Errors
/// The file cannot be read.
pub(super) fn with_tiny(own: Footprint, tiny: &Path) -> Result<Footprint, FileError> {
    let config = TinyConfig::from_weights(&WeightFiles::open(&[tiny.to_owned()])?)?;
    let tiny = config.footprint();
    Ok(Footprint {
        weights: own.weights + tiny.weights,
        per_token: own.per_token.max(tiny.per_token),
        per_frame_token: own.per_frame_token.max(tiny.per_frame_token),
        ..own
    })
}

/// Tensors as they are held on a device.
struct Held<'w> {
    weights: &'w Weights,
    device: DeviceKind,
}

impl Held<'_> {
    fn elements(&self, name: &str) -> u64 {
        self.weights.files().shape(name).unwrap_or_default().iter().map(|&dim| dim as u64).product()
    }

    /// Whether a transformer loads this tensor in the type asked for, and not in f32.
    fn is_large(&self, name: &str) -> bool {
        let place = name.starts_with("blocks.") || name.starts_with("text_embedding.");
        let is_matrix = self.weights.files().shape(name).is_some_and(|shape| shape.len() == 2);
        place && is_matrix && name.ends_with(".weight")
    }

    /// Bytes of the tensors whose names begin so: those that stay compact as they are stored, and the largest of them
    /// decoded where products need that; all others in their type.
    fn sum(&self, prefix: &str, dtype: impl Fn(&str) -> DType) -> u64 {
        let names = self.weights.files().names().filter(|name| name.starts_with(prefix));
        let (mut kept, mut decoded) = (0, 0);
        for name in names {
            let dtype = dtype(name);
            match self.weights.compact_bytes(name, self.device, dtype) {
                Some((compact, decoding)) => (kept, decoded) = (kept + compact, decoding.max(decoded)),
                None => kept += self.elements(name) * dtype.size_in_bytes() as u64,
            }
        }
        kept + decoded
    }
}
