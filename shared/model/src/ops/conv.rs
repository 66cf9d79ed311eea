//! Convolutions over a stream of channels-last frames, as matrix products without im2col: causal in time, or in a frame.
//!
//! A frame is laid out once, with the inputs of one kernel row side by side at each pixel; then every kernel row of
//! every frame in reach is one product over a contiguous view. Memory is that of the kernel's width times the input,
//! where im2col would take the whole kernel's size times the input.
//!
//! Not here: which convolution a network has where, and the first-frame rules of its resampling.

use std::collections::VecDeque;

use candle_core::{DType, Device, Tensor};

use crate::error::ModelError;
use crate::ops::bands::by_bands;
use crate::weights::Weights;

/// How a kernel lies in the frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Window {
    /// 1×1.
    Point,
    /// 3×3, stride 1, one zero pixel around the frame.
    Same,
    /// 3×3, stride 2, one zero pixel on the right and at the bottom only.
    Halving,
}

/// A frame with the inputs of one kernel row side by side at each output pixel: what a convolution multiplies, and
/// what it keeps of past frames.
#[derive(Debug, Clone)]
struct Unfolded {
    /// Rows `(rows, width, kernel width · channels)`. A halving window has its even rows apart from the odd ones.
    planes: Vec<Tensor>,
    height: usize,
    width: usize,
}

impl Window {
    fn unfold(self, frame: &Tensor) -> Result<Unfolded, ModelError> {
        let (height, width, channels) = frame.dims3()?;
        let frame = frame.contiguous()?;
        let column = |height, dim| Tensor::zeros((height, 1, dim), DType::F32, frame.device());
        match self {
            Window::Point => Ok(Unfolded { planes: vec![frame], height, width }),
            Window::Same => {
                let frame = frame.pad_with_zeros(0, 1, 1)?;
                let zero = column(height + 2, channels)?;
                let left = Tensor::cat(&[&zero, &frame.narrow(1, 0, width - 1)?], 1)?;
                let right = Tensor::cat(&[&frame.narrow(1, 1, width - 1)?, &zero], 1)?;
                Ok(Unfolded { planes: vec![Tensor::cat(&[left, frame, right], 2)?], height, width })
            }
            Window::Halving => {
                if height % 2 != 0 || width % 2 != 0 {
                    let why = format!("a frame of {width}x{height} cannot be halved; both must be even");
                    return Err(ModelError::input("convolution", why));
                }
                let (height, width) = (height / 2, width / 2);
                // Two neighbours are side by side already; the third is the first of the next pair.
                let pair = frame.reshape((2 * height, width, 2 * channels))?;
                let next = pair.narrow(2, 0, channels)?.contiguous()?.narrow(1, 1, width - 1)?;
                let next = Tensor::cat(&[&next, &column(2 * height, channels)?], 1)?;
                let rows = Tensor::cat(&[pair, next], 2)?.reshape((height, 2, width * 3 * channels))?;
                let plane = |parity| -> Result<Tensor, ModelError> {
                    Ok(rows.narrow(1, parity, 1)?.contiguous()?.reshape((height, width, 3 * channels))?)
                };
                Ok(Unfolded { planes: vec![plane(0)?.pad_with_zeros(0, 0, 1)?, plane(1)?], height, width })
            }
        }
    }

    /// Plane and first row that a kernel row reads.
    fn place(self, kernel_row: usize) -> (usize, usize) {
        match self {
            Window::Point | Window::Same => (0, kernel_row),
            Window::Halving => (kernel_row % 2, kernel_row / 2),
        }
    }
}

/// Kernel rows as matrices.
#[derive(Debug, Clone)]
struct Kernel {
    /// By frame, oldest first, then by row: `(kernel width · in, out)`.
    rows: Vec<Vec<Tensor>>,
    /// `(out)`.
    bias: Tensor,
    window: Window,
}

impl Kernel {
    /// From a weight `(out, in, frames, height, width)` on the CPU, uploaded after it is rearranged.
    fn new(weight: &Tensor, bias: Tensor, window: Window, device: &Device) -> Result<Self, ModelError> {
        let (out, inner, frames, height, width) = weight.dims5()?;
        let matrices = weight.permute((2, 3, 4, 1, 0))?.contiguous()?.to_device(device)?;
        let matrices = matrices.reshape((frames, height, width * inner, out))?;
        let row = |frame, row| -> Result<Tensor, ModelError> { Ok(matrices.get(frame)?.get(row)?) };
        let rows = (0..frames).map(|frame| (0..height).map(|index| row(frame, index)).collect());
        Ok(Self { rows: rows.collect::<Result<_, _>>()?, bias, window })
    }

