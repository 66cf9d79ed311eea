//! Decodes noise with an autoencoder of the published widths and random weights, and prints the peak memory after each
//! latent frame: it must stop growing once the caches are full, after the third.
//!
//! For Wan2.1 at 720p that is two past frames of every causal convolution, 2 · 1,089.6 million f32 or 8.1 GiB, the
//! weights, 0.5 GiB, and some frames in work of 0.33 GiB each: 10.1 GiB in all.
//!
//! Usage: `cargo run --release -p wanfarm-model --example vae_memory -- [2.1|2.2] [WIDTH HEIGHT] [LATENT_FRAMES]`;
//! 720p and 5 latent frames if nothing is said. Peaks are read from `/proc`, so on Linux only.

use std::borrow::Cow;
use std::error::Error;
use std::path::Path;
use std::time::Instant;

use candle_core::{Device, Tensor};
use safetensors::tensor::{Dtype, View};
use wanfarm_model::Weights;
use wanfarm_model::vae::{LatentStatistics, VaeConfig, WanVae, parameters};
use wanfarm_types::VaeKind;
use wanfarm_weights::Param;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let argument = |index: usize, default: usize| arguments.get(index).map_or(Ok(default), |text| text.parse());
    let (kind, dim, dec_dim, z) = match arguments.first().map_or("2.1", String::as_str) {
        "2.1" => (VaeKind::Wan21, 96, 96, 16),
        "2.2" => (VaeKind::Wan22, 160, 256, 48),
        other => return Err(format!("no autoencoder is called {other:?}; they are 2.1 and 2.2").into()),
    };
    let config = VaeConfig {
        kind,
        dim,
        dec_dim,
        z,
        dim_mult: vec![1, 2, 4, 4],
        num_res_blocks: 2,
        temporal_downsample: vec![false, true, true],
        statistics: LatentStatistics::published(kind),
    };
    let grid = config.stride_hw();
    let (width, height) = (argument(1, 1280)? / grid, argument(2, 720)? / grid);
    let count = argument(3, 5)?;

    let folder = tempfile::tempdir()?;
    let path = folder.path().join("vae.safetensors");
    write_random(&parameters(&config), &path)?;
    let vae = WanVae::load(config, &Weights::open(&[path])?, &Device::Cpu)?;
    println!("{}x{} pixels; weights loaded: peak {}", width * grid, height * grid, peak()?);

    let mut decoder = vae.decoder();
    for index in 1..=count {
        let start = Instant::now();
        let frames = decoder.push(&Tensor::randn(0f32, 1., (z, height, width), &Device::Cpu)?)?;
        let seconds = start.elapsed().as_secs_f64();
        println!("latent frame {index}: {} frames, {seconds:.1} s, peak {}", frames.len(), peak()?);
    }
    Ok(())
}

/// A tensor that comes into being when it is written, so that only one is in memory.
struct Random<'a>(&'a Param, usize);

impl View for Random<'_> {
    fn dtype(&self) -> Dtype {
        Dtype::F32
    }

    fn shape(&self) -> &[usize] {
        &self.0.shape
    }

    /// Uniform, with the variance that keeps a layer's output as large as its input.
    fn data(&self) -> Cow<'_, [u8]> {
        let inputs: usize = self.0.shape.iter().skip(1).product();
        let scale = (12. / inputs as f64).sqrt();
        let mut state = self.1 as u64;
        let bytes = (0..self.data_len() / 4).flat_map(|_| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let uniform = (state >> 40) as f64 / (1u64 << 24) as f64 - 0.5;
            ((uniform * scale) as f32).to_le_bytes()
        });
        bytes.collect()
    }

    fn data_len(&self) -> usize {
        4 * self.0.shape.iter().product::<usize>()
    }
}

fn write_random(params: &[Param], path: &Path) -> Result<(), Box<dyn Error>> {
    let tensors = params.iter().enumerate().map(|(salt, param)| (param.name.as_str(), Random(param, salt)));
    safetensors::serialize_to_file(tensors, None, path)?;
    Ok(())
}

/// The process's largest resident memory so far.
fn peak() -> Result<String, Box<dyn Error>> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).ok_or("there is no VmHWM in /proc")?;
    let kib: f64 = line.trim().trim_end_matches(" kB").parse()?;
    Ok(format!("{:.0} MiB", kib / 1024.))
}
