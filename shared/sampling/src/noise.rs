//! Seeds to noise: the numbers that PyTorch draws on the CPU for `torch.Generator().manual_seed(seed)` and
//! `torch.randn`, to within an f32 rounding. Not a general random number library.
//!
//! Source: pytorch `aten/src/ATen/native/cpu/DistributionTemplates.h` (normal_fill),
//! `aten/src/ATen/core/DistributionsHelper.h` (normal_distribution), `aten/src/ATen/core/MT19937RNGEngine.h`.

use crate::mt19937::Mt19937;

/// A block of the vectorised path: 8 pairs of uniforms become 8 pairs of normals.
const BLOCK: usize = 16;

/// `torch.Generator("cpu")`.
#[derive(Debug, Clone)]
pub struct Generator {
    engine: Mt19937,
    /// The second normal of the pair drawn last, for tensors below 16 elements.
    spare: Option<f64>,
}

/// `torch.randn(len, generator=torch.Generator().manual_seed(seed))`: the initial noise of a video, flattened.
pub fn randn(seed: u64, len: usize) -> Vec<f32> {
    Generator::manual_seed(seed).randn(len)
}

/// The noise that step `step` draws: what follows the initial noise and that of the steps before from the same generator,
/// so that any machine that goes on from a state draws what another would have.
pub fn randn_of_step(seed: u64, step: u32, len: usize) -> Vec<f32> {
    let mut generator = Generator::manual_seed(seed);
    (0..=step).for_each(|_| drop(generator.randn(len)));
    generator.randn(len)
}

impl Generator {
    /// Starts from a seed. Like PyTorch's, the engine uses its low 32 bits only.
    pub fn manual_seed(seed: u64) -> Self {
        Self { engine: Mt19937::new(seed as u32), spare: None }
    }

    /// Standard normals for a tensor of `len` elements. One draw of 32 differs from two of 16, as in PyTorch.
    pub fn randn(&mut self, len: usize) -> Vec<f32> {
        if len < BLOCK {
            return (0..len).map(|_| self.normal() as f32).collect();
        }
        let mut values: Vec<f32> = (0..len).map(|_| self.uniform_f32()).collect();
        values.chunks_exact_mut(BLOCK).for_each(box_muller);
        if !len.is_multiple_of(BLOCK) {
            // The tail that fills no block: the last 16 values are drawn anew, those of the block before included.
            let tail = &mut values[len - BLOCK..];
            tail.iter_mut().for_each(|value| *value = self.uniform_f32());
            box_muller(tail);
        }
        values
    }

    /// One normal in double precision, by pairs.
    fn normal(&mut self) -> f64 {
        if let Some(spare) = self.spare.take() {
            return spare;
        }
        let theta = std::f64::consts::TAU * self.uniform_f64();
        let radius = (-2.0 * (-self.uniform_f64()).ln_1p()).sqrt();
        self.spare = Some(radius * theta.sin());
        radius * theta.cos()
    }

    /// Uniform on [0, 1), 24 bits.
    fn uniform_f32(&mut self) -> f32 {
        (self.engine.next_u32() & 0x00ff_ffff) as f32 / (1 << 24) as f32
    }

    /// Uniform on [0, 1), 53 bits, the upper word first.
    fn uniform_f64(&mut self) -> f64 {
        let high = u64::from(self.engine.next_u32());
        let low = u64::from(self.engine.next_u32());
        ((high << 32 | low) & ((1 << 53) - 1)) as f64 / (1_u64 << 53) as f64
    }
}

/// Uniforms to normals in place: radius from element j, angle from element j + 8. Every intermediate is rounded to f32
/// where PyTorch holds it in f32, with the functions themselves evaluated in f64.
fn box_muller(block: &mut [f32]) {
    let (radii, angles) = block.split_at_mut(BLOCK / 2);
    for (a, b) in radii.iter_mut().zip(angles) {
        let log = f64::from(1.0 - *a).ln() as f32;
        let radius = (-2.0 * log).sqrt();
        let (sin, cos) = f64::from(std::f32::consts::TAU * *b).sin_cos();
        *a = radius * cos as f32;
        *b = radius * sin as f32;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_step_draws_what_comes_next() {
        for len in [5, 16, 40, 1000] {
            let mut generator = Generator::manual_seed(9);
            assert_eq!(generator.randn(len), randn(9, len));
            for step in 0..3 {
                assert_eq!(randn_of_step(9, step, len), generator.randn(len), "{len}, step {step}");
            }
        }
    }

    const DRAWS: &str = include_str!("../../../tests/golden/data/torch_randn.json");

    fn draws() -> Vec<serde_json::Value> {
        serde_json::from_str(DRAWS).unwrap()
    }

    #[test]
    fn torch_draws_the_same() {
        let close = |got: &[f32], want: &serde_json::Value| {
            for (got, want) in got.iter().zip(want.as_array().unwrap()) {
                assert!((f64::from(*got) - want.as_f64().unwrap()).abs() < 1e-6, "{got} is not {want}");
            }
        };
        let mut seen = 0;
        for draw in draws() {
            let len: usize =
                draw["shape"].as_array().unwrap().iter().map(|dim| dim.as_u64().unwrap() as usize).product();
            let got = randn(draw["seed"].as_u64().unwrap(), len);
            assert_eq!(got.len(), len);
            close(&got, &draw["first"]);
            close(&got[len - draw["last"].as_array().unwrap().len()..], &draw["last"]);
            let sum: f64 = got.iter().map(|&x| f64::from(x)).sum();
            assert!((sum - draw["sum"].as_f64().unwrap()).abs() < 1e-6 * len as f64);
            seen += usize::from(len < BLOCK) + 2 * usize::from(!len.is_multiple_of(BLOCK) && len > BLOCK);
        }
        assert!(seen >= 3, "the data must cover short tensors and tails");
    }

    #[test]
    fn only_the_low_half_of_a_seed_counts() {
        assert_eq!(randn(42, 20), randn(42 + (1 << 32), 20));
        assert_ne!(randn(42, 20), randn(43, 20));
    }

    #[test]
    fn a_generator_goes_on_where_it_stopped() {
        let mut generator = Generator::manual_seed(7);
        let odd = generator.randn(3);
        let rest = generator.randn(1);
        assert_eq!([odd, rest].concat(), randn(7, 4));
    }
}
