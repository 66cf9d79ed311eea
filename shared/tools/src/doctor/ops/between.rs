//! What a transformer does between its products, each by one kernel where a device has kernels of its own, at the widths of
//! the published models.

use candle_core::{DType, Tensor};

use super::rotary::{HEAD_DIM, turn};
use crate::doctor::finding::{Checked, Limit, Measure};
use crate::doctor::numbers::{distance, host, normal};
use wanfarm_model::ModelError;

/// Of the 14B and the 5B transformer.
const WIDTHS: [usize; 2] = [5120, 3072];
const ROWS: usize = 37;
pub(super) const EPS: f64 = 1e-6;
/// What queries are multiplied by.
pub(super) const FACTOR: f64 = 1.02;
/// Tokens along time, height and width.
pub(super) const GRID: [usize; 3] = [5, 45, 80];
/// Tokens of the grid before these.
pub(super) const BEFORE: usize = 16_384;

type Op<'o, const N: usize> = &'o dyn Fn([&Tensor; N]) -> Result<Tensor, ModelError>;

/// What `op` makes of tensors of each width, and what it should.
fn check<const N: usize>(
    dtype: DType,
    operands: impl Fn(usize) -> Result<[Tensor; N], ModelError>,
    op: Op<'_, N>,
    want: impl Fn(usize, [&[f64]; N]) -> Vec<f64>,
    otherwise: &'static str,
) -> Checked {
    let (mut got, mut wanted) = (Vec::new(), Vec::new());
    for width in WIDTHS {
        let operands = operands(width)?;
        got.extend(host(&op(operands.each_ref())?)?);
        let held: Vec<Vec<f64>> = operands.iter().map(host).collect::<Result<_, _>>()?;
        wanted.extend(want(width, std::array::from_fn(|index| held[index].as_slice())));
    }
    // A result in bf16 is rounded once more, by 2⁻⁹ at most.
    let most = if dtype == DType::F32 { 1e-5 } else { 2e-3 };
    Ok(Measure { figure: distance(&got, &wanted), limit: Limit::AtMost(most), otherwise })
}

/// A branch, as the product that it comes from holds it.
fn branch(width: usize, dtype: DType) -> Result<Tensor, ModelError> {
    Ok(normal(&[ROWS, width], 2)?.to_dtype(dtype)?.to_dtype(DType::F32)?)
}

/// `op([x, scale, shift])`: layer norm, `· (1 + scale) + shift`, with one for all rows or one for each.
pub(super) fn check_norm(dtype: DType, op: Op<'_, 3>) -> Checked {
    let operands = |width| {
        let modulated = if width == WIDTHS[0] { 1 } else { ROWS };
        Ok([(normal(&[ROWS, width], 1)? + 10.)?, normal(&[modulated, width], 2)?, normal(&[modulated, width], 3)?])
    };
    let want = |width: usize, [x, scale, shift]: [&[f64]; 3]| {
        let norm = |(index, row): (usize, &[f64])| {
            let mean = row.iter().sum::<f64>() / width as f64;
            let root = (row.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / width as f64 + EPS).sqrt();
            let first = index * width % scale.len();
            let by = scale[first..].iter().zip(&shift[first..]);
            row.iter().zip(by).map(|(x, (scale, shift))| (x - mean) / root * (1. + scale) + shift).collect::<Vec<_>>()
        };
        x.chunks_exact(width).enumerate().flat_map(norm).collect()
    };
    check(dtype, operands, op, want, "norm and modulation are wrong on this device: videos come out as noise or flat")
}

/// `op([product, bias, weight])`: bias, RMS norm, rotation, factor, heads.
pub(super) fn check_heads(dtype: DType, op: Op<'_, 3>) -> Checked {
    let operands = |width| Ok([branch(width, dtype)?, normal(&[width], 3)?, normal(&[width], 4)?]);
    let want = |width: usize, [x, bias, weight]: [&[f64]; 3]| {
        let mut out = vec![0.; x.len()];
        for (token, row) in x.chunks_exact(width).enumerate() {
            let row: Vec<f64> = row.iter().zip(bias).map(|(x, bias)| x + bias).collect();
            let root = (row.iter().map(|x| x * x).sum::<f64>() / width as f64 + EPS).sqrt();
            let mut row: Vec<f64> = row.iter().zip(weight).map(|(x, weight)| x / root * weight * FACTOR).collect();
            let (at, [_, height, columns]) = (BEFORE + token, GRID);
            for (head, channels) in row.chunks_exact_mut(HEAD_DIM).enumerate() {
                turn(channels, [at / (height * columns), at / columns % height, at % columns]);
                out[(head * ROWS + token) * HEAD_DIM..][..HEAD_DIM].copy_from_slice(channels);
            }
        }
        out
    };
    check(dtype, operands, op, want, "queries and keys are wrong on this device: videos come out as noise")
}

