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
        config.check().map_err(|why| ModelError::input("autoencoder", why))?;
        weights.files().check(&blueprint::parameters(&config))?;
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

    /// Dimensions of the network.
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

    /// Starts to decode a video as if there were no rule for the first frame: an equal number of frames comes of each
    /// latent frame. Not what the network was trained for.
    pub fn decoder_without_first(&self) -> Decoder<'_> {
        Decoder { cache: FeatureCache::without_first(), ..self.decoder() }
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

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use wanfarm_types::VaeKind;

    use super::*;
    use crate::vae::LatentStatistics;

    /// A small autoencoder with weights without a pattern, stored as `dtype`.
    fn vae(kind: VaeKind, dtype: DType) -> WanVae {
        let config = VaeConfig {
            kind,
            dim: 4,
            dec_dim: 4,
            z: 3,
            dim_mult: vec![1, 2, 2],
            num_res_blocks: 1,
            temporal_downsample: vec![true, true],
            statistics: LatentStatistics { mean: vec![0.5, -1., 2.], std: vec![1., 2., 0.5] },
        };
        WanVae::load(config.clone(), &weights(&config, dtype, ""), &Device::Cpu).unwrap()
    }

    fn weights(config: &VaeConfig, dtype: DType, left_out: &str) -> Weights {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("vae.safetensors");
        let params = blueprint::parameters(config).into_iter().filter(|param| param.name != left_out).enumerate();
        let tensors = params.map(|(salt, param)| {
            let tensor = values(&param.shape, salt as f64).to_dtype(dtype).unwrap();
            (param.name, tensor)
        });
        candle_core::safetensors::save(&tensors.collect::<HashMap<_, _>>(), &path).unwrap();
        Weights::open(&[path]).unwrap()
    }

    /// Multiples of 1/8 in ±1: bf16 holds them exactly.
    fn values(shape: &[usize], salt: f64) -> Tensor {
        let count = shape.iter().product::<usize>();
        let value = |i: usize| (((i * i) as f64 * 0.37 + i as f64 * 1.3 + salt).sin() as f32 * 8.).round() / 8.;
        Tensor::from_vec((0..count).map(value).collect(), shape, &Device::Cpu).unwrap()
    }

    fn decode(vae: &WanVae, latents: &Tensor) -> Vec<Vec<Vec<Vec<f32>>>> {
        let mut video = Vec::new();
        let sink = |frames: Vec<Tensor>| {
            video.extend(frames.iter().map(|frame| frame.to_vec3::<f32>().unwrap()));
            Ok::<_, ModelError>(())
        };
        vae.decode(latents, sink).unwrap();
        video
    }

    #[test]
    fn one_frame_then_four_per_latent_frame() {
        for (kind, grid) in [(VaeKind::Wan21, 4), (VaeKind::Wan22, 8)] {
            let vae = vae(kind, DType::F32);
            assert_eq!((vae.config().stride_hw(), vae.config().stride_t()), (grid, 4));
            let mut encoder = vae.encoder();
            let frame = values(&[2 * grid, grid, 3], 0.);
            let latents: Vec<_> = (0..10).map(|_| encoder.push(&frame).unwrap()).collect();
            let complete: Vec<_> = (0..10).filter(|index| latents[*index].is_some()).collect();
            assert_eq!(complete, [0, 4, 8]);
            let latent = latents[4].clone().unwrap();
            assert_eq!(latent.dims(), [3, 2, 1]);

            let mut decoder = vae.decoder();
            let counts: Vec<_> = (0..3).map(|_| decoder.push(&latent).unwrap().len()).collect();
            assert_eq!(counts, [1, 4, 4]);
            assert_eq!(decoder.push(&latent).unwrap()[0].dims(), [2 * grid, grid, 3]);
        }
    }

    #[test]
    fn nothing_later_is_seen_and_nothing_earlier_is_left_behind() {
        for kind in [VaeKind::Wan21, VaeKind::Wan22] {
            let vae = vae(kind, DType::F32);
            let video = values(&[3, 11, 16, 16], 0.);
            let latents = vae.encode(&video).unwrap();
            assert_eq!(latents.dim(1).unwrap(), 3, "frames 10 and 11 complete nothing");
            let start = vae.encode(&video.narrow(1, 0, 5).unwrap()).unwrap();
            let flat = |latents: &Tensor| latents.flatten_all().unwrap().to_vec1::<f32>().unwrap();
            assert_eq!(flat(&start), flat(&latents.narrow(1, 0, 2).unwrap()));

            let whole = decode(&vae, &latents);
            assert_eq!(whole.len(), 9);
            assert_eq!(decode(&vae, &latents.narrow(1, 0, 2).unwrap()), whole[..5]);
            assert_eq!(decode(&vae, &latents), whole, "a second video starts from nothing");
            // The second latent frame decoded without the first is another picture.
            assert_ne!(decode(&vae, &latents.narrow(1, 1, 1).unwrap())[0], whole[1]);
        }
    }

    #[test]
    fn arithmetic_is_f32_whatever_the_file_holds() {
        let latents = values(&[3, 2, 2, 2], 0.);
        let wide = decode(&vae(VaeKind::Wan21, DType::F32), &latents);
        assert_eq!(decode(&vae(VaeKind::Wan21, DType::BF16), &latents), wide);
    }

    #[test]
    fn latents_are_normalised_by_channel() {
        let normalised = vae(VaeKind::Wan21, DType::F32);
        let raw = LatentStatistics { mean: vec![0.; 3], std: vec![1.; 3] };
        let config = VaeConfig { statistics: raw, ..normalised.config().clone() };
        let raw = WanVae::load(config.clone(), &weights(&config, DType::F32, ""), &Device::Cpu).unwrap();
        let video = values(&[3, 1, 8, 8], 0.);
        let pixels = |vae: &WanVae| vae.encode(&video).unwrap().flatten_from(1).unwrap().to_vec2::<f32>().unwrap();
        let (normalised_, raw_) = (pixels(&normalised), pixels(&raw));
        for (channel, (mean, std)) in [(0.5, 1.), (-1., 2.), (2., 0.5)].into_iter().enumerate() {
            let want: Vec<f32> = raw_[channel].iter().map(|x| (x - mean) / std).collect();
            assert_eq!(normalised_[channel], want);
        }
        // Decoding inverts it: the same picture from both.
        let (z, raw_z) = (normalised.encode(&video).unwrap(), raw.encode(&video).unwrap());
        let (a, b) = (decode(&normalised, &z), decode(&raw, &raw_z));
        let worst = a.iter().flatten().flatten().flatten().zip(b.iter().flatten().flatten().flatten());
        assert!(worst.fold(0f32, |worst, (a, b)| worst.max((a - b).abs())) < 1e-3);
    }

    #[test]
    fn the_sink_can_stop() {
        #[derive(Debug)]
        enum Stop {
            Asked,
            Model(ModelError),
        }
        impl From<ModelError> for Stop {
            fn from(error: ModelError) -> Self {
                Stop::Model(error)
            }
        }
        let vae = vae(VaeKind::Wan21, DType::F32);
        let mut pushes = 0;
        let stopped = vae.decode(&values(&[3, 5, 2, 2], 0.), |_| {
            pushes += 1;
            if pushes == 2 { Err(Stop::Asked) } else { Ok(()) }
        });
        assert!(matches!(stopped, Err(Stop::Asked)));
        assert_eq!(pushes, 2);
        let wrong = vae.decode(&values(&[4, 5, 2, 2], 0.), |_| Err(Stop::Asked));
        assert!(matches!(wrong, Err(Stop::Model(error)) if error.to_string().contains("(3, height, width)")));
    }

    #[test]
    fn faults_say_what_was_expected() {
        let vae = vae(VaeKind::Wan22, DType::F32);
        let mut encoder = vae.encoder();
        let off_grid = encoder.push(&values(&[12, 8, 3], 0.)).unwrap_err().to_string();
        assert!(off_grid.contains("multiples of 8"), "{off_grid}");
        encoder.push(&values(&[16, 8, 3], 0.)).unwrap();
        let resized = encoder.push(&values(&[8, 16, 3], 0.)).unwrap_err().to_string();
        assert!(resized.contains("16x8") && resized.contains("8x16"), "{resized}");
        let missing = weights(vae.config(), DType::F32, "decoder.head.2.bias");
        let missing = WanVae::load(vae.config().clone(), &missing, &Device::Cpu).unwrap_err().to_string();
        assert!(missing.contains("1 missing: decoder.head.2.bias"), "{missing}");
    }

    #[test]
    fn bytes_are_clamped_and_truncated() {
        // The last is 100.9 of 255, which rounding would make 101.
        let frame = Tensor::new(&[[[-2f32, -1., 1.], [7., 0., 2. * 100.9 / 255. - 1.]]], &Device::Cpu).unwrap();
        assert_eq!(rgb8(&frame).unwrap(), [0, 0, 255, 255, 127, 100]);
    }
}
