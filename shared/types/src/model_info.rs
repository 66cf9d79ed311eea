//! What is known of a model without its weights.

use serde::{Deserialize, Serialize};

use crate::bounds::{self, BadMessage};
use crate::{Distilled, Expert, FrameRate, Geometry, Guidance, OwnCurve, Role, SolverKind, TinyVae, VaeKind};

/// Channels of Wan2.2's latents.
const WAN22_CHANNELS: usize = 48;

/// How many transformers denoise, and where the second takes over.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum Experts {
    /// One transformer for the whole schedule.
    Single,
    /// Integer timestep ≥ `boundary`·1000 → high, else low.
    Dual {
        /// Fraction of the training timesteps, for example 0.875.
        boundary: f64,
    },
}

/// What a manifest may leave out.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Defaults {
    /// Width in pixels.
    pub width: u32,
    /// Height in pixels.
    pub height: u32,
    /// Number of frames.
    pub frames: u32,
    /// Frames per second.
    pub fps: FrameRate,
    /// Denoising steps.
    pub steps: u32,
    /// Shift of the flow schedule.
    pub shift: f64,
    /// Sampling method.
    pub solver: SolverKind,
    /// Guidance per expert.
    pub guidance: Guidance,
    /// Negative prompt.
    pub negative: String,
}

impl Defaults {
    /// Checks that they are numbers, and none that would make a message or a plan large.
    ///
    /// # Errors
    /// The first field that cannot be worked with.
    pub fn check(&self) -> Result<(), BadMessage> {
        bounds::text("defaults.negative", &self.negative)?;
        bounds::count("defaults.width", self.width, MAX_PIXELS)?;
        bounds::count("defaults.height", self.height, MAX_PIXELS)?;
        bounds::count("defaults.frames", self.frames, MAX_FRAMES)?;
        bounds::count("defaults.steps", self.steps, bounds::MAX_STEPS)?;
        bounds::finite("defaults.shift", self.shift)?;
        bounds::finite("guidance", self.guidance.high)?;
        bounds::finite("guidance", self.guidance.low)
    }
}

/// A LoRA file that is part of a model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FixedLora {
    /// Relative to the model folder, with `/`.
    pub path: String,
    /// What its differences are multiplied by.
    pub strength: f64,
    /// The expert it is for; absent: each.
    pub expert: Option<Expert>,
}

/// The sizes of a transformer: the shapes of all its tensors follow from them.
///
/// Source: Wan2.2@42bf4cf `wan/modules/model.py` `WanModel.__init__`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Transformer {
    /// Channels of the input: latents, then what conditions them.
    pub in_dim: usize,
    /// Channels of the velocity.
    pub out_dim: usize,
    /// Channels of a token.
    pub dim: usize,
    /// Attention heads.
    pub num_heads: usize,
    /// Blocks.
    pub num_layers: usize,
    /// Channels inside the feed-forward layers.
    pub ffn_dim: usize,
    /// Channels of the timestep's sinusoid.
    pub freq_dim: usize,
    /// Channels of a text row.
    pub text_dim: usize,
    /// Text rows attended, padding included.
    pub text_len: usize,
    /// Added to variances.
    pub eps: f64,
    /// Whether cross-attention has a norm of its own.
    pub cross_attn_norm: bool,
}

impl Transformer {
    /// Wan2.2 T2V-A14B, either expert.
    ///
    /// Source of the published sizes: Wan2.2@42bf4cf `wan/configs/`; Wan2.1's for T2V-1.3B.
    pub const T2V_A14B: Self = Self {
        in_dim: 16,
        out_dim: 16,
        dim: 5120,
        num_heads: 40,
        num_layers: 40,
        ffn_dim: 13_824,
        freq_dim: 256,
        text_dim: 4096,
        text_len: 512,
        eps: 1e-6,
        cross_attn_norm: true,
    };

    /// Wan2.2 TI2V-5B.
    pub const TI2V_5B: Self =
        Self { in_dim: 48, out_dim: 48, dim: 3072, num_heads: 24, num_layers: 30, ffn_dim: 14_336, ..Self::T2V_A14B };

    /// Wan2.1 T2V-1.3B.
    pub const T2V_1_3B: Self = Self { dim: 1536, num_heads: 12, num_layers: 30, ffn_dim: 8960, ..Self::T2V_A14B };

    /// More layers than any DiT has.
    pub const MAX_LAYERS: usize = 1000;

    /// Channels of a head.
    pub fn head_dim(&self) -> usize {
        self.dim / self.num_heads
    }

