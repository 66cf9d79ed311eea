//! What a role's network needs of its device's memory. Weights are counted as they are loaded; what is computed with
//! them is estimated from the sizes of the largest tensors alive at once.

use candle_core::DType;
use serde::Serialize;
use wanfarm_types::{ModelInfo, Role};

use wanfarm_model::ModelError;
use wanfarm_model::Weights;
use wanfarm_model::folder::Parts;
use wanfarm_model::ops::chunks::TOKENS;
use wanfarm_model::ops::device::DeviceKind;

/// Bytes of an f32.
const F32: u64 = 4;

/// Bytes on the device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Memory {
    /// Weights, as they are loaded.
    pub weights: u64,
    /// An estimate of everything else, for a video of the model's default size; absent where the model is not known.
    pub activations: Option<u64>,
}

/// The element type a transformer's matrices are loaded in where nothing else is asked for.
pub fn default_dtype(device: DeviceKind) -> DType {
    match device {
        DeviceKind::Cpu => DType::F32,
        DeviceKind::Metal | DeviceKind::Cuda => DType::BF16,
    }
}

pub(super) fn of(
    parts: &Parts,
    role: Role,
    weights: &Weights,
    info: Option<&ModelInfo>,
    device: DeviceKind,
) -> Result<Memory, ModelError> {
    let activations = info.map(|info| activations(parts, role, weights, info)).transpose()?;
    Ok(Memory { weights: loaded(role, weights, device), activations })
}

fn elements(weights: &Weights, name: &str) -> u64 {
    weights.files().shape(name).unwrap_or_default().iter().map(|&dim| dim as u64).product()
}

/// Bytes of the weights on the device.
fn loaded(role: Role, weights: &Weights, device: DeviceKind) -> u64 {
    let dtype = default_dtype(device);
    match role {
        // Its layers pass through memory one by one; the file itself stays on disk.
        Role::TextEncoder => {
            let first = weights.files().names().filter(|name| name.starts_with("blocks.0."));
            first.map(|name| elements(weights, name) * F32).sum()
        }
        Role::DitHigh | Role::DitLow | Role::Dit => {
            let size = |name: &str| {
                let plain = if is_large(weights, name) { dtype.size_in_bytes() as u64 } else { F32 };
                let (plain, kept) = (elements(weights, name) * plain, weights.compact_bytes(name, device));
                // Decoded for a product one at a time.
                (kept.unwrap_or(plain), kept.map_or(0, |_| plain))
            };
            let sizes: Vec<(u64, u64)> = weights.files().names().map(size).collect();
            let decoded =
                if device == DeviceKind::Metal { None } else { sizes.iter().map(|(_, decoded)| *decoded).max() };
            sizes.iter().map(|(kept, _)| kept).sum::<u64>() + decoded.unwrap_or(0)
        }
        Role::Vae => weights.files().names().map(|name| elements(weights, name) * F32).sum(),
    }
}

/// Whether a transformer loads this tensor in the type asked for, and not in f32.
fn is_large(weights: &Weights, name: &str) -> bool {
    let place = name.starts_with("blocks.") || name.starts_with("text_embedding.");
    place && name.ends_with(".weight") && weights.files().shape(name).is_some_and(|shape| shape.len() == 2)
}

fn activations(parts: &Parts, role: Role, weights: &Weights, info: &ModelInfo) -> Result<u64, ModelError> {
    let defaults = &info.defaults;
    let (width, height) = (u64::from(defaults.width), u64::from(defaults.height));
    Ok(match role {
        // One prompt of full length: rows, projections and the gated product of one layer.
        Role::TextEncoder => {
            let cfg = wanfarm_model::umt5::Config::from_weights(weights.files())?;
            512 * F32 * (6 * cfg.dim + 3 * cfg.dim_ffn) as u64
        }
        // Tokens, their norm, queries, keys, values and what attention gives, all of full length; the feed-forward
        // layer a chunk at a time.
        Role::DitHigh | Role::DitLow | Role::Dit => {
            let cfg = parts.dit_config(role, weights.files())?;
            let tokens = info.geometry.sequence_length(defaults.width, defaults.height, defaults.frames) as u64;
            F32 * (6 * tokens * cfg.dim as u64 + 2 * tokens.min(TOKENS as u64) * cfg.ffn_dim as u64)
        }
        // Each 3×3 convolution keeps two frames; then the frames in work.
        Role::Vae => {
            let cfg = parts.vae_config(weights.files())?;
            let levels = cfg.dim_mult.iter().zip(0u32..).map(|(mult, level)| {
                let side = (cfg.patch() as u64) << level;
                let frame = F32 * (width / side) * (height / side) * (cfg.dec_dim * mult) as u64;
                let convolutions = 2 * (cfg.num_res_blocks as u64 + 1);
                (frame * 2 * convolutions, frame)
            });
            let levels: Vec<_> = levels.collect();
            levels.iter().map(|(kept, _)| kept).sum::<u64>() + 4 * levels.iter().map(|(_, f)| *f).max().unwrap_or(0)
        }
    })
}
