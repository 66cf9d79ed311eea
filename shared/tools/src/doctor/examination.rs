//! All checks in order, with no more in memory than one transformer and the autoencoder.

use std::path::Path;

use candle_core::{DType, Device, Tensor};
use wanfarm_types::{Defaults, Experts, Role, TinyVae};

use super::clip::{self, PROMPT, Size};
use super::dit::{self, Response, Scene};
use super::finding::{Finding, Limit, Measure, Recorder, Section};
use super::trial::{Rendered, Trial};
use super::{compact, experts, ops, vae};
use crate::inspect;
use wanfarm_image::RgbImage;
use wanfarm_model::ModelError;
use wanfarm_model::Weights;
use wanfarm_model::conditioning::{self, Anchors};
use wanfarm_model::dit::WanModel;
use wanfarm_model::folder::ModelFolder;
use wanfarm_model::ops::device::DeviceKind;
use wanfarm_model::text::Tokenizer;
use wanfarm_model::tiny_vae;
use wanfarm_model::umt5::Umt5;
use wanfarm_model::vae::{WanVae, rgb8};
use wanfarm_weights::listing;

/// What is examined, and where.
#[derive(Debug, Clone, Copy)]
pub struct Examination<'a> {
    /// The model folder.
    pub model: &'a Path,
    /// Where to compute.
    pub device: DeviceKind,
    /// Whether transformers multiply in bf16, as published, or in f32.
    pub bf16: bool,
    /// Keys per query of attention, and rows of products with blocks, where as many as a long video has would take too long.
    pub length: Option<usize>,
    /// Bytes that weights and an item may take together, if that is looked at.
    pub budget: Option<u64>,
}

/// Clip, latents and texts: what the transformers are examined with.
struct Subject {
    size: Size,
    vae: WanVae,
    latents: Tensor,
    channels: Option<Tensor>,
    texts: [Tensor; 2],
}

