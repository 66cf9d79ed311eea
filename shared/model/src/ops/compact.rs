//! Matrices that stay as small as they are stored: blocks of GGUF, fp8, or what MLX packs.
//!
//! A product takes the matrix decoded, never activations rounded to its integers, as candle's own quantised product
//! does on CPU and CUDA: a video is thousands of tokens, beside whose product the decoding is little, and activations
//! keep their digits. On the CPU the matrix stays in the mapped file; a GPU holds its blocks, decoded by a kernel:
//! on CUDA before the product, on Metal inside it (weights to f16, activations and sums in f32). What MLX packs it
//! holds as well, decoded in bands before the product (`packed`); fp8 it holds decoded.

use std::borrow::Cow;
use std::sync::Arc;

use candle_core::quantized::{QMatMul, QStorage, QTensor};
use candle_core::{DType, Device, Module, Tensor};
use wanfarm_weights::encoding::Blocks;
use wanfarm_weights::{Encoding, Factors, Piece};

use crate::error::ModelError;
use crate::ops::decode::{decode, ggml};
use crate::ops::device::DeviceKind;
use crate::ops::packed::{self, Packed};

/// A matrix `(out, in)`, as its file stores it.
#[derive(Debug, Clone)]
pub struct Compact {
    stored: Piece,
    encoding: Encoding,
    shape: (usize, usize),
    factors: Option<Factors>,
}

impl Compact {
    /// The matrix in a piece of a file, which has been checked to hold it.
    pub(crate) fn new(stored: Piece, encoding: Encoding, shape: (usize, usize), factors: Option<Factors>) -> Self {
        Self { stored, encoding, shape, factors }
    }

    /// How it is stored.
    pub fn encoding(&self) -> Encoding {
        self.encoding
    }

    /// Its bytes on a device of this kind; `None` if it is decoded when it is loaded there.
    pub fn kept_bytes(&self, device: DeviceKind) -> Option<u64> {
        let affine = matches!(self.encoding, Encoding::Affine(_));
        let kept = affine || device == DeviceKind::Cpu || self.blocks(device == DeviceKind::Metal).is_some();
        let factors = self.factors.as_ref().map_or(0, Factors::mapped_bytes);
        kept.then_some((self.stored.len() + factors) as u64)
    }

    /// Bytes that a product takes there to decode it, where it is kept as it is stored: all of it in `dtype`, or a band.
    pub fn decoding_bytes(&self, device: DeviceKind, dtype: DType) -> u64 {
        let (out, inner) = self.shape;
        match (self.encoding, device) {
            (Encoding::Affine(_), DeviceKind::Metal | DeviceKind::Cuda) => packed::decoding_bytes(self.shape),
            // The product's kernel decodes.
            (_, DeviceKind::Metal) => 0,
            _ => (out * inner * dtype.size_in_bytes()) as u64,
        }
    }

    /// The blocks that a GPU keeps. candle's products on Metal store four numbers at once, which is allowed at multiples
    /// of four only: a matrix whose rows are none is decoded.
    fn blocks(&self, metal: bool) -> Option<Blocks> {
        match self.encoding {
            Encoding::Blocks(_) if metal && !self.shape.0.is_multiple_of(4) => None,
            Encoding::Blocks(blocks) if self.factors.is_none() => Some(blocks),
            _ => None,
        }
    }

    /// The numbers of the matrix.
    ///
    /// # Shapes
    /// → f32 `(out, in)` on the CPU.
    ///
    /// # Errors
    /// Bytes that are no whole blocks.
    pub fn decoded(&self) -> Result<Tensor, ModelError> {
        let numbers = decode(self.stored.bytes()?, self.encoding, self.factors.as_ref())?;
        Ok(Tensor::from_vec(numbers, self.shape, &Device::Cpu)?)
    }

    /// The matrix where products will be taken.
    ///
    /// # Errors
    /// The device is out of memory.
    pub fn on(self, dtype: DType, device: &Device) -> Result<Matrix, ModelError> {
        match (device, self.blocks(device.is_metal()), (self.encoding, &self.factors)) {
            (Device::Cpu, ..) => Ok(Matrix::Mapped { matrix: self, dtype }),
            (.., (Encoding::Affine(affine), Some(Factors::Groups(groups)))) => {
                let packed = Packed::new(self.stored.bytes()?, groups, affine, self.shape, dtype, device)?;
                Ok(Matrix::Packed(packed))
            }
            (_, Some(blocks), _) => {
                let bytes = Cow::Borrowed(self.stored.bytes()?);
                let storage = QStorage::from_data(bytes, device, ggml(blocks))?;
                Ok(Matrix::Blocks { matrix: Arc::new(QTensor::new(storage, self.shape)?), dtype })
            }
            // No GPU computes in fp8 here; what the bytes stand for is exact in bf16, and the factor comes later.
            _ => {
                let (unscaled, scale) = match self.factors {
                    Some(Factors::Rows(rows)) => (Self { factors: None, ..self }, Some(rows)),
                    _ => (self, None),
                };
                let dense = unscaled.decoded()?.to_dtype(dtype)?.to_device(device)?;
                let scale = scale.map(|scale| Tensor::new(scale, device)).transpose()?;
                Ok(Matrix::Dense { matrix: dense, scale })
            }
        }
    }
}

