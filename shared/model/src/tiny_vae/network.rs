//! The decoder: latent frames in, frames out.
//!
//! A frame goes through all layers before the next one starts, so nothing depends on how a video is cut, and memory does not
//! grow with it: of the past each block keeps the one frame that it was given last.
//!
//! Source: madebyollin/taehv@1f14a56 `taehv.py` `TAEHV.decode_video`, `MemBlock`, `TGrow`, `Clamp`.

use candle_core::{D, DType, Device, Tensor};

use super::config::{BLOCKS, LEVELS, Layer, TinyConfig};
use crate::error::ModelError;
use crate::layers::Linear;
use crate::layers::conv::{CausalConv3d, Conv2d, History, Window};
use crate::ops::activation::relu;
use crate::ops::bands::by_bands;
use crate::ops::device::bound_queue;
use crate::vae::LatentStatistics;
use crate::weights::Weights;

/// Latents are bent smoothly so that none is beyond it.
const LIMIT: f64 = 3.;

/// A tiny decoder with its weights, in f32.
#[derive(Debug)]
pub struct TinyVae {
    config: TinyConfig,
    /// Standard deviation and mean of each channel, where the network was trained on latents as the large one has them.
    undo: Option<[Tensor; 2]>,
    first: Conv2d,
    levels: Vec<Level>,
    last: Conv2d,
    device: Device,
}

/// A resolution.
#[derive(Debug)]
struct Level {
    blocks: [Block; BLOCKS],
    /// All frames that a frame becomes, side by side. It reads single pixels, so it may stand before the doubling.
    grow: Linear,
    /// To the next resolution, over the frame with each of its pixels made four.
    narrow: Conv2d,
}

/// A frame and the one before it, what three convolutions make of them added to the frame.
#[derive(Debug)]
struct Block {
    /// Over both frames at once.
    pair: CausalConv3d,
    second: Conv2d,
    third: Conv2d,
}

impl TinyVae {
    /// Loads the decoder of a file. With `statistics` it is one of those that take latents as the large autoencoder has
    /// them; all others take them normalised, as the transformers have them.
    ///
    /// # Errors
    /// Tensors that are missing, unexpected or misshapen, or a device out of memory.
    pub fn load(weights: &Weights, statistics: Option<&LatentStatistics>, device: &Device) -> Result<Self, ModelError> {
        let config = TinyConfig::from_weights(weights.files())?;
        let undo = statistics.map(|LatentStatistics { mean, std }| {
            let row = |values: &[f32]| Tensor::new(values, device);
            Ok::<_, ModelError>([row(std)?, row(mean)?])
        });
        let level = |at: usize| -> Result<Level, ModelError> {
            let block = |index| Block::load(weights, &Layer::Block(at, index).name(), device);
            let grow = wide(weights, &format!("{}.weight", Layer::Grow(at).name()))?;
            Ok(Level {
                blocks: [block(0)?, block(1)?, block(2)?],
                grow: Linear::new(grow.flatten_from(1)?.to_device(device)?, None),
                narrow: conv(weights, &Layer::Narrow(at).name(), Window::Doubling, device)?,
            })
        };
        Ok(Self {
            undo: undo.transpose()?,
            first: conv(weights, &Layer::First.name(), Window::Same, device)?,
            levels: (0..LEVELS).map(level).collect::<Result<_, _>>()?,
            last: conv(weights, &Layer::Last.name(), Window::Same, device)?,
            device: device.clone(),
            config,
        })
    }

    /// Dimensions of the network.
    pub fn config(&self) -> &TinyConfig {
        &self.config
    }

    /// Starts to decode a video.
    pub fn decoder(&self) -> TinyDecoder<'_> {
        TinyDecoder { vae: self, past: Default::default(), early: self.config.stride_t() - 1, size: None }
    }
}

/// A tensor in f32 on the CPU.
fn wide(weights: &Weights, name: &str) -> Result<Tensor, ModelError> {
    weights.tensor(name, Some(DType::F32), &Device::Cpu)
}

