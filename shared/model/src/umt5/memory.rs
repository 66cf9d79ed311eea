//! What encoding a text takes of memory. Nothing is held between texts: the weights stay in their file.

use wanfarm_types::Footprint;

use super::config::Config;
use crate::ops::attention::SCORES;

/// Bytes of an f32.
const F32: usize = 4;
/// Tokens of the longest text.
const TOKENS: usize = 512;

/// The footprint of an encoder one of whose layers has so many bytes in memory.
pub(crate) fn item(cfg: &Config, layer: u64) -> Footprint {
    // Rows, their norm, the projections; or the inside of the feed-forward layer, which is gated.
    let rows = TOKENS * (4 * cfg.dim + (4 * cfg.dim_attn).max(3 * cfg.dim_ffn));
    let bias = cfg.num_heads * TOKENS * TOKENS;
    Footprint { item: layer + (F32 * (rows + bias + 2 * SCORES)) as u64, ..Footprint::default() }
}
