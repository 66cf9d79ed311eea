//! What a branch of the network gives, added to the tokens.

use candle_core::Tensor;

use super::product::Product;
use crate::error::ModelError;

/// `x + branch · gate`.
///
/// # Shapes
/// `x` f32 `(n, dim)`, `branch` `(n, dim)`, `gate` f32 `(n or 1, dim)` → f32 `(n, dim)`.
///
/// # Errors
/// Shapes that do not fit, or a device out of memory.
pub fn residual(x: &Tensor, branch: &Product, gate: Option<&Tensor>) -> Result<Tensor, ModelError> {
    #[cfg(any(target_os = "macos", feature = "metal"))]
    if let Some(sum) = super::metal::residual(x, &branch.rows, branch.bias.as_ref(), gate)? {
        return Ok(sum);
    }
    let branch = branch.finish()?;
    Ok(match gate {
        Some(gate) => (x + branch.broadcast_mul(gate)?)?,
        None => (x + branch)?,
    })
}
