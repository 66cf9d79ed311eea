//! What a linear layer gives before its bias is added, so that the next operation can add it on its way.

use candle_core::{DType, Tensor};

use crate::error::ModelError;

/// A matrix product and what is still to be added to it.
#[derive(Debug, Clone)]
pub struct Product {
    /// `(n, out)`: f32, or on a GPU the type that the product was taken in.
    pub(crate) rows: Tensor,
    /// f32 `(out)`.
    pub(crate) bias: Option<Tensor>,
}

impl Product {
    /// `rows` `(n, out)` of any float type, `bias` f32 `(out)`.
    pub fn new(rows: Tensor, bias: Option<Tensor>) -> Self {
        Self { rows, bias }
    }

    /// # Shapes
    /// → f32 `(n, out)`.
    ///
    /// # Errors
    /// A device out of memory.
    pub fn finish(&self) -> Result<Tensor, ModelError> {
        let rows = self.rows.to_dtype(DType::F32)?;
        Ok(match &self.bias {
            Some(bias) => rows.broadcast_add(bias)?,
            None => rows,
        })
    }
}
