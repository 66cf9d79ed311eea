//! Rotary positions on the grid of a 720p video, against the formula: three tables, each with exponents of its own.

use candle_core::Tensor;

use crate::doctor::finding::{Checked, Limit, Measure};
use crate::doctor::numbers::{distance, host, normal};
use wanfarm_model::ModelError;

/// Channels of a head.
pub(super) const HEAD_DIM: usize = 128;
/// Channels of a head that turn with time, height and width.
const WIDTHS: [usize; 3] = [44, 42, 42];
/// Tokens along time, height and width.
const GRID: [usize; 3] = [21, 45, 80];

/// `op(grid, x)` turns all tokens of a grid, `(1, tokens, HEAD_DIM)`.
pub(super) fn check(op: impl Fn([usize; 3], &Tensor) -> Result<Tensor, ModelError>) -> Checked {
    let [frames, height, width] = GRID;
    let x = normal(&[1, frames * height * width, HEAD_DIM], 1)?;
    let got = host(&op(GRID, &x)?)?;
    let mut want = host(&x)?;
    for (token, x) in want.chunks_exact_mut(HEAD_DIM).enumerate() {
        let position = [token / (height * width), token / width % height, token % width];
        turn(x, position);
    }
    Ok(Measure {
        figure: distance(&got, &want),
        limit: Limit::AtMost(1e-5),
        otherwise: "tokens are told wrong places: videos drift to grey or repeat themselves; time, height and width need \
                    a table each, with exponents over its own channels, applied to adjacent pairs",
    })
}

/// Turns the channels of a head that is at this time, row and column.
pub(super) fn turn(head: &mut [f64], position: [usize; 3]) {
    let mut axis = head;
    for (position, channels) in position.into_iter().zip(WIDTHS) {
        let (own, rest) = axis.split_at_mut(channels);
        for (pair, x) in own.chunks_exact_mut(2).enumerate() {
            let frequency = 1e4f64.powf(-((2 * pair) as f64) / channels as f64);
            let (sin, cos) = (position as f64 * frequency).sin_cos();
            (x[0], x[1]) = (x[0] * cos - x[1] * sin, x[0] * sin + x[1] * cos);
        }
        axis = rest;
    }
}

#[cfg(test)]
mod tests {
    use candle_core::Device;

    use super::*;
    use wanfarm_model::ops::rope::RopeTable;

    #[test]
    fn three_tables_are_right() {
        let measure = check(|grid, x| RopeTable::new(grid, HEAD_DIM, &Device::Cpu)?.apply(x, 0)).unwrap();
        assert!(measure.holds(), "{measure:?}");
        let later =
            check(|grid, x| RopeTable::new([grid[0] + 1, grid[1], grid[2]], HEAD_DIM, &Device::Cpu)?.apply(x, 9));
        assert!(!later.unwrap().holds(), "tokens begin elsewhere");
    }

    /// One table over the whole head, cut in three afterwards.
    #[test]
    fn a_single_table_is_caught() {
        let single = |[frames, height, width]: [usize; 3], x: &Tensor| {
            let mut angles = Vec::new();
            for token in 0..frames * height * width {
                let position = [token / (height * width), token / width % height, token % width];
                let axis = |pair| [0, 1, 2].into_iter().find(|&i| pair < [22, 43, 64][i]).unwrap();
                angles.extend((0..64).map(|pair| position[axis(pair)] as f64 * 1e4f64.powf(-(pair as f64) / 64.)));
            }
            let table = |f: fn(f64) -> f64| {
                let values: Vec<f32> = angles.iter().map(|angle| f(*angle) as f32).collect();
                Tensor::from_vec(values, (frames * height * width, 64), &Device::Cpu)
            };
            Ok(candle_nn::rotary_emb::rope_i(&x.unsqueeze(0)?, &table(f64::cos)?, &table(f64::sin)?)?.squeeze(0)?)
        };
        let measure = check(single).unwrap();
        assert!(!measure.holds(), "{measure:?}");
    }

    /// Halves instead of adjacent pairs.
    #[test]
    fn other_pairs_are_caught() {
        let halves = |grid: [usize; 3], x: &Tensor| {
            let table = RopeTable::new(grid, HEAD_DIM, &Device::Cpu)?;
            let (_, tokens, _) = x.dims3()?;
            let x = x.reshape((1, tokens, 2, HEAD_DIM / 2))?.transpose(2, 3)?.contiguous()?;
            let x = table.apply(&x.reshape((1, tokens, HEAD_DIM))?, 0)?;
            let x = x.reshape((1, tokens, HEAD_DIM / 2, 2))?.transpose(2, 3)?.contiguous()?;
            Ok(x.reshape((1, tokens, HEAD_DIM))?)
        };
        assert!(!check(halves).unwrap().holds());
    }
}
