//! The autoencoder's convolutions, causal in time and halving in space, at its width.

use candle_core::Tensor;

use crate::doctor::finding::{Checked, Limit, Measure};
use crate::doctor::numbers::{distance, host, normal};
use wanfarm_model::ModelError;

const CHANNELS: usize = 96;
const HEIGHT: usize = 28;
const WIDTH: usize = 44;
/// More than a kernel reaches back.
const FRAMES: usize = 4;
/// Output pixels looked at, `(row, column)` of a frame of 28×44: corners, edges and middle.
const PIXELS: [(usize, usize); 8] = [(0, 0), (0, 43), (27, 0), (27, 43), (0, 20), (13, 43), (12, 7), (26, 31)];

const OTHERWISE: &str = "convolutions are wrong on this device: frames come out blurred, tinted or striped";

/// `op(frames, weight, bias)`: frames `(height, width, in)` in order, weight `(out, in, 3, 3, 3)`; an output per frame.
pub(super) fn check_causal(op: impl Fn(&[Tensor], &Tensor, &Tensor) -> Result<Vec<Tensor>, ModelError>) -> Checked {
    let frames = (0..FRAMES as u64).map(|t| normal(&[HEIGHT, WIDTH, CHANNELS], t)).collect::<Result<Vec<_>, _>>()?;
    let weight = normal(&[CHANNELS, CHANNELS, 3, 3, 3], 7)?;
    let bias = normal(&[CHANNELS], 8)?;
    let out = op(&frames, &weight, &bias)?;
    let kernel = Kernel { weight: host(&weight)?, bias: host(&bias)?, frames: 3 };
    let inputs = frames.iter().map(host).collect::<Result<Vec<_>, _>>()?;
    let (mut got, mut want) = (Vec::new(), Vec::new());
    for (t, out) in out.iter().enumerate() {
        let out = host(out)?;
        for (y, x) in PIXELS {
            got.extend_from_slice(&out[(y * WIDTH + x) * CHANNELS..][..CHANNELS]);
            // One pixel before the output's own is where the kernel begins.
            want.extend(kernel.at(&inputs[..=t], (y as isize - 1, x as isize - 1)));
        }
    }
    let figure = if out.len() == FRAMES { distance(&got, &want) } else { f64::INFINITY };
    Ok(Measure { figure, limit: Limit::AtMost(1e-5), otherwise: OTHERWISE })
}

/// `op(frame, weight, bias)` with weight `(out, in, 3, 3)`, stride 2, zeros on the right and at the bottom.
pub(super) fn check_halving(op: impl Fn(&Tensor, &Tensor, &Tensor) -> Result<Tensor, ModelError>) -> Checked {
    let frame = normal(&[HEIGHT, WIDTH, CHANNELS], 1)?;
    let (weight, bias) = (normal(&[CHANNELS, CHANNELS, 3, 3], 2)?, normal(&[CHANNELS], 3)?);
    let got = host(&op(&frame, &weight, &bias)?)?;
    let kernel = Kernel { weight: host(&weight)?, bias: host(&bias)?, frames: 1 };
    let input = [host(&frame)?];
    let mut want = Vec::new();
    for y in 0..HEIGHT / 2 {
        for x in 0..WIDTH / 2 {
            want.extend(kernel.at(&input, (2 * y as isize, 2 * x as isize)));
        }
    }
    Ok(Measure { figure: distance(&got, &want), limit: Limit::AtMost(1e-5), otherwise: OTHERWISE })
}

/// A kernel of 3×3 pixels and some frames, in f64.
struct Kernel {
    weight: Vec<f64>,
    bias: Vec<f64>,
    frames: usize,
}

impl Kernel {
    /// The output whose window ends with the last of `frames` and has its first pixel at `(top, left)`.
    fn at(&self, frames: &[Vec<f64>], (top, left): (isize, isize)) -> Vec<f64> {
        let mut out = self.bias.clone();
        for (back, frame) in frames.iter().rev().take(self.frames).enumerate() {
            for tap in 0..9 {
                let (y, x) = (top + tap / 3, left + tap % 3);
                let inside = (0..HEIGHT as isize).contains(&y) && (0..WIDTH as isize).contains(&x);
                if !inside {
                    continue;
                }
                let pixel = &frame[(y as usize * WIDTH + x as usize) * CHANNELS..][..CHANNELS];
                let place = (self.frames - 1 - back) * 9 + tap as usize;
                for (out, weights) in out.iter_mut().zip(self.weight.chunks_exact(CHANNELS * self.frames * 9)) {
                    let weights = weights[place..].iter().step_by(self.frames * 9);
                    *out += pixel.iter().zip(weights).map(|(x, w)| x * w).sum::<f64>();
                }
            }
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use candle_core::Device;

    use super::*;
    use wanfarm_model::layers::conv::{CausalConv3d, Conv2d, History, Window};

    #[test]
    fn causal_and_what_is_not() {
        let run = |frames: &[Tensor], weight: &Tensor, bias: &Tensor, forget: bool| {
            let conv = CausalConv3d::new(weight, bias.clone(), &Device::Cpu)?;
            let mut history = History::default();
            let push = |frame| {
                if forget {
                    history = History::default();
                }
                conv.forward(frame, &mut history)
            };
            frames.iter().map(push).collect()
        };
        let measure = check_causal(|frames, weight, bias| run(frames, weight, bias, false)).unwrap();
        assert!(measure.holds(), "{measure:?}");
        assert!(!check_causal(|frames, weight, bias| run(frames, weight, bias, true)).unwrap().holds());
        let shifted = |frames: &[Tensor], weight: &Tensor, bias: &Tensor| {
            let mut out: Vec<Tensor> = run(frames, weight, bias, false)?;
            out.rotate_left(1);
            Ok(out)
        };
        assert!(!check_causal(shifted).unwrap().holds());
    }

    #[test]
    fn halving_and_what_is_not() {
        let run = |window| {
            move |frame: &Tensor, weight: &Tensor, bias: &Tensor| {
                Conv2d::new(weight, bias.clone(), window, &Device::Cpu)?.forward(frame)
            }
        };
        let measure = check_halving(run(Window::Halving)).unwrap();
        assert!(measure.holds(), "{measure:?}");
        // Zeros all around, then every second pixel: the classic mistake.
        let every_second = |frame: &Tensor, weight: &Tensor, bias: &Tensor| {
            let same = run(Window::Same)(frame, weight, bias)?;
            let rows = same.reshape((HEIGHT / 2, 2, WIDTH, CHANNELS))?.narrow(1, 0, 1)?.contiguous()?;
            let half = rows.reshape((HEIGHT / 2, WIDTH / 2, 2, CHANNELS))?.narrow(2, 0, 1)?;
            Ok(half.contiguous()?.squeeze(2)?)
        };
        assert!(!check_halving(every_second).unwrap().holds());
    }
}
