//! Stored numbers as f32, on all cores, whatever their encoding.

use std::borrow::Cow;

use candle_core::CpuStorage;
use candle_core::quantized::GgmlDType;
use rayon::prelude::*;
use wanfarm_weights::decode::{RUN, decode as plain};
use wanfarm_weights::encoding::Blocks;
use wanfarm_weights::{Encoding, Factors, scales};

use crate::error::ModelError;
use crate::ops::affine;

/// The numbers that the bytes of a tensor stand for, with its factors if it has any.
///
/// # Errors
/// The encoding is no number's, the bytes are not whole blocks, or factors are missing.
pub(crate) fn decode(bytes: &[u8], encoding: Encoding, factors: Option<&Factors>) -> Result<Vec<f32>, ModelError> {
    let mut numbers = match (encoding, factors) {
        (Encoding::Plain(dtype), _) => plain(bytes, dtype)?,
        (Encoding::Blocks(kind), _) => blocks(bytes, kind)?,
        (Encoding::Affine(affine), Some(Factors::Groups(groups))) => {
            affine::decode(bytes, groups.scales.bytes()?, groups.biases.bytes()?, affine)?
        }
        (Encoding::Affine(_), _) => return Err(ModelError::input("packed matrix", "it has no scales")),
    };
    if let Some(Factors::Rows(rows)) = factors {
        scales::apply(&mut numbers, rows);
    }
    Ok(numbers)
}

/// What candle calls these blocks.
pub(crate) fn ggml(blocks: Blocks) -> GgmlDType {
    match blocks {
        Blocks::Q4_0 => GgmlDType::Q4_0,
        Blocks::Q4_1 => GgmlDType::Q4_1,
        Blocks::Q5_0 => GgmlDType::Q5_0,
        Blocks::Q5_1 => GgmlDType::Q5_1,
        Blocks::Q8_0 => GgmlDType::Q8_0,
        Blocks::Q2K => GgmlDType::Q2K,
        Blocks::Q3K => GgmlDType::Q3K,
        Blocks::Q4K => GgmlDType::Q4K,
        Blocks::Q5K => GgmlDType::Q5K,
        Blocks::Q6K => GgmlDType::Q6K,
    }
}

/// GGUF's blocks. The reader has checked that they are whole and lie at addresses their fields can be read at.
fn blocks(bytes: &[u8], blocks: Blocks) -> Result<Vec<f32>, ModelError> {
    let dtype = ggml(blocks);
    let (block, size) = (dtype.block_size(), dtype.type_size());
    let whole = || ModelError::input("quantised tensor", format!("{} bytes are no blocks of {size}", bytes.len()));
    if !bytes.len().is_multiple_of(size) {
        return Err(whole());
    }
    let mut numbers = vec![0f32; bytes.len() / size * block];
    let runs = numbers.par_chunks_mut(RUN).zip(bytes.par_chunks(RUN / block * size));
    runs.try_for_each(|(numbers, bytes)| match dtype.from_data(Cow::Borrowed(bytes)).dequantize(numbers.len())? {
        CpuStorage::F32(run) => {
            numbers.copy_from_slice(&run);
            Ok(())
        }
        _ => Err(whole()),
    })?;
    Ok(numbers)
}

#[cfg(test)]
mod tests {
    use super::*;
    use half::f16;

    #[test]
    fn blocks_are_as_candle_has_them() {
        for blocks in Blocks::ALL {
            let (name, numbers, bytes) = blocks.layout();
            assert_eq!((ggml(blocks).block_size(), ggml(blocks).type_size()), (numbers, bytes), "{name}");
        }
    }

    #[test]
    fn long_tensors_of_blocks_are_decoded_in_order() {
        // Blocks of 32: a scale of 1 or 2, then the numbers themselves.
        let block = |i: usize| {
            let mut block = f16::from_f32(1. + (i % 2) as f32).to_le_bytes().to_vec();
            block.extend((0..32).map(|k| (k as i8 - 16) as u8));
            block
        };
        let count = 2 * RUN / 32 + 3;
        let bytes: Vec<u8> = (0..count).flat_map(block).collect();
        let want = (0..count).flat_map(|i| (0..32).map(move |k| (1. + (i % 2) as f32) * (k as f32 - 16.)));
        assert!(decode(&bytes, Encoding::Blocks(Blocks::Q8_0), None).unwrap().into_iter().eq(want));
        assert!(decode(&bytes[..33], Encoding::Blocks(Blocks::Q8_0), None).is_err());
    }
}
