//! What a model folder turned out to be: everything others need to know about it without its weights.

use serde::{Deserialize, Serialize};

use crate::{Digest, Expert, FixedLora, FrameRate, Geometry, Guidance, OwnCurve, Role, SolverKind};

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

/// Which autoencoder the model uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum VaeKind {
    /// Wan2.1: 4×8×8, 16 channels.
    #[serde(rename = "2.1")]
    Wan21,
    /// Wan2.2: 4×16×16, 48 channels.
    #[serde(rename = "2.2")]
    Wan22,
}

/// What a manifest may leave out.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Defaults {
    /// Pixels.
    pub width: u32,
    /// Pixels.
    pub height: u32,
    /// Count.
    pub frames: u32,
    /// Frames per second.
    pub fps: FrameRate,
    /// Denoising steps.
    pub steps: u32,
    /// Shift of the flow schedule.
    pub shift: f64,
    /// Method.
    pub solver: SolverKind,
    /// Guidance per expert.
    pub guidance: Guidance,
    /// Negative prompt.
    pub negative: String,
}

/// One file whose bytes decide the result.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ModelFile {
    /// Path relative to the model folder, with `/`.
    pub path: String,
    /// BLAKE3 of the file.
    pub blake3: Digest,
}

/// The sizes of a transformer: the shapes of all its tensors follow from them.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Transformer {
    /// Channels of the input: latents, then what conditions them.
    pub in_dim: u32,
    /// Channels of the velocity.
    pub out_dim: u32,
    /// Channels of a token.
    pub dim: u32,
    /// Attention heads.
    pub num_heads: u32,
    /// Blocks.
    pub num_layers: u32,
    /// Channels inside the feed-forward layers.
    pub ffn_dim: u32,
    /// Channels of the timestep's sinusoid.
    pub freq_dim: u32,
    /// Channels of a text row.
    pub text_dim: u32,
    /// Text rows attended, padding included.
    pub text_len: u32,
    /// Added to variances.
    pub eps: f64,
    /// Whether cross-attention has a norm of its own.
    pub cross_attn_norm: bool,
}

/// A model as workers announce it and the coordinator plans with it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ModelCard {
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
}

impl ModelCard {
    /// Whether it is the same model, whatever was measured with it.
    pub fn is_model_of(&self, other: &ModelCard) -> bool {
        let plain = |card: &ModelCard| ModelCard { mag_curve: None, ..card.clone() };
        plain(self) == plain(other)
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
