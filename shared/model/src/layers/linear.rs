//! Linear layers. The one place that knows how a weight matrix is stored and multiplied.

use candle_core::{DType, Device, Tensor};

use crate::error::ModelError;
use crate::lora::Side;
use crate::ops::compact::Matrix;
use crate::ops::product::Product;
use crate::weights::Weights;

/// `y = x Wᵀ + b`. The product is taken in the weight's type (accumulated in f32); the bias is added in f32.
#[derive(Debug, Clone)]
pub struct Linear {
    weight: Matrix,
    bias: Option<Tensor>,
    /// Adapters that are not part of the matrix.
    side: Option<Side>,
}

impl Linear {
    /// Weight `(out, in)` in the type to multiply in, bias `(out)` in f32.
    pub fn new(weight: Tensor, bias: Option<Tensor>) -> Self {
        Self { weight: Matrix::Dense { matrix: weight, scale: None }, bias, side: None }
    }

    /// Loads `{prefix}.weight` `(out, in)`, kept and multiplied in `dtype`, and `{prefix}.bias` `(out)`, kept in f32.
    ///
    /// A convolution whose kernel is its stride is a linear layer over patches: a weight `(out, …)` of higher rank is
    /// flattened to `(out, in)`. A matrix stored in less room than `dtype` needs stays that small, and the adapters of
    /// `weights` stand beside it; they are part of any other.
    ///
    /// # Errors
    /// A tensor is missing, or does not fit on the device.
    pub fn load(
        weights: &Weights,
        prefix: &str,
        bias: bool,
        dtype: DType,
        device: &Device,
    ) -> Result<Self, ModelError> {
        let name = format!("{prefix}.weight");
        let (weight, side) = match weights.compact(&name)? {
            Some(compact) => (compact.on(dtype, device)?, weights.beside_compact(&name, dtype, device)?),
            None => {
                let matrix = weights.tensor(&name, Some(dtype), device)?.flatten_from(1)?;
                (Matrix::Dense { matrix, scale: None }, None)
            }
        };
        let load_bias = || weights.tensor(&format!("{prefix}.bias"), Some(DType::F32), device);
        let bias = bias.then(load_bias).transpose()?;
        Ok(Self { weight, bias, side })
    }

    /// Puts the adapters of `weights` beside the matrix, in place of any that stood there; its bias is read anew.
    ///
    /// # Errors
    /// A tensor is missing, or does not fit on the device.
    pub(crate) fn adapt(&mut self, weights: &Weights, prefix: &str, device: &Device) -> Result<(), ModelError> {
        self.side = weights.beside_loaded(&format!("{prefix}.weight"), self.dtype(), device)?;
        if let Some(bias) = &mut self.bias {
            *bias = weights.tensor(&format!("{prefix}.bias"), Some(DType::F32), device)?;
        }
        Ok(())
    }

    /// The type in which it multiplies.
    pub fn dtype(&self) -> DType {
        self.weight.dtype()
    }

    /// The type that it reads without converting: others are as right, and cost a pass over them.
    pub(crate) fn reads(&self) -> DType {
        self.weight.reads()
    }

    /// The layer without its last step.
    ///
    /// # Shapes
    /// `x` `(n, in)` → `(n, out)`.
    ///
    /// # Errors
    /// Shapes that do not fit, or a device out of memory.
    pub fn product(&self, x: &Tensor) -> Result<Product, ModelError> {
        let x = x.contiguous()?;
        let rows = self.weight.product(&x)?;
        let rows = match &self.side {
            Some(side) => side.added_to(rows.to_dtype(DType::F32)?, &x)?,
            None => rows,
        };
        Ok(Product::new(rows, self.bias.clone()))
    }

    /// Applies the layer over the last dimension.
    ///
    /// # Shapes
    /// `x` `(…, in)` → f32 `(…, out)`.
    ///
    /// # Errors
    /// Shapes that do not fit, or a device out of memory.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor, ModelError> {
        let mut dims = x.dims().to_vec();
        let inner = dims.pop().ok_or_else(|| ModelError::input("linear layer", "a scalar has no last dimension"))?;
        let rows: usize = dims.iter().product();
        dims.push(self.weight.out());
        Ok(self.product(&x.contiguous()?.reshape((rows, inner))?)?.finish()?.reshape(dims)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layer() -> Linear {
        let weight = Tensor::new(&[[1f32, 2.], [3., 4.], [5., 6.]], &Device::Cpu).unwrap();
        let bias = Tensor::new(&[10f32, 20., 30.], &Device::Cpu).unwrap();
        Linear::new(weight, Some(bias))
    }

    #[test]
    fn multiplies_by_the_transpose_over_any_rank() {
        let x = Tensor::new(&[[[1f32, 0.]], [[0., 1.]]], &Device::Cpu).unwrap();
        let y = layer().forward(&x).unwrap();
        assert_eq!(y.dims(), [2, 1, 3]);
        assert_eq!(y.flatten_all().unwrap().to_vec1::<f32>().unwrap(), [11., 23., 35., 12., 24., 36.]);
        // A transposed view is as good as a dense one.
        let x = Tensor::new(&[[1f32, 0.], [1., 2.]], &Device::Cpu).unwrap().t().unwrap();
        let y = layer().forward(&x).unwrap();
        assert_eq!(y.to_vec2::<f32>().unwrap(), [[13., 27., 41.], [14., 28., 42.]]);
    }

    #[test]
    fn multiplies_in_the_weights_type() {
        let x = Tensor::new(&[[1.001f32, 0.]], &Device::Cpu).unwrap();
        let weight = Tensor::new(&[[1f32, 2.], [3., 4.], [5., 6.]], &Device::Cpu).unwrap();
        let narrow = Linear::new(weight.to_dtype(DType::BF16).unwrap(), layer().bias);
        let y = narrow.forward(&x).unwrap();
        assert_eq!(y.dtype(), DType::F32);
        assert_eq!(y.to_vec2::<f32>().unwrap(), [[11., 23., 35.]], "1.001 is 1 in bf16");
    }
}
