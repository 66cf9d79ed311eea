//! Functions of whole rows on the CPU, where candle has no such operation, or one that rounds more often.
//!
//! Rows go to all threads; what a row becomes depends on that row alone, so the number of threads changes no bit.

use candle_core::{CpuStorage, CustomOp1, Layout, Result as CandleResult, Shape, Tensor};
use rayon::prelude::*;

use crate::error::ModelError;

/// Elements worth a task of their own.
const TASK: usize = 4096;

/// `f(row, result)` for every row along the last dimension.
///
/// # Shapes
/// f32 `(…, n)` on the CPU → f32 `(…, n)`.
///
/// # Errors
/// A tensor on another device, or of another type.
pub(crate) fn map_rows(x: &Tensor, f: impl Fn(&[f32], &mut [f32]) + Sync) -> Result<Tensor, ModelError> {
    Ok(x.contiguous()?.apply_op1_no_bwd(&Rows(f))?)
}

struct Rows<F>(F);

impl<F: Fn(&[f32], &mut [f32]) + Sync> CustomOp1 for Rows<F> {
    fn name(&self) -> &'static str {
        "rows"
    }

    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> CandleResult<(CpuStorage, Shape)> {
        let (Some((start, end)), Some(&row)) = (layout.contiguous_offsets(), layout.dims().last()) else {
            candle_core::bail!("{layout:?} has no rows that lie one after another");
        };
        let row = row.max(1);
        let values = &storage.as_slice::<f32>()?[start..end];
        let mut out = vec![0f32; values.len()];
        values
            .par_chunks(row)
            .zip(out.par_chunks_mut(row))
            .with_min_len(TASK.div_ceil(row))
            .for_each(|(x, y)| (self.0)(x, y));
        Ok((CpuStorage::F32(out), layout.shape().clone()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Device;

    #[test]
    fn rows_are_those_of_the_last_dimension() {
        let x = Tensor::arange(0f32, 6., &Device::Cpu).unwrap().reshape((3, 2)).unwrap();
        let last = |x: &[f32], y: &mut [f32]| y.fill(x[x.len() - 1]);
        let rows = |x: &Tensor| map_rows(x, last).unwrap().to_vec2::<f32>().unwrap();
        assert_eq!(rows(&x), [[1., 1.], [3., 3.], [5., 5.]]);
        // A view's rows are its own.
        assert_eq!(rows(&x.t().unwrap()), [[4., 4., 4.], [5., 5., 5.]]);
        assert_eq!(rows(&x.narrow(0, 1, 1).unwrap()), [[3., 3.]]);
    }

    #[test]
    fn other_types_are_refused() {
        let x = Tensor::new(&[1f64], &Device::Cpu).unwrap();
        assert!(map_rows(&x, |_, _| ()).is_err());
    }
}
