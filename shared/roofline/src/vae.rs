//! What the autoencoders cost: their convolutions for one more latent frame of a stream, and a whole decode or encode.
//!
//! A frame is counted as if two others were behind it, as all but the first have; only the first latent frame stands for one
//! frame of the video, the others for four.
//!
//! Source: this repository's `shared/model/src/vae/blueprint.rs`, which a test there holds these layers equal to;
//! Wan2.2@42bf4cf `wan/modules/vae2_1.py` and `vae2_2.py`.

use wanfarm_types::VaeKind;

use crate::ledger::{Dispatch, Elements, Kernels, Ledger};

/// Elements of a tile on a GPU, in the channels of whichever side has more.
const TILE: f64 = 16_777_216.;

/// Channels of the result for which a convolution reads its frames once.
const OUTS: f64 = 64.;
/// Frames of the video for each latent frame but the first.
pub const STRIDE: u64 = 4;

/// Which way through the autoencoder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// Frames to latents.
    Encode,
    /// Latents to frames.
    Decode,
}

/// What a layer computes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    /// A kernel over frames in time, rows and columns.
    Convolution {
        /// Frames, rows and columns of the kernel.
        kernel: [usize; 3],
        /// Channels it reads.
        input: usize,
    },
    /// RMS norm and SiLU.
    Norm,
    /// Two tensors added.
    Sum,
    /// Attention over the pixels of a frame.
    Attention,
}

/// A layer, and how often it is computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Layer {
    /// What it computes.
    pub operation: Operation,
    /// Channels it gives.
    pub output: usize,
    /// Rows that it gives for each row of latents, and columns for each column.
    pub scale: usize,
    /// How often it is computed for one latent frame.
    pub frames: usize,
    /// Whether it is computed of the first latent frame too.
    pub at_first: bool,
}

/// The published autoencoder.
struct Sizes {
    dim: usize,
    latent: usize,
    patch: usize,
    /// Whether upsampling halves the channels.
    narrowing: usize,
}

const MULTIPLES: [usize; 4] = [1, 2, 4, 4];
const BLOCKS: usize = 2;
/// From pixels to latents: which halvings of the size halve the frame rate.
const TEMPORAL: [bool; 3] = [false, true, true];

fn sizes(kind: VaeKind, way: Way) -> Sizes {
    match (kind, way) {
        (VaeKind::Wan21, _) => Sizes { dim: 96, latent: 16, patch: 1, narrowing: 2 },
        (VaeKind::Wan22, Way::Encode) => Sizes { dim: 160, latent: 48, patch: 2, narrowing: 1 },
        (VaeKind::Wan22, Way::Decode) => Sizes { dim: 256, latent: 48, patch: 2, narrowing: 1 },
    }
}

/// Collects layers at the resolution reached.
struct Stack {
    layers: Vec<Layer>,
    scale: usize,
    frames: usize,
}

impl Stack {
    fn add(&mut self, operation: Operation, output: usize) {
        let (scale, frames) = (self.scale, self.frames);
        self.layers.push(Layer { operation, output, scale, frames, at_first: true });
    }

    fn convolution(&mut self, kernel: [usize; 3], input: usize, output: usize) {
        self.add(Operation::Convolution { kernel, input }, output);
    }

    /// A convolution in time, which the first frame passes by.
    fn in_time(&mut self, input: usize, output: usize) {
        self.convolution([3, 1, 1], input, output);
        if let Some(last) = self.layers.last_mut() {
            last.at_first = false;
        }
    }

    fn normed(&mut self, input: usize, output: usize) {
        self.add(Operation::Norm, input);
        self.convolution([3, 3, 3], input, output);
    }

    fn residual(&mut self, input: usize, output: usize) {
        self.normed(input, output);
        self.normed(output, output);
        if input != output {
            self.convolution([1, 1, 1], input, output);
        }
        self.add(Operation::Sum, output);
    }

    fn middle(&mut self, dim: usize) {
        self.residual(dim, dim);
        self.add(Operation::Norm, dim);
        self.convolution([1, 1, 1], dim, 3 * dim);
        self.add(Operation::Attention, dim);
        self.convolution([1, 1, 1], dim, dim);
        self.add(Operation::Sum, dim);
        self.residual(dim, dim);
    }
}