impl Examination<'_> {
    /// Runs every check that can be run, hands on what each finds, and gives the frames of the render, if one came
    /// about.
    ///
    /// # Errors
    /// The device cannot be had. Everything else is a finding.
    pub fn run(&self, sink: &mut dyn FnMut(Finding)) -> Result<Option<Rendered>, ModelError> {
        let device = self.device.open()?;
        let recorder = &mut Recorder::new(sink);
        let (folder, sound) = check_files(self.model, recorder);
        if let (Some(folder), Some(budget)) = (&folder, self.budget) {
            self.memory(folder, &sound, budget, recorder);
        }
        let memory = self.device.find()?.memory_bytes;
        ops::check_all(&device, self.length, memory, recorder);
        let Some(folder) = folder else { return Ok(None) };
        self.compact(&folder, &sound, &device, recorder);
        let subject = subject(&folder, &sound, &device, recorder);
        let Some(subject) = subject else {
            let why = "it needs all parts of the model";
            recorder.skip(Section::Transformers, "transformers", why);
            recorder.skip(Section::Render, "render", why);
            return Ok(None);
        };
        Ok(self.transformers(&folder, &subject, &device, recorder))
    }

    /// Whether each role has room for a video of the model's default size.
    fn memory(&self, folder: &ModelFolder, sound: &[Role], budget: u64, recorder: &mut Recorder<'_>) {
        let dtype = if self.bf16 { DType::BF16 } else { DType::F32 };
        let gibibytes = |bytes: u64| bytes as f64 / f64::from(1 << 30);
        for &role in sound {
            recorder.check(Section::Files, format!("{role}: GiB of memory"), || {
                let Defaults { width, height, frames, .. } = folder.info().defaults;
                let size = folder.info().geometry.item_size(width, height, frames);
                Ok(Measure {
                    figure: gibibytes(folder.footprint(role, self.device, dtype)?.needs(size)),
                    limit: Limit::AtMost(gibibytes(budget)),
                    otherwise: "weights and a video of the default size have no room here: take Q8_0, a smaller video, or \
                                another machine for this role",
                })
            });
        }
    }

    /// What transformers with compact matrices need besides.
    fn compact(&self, folder: &ModelFolder, sound: &[Role], device: &Device, recorder: &mut Recorder<'_>) {
        let dtype = if self.bf16 { DType::BF16 } else { DType::F32 };
        for &role in sound.iter().filter(|role| role.expert().is_some()) {
            let Ok(weights) = folder.weights(role) else { continue };
            let Some((encoding, names)) = compact::matrices(&weights) else { continue };
            let name = |what: &str| format!("{role}: {encoding} {what}");
            let levels = recorder.yielding(Section::Files, name("levels"), || {
                let levels = compact::levels(&weights, &names)?;
                Ok((compact::check_levels(&levels), levels))
            });
            if let Some(levels) = levels {
                recorder.check(Section::Files, name("evenness"), || Ok(compact::check_evenness(&levels)));
            }
            let Some(first) = names.iter().find(|name| name.starts_with("blocks.")) else { continue };
            recorder.check(Section::Operations, name("product"), || {
                let Some(matrix) = weights.compact(first)? else {
                    return Err(ModelError::input("matrix", "it is not compact"));
                };
                let (loaded, exact) = (matrix.clone().on(dtype, device)?, dtype == DType::F32 && device.is_cpu());
                compact::check_product(&matrix, exact, |x| loaded.product(&x.to_device(device)?))
            });
        }
    }

    /// Loads each transformer once: for its checks, and for its steps of the render.
    fn transformers(
        &self,
        folder: &ModelFolder,
        subject: &Subject,
        device: &Device,
        recorder: &mut Recorder<'_>,
    ) -> Option<Rendered> {
        let boundary = match folder.info().experts {
            Experts::Dual { boundary } => boundary,
            Experts::Single => 0.5,
        };
        let scene = Scene {
            latents: &subject.latents,
            channels: subject.channels.as_ref(),
            texts: subject.texts.each_ref(),
            levels: [(1. + boundary) / 2., boundary / 2.],
        };
        let mut trial = recorder.obtain(Section::Transformers, "schedule", || Trial::new(folder.info(), subject.size));
        let mut responses: Vec<Response> = Vec::new();
        for &expert in folder.info().denoisers() {
            let role = expert.stage().role();
            let model = recorder.obtain(Section::Transformers, format!("{role}: loading"), || {
                let weights = folder.weights(role)?;
                let dtype = if self.bf16 { DType::BF16 } else { DType::F32 };
                WanModel::load(folder.dit_config(role, &weights)?, &weights, dtype, device)
            });
            let Some(model) = model else {
                recorder.skip(Section::Render, "render", "it needs all transformers");
                return None;
            };
            responses.extend(dit::check(&model, role, &scene, recorder));
            trial = trial.and_then(|trial| {
                recorder.obtain(Section::Transformers, format!("{role}: steps of the render"), || {
                    trial.advance(&model, expert, &scene)
                })
            });
        }
        if let [high, low] = &responses[..] {
            dit::compare(high, low, recorder);
        }
        let Some(trial) = trial else {
            recorder.skip(Section::Render, "render", "a transformer could not take its steps");
            return None;
        };
        recorder.check(Section::Render, "latents of every step", || Ok(trial.check()));
        recorder.obtain(Section::Render, "decoding", || trial.decode(&subject.vae))
    }
}

/// The folder, if it is one, and the roles whose files are sound.
fn check_files(path: &Path, recorder: &mut Recorder<'_>) -> (Option<ModelFolder>, Vec<Role>) {
    let folder = recorder.obtain(Section::Files, "model folder", || Ok(wanfarm_model::folder::open(path)?));
    let Some(folder) = folder else { return (None, Vec::new()) };
    let mut sound = folder.info().roles();
    sound.retain(|&role| recorder.obtain(Section::Files, role.name(), || inspect::check(&folder, &[role])).is_some());
    if sound.contains(&Role::DitHigh) && sound.contains(&Role::DitLow) {
        recorder.check(Section::Files, "two experts", || {
            experts::check(&folder.weights(Role::DitHigh)?, &folder.weights(Role::DitLow)?)
        });
    }
    (Some(folder), sound)
}