    /// The sum over `past` (oldest first; what is missing is zero) and `now` → `(height, width, out)`.
    fn sum(&self, past: &VecDeque<Unfolded>, now: &Unfolded) -> Result<Tensor, ModelError> {
        let (height, width) = (now.height, now.width);
        let out = self.bias.dim(0)?;
        // Nothing is behind the first frame but zeros: its share of the sum is left out.
        let reached = past.iter().chain([now]).rev().zip(self.rows.iter().rev());
        let mut terms = Vec::new();
        for (frame, rows) in reached {
            for (index, matrix) in rows.iter().enumerate() {
                let (plane, first) = self.window.place(index);
                terms.push((&frame.planes[plane], first, matrix));
            }
        }
        let columns = self.rows[0][0].dim(0)?;
        by_bands((height, width, out), self.bias.device(), |top, rows| {
            let mut sum: Option<Tensor> = None;
            for &(plane, first, matrix) in &terms {
                let view = plane.narrow(0, first + top, rows)?.contiguous()?.reshape((rows * width, columns))?;
                let product = view.matmul(matrix)?;
                sum = Some(match sum {
                    Some(sum) => (sum + product)?,
                    None => product.broadcast_add(&self.bias)?,
                });
            }
            let sum = sum.ok_or_else(|| ModelError::input("convolution", "the kernel has no rows"))?;
            Ok(sum.reshape((rows, width, out))?)
        })
    }
}

/// What a [`CausalConv3d`] keeps of the frames before: as many as its kernel reaches back. Empty before the first.
#[derive(Debug, Clone, Default)]
pub struct History(VecDeque<Unfolded>);

/// A convolution over (time, height, width) that sees no later frame; frames before the first are zero.
///
/// Kernels are 3×3 (one zero pixel around the frame) or 1×1 in a frame, of any length in time.
///
/// Source: Wan2.2@42bf4cf `wan/modules/vae2_1.py` `CausalConv3d`. Chunks and caches there are this stream cut in pieces.
#[derive(Debug, Clone)]
pub struct CausalConv3d(Kernel);

impl CausalConv3d {
    /// Loads `{prefix}.weight` `(out, in, t, h, w)` and `{prefix}.bias` `(out)` in f32.
    ///
    /// # Errors
    /// A tensor is missing or of another shape, or does not fit on the device.
    pub fn load(weights: &Weights, prefix: &str, device: &Device) -> Result<Self, ModelError> {
        let weight = weights.tensor(&format!("{prefix}.weight"), Some(DType::F32), &Device::Cpu)?;
        let bias = weights.tensor(&format!("{prefix}.bias"), Some(DType::F32), device)?;
        Self::new(&weight, bias, device)
    }

    pub(crate) fn new(weight: &Tensor, bias: Tensor, device: &Device) -> Result<Self, ModelError> {
        let window = match weight.dims5()? {
            (_, _, 1.., 1, 1) => Window::Point,
            (_, _, 1.., 3, 3) => Window::Same,
            _ => return Err(ModelError::input("causal convolution", format!("a kernel of {:?}", weight.dims()))),
        };
        Ok(Self(Kernel::new(weight, bias, window, device)?))
    }

    /// The output at the next frame, which is then part of the history.
    ///
    /// # Shapes
    /// f32 `(height, width, in)` → f32 `(height, width, out)`.
    ///
    /// # Errors
    /// A frame of another size than those before, or a device out of memory.
    pub fn forward(&self, frame: &Tensor, history: &mut History) -> Result<Tensor, ModelError> {
        let now = self.0.window.unfold(frame)?;
        let out = self.0.sum(&history.0, &now)?;
        self.keep(now, history);
        Ok(out)
    }

    /// Takes the next frame into the history without an output: what a stride in time leaves out.
    ///
    /// # Errors
    /// A device out of memory.
    pub fn skip(&self, frame: &Tensor, history: &mut History) -> Result<(), ModelError> {
        self.keep(self.0.window.unfold(frame)?, history);
        Ok(())
    }

    fn keep(&self, now: Unfolded, history: &mut History) {
        history.0.push_back(now);
        while history.0.len() >= self.0.rows.len() {
            history.0.pop_front();
        }
    }
}

/// A 3×3 convolution of single frames.
#[derive(Debug, Clone)]
pub struct Conv2d(Kernel);

impl Conv2d {
    /// Loads `{prefix}.weight` `(out, in, 3, 3)` and `{prefix}.bias` `(out)` in f32; stride 1, one zero pixel around.
    ///
    /// # Errors
    /// A tensor is missing or of another shape, or does not fit on the device.
    pub fn load(weights: &Weights, prefix: &str, device: &Device) -> Result<Self, ModelError> {
        Self::load_as(weights, prefix, Window::Same, device)
    }