    /// The autoencoder whose latents it denoises, which their channels tell. Of the published models, that of Wan2.2
    /// has a first frame inside its latents; the others have it in further channels, or not at all.
    pub fn vae(&self) -> VaeKind {
        if self.out_dim == WAN22_CHANNELS { VaeKind::Wan22 } else { VaeKind::Wan21 }
    }
}

/// A model as workers announce it and the coordinator plans with it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ModelInfo {
    /// Name that manifests use: the folder's name.
    pub name: String,
    /// Architecture preset it was recognised as, for example `t2v-a14b`.
    pub preset: String,
    /// One transformer or two.
    pub experts: Experts,
    /// The transformer; of two, either.
    pub transformer: Transformer,
    /// Autoencoder.
    pub vae: VaeKind,
    /// Size rules.
    pub geometry: Geometry,
    /// True when a first frame may be given.
    pub takes_image: bool,
    /// True when a first frame must be given.
    pub needs_image: bool,
    /// What manifests may leave out.
    pub defaults: Defaults,
    /// The MagCache curve that was measured with it, if one was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mag_curve: Option<OwnCurve>,
    /// LoRA files that are part of it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub loras: Vec<FixedLora>,
    /// The tiny autoencoder that lies with it, if one does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tiny_vae: Option<TinyVae>,
}

/// Larger sizes than any transformer has; products of a few of them can be counted.
const MAX_SIZE: usize = 1 << 24;
/// Pixels along a side, and frames, beyond any model's.
const MAX_PIXELS: u32 = 1 << 14;
const MAX_FRAMES: u32 = 1 << 16;
/// LoRA files that are part of a model.
const MAX_LORAS: usize = 256;

impl ModelInfo {
    /// True when a last frame may be given beside the first: to a model that reads known frames as channels.
    pub fn takes_last_image(&self) -> bool {
        self.takes_image && self.vae == VaeKind::Wan21
    }

    /// Checks one that came from outside: numbers that can be kept, read again and calculated with.
    ///
    /// # Errors
    /// The first field that cannot be worked with.
    pub fn check(&self) -> Result<(), BadMessage> {
        bounds::name("model name", &self.name)?;
        bounds::check_label("preset", &self.preset)?;
        if let Experts::Dual { boundary } = self.experts
            && !(boundary > 0.0 && boundary < 1.0)
        {
            return Err(BadMessage::new("boundary", format!("is {boundary}, not between 0 and 1")));
        }
        // Bounds the list of its tensors, which grows with the layers.
        if self.transformer.num_layers > Transformer::MAX_LAYERS {
            return Err(BadMessage::new("num_layers", format!("is {}", self.transformer.num_layers)));
        }
        let Transformer { in_dim, out_dim, dim, num_heads, ffn_dim, freq_dim, text_dim, text_len, eps, .. } =
            self.transformer;
        let sizes = [
            ("in_dim", in_dim),
            ("out_dim", out_dim),
            ("dim", dim),
            ("num_heads", num_heads),
            ("ffn_dim", ffn_dim),
            ("freq_dim", freq_dim),
            ("text_dim", text_dim),
            ("text_len", text_len),
        ];
        if let Some((field, size)) = sizes.into_iter().find(|(_, size)| !(1..=MAX_SIZE).contains(size)) {
            return Err(BadMessage::new(field, format!("is {size}")));
        }
        bounds::finite("eps", eps)?;
        // Zero would divide; anything large would overflow the products that follow.
        bounds::count("latent_channels", self.geometry.latent_channels, 1024)?;
        bounds::count("stride_t", self.geometry.stride_t, 64)?;
        bounds::count("stride_hw", self.geometry.stride_hw, 256)?;
        bounds::count("patch", self.geometry.patch, 64)?;
        self.defaults.check()?;
        if let Some(curve) = &self.mag_curve {
            curve.check().map_err(|error| BadMessage::new("mag_curve", error.to_string()))?;
        }
        bounds::at_most("loras", self.loras.len(), MAX_LORAS, "files")?;
        for lora in &self.loras {
            bounds::path("LoRA path", &lora.path)?;
            bounds::finite("LoRA strength", lora.strength)?;
        }
        self.tiny_vae.as_ref().map_or(Ok(()), TinyVae::check)
    }

    /// Whether it is the same model, whatever was measured with it and lies beside it.
    pub fn is_model_of(&self, other: &ModelInfo) -> bool {
        let plain = |info: &ModelInfo| ModelInfo { mag_curve: None, tiny_vae: None, ..info.clone() };
        plain(self) == plain(other)
    }