/// `op([x, product, bias, gate])`: `x + (product + bias) · gate`.
pub(super) fn check_residual(dtype: DType, op: Op<'_, 4>) -> Checked {
    let operands = |width| {
        Ok([normal(&[ROWS, width], 1)?, branch(width, dtype)?, normal(&[width], 3)?, normal(&[ROWS, width], 4)?])
    };
    let want = |_, [x, y, bias, gate]: [&[f64]; 4]| {
        let branch = y.iter().zip(bias.iter().cycle()).zip(gate).map(|((y, bias), gate)| (y + bias) * gate);
        x.iter().zip(branch).map(|(x, branch)| x + branch).collect()
    };
    // The tokens stay in f32.
    check(DType::F32, operands, op, want, "branches are added wrongly on this device: videos come out as noise")
}

/// `op([product, bias])`: GELU by its tanh formula.
pub(super) fn check_gelu(dtype: DType, op: Op<'_, 2>) -> Checked {
    let operands = |width| Ok([branch(width, dtype)?, normal(&[width], 3)?]);
    let want = |_, [y, bias]: [&[f64]; 2]| {
        let gelu = |x: f64| x / 2. * (1. + (std::f64::consts::FRAC_2_PI.sqrt() * (x + 0.044_715 * x.powi(3))).tanh());
        y.iter().zip(bias.iter().cycle()).map(|(y, bias)| gelu(y + bias)).collect()
    };
    check(dtype, operands, op, want, "the nonlinearity is wrong on this device: videos come out as noise")
}

#[cfg(test)]
mod tests {
    use candle_core::Device;

    use super::*;
    use wanfarm_model::ops::activation::gelu_of;
    use wanfarm_model::ops::heads::{Way, split};
    use wanfarm_model::ops::norm::{affine_norm, modulated_norm};
    use wanfarm_model::ops::product::Product;
    use wanfarm_model::ops::residual::residual;
    use wanfarm_model::ops::rope::RopeTable;

    fn product(rows: &Tensor, bias: &Tensor) -> Product {
        Product::new(rows.clone(), Some(bias.clone()))
    }

    #[test]
    fn norms_without_modulation_or_with_the_first_rows_are_caught() {
        for dtype in [DType::F32, DType::BF16] {
            let right = |[x, scale, shift]: [&Tensor; 3]| modulated_norm(x, scale, shift, EPS, dtype);
            assert!(check_norm(dtype, &right).unwrap().holds());
            let without_one =
                |[x, scale, shift]: [&Tensor; 3]| affine_norm(x, &scale.get(0)?, &shift.get(0)?, EPS, dtype);
            assert!(!check_norm(dtype, &without_one).unwrap().holds());
            let first = |[x, scale, shift]: [&Tensor; 3]| {
                modulated_norm(x, &scale.narrow(0, 0, 1)?, &shift.narrow(0, 0, 1)?, EPS, dtype)
            };
            assert!(!check_norm(dtype, &first).unwrap().holds());
        }
    }

    #[test]
    fn heads_at_other_places_or_in_another_order_are_caught() {
        let table = RopeTable::new(GRID, HEAD_DIM, &Device::Cpu).unwrap();
        let heads = |[x, bias, weight]: [&Tensor; 3], first| {
            let way = Way { norm: Some((weight, EPS)), rope: Some((&table, first)), factor: Some(FACTOR) };
            split(&product(x, bias), x.dim(1)? / HEAD_DIM, way, DType::F32)
        };
        assert!(check_heads(DType::F32, &|operands| heads(operands, BEFORE)).unwrap().holds());
        assert!(!check_heads(DType::F32, &|operands| heads(operands, 0)).unwrap().holds());
        let unsplit = |operands: [&Tensor; 3]| Ok(heads(operands, BEFORE)?.transpose(0, 1)?.contiguous()?);
        assert!(!check_heads(DType::F32, &unsplit).unwrap().holds());
    }

    #[test]
    fn lost_biases_and_gates_are_caught() {
        let none = |bias: &Tensor| bias.zeros_like();
        let right = |[x, y, bias, gate]: [&Tensor; 4]| residual(x, &product(y, bias), Some(gate));
        assert!(check_residual(DType::BF16, &right).unwrap().holds());
        assert!(!check_residual(DType::BF16, &|[x, y, bias, _]| residual(x, &product(y, bias), None)).unwrap().holds());
        let unbiased = |[x, y, bias, gate]: [&Tensor; 4]| residual(x, &product(y, &none(bias)?), Some(gate));
        assert!(!check_residual(DType::BF16, &unbiased).unwrap().holds());
        let right = |[y, bias]: [&Tensor; 2]| gelu_of(&product(y, bias), DType::F32);
        assert!(check_gelu(DType::F32, &right).unwrap().holds());
        assert!(!check_gelu(DType::F32, &|[y, bias]| right([y, &none(bias)?])).unwrap().holds());
        assert!(!check_gelu(DType::F32, &|[y, bias]| Ok(y.broadcast_add(bias)?.gelu_erf()?)).unwrap().holds());
    }
}