/// The layers in order, for one latent frame.
pub fn layers(kind: VaeKind, way: Way) -> Vec<Layer> {
    let Sizes { dim, latent, patch, narrowing } = sizes(kind, way);
    let pixels = 3 * patch * patch;
    match way {
        Way::Decode => {
            let mut stack = Stack { layers: Vec::new(), scale: 1, frames: 1 };
            let mut dims: Vec<usize> = MULTIPLES.iter().rev().map(|multiple| multiple * dim).collect();
            dims.insert(0, dims[0]);
            stack.convolution([1, 1, 1], latent, latent);
            stack.convolution([3, 3, 3], latent, dims[0]);
            stack.middle(dims[0]);
            for (level, pair) in dims.windows(2).enumerate() {
                let (input, output) = (if level == 0 { pair[0] } else { pair[0] / narrowing }, pair[1]);
                for block in 0..=BLOCKS {
                    stack.residual(if block == 0 { input } else { output }, output);
                }
                let Some(&temporal) = TEMPORAL.iter().rev().nth(level) else { continue };
                if temporal {
                    stack.in_time(output, 2 * output);
                    stack.frames *= 2;
                }
                stack.scale *= 2;
                stack.convolution([1, 3, 3], output, output / narrowing);
            }
            stack.normed(dims[dims.len() - 1], pixels);
            stack.layers
        }
        Way::Encode => {
            let mut stack = Stack { layers: Vec::new(), scale: 8, frames: 4 };
            let dims: Vec<usize> = [1].iter().chain(&MULTIPLES).map(|multiple| multiple * dim).collect();
            stack.convolution([3, 3, 3], pixels, dims[0]);
            for (level, pair) in dims.windows(2).enumerate() {
                for block in 0..BLOCKS {
                    stack.residual(if block == 0 { pair[0] } else { pair[1] }, pair[1]);
                }
                let Some(&temporal) = TEMPORAL.get(level) else { continue };
                stack.scale /= 2;
                stack.convolution([1, 3, 3], pair[1], pair[1]);
                if temporal {
                    stack.frames /= 2;
                    stack.in_time(pair[1], pair[1]);
                }
            }
            let last = dims[dims.len() - 1];
            stack.middle(last);
            stack.normed(last, 2 * latent);
            stack.convolution([1, 1, 1], 2 * latent, 2 * latent);
            stack.layers
        }
    }
}

/// One latent frame of `height` by `width`.
pub fn latent_frame(kind: VaeKind, way: Way, [height, width]: [u64; 2], is_first: bool, kernels: Kernels) -> Ledger {
    let mut ledger = Ledger::default();
    for layer in layers(kind, way).into_iter().filter(|layer| layer.at_first || !is_first) {
        let pixels = (height * width) as f64 * (layer.scale * layer.scale) as f64;
        let frames = if is_first { 1 } else { layer.frames as u64 };
        ledger += layer.of_frame(pixels, kernels).times(frames);
    }
    ledger
}

/// A video of so many latent frames of `height` by `width`.
pub fn video(kind: VaeKind, way: Way, [frames, height, width]: [u64; 3], kernels: Kernels) -> Ledger {
    let mut ledger = latent_frame(kind, way, [height, width], true, kernels);
    ledger += latent_frame(kind, way, [height, width], false, kernels).times(frames.saturating_sub(1));
    ledger
}

