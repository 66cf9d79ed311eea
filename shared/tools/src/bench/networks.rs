//! Parts of the networks, at the sizes of the published models, with random weights from a temporary file.

use std::path::PathBuf;
use std::time::Duration;

use candle_core::Tensor;
use tempfile::TempDir;
use wanfarm_model::dit::{Blocks, Timesteps, WanModel};
use wanfarm_model::umt5::{self, Umt5};
use wanfarm_model::vae::{VaeConfig, WanVae, parameters};
use wanfarm_model::{ModelError, Weights};
use wanfarm_roofline::dit::Pass;
use wanfarm_roofline::models::Published;
use wanfarm_roofline::vae::{Way, latent_frame};
use wanfarm_roofline::{Kernels, Ledger, forecast};
use wanfarm_types::{Transformer, VaeKind};
use wanfarm_weights::transformer::parameters as transformer_parameters;
use wanfarm_weights::{FileError, Param};

use super::result::{Measured, Recorder, Section, Unit, VideoTime};
use super::stopwatch::{self, Timing};
use super::{Scene, files, videos};

/// Shares of the time for a block, an autoencoder and the text encoder, files and loading included.
const BLOCK: f64 = 0.14;
const AUTOENCODER: f64 = 0.08;
const TEXT: f64 = 0.04;
/// Frames, rows and columns of tokens: 480p with 81 frames, and as much of it as there is time for.
const GRIDS: [[usize; 3]; 6] = [[21, 30, 52], [5, 30, 52], [1, 30, 52], [1, 15, 26], [1, 8, 13], [1, 2, 2]];
/// Height and width of latents: 720p, 480p, and less.
const LATENTS: [[usize; 2]; 5] = [[90, 160], [60, 104], [30, 52], [15, 26], [4, 4]];
/// Rows of text in a context: what is padded counts in full.
const TEXT_ROWS: usize = 64;
/// f32 tensors of the tokens' size, or a chunk's of the feed-forward layers, that a block holds at once.
const HELD: f64 = 12.;

/// A file with these tensors, random ones.
struct Drawn {
    _folder: TempDir,
    path: PathBuf,
}

impl Drawn {
    fn new(params: &[Param]) -> Result<Self, ModelError> {
        let folder = tempfile::tempdir().map_err(|error| FileError::io(std::env::temp_dir(), error))?;
        let path = folder.path().join("weights.safetensors");
        files::write(&path, params).map_err(|error| FileError::io(&path, error))?;
        Ok(Self { _folder: folder, path })
    }

    fn weights(&self) -> Result<Weights, ModelError> {
        Weights::open(std::slice::from_ref(&self.path))
    }
}

/// What has to be known before something is prepared.
struct Plan<'p> {
    name: String,
    params: &'p [Param],
    /// Bytes beside the weights.
    bytes: f64,
    flops: f64,
    peak: Option<f64>,
}

impl Scene {
    /// Why there is no time or memory to draw these weights, load them and compute once, if there is none.
    fn refuse(&self, share: Duration, plan: &Plan<'_>) -> Option<String> {
        let stored = files::bytes(plan.params) as f64;
        // Written, read, widened and uploaded.
        let prepared = self.peaks.write.map_or(0., |write| 3. * stored / (write * 1e9));
        let memory = plan.bytes + 2. * stored + if self.is_cpu() { stored } else { 0. };
        self.limits.refuse(share, prepared + self.at_least(plan.flops, plan.peak), memory)
    }
}

/// Takes down a timing of a part of a network.
fn told(
    scene: &Scene,
    plan: Plan<'_>,
    timing: Result<Timing, ModelError>,
    ledger: &Ledger,
    recorder: &mut Recorder<'_>,
) -> Option<Timing> {
    let Plan { name, flops: work, peak, .. } = plan;
    let expected_seconds = scene.chip.map(|chip| chip.seconds(ledger));
    match timing {
        Ok(timing) => {
            let (section, unit) = (Section::Networks, Unit::Teraflops);
            recorder.measured(Measured { section, name, work, unit, peak, expected_seconds }, &timing);
            Some(timing)
        }
        Err(error) => {
            recorder.failed(Section::Networks, name, &error);
            None
        }
    }
}

