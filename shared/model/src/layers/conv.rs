//! Convolutions over a stream of channels-last frames, as matrix products without im2col: causal in time, or in a frame.
//!
//! Where a device has no operation for the whole (`ops::conv`), it goes tile by tile: the inputs of one kernel row are laid
//! side by side at each pixel; then every kernel row of every frame in reach is one product over a contiguous view.
//! Between calls only the frames themselves are kept, and nothing in between is larger than a tile: neither im2col, nor
//! the frame times the kernel's width, nor a doubled frame.
//!
//! Not here: which convolution a network has where, and the first-frame rules of its resampling.

use std::collections::VecDeque;

use candle_core::{DType, Device, Tensor};

use crate::error::ModelError;
use crate::ops::bands::{Tile, by_tiles};
use crate::ops::conv::whole;
pub use crate::ops::window::Window;
use crate::weights::Weights;

impl Window {
    /// What the kernel reads of `frame` for a tile of the output: rows `(rows, tile.width, kernel width · channels)`
    /// with the inputs of one kernel row side by side at each pixel. A halving window has its even rows apart from the
    /// odd ones.
    fn unfold(self, frame: &Tensor, tile: Tile) -> Result<Vec<Tensor>, ModelError> {
        let Tile { top, left, height, width } = tile;
        // Each channel of a pixel is read at three columns.
        let three = |columns: [Tensor; 3]| -> Result<Tensor, ModelError> {
            let [first, second, third] = columns;
            Ok(Tensor::cat(&[first.contiguous()?, second.contiguous()?, third.contiguous()?], 2)?)
        };
        match self {
            Window::Point => Ok(vec![frame.narrow(0, top, height)?.narrow(1, left, width)?.contiguous()?]),
            Window::Same | Window::Doubling => {
                let scale = if self == Window::Same { 1 } else { 2 };
                let patch = stretch(frame, 0, (top, height + 2), 1, scale)?;
                let patch = stretch(&patch, 1, (left, width + 2), 1, scale)?;
                let columns = |first| patch.narrow(1, first, width);
                Ok(vec![three([columns(0)?, columns(1)?, columns(2)?])?])
            }
            Window::Halving => {
                let patch = stretch(frame, 0, (2 * top, 2 * height + 2), 0, 1)?;
                let patch = stretch(&patch, 1, (2 * left, 2 * width + 2), 0, 1)?.contiguous()?;
                let channels = patch.dim(2)?;
                let pairs = patch.reshape((2 * height + 2, width + 1, 2, channels))?;
                let columns = |pair, of: usize| -> Result<Tensor, ModelError> {
                    Ok(pairs.narrow(1, pair, width)?.narrow(2, of, 1)?.squeeze(2)?)
                };
                let rows = three([columns(0, 0)?, columns(0, 1)?, columns(1, 0)?])?;
                let rows = rows.reshape((height + 1, 2, width, 3 * channels))?;
                let plane = |parity| rows.narrow(1, parity, 1)?.squeeze(1)?.contiguous();
                Ok(vec![plane(0)?, plane(1)?])
            }
        }
    }

    /// Plane of [`Window::unfold`], and first row in it, that a kernel row reads.
    fn place(self, kernel_row: usize) -> (usize, usize) {
        match self {
            Window::Point | Window::Same | Window::Doubling => (0, kernel_row),
            Window::Halving => (kernel_row % 2, kernel_row / 2),
        }
    }
}

/// `length` rows or columns from `start` of a frame, each `scale` (1 or 2) times, with `margin` zeros before them, from
/// which `start` counts, and zeros after.
fn stretch(
    frame: &Tensor,
    dim: usize,
    (start, length): (usize, usize),
    margin: usize,
    scale: usize,
) -> Result<Tensor, ModelError> {
    let first = start.saturating_sub(margin);
    let end = (start + length).saturating_sub(margin).min(scale * frame.dim(dim)?);
    let before = margin.saturating_sub(start);
    let after = length - before - (end - first);
    let (from, to) = (first / scale, end.div_ceil(scale));
    let mut part = frame.narrow(dim, from, to - from)?;
    if scale > 1 {
        part = part.unsqueeze(dim + 1)?;
        let mut shape = part.dims().to_vec();
        shape[dim + 1] = scale;
        part = part.broadcast_as(shape)?.contiguous()?.flatten(dim, dim + 1)?;
        part = part.narrow(dim, first - from * scale, end - first)?;
    }
    Ok(part.pad_with_zeros(dim, before, after)?)
}

