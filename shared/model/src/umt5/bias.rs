//! Relative positions: which learnt bias the attention from one token to another gets.
//!
//! Not here: the learnt values. UMT5 has a table in each layer, where T5 has one for all.

use candle_core::{Device, Tensor};

use super::config::BUCKETS;
use crate::error::ModelError;

/// Buckets for each direction.
const SIDE: u32 = BUCKETS as u32 / 2;
/// Distances below this have a bucket each; beyond, each doubling has two, and the last, from 128 on, is open.
const EXACT: u32 = SIDE / 2;

/// The bucket of a key that is `relative` tokens after its query, or before it if negative.
///
/// Source: `Wan2.2@42bf4cf wan/modules/t5.py` `T5RelativeEmbedding._relative_position_bucket`. There
/// `8 + ⌊8 ln(n/8) / ln(128/8)⌋` in floating point; `⌊2 log₂(n/8)⌋` as `⌊log₂ n²⌋ − 6` needs no rounding.
fn bucket(relative: i64) -> u32 {
    let distance = relative.unsigned_abs();
    let side = if relative > 0 { SIDE } else { 0 };
    let place = match u32::try_from(distance) {
        Ok(distance) if distance < EXACT => distance,
        _ => distance.saturating_pow(2).ilog2() - 2 * EXACT.ilog2() + EXACT,
    };
    side + place.min(SIDE - 1)
}

/// The bucket of each key for each query, row after row.
///
/// # Shapes
/// → u32 `(len · len)`.
///
/// # Errors
/// A device out of memory.
pub(super) fn buckets(len: usize, device: &Device) -> Result<Tensor, ModelError> {
    let len_i64 = len as i64;
    let buckets: Vec<u32> = (0..len_i64).flat_map(|query| (0..len_i64).map(move |key| bucket(key - query))).collect();
    Ok(Tensor::from_vec(buckets, len * len, device)?)
}

/// What a layer adds to its attention scores.
///
/// # Shapes
/// `table` f32 `(buckets, heads)`, `buckets` u32 `(len · len)` → f32 `(heads, len, len)`.
///
/// # Errors
/// A device out of memory.
pub(super) fn position_bias(table: &Tensor, buckets: &Tensor, len: usize) -> Result<Tensor, ModelError> {
    let by_head = table.t()?.contiguous()?;
    Ok(by_head.index_select(buckets, 1)?.reshape(((), len, len))?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_keys_have_a_bucket_each() {
        let near: Vec<u32> = (-8..=8).map(bucket).collect();
        assert_eq!(near, [8, 7, 6, 5, 4, 3, 2, 1, 0, 17, 18, 19, 20, 21, 22, 23, 24]);
    }

    #[test]
    fn far_keys_share_buckets_by_distance() {
        // The last distance of each bucket: 8·2^(k/2), rounded down, before the next begins.
        let last = [(11, 8), (15, 9), (22, 10), (31, 11), (45, 12), (63, 13), (90, 14)];
        for (distance, expected) in last {
            assert_eq!((bucket(-distance), bucket(-distance - 1)), (expected, expected + 1), "{distance}");
            assert_eq!((bucket(distance), bucket(distance + 1)), (16 + expected, 17 + expected), "{distance}");
        }
        assert_eq!((bucket(-128), bucket(128), bucket(i64::MIN), bucket(i64::MAX)), (15, 31, 15, 31));
    }

    #[test]
    fn bias_is_by_key_minus_query() {
        let table: Vec<f32> = (0..64).map(|i| i as f32).collect();
        let table = Tensor::from_vec(table, (32, 2), &Device::Cpu).unwrap();
        let bias = position_bias(&table, &buckets(3, &Device::Cpu).unwrap(), 3).unwrap().to_vec3::<f32>().unwrap();
        // Bucket b of head h holds 2b + h.
        assert_eq!(bias[0], [[0., 34., 36.], [2., 0., 34.], [4., 2., 0.]]);
        assert_eq!(bias[1], [[1., 35., 37.], [3., 1., 35.], [5., 3., 1.]]);
    }
}
