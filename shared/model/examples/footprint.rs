//! Holds the footprints of roles to what is measured: networks of the published widths with random weights, loaded and
//! run on the CPU as a worker does it, each in a process of its own.
//!
//! Measured is anonymous memory, sampled every few milliseconds: pages of mapped files come and go as the system likes.
//! Of a transformer's step the first blocks are run; then it is as large as it gets.
//!
//! Usage: `cargo run --release -p wanfarm-model --example footprint -- [CASE]…`; all cases if none is named. It needs
//! 3 GiB of disk and 8 GiB of memory, and `/proc`, so Linux.

use std::borrow::Cow;
use std::error::Error;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use candle_core::{DType, Device, Tensor};
use half::bf16;
use safetensors::tensor::{Dtype, View};
use wanfarm_model::Weights;
use wanfarm_model::dit::{Timesteps, WanModel};
use wanfarm_model::folder::detect;
use wanfarm_model::ops::device::DeviceKind;
use wanfarm_model::tiny_vae::{TinyConfig, TinyVae};
use wanfarm_model::umt5::{self, Umt5};
use wanfarm_model::vae::{self, VaeConfig, WanVae, rgb8};
use wanfarm_types::{ItemSize, Role, Transformer, VaeKind};
use wanfarm_weights::{Param, transformer};

type Failed = Box<dyn Error + Send + Sync>;

/// Of Wan2.1 T2V-1.3B.
const DIT: Transformer = Transformer::T2V_1_3B;
/// Of UMT5-XXL, but for the number of words and of layers, which pass through memory one by one.
const UMT5: umt5::Config =
    umt5::Config { vocab_size: 1000, dim: 4096, dim_attn: 4096, dim_ffn: 10_240, num_heads: 64, num_layers: 3 };
/// Tokens of a frame of latents, 30 by 52 as at 480p.
const FRAME: usize = 1560;
/// Frames of latents of the autoencoders' cases.
const FRAMES: usize = 4;
/// How long a transformer's step is watched.
const PATIENCE: Duration = Duration::from_secs(120);

const CASES: [&str; 10] = [
    "dit-f32-1560",
    "dit-f32-6240",
    "dit-bf16-6240",
    "umt5",
    "vae-2.1-decode",
    "vae-2.1-encode",
    "vae-2.2-decode",
    "vae-2.2-encode",
    "tiny-2.1-decode",
    "tiny-2.2-decode",
];

/// The most that was in anonymous memory.
static PEAK: AtomicU64 = AtomicU64::new(0);

fn main() -> Result<(), Failed> {
    let named: Vec<String> = std::env::args().skip(1).collect();
    if let [case, folder] = &named[..]
        && Path::new(folder).is_dir()
    {
        return measure(case, Path::new(folder));
    }
    let cases = if named.is_empty() { CASES.map(str::to_owned).to_vec() } else { named };
    println!("{:<15} {:>12} {:>12} {:>7}", "case", "predicted", "measured", "off by");
    for case in cases {
        let folder = tempfile::tempdir()?;
        let status = Command::new(std::env::current_exe()?).arg(&case).arg(folder.path()).status()?;
        if !status.success() {
            return Err(format!("{case} failed: {status}; the cases are {}", CASES.join(", ")).into());
        }
    }
    Ok(())
}

fn measure(case: &str, folder: &Path) -> Result<(), Failed> {
    let parts: Vec<&str> = case.split('-').collect();
    let (role, params) = match parts[..] {
        ["dit", _, _] => (Role::Dit, transformer::parameters(&DIT)),
        ["umt5"] => (Role::TextEncoder, UMT5.parameters()),
        ["vae", kind, _] => (Role::Vae, vae::parameters(&vae_config(kind)?)),
        ["tiny", kind, _] => return measure_tiny(case, kind, folder),
        _ => return Err("there is no such case".into()),
    };
    let path = folder.join("model.safetensors");
    let tensors = params.iter().enumerate().map(|(salt, param)| (param.name.as_str(), Random(param, salt)));
    safetensors::serialize_to_file(tensors, None, &path)?;

    let found = detect(&path)?;
    let weights = found.weights(role)?;
    let dtype = if parts.get(1) == Some(&"bf16") { DType::BF16 } else { DType::F32 };
    let footprint = found.footprint(role, &weights, DeviceKind::Cpu, dtype)?;
    look();
    let size = match parts[..] {
        ["dit", _, tokens] => {
            let frames = tokens.parse::<usize>()? / FRAME;
            watch(move || step(&weights, frames, dtype))?;
            ItemSize { tokens: (frames * FRAME) as u64, frame: FRAME as u64, kept: 0 }
        }
        ["vae", kind, way] => stream(vae_config(kind)?, &weights, way)?,
        _ => {
            Umt5::load(weights, &Device::Cpu)?.encode(&(0..512).collect::<Vec<u32>>())?;
            ItemSize::default()
        }
    };
    tell(case, footprint.needs(size))
}

/// Looks at the memory from now on.
fn look() {
    thread::spawn(|| {
        loop {
            PEAK.fetch_max(anonymous().unwrap_or(0), Ordering::Relaxed);
            thread::sleep(Duration::from_millis(3));
        }
    });
}