    /// The same, but with stride 2, and a zero pixel on the right and at the bottom only.
    ///
    /// # Errors
    /// As [`Conv2d::load`].
    pub fn load_halving(weights: &Weights, prefix: &str, device: &Device) -> Result<Self, ModelError> {
        Self::load_as(weights, prefix, Window::Halving, device)
    }

    fn load_as(weights: &Weights, prefix: &str, window: Window, device: &Device) -> Result<Self, ModelError> {
        let weight = weights.tensor(&format!("{prefix}.weight"), Some(DType::F32), &Device::Cpu)?;
        let bias = weights.tensor(&format!("{prefix}.bias"), Some(DType::F32), device)?;
        Self::new(&weight, bias, window, device)
    }

    pub(crate) fn new(weight: &Tensor, bias: Tensor, window: Window, device: &Device) -> Result<Self, ModelError> {
        match weight.dims4()? {
            (_, _, 3, 3) => Ok(Self(Kernel::new(&weight.unsqueeze(2)?, bias, window, device)?)),
            _ => Err(ModelError::input("convolution", format!("a kernel of {:?}", weight.dims()))),
        }
    }

    /// # Shapes
    /// f32 `(height, width, in)` → f32 `(height, width, out)`, or half of both if halving.
    ///
    /// # Errors
    /// An odd size that should be halved, or a device out of memory.
    pub fn forward(&self, frame: &Tensor) -> Result<Tensor, ModelError> {
        self.0.sum(&VecDeque::new(), &self.0.window.unfold(frame)?)
    }
}