/// A convolution, with or without a bias.
fn conv(weights: &Weights, name: &str, window: Window, device: &Device) -> Result<Conv2d, ModelError> {
    let weight = wide(weights, &format!("{name}.weight"))?;
    let bias = bias(weights, name, weight.dim(0)?)?;
    Conv2d::new(&weight, bias.to_device(device)?, window, device)
}

fn bias(weights: &Weights, name: &str, outputs: usize) -> Result<Tensor, ModelError> {
    let name = format!("{name}.bias");
    match weights.files().shape(&name) {
        Some(_) => wide(weights, &name),
        None => Ok(Tensor::zeros(outputs, DType::F32, &Device::Cpu)?),
    }
}

impl Block {
    fn load(weights: &Weights, name: &str, device: &Device) -> Result<Self, ModelError> {
        let first = format!("{name}.0");
        // Its inputs are the channels of the frame, then those of the one before: a kernel of two frames, oldest first.
        let weight = wide(weights, &format!("{first}.weight"))?;
        let (outputs, width) = (weight.dim(0)?, weight.dim(1)? / 2);
        let pair = Tensor::stack(&[weight.narrow(1, width, width)?, weight.narrow(1, 0, width)?], 2)?;
        Ok(Self {
            pair: CausalConv3d::new(&pair, bias(weights, &first, outputs)?.to_device(device)?, device)?,
            second: conv(weights, &format!("{name}.2"), Window::Same, device)?,
            third: conv(weights, &format!("{name}.4"), Window::Same, device)?,
        })
    }

    fn forward(&self, x: &Tensor, past: &mut History) -> Result<Tensor, ModelError> {
        let y = positive(&self.pair.forward(x, past)?)?;
        let y = positive(&self.second.forward(&y)?)?;
        let y = self.third.forward(&y)?;
        by_bands(y.dims3()?, y.device(), |top, rows| relu(&(y.narrow(0, top, rows)? + x.narrow(0, top, rows)?)?))
    }
}

fn positive(x: &Tensor) -> Result<Tensor, ModelError> {
    by_bands(x.dims3()?, x.device(), |top, rows| relu(&x.narrow(0, top, rows)?))
}

/// Latents on their way into a video. Latent frames go in one by one.
#[derive(Debug, Clone)]
pub struct TinyDecoder<'a> {
    vae: &'a TinyVae,
    /// What each block was given last, by resolution.
    past: [[History; BLOCKS]; LEVELS],
    /// Frames still to come that lie before the first one of the video.
    early: usize,
    size: Option<[usize; 2]>,
}

impl TinyDecoder<'_> {
    /// Takes the next latent frame; gives the frames that it becomes: one for the first, then `stride_t` each.
    ///
    /// # Shapes
    /// `latent` `(z, height, width)` → f32 `(height · stride, width · stride, 3)` each.
    ///
    /// # Units
    /// Latents as the transformers have them; pixels around [−1, 1], not clamped: [`rgb8`](crate::vae::rgb8) does that.
    ///
    /// # Errors
    /// Another number of channels, a size that is not that of the frames before, or a device out of memory.
    pub fn push(&mut self, latent: &Tensor) -> Result<Vec<Tensor>, ModelError> {
        let vae = self.vae;
        let (channels, height, width) = latent.dims3()?;
        if channels != vae.config.z || height == 0 || width == 0 {
            let why = format!("it is ({}, height, width), not {:?}", vae.config.z, latent.dims());
            return Err(ModelError::input("latent frame", why));
        }
        let [before_height, before_width] = *self.size.get_or_insert([height, width]);
        if [before_height, before_width] != [height, width] {
            let why = format!("it is {width}x{height}, those before were {before_width}x{before_height}");
            return Err(ModelError::input("latent frame", why));
        }
        let mut x = latent.to_dtype(DType::F32)?.to_device(&vae.device)?.permute((1, 2, 0))?.contiguous()?;
        if let Some([std, mean]) = &vae.undo {
            x = x.broadcast_mul(std)?.broadcast_add(mean)?;
        }
        let x = ((x / LIMIT)?.tanh()? * LIMIT)?;
        let mut frames = Vec::new();
        self.run(0, positive(&vae.first.forward(&x)?)?, &mut frames)?;
        Ok(frames)
    }

    /// Depth first: of two frames that a resolution makes, the first goes all the way before the second starts.
    fn run(&mut self, at: usize, mut x: Tensor, frames: &mut Vec<Tensor>) -> Result<(), ModelError> {
        let vae = self.vae;
        let Some(level) = vae.levels.get(at) else {
            frames.push(pixels(&vae.last.forward(&positive(&x)?)?, vae.config.patch)?);
            return bound_queue(&vae.device);
        };
        for (block, past) in level.blocks.iter().zip(&mut self.past[at]) {
            x = block.forward(&x, past)?;
            bound_queue(&vae.device)?;
        }
        let (height, width, channels) = x.dims3()?;
        let grown = level.grow.forward(&x)?.reshape((height, width, vae.config.growth[at] * channels))?;
        drop(x);
        for index in 0..vae.config.growth[at] {
            // Nothing of the past lies behind the last resolution, so what is not shown need not be made.
            if at + 1 == LEVELS && self.early > 0 {
                self.early -= 1;
                continue;
            }
            let x = grown.narrow(D::Minus1, index * channels, channels)?;
            self.run(at + 1, level.narrow.forward(&x)?, frames)?;
        }
        Ok(())
    }
}