/// Kernel rows as matrices.
#[derive(Debug, Clone)]
struct Kernel {
    /// By frame, oldest first, then by row: `(kernel width · in, out)`.
    rows: Vec<Vec<Tensor>>,
    /// The same in one: `(frames, rows, kernel width · in, out)`.
    all: Tensor,
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
        Ok(Self { rows: rows.collect::<Result<_, _>>()?, all: matrices.clone(), bias, window })
    }

    /// The sum over `past` (oldest first; what is missing is zero) and `now` → `(height, width, out)`.
    fn sum(&self, past: &VecDeque<Tensor>, now: &Tensor) -> Result<Tensor, ModelError> {
        let behind = past.len().saturating_sub(self.rows.len() - 1);
        let frames: Vec<&Tensor> = past.iter().skip(behind).chain([now]).collect();
        if let Some(sum) = whole(&frames, &self.all, &self.bias, self.window)? {
            return Ok(sum);
        }
        let (height, width, inner) = now.dims3()?;
        let (height, width) = self.window.size((height, width))?;
        let out = self.bias.dim(0)?;
        // Nothing is behind the first frame but zeros: its share of the sum is left out.
        let reached: Vec<_> = past.iter().chain([now]).rev().zip(self.rows.iter().rev()).collect();
        by_tiles((height, width, out), inner.max(out), self.bias.device(), |tile| {
            let pixels = tile.height * tile.width;
            let mut sum: Option<Tensor> = None;
            for (frame, rows) in &reached {
                let planes = self.window.unfold(frame, tile)?;
                for (index, matrix) in rows.iter().enumerate() {
                    let (plane, first) = self.window.place(index);
                    let view = planes[plane].narrow(0, first, tile.height)?.reshape((pixels, matrix.dim(0)?))?;
                    let product = view.matmul(matrix)?;
                    sum = Some(match sum {
                        Some(sum) => (sum + product)?,
                        None => product.broadcast_add(&self.bias)?,
                    });
                }
            }
            let sum = sum.ok_or_else(|| ModelError::input("convolution", "the kernel has no rows"))?;
            Ok(sum.reshape((tile.height, tile.width, out))?)
        })
    }
}

