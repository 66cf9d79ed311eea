//! Attention by candle's fused kernel, which takes queries where they lie and leaves its results where the next layer reads
//! them: the heads of a token beside one another.

use candle_core::op::BackpropOp;
use candle_core::{DType, MetalStorage, Storage, Tensor};
use candle_metal_kernels::metal::{ConstantValues, Value};
use candle_metal_kernels::source::Source;
use objc2_metal::MTLSize;

use super::{failed, metal, number};
use crate::error::ModelError;

/// Queries per dispatch, at most: more have given silent garbage on some GPUs.
const QUERIES: usize = 4096;
/// Queries times keys times channels of all heads per dispatch: 4.4 TFLOP. Two dispatches may share a command buffer, which
/// the watchdog ends after some seconds.
const WORK: usize = 1 << 40;
/// Queries of a threadgroup, and its simdgroups.
const TILE: usize = 32;
const SIMDGROUPS: usize = 4;
/// The kernel's function constants.
const WHOLE_QUERY_TILES: usize = 200;
const WHOLE_KEY_TILES: usize = 201;
const MASKED: usize = 300;
const CAUSAL: usize = 301;

/// Strides are those of batch, head and row.
///
/// Source: candle 0.11.1 `candle-metal-kernels/src/metal_src/scaled_dot_product_attention.metal` `AttnParams`.
#[repr(C)]
struct Parameters {
    batches: u32,
    heads: u32,
    dim: u32,
    queries: u32,
    keys: u32,
    heads_per_key: u32,
    scale: f32,
    no_cap: f32,
    query_tiles: u32,
    key_tiles: u32,
    whole_query_tiles: u32,
    whole_key_tiles: u32,
    queries_left: u32,
    keys_left: u32,
    of_causal: u32,
    query_strides: [u64; 3],
    key_strides: [u64; 3],
    value_strides: [u64; 3],
    out_strides: [u64; 3],
}