/// Pixels of squares of them, in rows, and [0, 1] as [−1, 1].
fn pixels(squares: &Tensor, patch: usize) -> Result<Tensor, ModelError> {
    let (height, width, channels) = squares.dims3()?;
    let colours = channels / (patch * patch);
    let parts = squares.reshape(vec![height, width, colours, patch, patch])?;
    let parts = parts.permute(vec![0, 3, 1, 4, 2])?.contiguous()?;
    Ok(((parts.reshape((height * patch, width * patch, colours))? * 2.)? - 1.)?)
}

#[cfg(test)]
mod tests {
    use super::super::config::tests::{SMALL, file, of};
    use super::*;

    fn open(dtype: DType) -> (tempfile::TempDir, Weights) {
        let (folder, path) = file(&of(&SMALL), dtype);
        (folder, Weights::open(&[path]).unwrap())
    }

    fn vae(dtype: DType) -> TinyVae {
        TinyVae::load(&open(dtype).1, None, &Device::Cpu).unwrap()
    }

    fn latents(frames: usize) -> Tensor {
        let values = (0..3 * frames * 6).map(|at| ((at * at) as f32 * 0.61).sin() * 4.);
        Tensor::from_vec(values.collect::<Vec<_>>(), (frames, 3, 3, 2), &Device::Cpu).unwrap()
    }

    fn decode(vae: &TinyVae, latents: &Tensor) -> Vec<Vec<f32>> {
        let mut decoder = vae.decoder();
        let frames = (0..latents.dim(0).unwrap()).flat_map(|at| decoder.push(&latents.get(at).unwrap()).unwrap());
        frames.map(|frame| frame.flatten_all().unwrap().to_vec1().unwrap()).collect()
    }

    #[test]
    fn one_frame_then_four_and_nothing_later_is_seen() {
        let vae = vae(DType::F32);
        let mut decoder = vae.decoder();
        let pushed: Vec<_> = (0..3).map(|at| decoder.push(&latents(3).get(at).unwrap()).unwrap()).collect();
        assert_eq!(pushed.iter().map(Vec::len).collect::<Vec<_>>(), [1, 4, 4]);
        assert_eq!(pushed[2][0].dims(), [48, 32, 3]);
        let whole = decode(&vae, &latents(3));
        assert_eq!(decode(&vae, &latents(2)), whole[..5]);
        assert_eq!(decode(&vae, &latents(3)), whole, "a second video starts from nothing");
        assert_ne!(decode(&vae, &latents(3).narrow(0, 1, 1).unwrap())[0], whole[1], "the past is remembered");
    }