/// Doubles a frame: each pixel becomes four.
///
/// # Shapes
/// `(height, width, channels)` → `(2 height, 2 width, channels)`.
///
/// # Errors
/// Another rank, or a device out of memory.
pub fn upsample_nearest(frame: &Tensor) -> Result<Tensor, ModelError> {
    let (height, width, channels) = frame.dims3()?;
    let frame = frame.reshape((height, 1, width, 1, channels))?;
    let doubled = frame.broadcast_as((height, 2, width, 2, channels))?.contiguous()?;
    Ok(doubled.reshape((2 * height, 2 * width, channels))?)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Deterministic values in ±1 without a pattern.
    fn values(shape: &[usize], salt: f64) -> Tensor {
        let count = shape.iter().product::<usize>();
        let data: Vec<f32> = (0..count).map(|i| ((i * i) as f64 * 0.37 + i as f64 * 1.3 + salt).sin() as f32).collect();
        Tensor::from_vec(data, shape, &Device::Cpu).unwrap()
    }

    fn frames(count: usize, height: usize, width: usize, channels: usize) -> Vec<Tensor> {
        (0..count).map(|t| values(&[height, width, channels], t as f64)).collect()
    }

    /// The definition, one multiplication at a time, in f64: output at frame `t` of `frames`, with `stride` and zero
    /// pixels `before` the frame's left and top; everything outside is zero.
    fn naive(frames: &[Tensor], t: usize, weight: &Tensor, bias: &Tensor, stride: usize, before: usize) -> Tensor {
        let (out, inner, kt, kh, kw) = weight.dims5().unwrap();
        let (height, width, _) = frames[0].dims3().unwrap();
        let x: Vec<Vec<Vec<Vec<f32>>>> = frames.iter().map(|frame| frame.to_vec3().unwrap()).collect();
        let weight = weight.flatten_all().unwrap().to_vec1::<f32>().unwrap();
        let bias = bias.to_vec1::<f32>().unwrap();
        let mut result = Vec::new();
        for y0 in 0..height / stride {
            for x0 in 0..width / stride {
                for (o, bias) in bias.iter().enumerate() {
                    let mut sum = f64::from(*bias);
                    for (i, dt, dy, dx) in indices(inner, kt, kh, kw) {
                        let at = |origin: usize, delta: usize, before: usize| (origin + delta).checked_sub(before);
                        let pixel = at(t, dt, kt - 1).zip(at(y0 * stride, dy, before)).zip(at(x0 * stride, dx, before));
                        let Some(((t, y), x_)) = pixel else { continue };
                        if y < height && x_ < width {
                            let w = weight[(((o * inner + i) * kt + dt) * kh + dy) * kw + dx];
                            sum += f64::from(x[t][y][x_][i]) * f64::from(w);
                        }
                    }
                    result.push(sum as f32);
                }
            }
        }
        Tensor::from_vec(result, (height / stride, width / stride, out), &Device::Cpu).unwrap()
    }

    fn indices(a: usize, b: usize, c: usize, d: usize) -> impl Iterator<Item = (usize, usize, usize, usize)> {
        (0..a * b * c * d).map(move |n| (n / (b * c * d), n / (c * d) % b, n / d % c, n % d))
    }

    fn assert_close(a: &Tensor, b: &Tensor) {
        assert_eq!(a.dims(), b.dims());
        let worst = (a - b).unwrap().abs().unwrap().max_all().unwrap().to_scalar::<f32>().unwrap();
        assert!(worst < 1e-5, "{worst}");
    }

    #[test]
    fn causal_convolution_is_the_definition_frame_by_frame() {
        for (kernel, before) in [([5, 4, 3, 3, 3], 1), ([5, 4, 3, 1, 1], 0), ([5, 4, 1, 1, 1], 0)] {
            for (height, width) in [(4, 6), (3, 1), (1, 5)] {
                let (weight, bias) = (values(&kernel, 0.5), values(&[5], 9.));
                let conv = CausalConv3d::new(&weight, bias.clone(), &Device::Cpu).unwrap();
                let frames = frames(5, height, width, 4);
                let mut history = History::default();
                for (t, frame) in frames.iter().enumerate() {
                    let got = conv.forward(frame, &mut history).unwrap();
                    assert_close(&got, &naive(&frames, t, &weight, &bias, 1, before));
                    assert!(history.0.len() < kernel[2]);
                }
            }
        }
    }

    #[test]
    fn a_stream_can_be_cut_anywhere() {
        let conv = CausalConv3d::new(&values(&[5, 4, 3, 3, 3], 0.), values(&[5], 1.), &Device::Cpu).unwrap();
        let frames = frames(6, 3, 4, 4);
        let mut history = History::default();
        let whole: Vec<Tensor> = frames.iter().map(|frame| conv.forward(frame, &mut history).unwrap()).collect();
        let mut history = History::default();
        for (t, (frame, want)) in frames.iter().zip(&whole).enumerate() {
            // Every frame once by a copy of the state that is then thrown away, as after a cancelled chunk.
            let mut copy = history.clone();
            let again = conv.forward(frame, &mut copy).unwrap();
            assert_eq!(again.to_vec3::<f32>().unwrap(), want.to_vec3::<f32>().unwrap());
            if t % 2 == 0 {
                history = copy;
            } else {
                conv.skip(frame, &mut history).unwrap();
            }
        }
        // A piece without the history of the pieces before is another result.
        let alone = conv.forward(&frames[3], &mut History::default()).unwrap();
        assert_ne!(alone.to_vec3::<f32>().unwrap(), whole[3].to_vec3::<f32>().unwrap());
    }

    #[test]
    fn bands_change_nothing() {
        // Large enough for several bands; their borders are where rows could get lost.
        let (height, width) = (200, 70);
        let (weight, bias) = (values(&[5, 2, 1, 3, 3], 0.5), values(&[5], 9.));
        let frames = frames(1, height, width, 2);
        let conv = CausalConv3d::new(&weight, bias.clone(), &Device::Cpu).unwrap();
        let got = conv.forward(&frames[0], &mut History::default()).unwrap();
        assert_close(&got, &naive(&frames, 0, &weight, &bias, 1, 1));
    }

    #[test]
    fn frame_convolutions_are_the_definition() {
        let weight = values(&[5, 4, 3, 3], 0.5);
        let bias = values(&[5], 9.);
        let conv = |window| Conv2d::new(&weight, bias.clone(), window, &Device::Cpu).unwrap();
        let as_3d = weight.unsqueeze(2).unwrap();
        for (height, width) in [(4, 6), (2, 2), (8, 2)] {
            let frames = frames(1, height, width, 4);
            let same = conv(Window::Same).forward(&frames[0]).unwrap();
            assert_close(&same, &naive(&frames, 0, &as_3d, &bias, 1, 1));
            // Zeros on the right and at the bottom only: on the left and at the top is the classic mistake.
            let halved = conv(Window::Halving).forward(&frames[0]).unwrap();
            assert_close(&halved, &naive(&frames, 0, &as_3d, &bias, 2, 0));
        }
        let odd = conv(Window::Halving).forward(&frames(1, 4, 5, 4)[0]).unwrap_err().to_string();
        assert!(odd.contains("5x4"), "{odd}");
    }

    #[test]
    fn doubling_repeats_pixels() {
        let frame = Tensor::new(&[[[1f32, 2.], [3., 4.]]], &Device::Cpu).unwrap();
        let doubled = upsample_nearest(&frame).unwrap().to_vec3::<f32>().unwrap();
        let row = vec![vec![1., 2.], vec![1., 2.], vec![3., 4.], vec![3., 4.]];
        assert_eq!(doubled, [row.clone(), row]);
    }
}