/// Whether the tiny autoencoder decodes the clip's latents, if one lies with the model. How like the clip its frames are is not
/// judged: it is for drafts.
fn tiny(folder: &ModelFolder, vae: &WanVae, latents: &Tensor, recorder: &mut Recorder<'_>) {
    if let Some(TinyVae::Unfit(why)) = &folder.info().tiny_vae {
        recorder.skip(Section::Autoencoder, "tiny VAE", why);
    }
    let Some(file) = folder.tiny_vae() else { return };
    recorder.check(Section::Autoencoder, format!("tiny VAE {}: frames", listing::name(&file.path)), || {
        let weights = Weights::open(std::slice::from_ref(&file.path))?;
        let statistics = file.raw.then_some(&vae.config().statistics);
        let tiny = tiny_vae::TinyVae::load(&weights, statistics, latents.device())?;
        let (mut decoder, mut finite) = (tiny.decoder(), 0);
        for index in 0..latents.dim(1)? {
            for frame in decoder.push(&latents.narrow(1, index, 1)?.squeeze(1)?)? {
                finite += usize::from(frame.sum_all()?.to_scalar::<f32>()?.is_finite());
            }
        }
        let frames = 1 + (latents.dim(1)? - 1) * tiny.config().stride_t();
        Ok(Measure {
            figure: finite as f64,
            limit: Limit::AtLeast(frames as f64),
            otherwise: "some frames have no numbers: download the file again",
        })
    });
}

/// Examines the autoencoder, and makes what the transformers are examined with.
fn subject(folder: &ModelFolder, sound: &[Role], device: &Device, recorder: &mut Recorder<'_>) -> Option<Subject> {
    if !sound.contains(&Role::Vae) {
        recorder.skip(Section::Autoencoder, "autoencoder", "its files cannot be used");
        return None;
    }
    let info = folder.info();
    let size = Size::of(info);
    let loaded = recorder.obtain(Section::Autoencoder, "loading", || {
        let weights = folder.weights(Role::Vae)?;
        let vae = WanVae::load(folder.vae_config(&weights)?, &weights, device)?;
        Ok((vae, clip::clip(size)?))
    });
    let (vae, clip) = loaded?;
    let latents = vae::check_all(&vae, &clip, recorder)?;
    tiny(folder, &vae, &latents, recorder);
    if folder.info().roles().iter().any(|role| !sound.contains(role)) {
        return None;
    }
    let texts = recorder.obtain(Section::Transformers, "texts", || texts(folder, device))?;
    let channels = match info.needs_image {
        true => recorder.obtain(Section::Transformers, "first frame", || first_frame(&vae, &clip, size))?,
        false => None,
    };
    Some(Subject { size, vae, latents, channels, texts })
}

/// The rows of the clip's prompt, and of none.
pub(super) fn texts(folder: &ModelFolder, device: &Device) -> Result<[Tensor; 2], ModelError> {
    let tokenizer = Tokenizer::load(folder.tokenizer())?;
    let umt5 = Umt5::load(folder.weights(Role::TextEncoder)?, device)?;
    Ok([umt5.encode(&tokenizer.encode(PROMPT)?.ids)?, umt5.encode(&tokenizer.encode("")?.ids)?])
}

/// The clip's first frame as channels for the transformer.
fn first_frame(vae: &WanVae, clip: &Tensor, size: Size) -> Result<Option<Tensor>, ModelError> {
    let [frames, height, width] = [size.frames, size.height, size.width].map(|dim| dim as usize);
    let rgb = rgb8(&clip.narrow(1, 0, 1)?.squeeze(1)?.permute((1, 2, 0))?.contiguous()?)?;
    conditioning::encode(
        vae,
        Anchors { first: &[RgbImage::new(width, height, rgb)?], last: None },
        [width, height],
        frames,
        || false,
    )
}