fn tell(case: &str, predicted: u64) -> ! {
    let (predicted, measured) = (predicted as f64, PEAK.load(Ordering::Relaxed) as f64);
    let (mib, off) = (f64::from(1 << 20), 100. * (predicted / measured - 1.));
    println!("{case:<15} {:>8.0} MiB {:>8.0} MiB {off:>+6.1}%", predicted / mib, measured / mib);
    std::process::exit(0);
}

/// A tiny decoder, which lies with a model and is none by itself.
fn measure_tiny(case: &str, kind: &str, folder: &Path) -> Result<(), Failed> {
    let VaeConfig { z, .. } = vae_config(kind)?;
    let config = TinyConfig { z, widths: [256, 128, 64, 64], growth: [1, 2, 2], patch: vae_config(kind)?.patch() };
    let (path, params) = (folder.join("taew.safetensors"), config.parameters());
    let tensors = params.iter().enumerate().map(|(salt, param)| (param.name.as_str(), Random(param, salt)));
    safetensors::serialize_to_file(tensors, None, &path)?;
    look();
    let network = TinyVae::load(&Weights::open(&[path])?, None, &Device::Cpu)?;
    let side = 256 / config.stride_hw();
    let (mut decoder, mut bytes) = (network.decoder(), Vec::new());
    for _ in 0..FRAMES {
        for frame in decoder.push(&Tensor::randn(0f32, 1., (z, side, side), &Device::Cpu)?)? {
            bytes.extend(rgb8(&frame)?);
        }
    }
    let frame = (side / 2).pow(2) as u64;
    tell(case, config.footprint().needs(ItemSize { tokens: FRAMES as u64 * frame, frame, kept: 0 }))
}

fn watch(work: impl FnOnce() -> Result<(), Failed> + Send + 'static) -> Result<(), Failed> {
    let (begun, working) = (Instant::now(), thread::spawn(work));
    while begun.elapsed() < PATIENCE {
        if working.is_finished() {
            return working.join().map_err(|_| "it crashed")?;
        }
        thread::sleep(Duration::from_millis(100));
    }
    Ok(())
}

fn step(weights: &Weights, frames: usize, dtype: DType) -> Result<(), Failed> {
    let network = WanModel::load(DIT, weights, dtype, &Device::Cpu)?;
    let text = || network.embed_text(&Tensor::ones((20, DIT.text_dim), DType::F32, &Device::Cpu)?);
    let (text, _negative) = (text()?, text()?);
    let x = Tensor::randn(0f32, 1., (16, frames, 60, 104), &Device::Cpu)?;
    network.forward(&x, Timesteps::Scalar(500.), &text)?;
    Ok(())
}

fn stream(config: VaeConfig, weights: &Weights, way: &str) -> Result<ItemSize, Failed> {
    let (side, z, times) = (256 / config.stride_hw(), config.z, config.stride_t());
    let network = WanVae::load(config, weights, &Device::Cpu)?;
    if way == "decode" {
        let (mut decoder, mut bytes) = (network.decoder(), Vec::new());
        for _ in 0..FRAMES {
            for frame in decoder.push(&Tensor::randn(0f32, 1., (z, side, side), &Device::Cpu)?)? {
                bytes.extend(rgb8(&frame)?);
            }
        }
    } else {
        let (mut encoder, frame) = (network.encoder(), Tensor::zeros((256, 256, 3), DType::F32, &Device::Cpu)?);
        for _ in 0..=(FRAMES - 1) * times {
            encoder.push(&frame)?;
        }
    }
    let frame = (side / 2).pow(2) as u64;
    Ok(ItemSize { tokens: FRAMES as u64 * frame, frame, kept: 0 })
}

fn vae_config(kind: &str) -> Result<VaeConfig, Failed> {
    Ok(VaeConfig::published(match kind {
        "2.1" => VaeKind::Wan21,
        "2.2" => VaeKind::Wan22,
        other => return Err(format!("no autoencoder is called {other:?}").into()),
    }))
}

/// A tensor that comes into being when it is written, so that only one is in memory.
struct Random<'a>(&'a Param, usize);

impl View for Random<'_> {
    fn dtype(&self) -> Dtype {
        Dtype::BF16
    }

    fn shape(&self) -> &[usize] {
        &self.0.shape
    }

    /// Uniform, with the variance that keeps a layer's output as large as its input.
    fn data(&self) -> Cow<'_, [u8]> {
        let inputs: usize = self.0.shape.iter().skip(1).product();
        let scale = (12. / inputs as f64).sqrt();
        let mut state = self.1 as u64;
        let numbers = (0..self.data_len() / 2).flat_map(|_| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let uniform = (state >> 40) as f64 / (1u64 << 24) as f64 - 0.5;
            bf16::from_f64(uniform * scale).to_le_bytes()
        });
        numbers.collect()
    }

    fn data_len(&self) -> usize {
        2 * self.0.shape.iter().product::<usize>()
    }
}

/// Bytes of the process's memory that are of no file.
fn anonymous() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:"))?;
    Some(line.trim().trim_end_matches(" kB").parse::<u64>().ok()? << 10)
}