/// What a [`CausalConv3d`] keeps of the frames before: as many as its kernel reaches back. Empty before the first.
#[derive(Debug, Clone, Default)]
pub struct History(VecDeque<Tensor>);

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

    /// Weight `(out, in, t, h, w)`, bias `(out)`, both in f32.
    ///
    /// # Errors
    /// A kernel that is neither one pixel nor three a side, or a device out of memory.
    pub fn new(weight: &Tensor, bias: Tensor, device: &Device) -> Result<Self, ModelError> {
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
        let frame = frame.contiguous()?;
        if let Some(before) = history.0.back().filter(|before| before.dims() != frame.dims()) {
            let why = format!("a frame of {:?} after one of {:?}", frame.dims(), before.dims());
            return Err(ModelError::input("causal convolution", why));
        }
        let out = self.0.sum(&history.0, &frame)?;
        self.keep(frame, history);
        Ok(out)
    }

    /// Takes the next frame into the history without an output: what a stride in time leaves out.
    ///
    /// # Errors
    /// A device out of memory.
    pub fn skip(&self, frame: &Tensor, history: &mut History) -> Result<(), ModelError> {
        self.keep(frame.contiguous()?, history);
        Ok(())
    }

    fn keep(&self, frame: Tensor, history: &mut History) {
        history.0.push_back(frame);
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

    /// The same, but over the frame with each of its pixels made four.
    ///
    /// # Errors
    /// As [`Conv2d::load`].
    pub fn load_doubling(weights: &Weights, prefix: &str, device: &Device) -> Result<Self, ModelError> {
        Self::load_as(weights, prefix, Window::Doubling, device)
    }

    fn load_as(weights: &Weights, prefix: &str, window: Window, device: &Device) -> Result<Self, ModelError> {
        let weight = weights.tensor(&format!("{prefix}.weight"), Some(DType::F32), &Device::Cpu)?;
        let bias = weights.tensor(&format!("{prefix}.bias"), Some(DType::F32), device)?;
        Self::new(&weight, bias, window, device)
    }

    /// Weight `(out, in, 3, 3)`, bias `(out)`, both in f32.
    ///
    /// # Errors
    /// Another kernel, or a device out of memory.
    pub fn new(weight: &Tensor, bias: Tensor, window: Window, device: &Device) -> Result<Self, ModelError> {
        match weight.dims4()? {
            (_, _, 3, 3) => Ok(Self(Kernel::new(&weight.unsqueeze(2)?, bias, window, device)?)),
            _ => Err(ModelError::input("convolution", format!("a kernel of {:?}", weight.dims()))),
        }
    }

    /// # Shapes
    /// f32 `(height, width, in)` → f32 `(height, width, out)`, or twice or half of both if doubling or halving.
    ///
    /// # Errors
    /// An odd size that should be halved, or a device out of memory.
    pub fn forward(&self, frame: &Tensor) -> Result<Tensor, ModelError> {
        self.0.sum(&VecDeque::new(), &frame.contiguous()?)
    }
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
    fn tiles_change_nothing() {
        // Large enough for several tiles both ways, whole and cut; their borders are where pixels could get lost.
        let weight = (values(&[5, 512, 3, 3], 0.5) / 64.).unwrap();
        let bias = values(&[5], 9.);
        let as_3d = weight.unsqueeze(2).unwrap();
        for (window, stride, before) in [(Window::Same, 1, 1), (Window::Halving, 2, 0)] {
            let frames = frames(1, 18 * stride, 22 * stride, 512);
            let got = Conv2d::new(&weight, bias.clone(), window, &Device::Cpu).unwrap().forward(&frames[0]).unwrap();
            assert_close(&got, &naive(&frames, 0, &as_3d, &bias, stride, before));
        }
    }

    #[test]
    fn doubling_is_the_definition_over_repeated_pixels() {
        let weight = values(&[5, 4, 3, 3], 0.5);
        let bias = values(&[5], 9.);
        let conv = Conv2d::new(&weight, bias.clone(), Window::Doubling, &Device::Cpu).unwrap();
        // The last one makes several tiles.
        for (height, width) in [(1, 1), (2, 3), (3, 1), (90, 70)] {
            let frame = values(&[height, width, 4], 0.);
            let repeat = |frame: &Tensor, dim, size: usize| {
                let index = Tensor::from_vec((0..2 * size as u32).map(|i| i / 2).collect(), 2 * size, &Device::Cpu);
                frame.index_select(&index.unwrap(), dim).unwrap()
            };
            let doubled = repeat(&repeat(&frame, 0, height), 1, width);
            let want = naive(&[doubled], 0, &weight.unsqueeze(2).unwrap(), &bias, 1, 1);
            assert_close(&conv.forward(&frame).unwrap(), &want);
        }
    }

    #[test]
    fn what_is_kept_is_the_frames() {
        let conv = CausalConv3d::new(&values(&[5, 4, 3, 3, 3], 0.), values(&[5], 1.), &Device::Cpu).unwrap();
        let mut history = History::default();
        for frame in frames(4, 3, 4, 4) {
            conv.forward(&frame, &mut history).unwrap();
        }
        let kept: usize = history.0.iter().map(Tensor::elem_count).sum();
        assert_eq!(kept, 2 * 3 * 4 * 4, "two frames, and nothing that could be made of them again");
        // A smaller past would read as one with zeros beside it.
        let other = conv.forward(&frames(1, 3, 5, 4)[0], &mut history).unwrap_err().to_string();
        assert!(other.contains("[3, 5, 4]") && other.contains("[3, 4, 4]"), "{other}");
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
}
