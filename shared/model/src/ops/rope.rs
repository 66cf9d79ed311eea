//! Rotary positions of video tokens: three tables, for time, height and width, side by side.
//!
//! Each axis has its own table with its own exponents over its own width. One table over the whole head, cut in three
//! afterwards, looks alike and renders videos that fade to grey.

use candle_core::{Device, Tensor};

use crate::error::ModelError;

/// Base of the angles.
const THETA: f64 = 10_000.;

/// Cosines and sines for every token of a grid, f32 on the device.
#[derive(Debug, Clone)]
pub struct RopeTable {
    /// Tokens per axis: time, height, width.
    grid: [usize; 3],
    cos: Tensor,
    sin: Tensor,
}

/// Pairs of channels for time, height and width in a head of `head_dim` channels.
fn pairs(head_dim: usize) -> [usize; 3] {
    let side = head_dim / 6;
    [head_dim / 2 - 2 * side, side, side]
}

/// Angles `(tokens, head_dim / 2)` of a grid, tokens in order of time, height, width; in f64.
fn angles(grid: [usize; 3], head_dim: usize) -> Vec<f64> {
    let [frames, height, width] = grid;
    let pairs = pairs(head_dim);
    let frequencies = pairs.map(|n| (0..n).map(|i| THETA.powf(-(i as f64) / n as f64)).collect::<Vec<_>>());
    let mut angles = Vec::with_capacity(frames * height * width * head_dim / 2);
    for t in 0..frames {
        for h in 0..height {
            for w in 0..width {
                for (position, frequencies) in [t, h, w].into_iter().zip(&frequencies) {
                    angles.extend(frequencies.iter().map(|frequency| position as f64 * frequency));
                }
            }
        }
    }
    angles
}

impl RopeTable {
    /// The table of a grid of `[frames, height, width]` tokens.
    ///
    /// Source: Wan2.2@42bf4cf `wan/modules/model.py` `rope_params`, `WanModel.__init__`.
    ///
    /// # Errors
    /// A device out of memory.
    pub fn new(grid: [usize; 3], head_dim: usize, device: &Device) -> Result<Self, ModelError> {
        let angles = angles(grid, head_dim);
        let table = |f: fn(f64) -> f64| {
            let values: Vec<f32> = angles.iter().map(|&angle| f(angle) as f32).collect();
            Tensor::from_vec(values, (grid.iter().product::<usize>(), head_dim / 2), device)
        };
        Ok(Self { grid, cos: table(f64::cos)?, sin: table(f64::sin)? })
    }

    /// The grid it was made for.
    pub fn grid(&self) -> [usize; 3] {
        self.grid
    }

    /// Cosines and sines of some tokens, `(count, head_dim / 2)`.
    pub(crate) fn rows(&self, first: usize, count: usize) -> Result<(Tensor, Tensor), ModelError> {
        Ok((self.cos.narrow(0, first, count)?, self.sin.narrow(0, first, count)?))
    }

    /// Rotates adjacent pairs of channels of each head by the token's angles; `x` begins at token `first` of the grid.
    ///
    /// # Shapes
    /// f32 `(heads, some tokens, head_dim)` → the same.
    ///
    /// Source: Wan2.2@42bf4cf `wan/modules/model.py` `rope_apply`.
    ///
    /// # Errors
    /// Shapes that do not fit, or a device out of memory.
    pub fn apply(&self, x: &Tensor, first: usize) -> Result<Tensor, ModelError> {
        let (cos, sin) = self.rows(first, x.dim(1)?)?;
        let x = x.contiguous()?.unsqueeze(0)?;
        Ok(candle_nn::rotary_emb::rope_i(&x, &cos, &sin)?.squeeze(0)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn widths_of_the_three_tables() {
        assert_eq!(pairs(128), [22, 21, 21]);
        assert_eq!(pairs(64), [12, 10, 10]);
        assert_eq!(pairs(16), [4, 2, 2]);
        assert_eq!(pairs(20), [4, 3, 3]);
    }

    #[test]
    fn each_axis_has_its_own_exponents() {
        // The last token of a 2×3×4 grid: t = 1, h = 2, w = 3.
        let all = angles([2, 3, 4], 16);
        assert_eq!(all.len(), 24 * 8);
        let want = [1., 0.1, 0.01, 0.001, 2., 0.02, 3., 0.03];
        for (got, want) in all[23 * 8..].iter().zip(want) {
            assert!((got - want).abs() < 1e-12, "{got} {want}");
        }
    }

    #[test]
    fn turns_adjacent_pairs() {
        let table = RopeTable::new([2, 1, 1], 8, &Device::Cpu).unwrap();
        let x = Tensor::new(&[[[1f32, 0., 0., 1., 1., 0., 1., 0.]; 2]], &Device::Cpu).unwrap();
        let y = table.apply(&x, 0).unwrap().to_vec3::<f32>().unwrap();
        assert_eq!(y[0][0], [1., 0., 0., 1., 1., 0., 1., 0.], "position 0 stays");
        let slow = THETA.powf(-0.5);
        let want = [1f64.cos(), 1f64.sin(), -slow.sin(), slow.cos(), 1., 0., 1., 0.];
        for (got, want) in y[0][1].iter().zip(want) {
            assert!((f64::from(*got) - want).abs() < 1e-6);
        }
        let second = table.apply(&x.narrow(1, 1, 1).unwrap(), 1).unwrap().to_vec3::<f32>().unwrap();
        assert_eq!(second[0][0], y[0][1], "a part of the tokens gets its own part of the table");
    }
}
