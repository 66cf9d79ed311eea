//! Numbers of a plain type as f32, on all cores. Not here: blocks of GGUF and what MLX packs, which the model decodes.

use half::{bf16, f16};
use rayon::prelude::*;
use safetensors::Dtype;

use crate::error::FileError;

/// Numbers a thread decodes at a time; a multiple of every block.
pub const RUN: usize = 1 << 15;

/// The numbers in `bytes`.
///
/// # Errors
/// Nothing is computed in this type.
pub fn decode(bytes: &[u8], dtype: Dtype) -> Result<Vec<f32>, FileError> {
    match dtype {
        Dtype::F32 => Ok(widen(bytes, f32::from_le_bytes)),
        Dtype::F16 => Ok(widen(bytes, |b| f16::from_le_bytes(b).to_f32())),
        Dtype::BF16 => Ok(widen(bytes, |b| bf16::from_le_bytes(b).to_f32())),
        Dtype::F8_E4M3 => Ok(look_up(bytes, &std::array::from_fn(|byte| e4m3(byte as u8)))),
        Dtype::F8_E5M2 => Ok(look_up(bytes, &std::array::from_fn(|byte| e5m2(byte as u8)))),
        dtype => Err(FileError::Unsupported {
            what: format!("a tensor of type {dtype:?}"),
            why: "use files in f32, f16, bf16, fp8 or GGUF".to_owned(),
        }),
    }
}

/// Elements of `N` bytes as f32.
fn widen<const N: usize>(bytes: &[u8], to_f32: impl Fn([u8; N]) -> f32 + Sync) -> Vec<f32> {
    let mut wide = vec![0f32; bytes.len() / N];
    wide.par_chunks_mut(RUN).zip(bytes.par_chunks(N * RUN)).for_each(|(wide, bytes)| {
        let (elements, _) = bytes.as_chunks();
        for (wide, &element) in wide.iter_mut().zip(elements) {
            *wide = to_f32(element);
        }
    });
    wide
}

fn look_up(bytes: &[u8], table: &[f32; 256]) -> Vec<f32> {
    widen(bytes, |[byte]| table[usize::from(byte)])
}

/// One sign, four exponent and three mantissa bits; no infinities, and NaN only with all other bits set.
///
/// Source: Micikevicius et al. 2022, "FP8 Formats for Deep Learning", table 1; PyTorch's `float8_e4m3fn`.
fn e4m3(byte: u8) -> f32 {
    let (exponent, mantissa) = (i32::from(byte >> 3 & 15), f32::from(byte & 7));
    let magnitude = match (exponent, byte & 7) {
        (15, 7) => f32::NAN,
        (0, _) => mantissa * 2f32.powi(-9),
        _ => (8. + mantissa) * 2f32.powi(exponent - 10),
    };
    if byte & 0x80 == 0 { magnitude } else { -magnitude }
}

/// The upper half of an f16.
fn e5m2(byte: u8) -> f32 {
    f16::from_bits(u16::from(byte) << 8).to_f32()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fp8_by_its_definition() {
        let plain = |dtype, bytes: &[u8]| decode(bytes, dtype).unwrap();
        // Zero, the smallest and largest subnormal, the smallest normal, one, the largest; negatives.
        let e4m3 = plain(Dtype::F8_E4M3, &[0x00, 0x01, 0x07, 0x08, 0x38, 0x7e, 0x81, 0xb9, 0xfe]);
        let smallest = 2f32.powi(-9);
        assert_eq!(e4m3, [0., smallest, 7. * smallest, 8. * smallest, 1., 448., -smallest, -1.125, -448.]);
        assert!(plain(Dtype::F8_E4M3, &[0x7f, 0xff]).iter().all(|x| x.is_nan()));
        let e5m2 = plain(Dtype::F8_E5M2, &[0x01, 0x3c, 0x7b, 0xbe]);
        assert_eq!(e5m2, [2f32.powi(-16), 1., 57344., -1.5]);
        assert_eq!(plain(Dtype::F8_E5M2, &[0x7c]), [f32::INFINITY]);
    }

    #[test]
    fn long_tensors_are_decoded_in_order() {
        let bytes: Vec<u8> = (0..3 * RUN + 5).map(|i| (i % 120) as u8).collect();
        let one = |byte: u8| decode(&[byte], Dtype::F8_E4M3).unwrap()[0];
        let all = decode(&bytes, Dtype::F8_E4M3).unwrap();
        assert!(all.iter().zip(&bytes).all(|(x, byte)| *x == one(*byte)) && all.len() == bytes.len());
    }
}