    /// With what it lacks and another machine has. Whether a tiny autoencoder is there is for a machine to say that decodes:
    /// then its word is the last, but not that there is none, for another may have it.
    pub fn and(&self, other: &ModelInfo, decodes: bool) -> Self {
        let is_here = |info: &ModelInfo| info.tiny_vae.as_ref().is_some_and(|tiny| tiny.blake3().is_some());
        let replaced = is_here(other) && (decodes || !is_here(self)) || self.tiny_vae.is_none();
        let tiny_vae = if replaced { &other.tiny_vae } else { &self.tiny_vae };
        let mag_curve = self.mag_curve.as_ref().or(other.mag_curve.as_ref());
        Self { mag_curve: mag_curve.cloned(), tiny_vae: tiny_vae.clone(), ..self.clone() }
    }

    /// What it is known to be distilled as: by its name, or those of the LoRA files that are part of it.
    pub fn distilled(&self) -> Option<&'static Distilled> {
        let loras = self.loras.iter().filter(|lora| lora.strength != 0.0).map(|lora| lora.path.as_str());
        std::iter::once(self.name.as_str()).chain(loras).find_map(Distilled::of)
    }

    /// The transformers that denoise.
    pub fn denoisers(&self) -> &'static [Expert] {
        match self.experts {
            Experts::Single => &[Expert::Single],
            Experts::Dual { .. } => &[Expert::High, Expert::Low],
        }
    }

    /// The roles that a text-to-video render of this model needs served.
    pub fn roles(&self) -> Vec<Role> {
        match self.experts {
            Experts::Single => vec![Role::TextEncoder, Role::Dit, Role::Vae],
            Experts::Dual { .. } => vec![Role::TextEncoder, Role::DitHigh, Role::DitLow, Role::Vae],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures;

    #[test]
    fn a_card_has_numbers_that_can_be_kept_and_read_again() {
        let lora = FixedLora { path: "loras/a.safetensors".into(), strength: -1.0, expert: None };
        let ratios = vec![[0.5, 0.25], [1.0, 2.0]];
        let curve = OwnCurve { steps: 3, shift: 5.0, solver: SolverKind::Euler, ratios };
        let info = fixtures::info(Experts::Dual { boundary: 0.875 });
        let good = ModelInfo { loras: vec![lora], mag_curve: Some(curve), ..info };
        assert_eq!(good.check(), Ok(()));
        let json = serde_json::to_string(&good).unwrap();
        assert_eq!(serde_json::from_str::<ModelInfo>(&json).unwrap(), good);
        let refused = |change: fn(&mut ModelInfo)| {
            let mut info = good.clone();
            change(&mut info);
            info.check().unwrap_err().to_string()
        };
        for (error, field) in [
            (refused(|info| info.experts = Experts::Dual { boundary: f64::NAN }), "boundary"),
            (refused(|info| info.experts = Experts::Dual { boundary: 1.0 }), "boundary"),
            (refused(|info| info.defaults.shift = f64::INFINITY), "defaults.shift"),
            (refused(|info| info.defaults.guidance.high = f64::NAN), "guidance"),
            (refused(|info| info.defaults.guidance.low = f64::NEG_INFINITY), "guidance"),
            (refused(|info| info.defaults.steps = 0), "defaults.steps"),
            (refused(|info| info.defaults.width = u32::MAX), "defaults.width"),
            (refused(|info| info.defaults.negative = "n".repeat(20 << 20)), "defaults.negative"),
            (refused(|info| info.loras[0].strength = f64::NAN), "LoRA strength"),
            (refused(|info| info.loras[0].path = "p".repeat(1 << 20)), "LoRA path"),
            (refused(|info| info.loras = vec![info.loras[0].clone(); 257]), "loras"),
            (refused(|info| info.name = String::new()), "model name is empty"),
            (refused(|info| info.name = "m".repeat(1 << 20)), "model name"),
            (refused(|info| info.transformer.num_layers = usize::MAX), "num_layers"),
            (refused(|info| info.transformer.dim = usize::MAX / 6 + 1), "dim"),
            (refused(|info| info.transformer.num_heads = 0), "num_heads"),
            (refused(|info| info.geometry.stride_t = 0), "stride_t"),
            (refused(|info| info.geometry.patch = 1000), "patch"),
            (refused(|info| info.mag_curve.as_mut().unwrap().ratios[0][0] = f64::NAN), "mag_curve"),
            (refused(|info| info.mag_curve.as_mut().unwrap().ratios = vec![[1.0; 2]; 1 << 20]), "mag_curve"),
        ] {
            assert!(error.starts_with(field), "{error}");
        }
    }
}