/// One block of a transformer over as many tokens as there is time for; what a step of common sizes takes by that.
pub(super) fn block(scene: &Scene, published: &Published, recorder: &mut Recorder<'_>) -> Vec<VideoTime> {
    let transformer = Transformer { num_layers: 1, ..published.transformer };
    let params = transformer_parameters(&transformer);
    let share = scene.limits.share(BLOCK);
    let plans = GRIDS.map(|grid| {
        let tokens = grid.iter().product::<usize>();
        let pass = pass(scene, &published.transformer, tokens as u64);
        let flops = pass.block(Kernels::Current).flops();
        let bytes = 4. * HELD * (tokens * transformer.dim) as f64;
        let name = format!("a block of {}, {tokens} tokens", published.name);
        (grid, Plan { name, params: &params, bytes, flops, peak: scene.peaks.product })
    });
    // It runs twice at least: with its block, and without.
    let mut refused = None;
    for (grid, plan) in plans {
        refused = scene.refuse(share / 3, &plan);
        if refused.is_some() {
            continue;
        }
        let tokens = grid.iter().product::<usize>() as u64;
        let ledger = pass(scene, &published.transformer, tokens).block(Kernels::Current);
        let timing = Drawn::new(&params).and_then(|drawn| time_block(scene, &transformer, &drawn, grid, share / 2));
        let timing = told(scene, plan, timing, &ledger, recorder);
        return timing.map_or_else(Vec::new, |timing| videos::steps(scene, published, tokens, timing.seconds));
    }
    recorder.skipped(Section::Networks, format!("a block of {}", published.name), refused.unwrap_or_default());
    Vec::new()
}

fn pass<'t>(scene: &Scene, transformer: &'t Transformer, tokens: u64) -> Pass<'t> {
    Pass { transformer, tokens, text: transformer.text_len as u64, elements: scene.elements }
}

/// A pass with the block, less one without it.
fn time_block(
    scene: &Scene,
    transformer: &Transformer,
    drawn: &Drawn,
    [frames, rows, columns]: [usize; 3],
    share: Duration,
) -> Result<Timing, ModelError> {
    let model = WanModel::load(*transformer, &drawn.weights()?, scene.dtype, &scene.device)?;
    let context = Tensor::randn(0f32, 1., (TEXT_ROWS.min(transformer.text_len), transformer.text_dim), &scene.device)?;
    let text = model.embed_text(&context)?;
    let x = Tensor::randn(0f32, 1., (transformer.in_dim, frames, 2 * rows, 2 * columns), &scene.device)?;
    let mut kept = None;
    model.forward_with(&x, Timesteps::Scalar(500.), &text, Blocks::Keep(&mut kept))?;
    let residual = kept.ok_or_else(|| ModelError::input("block", "it added nothing"))?;
    let reuse = || model.forward_with(&x, Timesteps::Scalar(500.), &text, Blocks::Reuse(&residual)).map(drop);
    let without = stopwatch::time(&scene.device, share / 10, reuse)?;
    let run = || model.forward(&x, Timesteps::Scalar(500.), &text).map(drop);
    let with = stopwatch::time(&scene.device, share, run)?;
    Ok(Timing { seconds: (with.seconds - without.seconds).max(1e-9), ..with })
}

/// A latent frame decoded, with others before it; what a video takes by that.
pub(super) fn autoencoder(scene: &Scene, kind: VaeKind, recorder: &mut Recorder<'_>) -> Vec<VideoTime> {
    let config = VaeConfig::published(kind);
    let params = parameters(&config);
    let share = scene.limits.share(AUTOENCODER);
    let label = match kind {
        VaeKind::Wan21 => "Wan2.1's autoencoder",
        VaeKind::Wan22 => "Wan2.2's autoencoder",
    };
    let mut refused = None;
    for [height, width] in LATENTS {
        let size = [height as u64, width as u64];
        let frame = latent_frame(kind, Way::Decode, size, false, Kernels::Current);
        // Frames of the last layers, and the cache of all.
        let bytes = 4. * 6. * (height * width * 64 * config.dec_dim) as f64;
        let name = format!("a latent frame of {label}, {width}x{height}");
        let plan = Plan { name, params: &params, bytes, flops: frame.flops(), peak: scene.peaks.f32 };
        refused = scene.refuse(share / 4, &plan);
        if refused.is_some() {
            continue;
        }
        let timing =
            Drawn::new(&params).and_then(|drawn| time_frame(scene, &config, &drawn, [height, width], share / 2));
        let timing = told(scene, plan, timing, &frame, recorder);
        return timing.map_or_else(Vec::new, |timing| videos::decodes(scene, kind, size, timing.seconds));
    }
    recorder.skipped(Section::Networks, format!("a latent frame of {label}"), refused.unwrap_or_default());
    Vec::new()
}