    #[test]
    fn a_stream_goes_on_from_any_place() {
        let (vae, latents) = (vae(DType::F32), latents(4));
        let whole = decode(&vae, &latents);
        let mut decoder = vae.decoder();
        let mut first = decoder.push(&latents.get(0).unwrap()).unwrap();
        // The state is all there is between two frames: a copy of it goes on as well.
        let mut copy = decoder.clone();
        for at in 1..4 {
            first.extend(copy.push(&latents.get(at).unwrap()).unwrap());
        }
        let first: Vec<Vec<f32>> = first.iter().map(|frame| frame.flatten_all().unwrap().to_vec1().unwrap()).collect();
        assert_eq!(first, whole);
    }

    #[test]
    fn arithmetic_is_f32_whatever_the_file_holds() {
        let wide = decode(&vae(DType::F32), &latents(2));
        for dtype in [DType::F16, DType::BF16] {
            assert_eq!(decode(&vae(dtype), &latents(2)), wide, "{dtype:?}");
        }
    }

    #[test]
    fn latents_are_unnormalised_for_those_that_take_them_so() {
        let (_folder, weights) = open(DType::F32);
        let statistics = LatentStatistics { mean: vec![0.5, -1., 0.25], std: vec![2., 1., 0.5] };
        let raw = TinyVae::load(&weights, Some(&statistics), &Device::Cpu).unwrap();
        let by_channel = |values: &[f32]| Tensor::new(values, &Device::Cpu).unwrap().reshape((1, 3, 1, 1)).unwrap();
        let undone = latents(2).broadcast_mul(&by_channel(&statistics.std)).unwrap();
        let undone = undone.broadcast_add(&by_channel(&statistics.mean)).unwrap();
        assert_eq!(decode(&raw, &latents(2)), decode(&vae(DType::F32), &undone));
    }

    #[test]
    fn squares_are_laid_out_in_rows() {
        // Red is 0 to 3, green 4 to 7, blue 8 to 11, each of the upper row first.
        let square = Tensor::arange(0f32, 12., &Device::Cpu).unwrap().reshape((1, 1, 12)).unwrap();
        let laid = ((pixels(&square, 2).unwrap() + 1.).unwrap() / 2.).unwrap();
        assert_eq!(laid.to_vec3::<f32>().unwrap(), [[[0., 4., 8.], [1., 5., 9.]], [[2., 6., 10.], [3., 7., 11.]]]);
    }

    #[test]
    fn faults_say_what_was_expected() {
        let vae = vae(DType::F32);
        let mut decoder = vae.decoder();
        let wrong = decoder.push(&Tensor::zeros((16, 2, 2), DType::F32, &Device::Cpu).unwrap()).unwrap_err();
        assert!(wrong.to_string().contains("(3, height, width), not [16, 2, 2]"), "{wrong}");
        decoder.push(&latents(1).get(0).unwrap()).unwrap();
        let resized = decoder.push(&Tensor::zeros((3, 2, 3), DType::F32, &Device::Cpu).unwrap()).unwrap_err();
        assert!(resized.to_string().contains("3x2, those before were 2x3"), "{resized}");
    }

    #[test]
    fn what_is_not_finite_shows_in_the_frames() {
        let (folder, path) = file(&of(&SMALL), DType::F32);
        let mut tensors = candle_core::safetensors::load(&path, &Device::Cpu).unwrap();
        tensors.insert("decoder.9.conv.2.bias".into(), Tensor::new(&[1f32, f32::NAN, 0.], &Device::Cpu).unwrap());
        let spoilt = folder.path().join("nan.safetensors");
        candle_core::safetensors::save(&tensors, &spoilt).unwrap();
        let vae = TinyVae::load(&Weights::open(&[spoilt]).unwrap(), None, &Device::Cpu).unwrap();
        assert!(decode(&vae, &latents(1))[0].iter().any(|pixel| pixel.is_nan()));
        let bytes = std::fs::read(&path).unwrap();
        std::fs::write(&path, &bytes[..bytes.len() - 10]).unwrap();
        assert!(Weights::open(&[path]).unwrap_err().to_string().contains("truncated"));
    }
}
