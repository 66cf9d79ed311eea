//! Products with matrices in the blocks of GGUF, which a GPU keeps so, at the width of a 14B transformer.

use candle_core::quantized::{GgmlDType, QTensor};
use candle_core::{DType, Device, Tensor};
use half::f16;

use crate::doctor::finding::{Checked, Limit, Measure};
use crate::doctor::numbers::{distance, host, normal};
use wanfarm_model::ModelError;

const WIDTH: usize = 5120;
/// Not a multiple of any tile.
pub(super) const ROWS: usize = 333;
/// Rows looked at: the ends, and both sides of the border of a tile.
const LOOKED_AT: [usize; 4] = [0, 31, 32, 332];

/// A matrix `(5120, 5120)` of such blocks, of numbers of about the size that weights have: any bytes are integers, and their
/// scales are made to measure.
pub(super) fn matrix(kind: GgmlDType) -> Result<QTensor, ModelError> {
    let (block, size) = (kind.block_size(), kind.type_size());
    // The high byte of a linear congruential generator.
    let next = |state: &mut u32| {
        *state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (*state >> 24) as u8
    };
    let mut state = 1;
    let mut bytes: Vec<u8> = std::iter::repeat_with(|| next(&mut state)).take(WIDTH * WIDTH / block * size).collect();
    // One scale and numbers of up to 128; or a scale and a minimum, both times up to 63, and numbers of up to 15.
    let scales: &[f32] = if kind == GgmlDType::Q8_0 { &[1.3] } else { &[0.55, 4.1] };
    for bytes in bytes.chunks_exact_mut(size) {
        for (place, scale) in bytes.chunks_exact_mut(2).zip(scales) {
            place.copy_from_slice(&f16::from_f32(scale / 8192.).to_le_bytes());
        }
    }
    let storage = candle_core::quantized::QStorage::from_data(bytes.into(), &Device::Cpu, kind)?;
    Ok(QTensor::new(storage, (WIDTH, WIDTH))?)
}

/// `op(x)`, the product of `(rows, 5120)` with the matrix; `most` is as far as it may be.
pub(super) fn check(
    matrix: &QTensor,
    (rows, most): (usize, f64),
    op: impl Fn(&Tensor) -> Result<Tensor, ModelError>,
) -> Checked {
    let x = normal(&[rows, WIDTH], 1)?;
    let out = op(&x)?.to_device(&Device::Cpu)?.to_dtype(DType::F32)?;
    let matrix = host(&matrix.dequantize(&Device::Cpu)?)?;
    let (mut got, mut want) = (Vec::new(), Vec::new());
    for row in LOOKED_AT.into_iter().filter(|row| *row < rows) {
        got.extend(host(&out.get(row)?)?);
        let x = host(&x.get(row)?)?;
        want.extend(matrix.chunks_exact(WIDTH).map(|column| column.iter().zip(&x).map(|(a, b)| a * b).sum::<f64>()));
    }
    Ok(Measure {
        figure: distance(&got, &want),
        limit: Limit::AtMost(most),
        otherwise: "products with GGUF blocks are wrong on this device; use bf16 files",
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use wanfarm_model::ops::compact::Matrix;

    #[test]
    fn right_and_wrong_products() {
        for kind in [GgmlDType::Q8_0, GgmlDType::Q4K] {
            let blocks = Arc::new(matrix(kind).unwrap());
            let right = |x: &Tensor| Matrix::Blocks { matrix: blocks.clone(), dtype: DType::F32 }.product(x);
            let measure = check(&blocks, (33, 1e-5), right).unwrap();
            assert!(measure.holds(), "{measure:?}");
            let deviation = blocks.dequantize(&Device::Cpu).unwrap().sqr().unwrap().mean_all().unwrap();
            let deviation = deviation.to_scalar::<f32>().unwrap().sqrt() * (WIDTH as f32).sqrt();
            assert!((0.5..2.).contains(&deviation), "{deviation}");
            // A kernel that leaves out the last rows of a tile, and one that is a little off.
            let short = |x: &Tensor| Ok(Tensor::cat(&[right(&x.narrow(0, 0, 32)?)?, right(&x.narrow(0, 0, 1)?)?], 0)?);
            assert!(!check(&blocks, (33, 1e-3), short).unwrap().holds());
            assert!(!check(&blocks, (33, 1e-3), |x| Ok((right(x)? * 1.002)?)).unwrap().holds());
        }
    }
}