fn time_frame(
    scene: &Scene,
    config: &VaeConfig,
    drawn: &Drawn,
    [height, width]: [usize; 2],
    share: Duration,
) -> Result<Timing, ModelError> {
    let vae = WanVae::load(config.clone(), &drawn.weights()?, &scene.device)?;
    let latent = Tensor::randn(0f32, 1., (config.z, height, width), &scene.device)?;
    let mut decoder = vae.decoder();
    // The first has less to do, and the second nothing but zeros before it in time.
    decoder.push(&latent)?;
    stopwatch::time(&scene.device, share, || decoder.push(&latent).map(drop))
}

/// A layer of the text encoder; what a prompt takes by that.
pub(super) fn text_encoder(scene: &Scene, recorder: &mut Recorder<'_>) -> Vec<VideoTime> {
    let config =
        umt5::Config { vocab_size: 256, dim: 4096, dim_attn: 4096, dim_ffn: 10_240, num_heads: 64, num_layers: 1 };
    let params = config.parameters();
    let share = scene.limits.share(TEXT);
    let layer = wanfarm_roofline::umt5::layer(forecast::PROMPT, Kernels::Current);
    let name = format!("a layer of UMT5, {} tokens", forecast::PROMPT);
    let plan = Plan { name, params: &params, bytes: 64e6, flops: layer.flops(), peak: scene.peaks.f32 };
    if let Some(why) = scene.refuse(share / 2, &plan) {
        recorder.skipped(Section::Networks, plan.name, why);
        return Vec::new();
    }
    let ids: Vec<u32> = (0..forecast::PROMPT as u32).collect();
    let run = || {
        let encoder = Umt5::load(Drawn::new(&params)?.weights()?, &scene.device)?;
        stopwatch::time(&scene.device, share / 2, || encoder.encode(&ids).map(drop))
    };
    let timing = told(scene, plan, run(), &layer, recorder);
    timing.map_or_else(Vec::new, |timing| vec![videos::prompt(scene, timing.seconds)])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::Peaks;
    use crate::bench::limits::Limits;
    use candle_core::{DType, Device};
    use wanfarm_roofline::Elements;

    fn scene(seconds: f64) -> Scene {
        Scene {
            device: Device::Cpu,
            dtype: DType::F32,
            elements: Elements::F32,
            limits: Limits::new(seconds, 1 << 32),
            chip: None,
            peaks: Peaks { f32: Some(0.05), product: Some(0.05), copy: Some(5.), write: Some(0.5) },
        }
    }

    const TINY: Transformer = Transformer {
        in_dim: 16,
        out_dim: 16,
        dim: 32,
        num_heads: 2,
        num_layers: 1,
        ffn_dim: 64,
        freq_dim: 16,
        text_dim: 24,
        text_len: 8,
        eps: 1e-6,
        cross_attn_norm: true,
    };

    #[test]
    fn a_block_with_random_weights_runs() {
        let drawn = Drawn::new(&transformer_parameters(&TINY)).unwrap();
        let timing = time_block(&scene(1.), &TINY, &drawn, [1, 2, 2], Duration::from_millis(20)).unwrap();
        assert!(timing.seconds > 0. && timing.runs > 0);
    }

    #[test]
    fn a_frame_with_random_weights_is_decoded() {
        let config = VaeConfig { dim: 8, dec_dim: 8, ..VaeConfig::published(VaeKind::Wan21) };
        let drawn = Drawn::new(&parameters(&config)).unwrap();
        let timing = time_frame(&scene(1.), &config, &drawn, [2, 2], Duration::from_millis(20)).unwrap();
        assert!(timing.seconds > 0. && timing.runs > 0);
    }
}
