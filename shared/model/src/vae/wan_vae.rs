//! Videos to latents and back, as streams of frames.
//!
//! Latents here are normalised: (μ − mean) / std by channel, as the DiT knows them. Decoded frames are not clamped.

use candle_core::{DType, Device, Tensor};

use super::blueprint;
use super::cache::{FeatureCache, Slots};
use super::config::VaeConfig;
use super::network::Network;
use super::patch::{patchify, unpatchify};
use crate::error::ModelError;
use crate::weights::Weights;

/// An autoencoder with its weights, in f32.
///
/// Source: Wan2.2@42bf4cf `wan/modules/vae2_1.py` `WanVAE_`, `wan/modules/vae2_2.py` `WanVAE_`.
#[derive(Debug)]
pub struct WanVae {
    config: VaeConfig,
    encoder: Network,
    decoder: Network,
    mean: Tensor,
    /// 1 / std: the reference rounds it once and multiplies, or divides, by it.
    scale: Tensor,
    device: Device,
}

impl WanVae {
    /// Checks and loads the weights.
    ///
    /// # Errors
    /// Tensors that are missing, unexpected or misshapen, or a device out of memory.
    pub fn load(config: VaeConfig, weights: &Weights, device: &Device) -> Result<Self, ModelError> {
        config.check()?;
        weights.check(&blueprint::parameters(&config))?;
        let scale: Vec<f32> = config.statistics.std.iter().map(|std| 1. / std).collect();
        let mut slots = Slots::default();
        let mut network = |layers: Vec<_>| Network::load(&layers, weights, &mut slots, device);
        Ok(Self {
            encoder: network(blueprint::encoder(&config))?,
            decoder: network(blueprint::decoder(&config))?,
            mean: Tensor::new(config.statistics.mean.as_slice(), device)?,
            scale: Tensor::new(scale, device)?,
            device: device.clone(),
            config,
        })
    }

    /// Its dimensions.
    pub fn config(&self) -> &VaeConfig {
        &self.config
    }

    /// Starts to encode a video.
    pub fn encoder(&self) -> Encoder<'_> {
        Encoder { vae: self, cache: FeatureCache::default(), size: None }
    }

    /// Starts to decode a video.
    pub fn decoder(&self) -> Decoder<'_> {
        Decoder { vae: self, cache: FeatureCache::default(), size: None }
    }

    /// Encodes a whole video. Frames that do not fill another latent frame at the end are dropped.
    ///
    /// # Shapes
    /// `video` `(3, frames, height, width)` → f32 `(z, 1 + (frames − 1) / stride, height / stride, width / stride)`.
    ///
    /// # Units
    /// Pixels in [−1, 1].
    ///
    /// # Errors
    /// No frame, a size off the grid, or a device out of memory.
    pub fn encode(&self, video: &Tensor) -> Result<Tensor, ModelError> {
        let (channels, frames, height, width) = video.dims4()?;
        if channels != 3 || frames == 0 {
            let why = format!("a video is (3, frames, height, width), not {:?}", [channels, frames, height, width]);
            return Err(ModelError::input("video", why));
        }
        let stride = self.config.stride_t();
        let mut encoder = self.encoder();
        let mut latents = Vec::new();
        for index in 0..=(frames - 1) / stride * stride {
            let frame = video.narrow(1, index, 1)?.squeeze(1)?.permute((1, 2, 0))?;
            latents.extend(encoder.push(&frame)?);
        }
        Ok(Tensor::stack(&latents, 1)?)
    }

    /// Decodes a whole video, and hands out the frames of each latent frame as soon as they are there: one for the
    /// first, `stride_t` for each later one. An error of the sink stops it.
    ///
    /// # Shapes
    /// `latents` `(z, frames, height, width)`; frames as of [`Decoder::push`].
    ///
    /// # Errors
    /// As [`Decoder::push`], and those of the sink.
    pub fn decode<E: From<ModelError>>(
        &self,
        latents: &Tensor,
        mut sink: impl FnMut(Vec<Tensor>) -> Result<(), E>,
    ) -> Result<(), E> {
        let frame = |index| -> Result<Tensor, ModelError> { Ok(latents.narrow(1, index, 1)?.squeeze(1)?) };
        let frames = latents.dims4().map_err(ModelError::from)?.1;
        let mut decoder = self.decoder();
        (0..frames).try_for_each(|index| sink(decoder.push(&frame(index)?)?))
    }

    fn upload(&self, frame: &Tensor) -> Result<Tensor, ModelError> {
        Ok(frame.to_dtype(DType::F32)?.to_device(&self.device)?)
    }
}

