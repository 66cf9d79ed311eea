//! What MLX packs, in the memory of a GPU: decoded a band of rows at a time before the product, by operations that every
//! device has. A kernel would save most of the passes over the band, not of the product, beside which they are little.

use candle_core::{DType, Device, Tensor};
use wanfarm_weights::Groups;
use wanfarm_weights::encoding::Affine;

use super::bands::tile_elements;
use super::chunks::Chunks;
use crate::error::ModelError;

/// Integers that fill as many bytes as one of them has bits.
const OCTET: usize = 8;

/// A matrix `(out, in)`.
#[derive(Debug, Clone)]
pub struct Packed {
    /// u8 `(out, in / 8, bits)`.
    octets: Tensor,
    /// `(out, in / group, 1)`, as stored.
    scales: Tensor,
    /// Likewise.
    biases: Tensor,
    affine: Affine,
    dtype: DType,
}

impl Packed {
    /// The matrix in the memory of a device, its products in `dtype`.
    ///
    /// # Errors
    /// Bytes that are not so many rows, or the device is out of memory.
    pub(crate) fn new(
        bytes: &[u8],
        groups: &Groups,
        affine: Affine,
        (out, inner): (usize, usize),
        dtype: DType,
        device: &Device,
    ) -> Result<Self, ModelError> {
        let stored = DType::try_from(affine.factors)?;
        let factors = |bytes: &[u8]| Tensor::from_raw_buffer(bytes, stored, &[out, inner / affine.group, 1], device);
        Ok(Self {
            octets: Tensor::from_raw_buffer(bytes, DType::U8, &[out, inner / OCTET, affine.bits], device)?,
            scales: factors(groups.scales.bytes()?)?,
            biases: factors(groups.biases.bytes()?)?,
            affine,
            dtype,
        })
    }

    /// The type that products are taken in.
    pub(crate) fn dtype(&self) -> DType {
        self.dtype
    }

    /// Rows.
    pub(crate) fn out(&self) -> usize {
        self.octets.dims().first().copied().unwrap_or_default()
    }

    /// # Shapes
    /// `x` `(n, in)` of any float type → `(n, out)` in the type of the product.
    ///
    /// # Errors
    /// The device is out of memory.
    pub(crate) fn product(&self, x: &Tensor) -> Result<Tensor, ModelError> {
        self.product_by(x, band_rows(x.dim(1)?))
    }

    /// So many rows of the matrix at a time.
    fn product_by(&self, x: &Tensor, rows: usize) -> Result<Tensor, ModelError> {
        let x = x.to_dtype(self.dtype)?;
        let bands = Chunks::new(self.out(), rows);
        let mut product = bands.gather(1);
        for (top, count) in bands.iter() {
            product.put(top, &x.matmul(&self.decoded(top, count)?.t()?)?)?;
        }
        product.finish()
    }

    /// # Shapes
    /// → `(count, in)` in the type of the product, the rows from `top` on.
    fn decoded(&self, top: usize, count: usize) -> Result<Tensor, ModelError> {
        let bytes = self.octets.narrow(0, top, count)?.to_dtype(DType::F32)?;
        let factors = |all: &Tensor| all.narrow(0, top, count)?.to_dtype(DType::F32);
        let groups = integers(&bytes, self.affine.bits)?.reshape((count, (), self.affine.group))?;
        let numbers = groups.broadcast_mul(&factors(&self.scales)?)?.broadcast_add(&factors(&self.biases)?)?;
        Ok(numbers.reshape((count, ()))?.to_dtype(self.dtype)?)
    }
}

/// Rows that are decoded at a time.
fn band_rows(inner: usize) -> usize {
    (tile_elements(false) / inner.max(1)).max(1)
}

/// Bytes that decoding takes of a GPU's memory at most: of a band its bytes, the parts of its integers with what they are
/// made of, the integers, and the numbers with and without their biases, all in f32.
pub(crate) fn decoding_bytes((out, inner): (usize, usize)) -> u64 {
    let band = band_rows(inner).min(out) * inner;
    (6 * band * size_of::<f32>()) as u64
}

/// The integers in octets of bytes. All of it is exact in f32: no number has more than 16 bits.
///
/// # Shapes
/// f32 `(rows, n, bits)` → f32 `(rows, n, 8)`.
fn integers(bytes: &Tensor, bits: usize) -> Result<Tensor, ModelError> {
    let quotient = |x: &Tensor, by: usize| (x * (1. / f64::from(1 << by)))?.floor();
    let integer = |place: usize| {
        let (byte, shift) = (place * bits / 8, place * bits % 8);
        let mut word = bytes.narrow(2, byte, 1)?;
        if shift + bits > 8 {
            word = (word + (bytes.narrow(2, byte + 1, 1)? * 256.)?)?;
        }
        let from_here = if shift > 0 { quotient(&word, shift)? } else { word };
        &from_here - (quotient(&from_here, bits)? * f64::from(1 << bits))?
    };
    Ok(Tensor::cat(&(0..OCTET).map(integer).collect::<Result<Vec<_>, _>>()?, 2)?)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use wanfarm_weights::{MappedFile, Piece};

    use super::*;
    use crate::ops::affine;

    /// Without a pattern, the same at every run.
    fn noise(count: usize) -> Vec<u8> {
        (0..count as u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 23) as u8).collect()
    }

    /// Scales and biases in a file.
    fn groups(numbers: &[f32]) -> Groups {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("factors");
        let bytes: Vec<u8> = numbers.iter().flat_map(|number| number.to_le_bytes()).collect();
        std::fs::write(&path, &bytes).unwrap();
        let file = Arc::new(MappedFile::open(&path).unwrap());
        let half = bytes.len() / 2;
        Groups { scales: Piece::new(file.clone(), 0..half), biases: Piece::new(file, half..bytes.len()) }
    }

    #[test]
    fn a_band_is_decoded_as_on_the_cpu_to_the_last_bit() {
        let (out, inner) = (5, 256);
        let x = Tensor::arange(0f32, 2. * inner as f32, &Device::Cpu).unwrap().reshape((2, inner)).unwrap();
        for bits in Affine::BITS {
            for group in Affine::GROUPS {
                let affine = Affine { bits, group, factors: safetensors::Dtype::F32 };
                let bytes = noise(out * inner / 8 * bits);
                let count = 2 * out * inner / group;
                let groups = groups(&(0..count).map(|i| i as f32 / 7. - 3.).collect::<Vec<_>>());
                let (scales, biases) = (groups.scales.bytes().unwrap(), groups.biases.bytes().unwrap());
                let want = affine::decode(&bytes, scales, biases, affine).unwrap();
                let matrix = Packed::new(&bytes, &groups, affine, (out, inner), DType::F32, &Device::Cpu).unwrap();
                let got =
                    |top, count| matrix.decoded(top, count).unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap();
                assert!(got(0, out) == want && got(2, 3) == want[2 * inner..], "{affine:?}");

                let dense =
                    x.matmul(&Tensor::from_vec(want, (out, inner), &Device::Cpu).unwrap().t().unwrap()).unwrap();
                for rows in [1, 2, 5, 9] {
                    let product = matrix.product_by(&x, rows).unwrap();
                    let off = (product - &dense).unwrap().abs().unwrap().max_all().unwrap().to_scalar::<f32>().unwrap();
                    let size = dense.abs().unwrap().max_all().unwrap().to_scalar::<f32>().unwrap();
                    assert!(off <= size * 1e-6, "{affine:?} by {rows}: {off} of {size}");
                }
            }
        }
    }
}