impl Layer {
    /// The layer for one frame of so many pixels.
    fn of_frame(&self, pixels: f64, kernels: Kernels) -> Ledger {
        let output = self.output as f64;
        let size = pixels * output;
        let bands = (size / TILE).ceil() as u64;
        let floor = kernels == Kernels::Floor;
        let pass = |name, count, read: f64, written: f64| Dispatch::pass(name, count, 4. * read, 4. * written);
        let gathered = |bands: u64| pass("bands gathered", if bands > 1 { bands } else { 0 }, size, 2. * size);
        let mut ledger = Ledger::default();
        match self.operation {
            Operation::Norm if kernels != Kernels::Primitives => ledger += pass("norm, SiLU", 1, size, size),
            Operation::Norm => {
                ledger += pass("norm, SiLU", 2 * bands, 2. * size, 2. * size);
                if bands > 1 {
                    ledger += gathered(bands);
                }
            }
            // The end of the convolution before it.
            Operation::Sum if floor => ledger += Dispatch::pass("residual", 0, 4. * size, 0.),
            Operation::Sum => {
                ledger += pass("residual", bands, 2. * size, size);
                if bands > 1 {
                    ledger += gathered(bands);
                }
            }
            Operation::Attention if floor => {
                ledger += Dispatch::attention("attention", Elements::F32, 1, [pixels, pixels, output]);
            }
            Operation::Attention => {
                // By chunks of queries, with the scores in memory.
                let calls = pixels.max(1.) / 512.;
                let (calls, scores) = (calls.ceil() as u64, pixels * pixels);
                ledger += Dispatch::product("scores", Elements::F32, calls, [pixels, pixels, output]);
                ledger += pass("scale, softmax", 2 * calls, scores + size, scores + size);
                ledger += Dispatch::product("weighted values", Elements::F32, calls, [pixels, output, pixels]);
                ledger += pass("attention gathered", calls, size, 2. * size);
            }
            Operation::Convolution { kernel: [frames, rows, columns], input } => {
                let (input, volume) = (input as f64, (frames * rows * columns) as f64);
                // Each frame in reach is read once for so many channels of the result, the kernel once.
                let whole = |channels: f64| {
                    let product = Dispatch::product("convolution", Elements::F32, 1, [pixels, output, volume * input]);
                    let frames = pixels * frames as f64 * input * (output / channels).ceil();
                    Dispatch { read: 4. * (frames + volume * input * output), ..product }
                };
                match kernels {
                    Kernels::Floor => ledger += whole(output),
                    Kernels::Current if volume > 1. => ledger += whole(OUTS),
                    Kernels::Current => {
                        ledger += Dispatch::product("pixels", Elements::F32, 1, [pixels, output, input]);
                        ledger += pass("bias", 1, size, size);
                    }
                    Kernels::Primitives => {}
                }
                if kernels != Kernels::Primitives {
                    return ledger;
                }
                let tiles = ((pixels * input.max(output)) / TILE).ceil() as u64;
                let (frames, products) = (frames as u64, (frames * rows) as u64);
                if columns > 1 {
                    // Padded in both directions, its columns laid side by side.
                    let rows = 8. * pixels * input * frames as f64;
                    ledger += pass("columns side by side", 6 * frames * tiles, rows, rows);
                }
                let inner = columns as f64 * input;
                let product = Dispatch::product("kernel rows", Elements::F32, 1, [pixels, output, inner]);
                ledger += Ledger(vec![Dispatch { count: tiles, ..product }]).times(products);
                ledger += pass(
                    "bias, sum of rows",
                    products * tiles,
                    (2 * products - 1) as f64 * size,
                    products as f64 * size,
                );
                if tiles > 1 {
                    ledger += pass("tiles gathered", tiles, size, 2. * size);
                }
            }
        }
        ledger
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn teraflops(kind: VaeKind, way: Way, latents: [u64; 3], kernels: Kernels) -> f64 {
        video(kind, way, latents, kernels).flops() / 1e12
    }

    #[test]
    fn a_decode_is_as_much_arithmetic_as_the_reference_counts() {
        // diffusers under torch's FlopCounterMode, 81 frames.
        for (latents, wanted) in [([21, 60, 104], 275.35), ([21, 90, 160], 639.22)] {
            for kernels in [Kernels::Primitives, Kernels::Current, Kernels::Floor] {
                let flops = teraflops(VaeKind::Wan21, Way::Decode, latents, kernels);
                assert!((flops - wanted).abs() < 0.01, "{latents:?}: {flops} TFLOP with {kernels:?}");
            }
        }
        // One latent frame of Wan2.2's at 1280×704, there too.
        let first = teraflops(VaeKind::Wan22, Way::Decode, [1, 44, 80], Kernels::Floor);
        assert!((first - 20.6).abs() < 0.1, "{first}");
    }

    #[test]
    fn a_frame_costs_less_than_from_primitives_and_more_than_it_must() {
        for (kind, way) in [(VaeKind::Wan21, Way::Decode), (VaeKind::Wan22, Way::Encode)] {
            let frame = |kernels| latent_frame(kind, way, [60, 104], false, kernels);
            let [all, current, floor] = [Kernels::Primitives, Kernels::Current, Kernels::Floor].map(frame);
            assert!(all.dispatches() > 3 * current.dispatches() && all.bytes() > 2. * current.bytes());
            assert!(current.dispatches() > floor.dispatches() && current.bytes() > 1.5 * floor.bytes());
        }
    }
}