/// A video on its way into latents. Frames go in one by one.
#[derive(Debug, Clone)]
pub struct Encoder<'a> {
    vae: &'a WanVae,
    cache: FeatureCache,
    size: Option<(usize, usize)>,
}

impl Encoder<'_> {
    /// Takes the next frame; gives the latent frame that it completes: the first one does, then each `stride_t`-th.
    ///
    /// # Shapes
    /// `frame` `(height, width, 3)` → f32 `(z, height / stride, width / stride)`.
    ///
    /// # Units
    /// Pixels in [−1, 1].
    ///
    /// # Errors
    /// A size that is off the grid or not that of the frames before, or a device out of memory.
    pub fn push(&mut self, frame: &Tensor) -> Result<Option<Tensor>, ModelError> {
        let config = &self.vae.config;
        let (height, width, channels) = frame.dims3()?;
        let grid = config.stride_hw();
        if channels != 3 || height == 0 || width == 0 || height % grid != 0 || width % grid != 0 {
            let why = format!("a frame is (height, width, 3) with multiples of {grid}, not {:?}", frame.dims());
            return Err(ModelError::input("frame", why));
        }
        same_size("frame", &mut self.size, (height, width))?;
        let mut moments = Vec::new();
        let frame = patchify(&self.vae.upload(frame)?, config.patch())?;
        self.vae.encoder.push(frame, &mut self.cache, &mut moments)?;
        let normalised = |moments: Tensor| -> Result<Tensor, ModelError> {
            let mean = moments.narrow(2, 0, config.z)?.broadcast_sub(&self.vae.mean)?;
            Ok(mean.broadcast_mul(&self.vae.scale)?.permute((2, 0, 1))?.contiguous()?)
        };
        moments.pop().map(normalised).transpose()
    }
}

/// Latents on their way into a video. Latent frames go in one by one.
#[derive(Debug, Clone)]
pub struct Decoder<'a> {
    vae: &'a WanVae,
    cache: FeatureCache,
    size: Option<(usize, usize)>,
}

impl Decoder<'_> {
    /// Takes the next latent frame; gives the frames that it becomes: one for the first, then `stride_t` each.
    ///
    /// # Shapes
    /// `latent` `(z, height, width)` → f32 `(height · stride, width · stride, 3)` each.
    ///
    /// # Units
    /// Pixels around [−1, 1], not clamped; [`rgb8`] does that.
    ///
    /// # Errors
    /// Another number of channels, a size that is not that of the frames before, or a device out of memory.
    pub fn push(&mut self, latent: &Tensor) -> Result<Vec<Tensor>, ModelError> {
        let config = &self.vae.config;
        let (channels, height, width) = latent.dims3()?;
        if channels != config.z || height == 0 || width == 0 {
            let why = format!("it is ({}, height, width), not {:?}", config.z, latent.dims());
            return Err(ModelError::input("latent frame", why));
        }
        same_size("latent frame", &mut self.size, (height, width))?;
        let latent = self.vae.upload(latent)?.permute((1, 2, 0))?.contiguous()?;
        let latent = latent.broadcast_div(&self.vae.scale)?.broadcast_add(&self.vae.mean)?;
        let mut frames = Vec::new();
        self.vae.decoder.push(latent, &mut self.cache, &mut frames)?;
        frames.iter().map(|frame| unpatchify(frame, config.patch())).collect()
    }
}

/// All frames of a stream have the size of its first.
fn same_size(what: &'static str, size: &mut Option<(usize, usize)>, now: (usize, usize)) -> Result<(), ModelError> {
    let (height, width) = *size.get_or_insert(now);
    if (height, width) == now {
        return Ok(());
    }
    Err(ModelError::input(what, format!("it is {}x{}, those before were {width}x{height}", now.1, now.0)))
}

/// A decoded frame as bytes: clamped to [−1, 1], scaled to 0…255, truncated; row by row, RGB.
///
/// # Shapes
/// f32 `(height, width, 3)` → `height · width · 3` bytes.
///
/// # Errors
/// The device fails.
pub fn rgb8(frame: &Tensor) -> Result<Vec<u8>, ModelError> {
    frame.device().synchronize()?;
    let pixels = frame.to_dtype(DType::F32)?.flatten_all()?.to_vec1::<f32>()?;
    Ok(pixels.into_iter().map(|x| ((x.clamp(-1., 1.) + 1.) / 2. * 255.) as u8).collect())
}