/// `softmax(q kᵀ · scale) v`, in the type of `v`; `None` for operands it does not take.
///
/// # Shapes
/// `q` `(heads, L, d)`, `k` and `v` `(heads, M, d)` → `(heads, L, d)`, a view of `(L, heads, d)`.
pub(in crate::ops) fn attend(q: &Tensor, k: &Tensor, v: &Tensor, scale: f64) -> Result<Option<Tensor>, ModelError> {
    let (&[heads, queries, dim], &[_, keys, _], dtype) = (q.dims(), k.dims(), v.dtype()) else { return Ok(None) };
    let alike = k.dims() == [heads, keys, dim] && v.dims() == k.dims();
    let there = q.device().is_metal() && [k, v].iter().all(|t| t.device().same_device(q.device()));
    let countable = [q, k].iter().all(|t| (1..1 << 31).contains(&t.elem_count()));
    let known = matches!(dim, 32 | 64 | 72 | 80 | 96 | 128 | 256) && matches!(dtype, DType::F32 | DType::BF16);
    if !(alike && there && countable && known) {
        return Ok(None);
    }
    let (before, inside) = split_scale(scale);
    let is_scaled = (before - 1.).abs() <= f64::EPSILON;
    let q = if is_scaled { q.clone() } else { (q.to_dtype(DType::F32)? * before)? };
    let [q, k, v] = [with_dense_rows(&q, dtype)?, with_dense_rows(k, dtype)?, with_dense_rows(v, dtype)?];
    let strides = |t: &Tensor| [0, t.stride()[0] as u64, t.stride()[1] as u64];

    let device = metal(&[Some(&q)])?;
    let out = device.new_buffer(q.elem_count(), dtype, "attention")?;
    let key_tile = if dim < 128 { 32 } else { 16 };
    let kind = if dtype == DType::F32 { "float32" } else { "bfloat16" };
    let name = format!("steel_attention_{kind}_bq{TILE}_bk{key_tile}_bd{dim}_wm{SIMDGROUPS}_wn1_mask{kind}");
    let most = QUERIES.min((WORK / (k.elem_count() * TILE)).max(1) * TILE);
    for first in (0..queries).step_by(most) {
        let count = most.min(queries - first);
        let parameters = Parameters {
            batches: 1,
            heads: number(heads)?,
            dim: number(dim)?,
            queries: number(count)?,
            keys: number(keys)?,
            heads_per_key: 1,
            scale: inside as f32,
            no_cap: 1.,
            query_tiles: number(count.div_ceil(TILE))?,
            key_tiles: number(keys.div_ceil(key_tile))?,
            whole_query_tiles: number(count / TILE)?,
            whole_key_tiles: number(keys / key_tile)?,
            queries_left: number(count % TILE)?,
            keys_left: number(keys % key_tile)?,
            of_causal: 0,
            query_strides: strides(&q),
            key_strides: strides(&k),
            value_strides: strides(&v),
            out_strides: [0, dim as u64, (heads * dim) as u64],
        };
        let constants = ConstantValues::new(vec![
            (WHOLE_QUERY_TILES, Value::Bool(count % TILE == 0)),
            (WHOLE_KEY_TILES, Value::Bool(keys % key_tile == 0)),
            (MASKED, Value::Bool(false)),
            (CAUSAL, Value::Bool(false)),
        ]);
        let gpu = device.metal_device();
        let kernels = device.kernels();
        let pipeline =
            kernels.load_pipeline_with_constants(gpu, Source::Sdpa, name.clone(), Some(constants)).map_err(failed)?;
        let guard = device.command_encoder()?;
        let encoder = guard.as_ref();
        encoder.set_compute_pipeline_state(&pipeline);
        for (index, (operand, row)) in [(&q, first), (&k, 0), (&v, 0)].into_iter().enumerate() {
            let (storage, layout) = operand.storage_and_layout();
            let Storage::Metal(storage) = &*storage else {
                return Err(ModelError::input("attention", "an operand is not on the GPU"));
            };
            let offset = layout.start_offset() + row * layout.stride()[1];
            encoder.set_input_buffer(index, Some(storage.buffer()), offset * dtype.size_in_bytes());
        }
        encoder.set_output_buffer(3, Some(&out), first * heads * dim * dtype.size_in_bytes());
        encoder.set_bytes(4, &parameters);
        let size = |width, height| MTLSize { width, height, depth: 1 };
        encoder.dispatch_thread_groups(size(count.div_ceil(TILE), heads), size(32, SIMDGROUPS));
    }
    let storage = MetalStorage::new(out, device.clone(), q.elem_count(), dtype);
    let out = Tensor::from_storage(Storage::Metal(storage), (queries, heads, dim), BackpropOp::none(), false);
    Ok(Some(out.transpose(0, 1)?))
}

/// The operand in this type, the numbers of a row one after the other: all that the kernel needs.
fn with_dense_rows(operand: &Tensor, dtype: DType) -> Result<Tensor, ModelError> {
    let operand = operand.to_dtype(dtype)?;
    let is_so = operand.stride().last() == Some(&1);
    Ok(if is_so { operand } else { operand.force_contiguous()? })
}

/// The kernel multiplies queries by `scale · log₂e` rounded to the type of the inputs, which in bf16 is up to 0.4 %
/// off. Here the kernel gets a factor that comes out as a power of two, and the rest is applied in f32 before.
///
/// Returns (factor for q, scale for the kernel).
pub(in crate::ops) fn split_scale(scale: f64) -> (f64, f64) {
    let wanted = scale * std::f64::consts::LOG2_E;
    let exact = wanted.log2().round().exp2();
    (wanted / exact, exact / std::f64::consts::LOG2_E)
}

#[cfg(test)]
mod tests {
    #[test]
    fn scale_of_head_dim_128() {
        let (before, inside) = super::split_scale(1. / 128f64.sqrt());
        assert!((before - 1.020_139_4).abs() < 1e-7 && (inside - 0.086_643_4).abs() < 1e-7);
    }
}
