//! Matrices that stay as small as they are stored: blocks of GGUF, or fp8.
//!
//! A product takes the matrix decoded, never activations rounded to its integers, as candle's own quantised product
//! does on CPU and CUDA: a video is thousands of tokens, beside whose product the decoding is little, and activations
//! keep their digits. On the CPU the matrix stays in the mapped file; a GPU holds its blocks, decoded by a kernel:
//! on CUDA before the product, on Metal inside it (weights to f16, activations and sums in f32).

use std::borrow::Cow;
use std::ops::Range;
use std::sync::Arc;

use candle_core::quantized::{QMatMul, QStorage, QTensor};
use candle_core::{DType, Device, Module, Tensor};
use wanfarm_weights::{Encoding, MappedFile, scales};

use crate::error::ModelError;
use crate::ops::decode::{decode, ggml};
use crate::ops::device::DeviceKind;

/// A matrix `(out, in)`, as its file stores it.
#[derive(Debug, Clone)]
pub struct Compact {
    file: Arc<MappedFile>,
    bytes: Range<usize>,
    encoding: Encoding,
    shape: (usize, usize),
    scale: Option<Vec<f32>>,
}

impl Compact {
    /// The matrix in these bytes of a file, which has been checked to hold it.
    pub(crate) fn new(
        file: Arc<MappedFile>,
        bytes: Range<usize>,
        encoding: Encoding,
        shape: (usize, usize),
        scale: Option<Vec<f32>>,
    ) -> Self {
        Self { file, bytes, encoding, shape, scale }
    }

    /// How it is stored.
    pub fn encoding(&self) -> Encoding {
        self.encoding
    }

    /// Its bytes on a device of this kind; `None` if it is decoded when it is loaded there.
    pub fn kept_bytes(&self, device: DeviceKind) -> Option<u64> {
        let kept = device == DeviceKind::Cpu || matches!(self.encoding, Encoding::Blocks(_)) && self.scale.is_none();
        kept.then_some(self.bytes.len() as u64)
    }

    /// The numbers of the matrix.
    ///
    /// # Shapes
    /// → f32 `(out, in)` on the CPU.
    ///
    /// # Errors
    /// Bytes that are no whole blocks.
    pub fn decoded(&self) -> Result<Tensor, ModelError> {
        let mut numbers = decode(self.file.bytes(self.bytes.clone())?, self.encoding)?;
        if let Some(scale) = &self.scale {
            scales::apply(&mut numbers, scale);
        }
        Ok(Tensor::from_vec(numbers, self.shape, &Device::Cpu)?)
    }

    /// The matrix where products will be taken.
    ///
    /// # Errors
    /// A device out of memory.
    ///
    /// # Errors
    /// The device is out of memory.
    pub fn on(self, dtype: DType, device: &Device) -> Result<Matrix, ModelError> {
        match (device, self.encoding) {
            (Device::Cpu, _) => Ok(Matrix::Mapped { matrix: self, dtype }),
            (_, Encoding::Blocks(blocks)) if self.scale.is_none() => {
                let bytes = Cow::Borrowed(self.file.bytes(self.bytes.clone())?);
                let storage = QStorage::from_data(bytes, device, ggml(blocks))?;
                Ok(Matrix::Blocks { matrix: Arc::new(QTensor::new(storage, self.shape)?), dtype })
            }
            // No GPU computes in fp8 here; what the bytes stand for is exact in bf16, and the factor comes later.
            _ => {
                let unscaled = Self { scale: None, ..self.clone() };
                let dense = unscaled.decoded()?.to_dtype(dtype)?.to_device(device)?;
                let scale = self.scale.map(|scale| Tensor::new(scale, device)).transpose()?;
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
}

impl Matrix {
    /// The type that products are taken in.
    pub(crate) fn dtype(&self) -> DType {
        match self {
            Self::Dense { matrix, .. } => matrix.dtype(),
            Self::Mapped { dtype, .. } | Self::Blocks { dtype, .. } => *dtype,
        }
    }

    /// Rows: the width of what products give.
    pub(crate) fn out(&self) -> usize {
        match self {
            Self::Dense { matrix, .. } => matrix.dims().first().copied().unwrap_or_default(),
            Self::Mapped { matrix, .. } => matrix.shape.0,
            Self::Blocks { matrix, .. } => matrix.shape().dims().first().copied().unwrap_or_default(),
        }
    }

    /// # Shapes
    /// `x` `(n, in)`, dense → f32 `(n, out)`.
    ///
    /// # Errors
    /// The device is out of memory.
    pub fn product(&self, x: &Tensor) -> Result<Tensor, ModelError> {
        let dense = |matrix: &Tensor| x.to_dtype(matrix.dtype())?.matmul(&matrix.t()?)?.to_dtype(DType::F32);
        match self {
            Self::Dense { matrix, scale: None } => Ok(dense(matrix)?),
            Self::Dense { matrix, scale: Some(scale) } => Ok(dense(matrix)?.broadcast_mul(scale)?),
            Self::Mapped { matrix, dtype } => Ok(dense(&matrix.decoded()?.to_dtype(*dtype)?)?),
            Self::Blocks { matrix, .. } if x.device().is_metal() => {
                Ok(QMatMul::QTensor(matrix.clone()).forward(&x.to_dtype(DType::F32)?.contiguous()?)?)
            }
            Self::Blocks { matrix, dtype } => Ok(dense(&matrix.dequantize(x.device())?.to_dtype(*dtype)?)?),
        }
    }
}
