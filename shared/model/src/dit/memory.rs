//! What a step takes of memory beside the weights. It follows `model` and `block`: the tokens before the blocks and
//! between them, queries, keys, values and what attention makes of them, all of full length; the feed-forward layer a
//! chunk at a time; and what a step cache keeps of another pass, as `step_cache` has it.

use candle_core::DType;
use wanfarm_types::{Footprint, Transformer};

use crate::ops::attention::{QUERIES, SCORES};
use crate::ops::chunks::tokens_per_chunk;
use crate::ops::device::DeviceKind;

/// Bytes of an f32.
const F32: usize = 4;
/// Embedded texts that are at hand: the prompt and the negative one.
const TEXTS: usize = 2;

/// An item's part of the footprint of a transformer whose products are taken in `dtype`.
pub(crate) fn item(cfg: &Transformer, dtype: DType, device: DeviceKind) -> Footprint {
    let narrow = dtype.size_in_bytes();
    let fused = device == DeviceKind::Metal;
    let (dim, ffn) = (cfg.dim, cfg.ffn_dim);
    // Queries and results are of the narrow type only where kernels take and give it.
    let outer = if fused { narrow } else { F32 };
    let scores = if fused { 0 } else { 2 * F32 + if narrow < F32 { narrow } else { 0 } };
    let rope = F32 * cfg.head_dim();
    let attention = dim * (2 * F32 + 2 * outer + 2 * narrow) + QUERIES * scores + rope;

    // Tokens, what attention made of them, and the block's result; of a chunk two sums and the inside of the feed-forward
    // layer: its product, that with the bias, and what the activation makes of it.
    let inside = if fused { 2 * narrow } else { 3 * F32 };
    let feed_forward = dim * (3 * F32 + outer) + rope;
    let chunk = tokens_per_chunk(ffn, fused) * (3 * F32 * dim + inside * ffn);
    let more = chunk.saturating_sub(tokens_per_chunk(ffn, fused) * (attention - feed_forward.min(attention)));
    // A line has to do for what grows with the tokens until a chunk is full and then no more: one that is a little high for
    // few tokens, and a little low where a chunk has just become full.
    let more = more / 5 * 4;
    let texts = TEXTS * cfg.num_layers * 2 * cfg.text_len * dim * narrow;
    Footprint {
        item: (texts + more + SCORES * scores) as u64,
        per_token: attention as u64,
        per_kept_token: (dim * F32) as u64,
        ..Footprint::default()
    }
}