/// A matrix `(out, in)` that can be multiplied by.
#[derive(Debug, Clone)]
pub enum Matrix {
    /// Numbers of the type that products are taken in, and what products are multiplied by: `(1)` or `(out)`, f32.
    Dense {
        /// `(out, in)`.
        matrix: Tensor,
        /// One factor, or one per row.
        scale: Option<Tensor>,
    },
    /// In a mapped file, decoded for each product.
    Mapped {
        /// The matrix as stored.
        matrix: Compact,
        /// The type of the product.
        dtype: DType,
    },
    /// Blocks in the memory of a GPU.
    Blocks {
        /// `(out, in)`.
        matrix: Arc<QTensor>,
        /// The type of the product.
        dtype: DType,
    },
    /// What MLX packs, in the memory of a GPU.
    Packed(Packed),
}

impl Matrix {
    /// The type that products are taken in.
    pub(crate) fn dtype(&self) -> DType {
        match self {
            Self::Dense { matrix, .. } => matrix.dtype(),
            Self::Mapped { dtype, .. } | Self::Blocks { dtype, .. } => *dtype,
            Self::Packed(packed) => packed.dtype(),
        }
    }

    /// Rows: the width of what products give.
    pub(crate) fn out(&self) -> usize {
        match self {
            Self::Dense { matrix, .. } => matrix.dims().first().copied().unwrap_or_default(),
            Self::Mapped { matrix, .. } => matrix.shape.0,
            Self::Blocks { matrix, .. } => matrix.shape().dims().first().copied().unwrap_or_default(),
            Self::Packed(packed) => packed.out(),
        }
    }

    /// The type of `x` that [`Self::product`] takes as it is.
    pub(crate) fn reads(&self) -> DType {
        match self {
            Self::Blocks { matrix, .. } if matrix.device().is_metal() => DType::F32,
            other => other.dtype(),
        }
    }

    /// # Shapes
    /// `x` `(n, in)`, dense → `(n, out)`: f32, or on a GPU the type of the product where nothing is applied after it.
    ///
    /// # Errors
    /// The device is out of memory.
    pub fn product(&self, x: &Tensor) -> Result<Tensor, ModelError> {
        let raw = |matrix: &Tensor| x.to_dtype(matrix.dtype())?.matmul(&matrix.t()?);
        let dense = |matrix: &Tensor| raw(matrix)?.to_dtype(DType::F32);
        match self {
            Self::Dense { matrix, scale: None } if !x.device().is_cpu() => Ok(raw(matrix)?),
            Self::Dense { matrix, scale: None } => Ok(dense(matrix)?),
            Self::Dense { matrix, scale: Some(scale) } => Ok(dense(matrix)?.broadcast_mul(scale)?),
            Self::Mapped { matrix, dtype } => Ok(dense(&matrix.decoded()?.to_dtype(*dtype)?)?),
            Self::Blocks { matrix, .. } if x.device().is_metal() => {
                let rows = x.dim(0)?;
                let y = QMatMul::QTensor(matrix.clone()).forward(&from_the_start(&x.to_dtype(DType::F32)?)?)?;
                Ok(y.narrow(0, 0, rows)?)
            }
            Self::Blocks { matrix, dtype } => Ok(dense(&matrix.dequantize(x.device())?.to_dtype(*dtype)?)?),
            Self::Packed(packed) => packed.product(x),
        }
    }
}

/// The rows of `x`, two at least, dense and from the start of their buffer: what candle's product with blocks on Metal
/// gets right. Of a view it takes the buffer's first rows, whatever the view's offset. A single row goes to kernels that
/// round differently, and of which that of Q2_K writes past the result.
///
/// Source: candle 0.11.1 `candle-core/src/quantized/metal.rs` `fwd`, `candle-metal-kernels/src/kernels/quantized.rs`.
fn from_the_start(x: &Tensor) -> Result<Tensor, ModelError> {
    if x.dim(0)? == 1 {
        return Ok(Tensor::cat(&[x, x], 0)?);
    }
    let is_so = x.is_contiguous() && x.layout().start_offset() == 0;
    Ok(if is_so { x.clone() } else { x.force_contiguous()? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_of_views_are_copied_and_a_single_one_is_doubled() {
        let x = Tensor::arange(0f32, 12., &Device::Cpu).unwrap().reshape((4, 3)).unwrap();
        let views = [x.clone(), x.narrow(0, 2, 2).unwrap(), x.narrow(1, 1, 2).unwrap(), x.t().unwrap()];
        for view in views {
            let rows = from_the_start(&view).unwrap();
            assert!(rows.is_contiguous() && rows.layout().start_offset() == 0);
            assert_eq!(rows.to_vec2::<f32>().unwrap(), view.to_vec2::<f32>().unwrap());
        }
        let single = from_the_start(&x.narrow(0, 3, 1).unwrap()).unwrap();
        assert_eq!(single.layout().start_offset(), 0);
        assert_eq!(single.to_vec2::<f32>().unwrap(), [[9., 10., 11.], [9., 10., 11.]]);
    }
}
