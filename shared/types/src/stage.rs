//! Stages of a video, the experts of a model, and the roles workers hold.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Which transformer denoises. A14B models have a `High` and a `Low` expert; the others have one, `Single`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Expert {
    /// The noisy part of the schedule.
    High,
    /// The rest of it.
    Low,
    /// The only transformer of a single-expert model.
    Single,
}

/// A step of a video's way, in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// Prompt and negative prompt → text contexts.
    EncodeText,
    /// First frame → image latents.
    EncodeImage,
    /// Steps of the high-noise expert.
    DenoiseHigh,
    /// Steps of the low-noise expert.
    DenoiseLow,
    /// Steps of a single-expert model.
    Denoise,
    /// Latents → frames.
    Decode,
}

/// What a worker can do: the weights it holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// UMT5: serves `encode_text`.
    TextEncoder,
    /// The high-noise expert: serves `denoise_high`.
    DitHigh,
    /// The low-noise expert: serves `denoise_low`.
    DitLow,
    /// The transformer of a single-expert model: serves `denoise`.
    Dit,
    /// The VAE: serves `encode_image` and `decode`.
    Vae,
}

impl Stage {
    /// All stages, in the order a video passes them.
    pub const ALL: [Stage; 6] =
        [Stage::EncodeText, Stage::EncodeImage, Stage::DenoiseHigh, Stage::DenoiseLow, Stage::Denoise, Stage::Decode];

    /// The role that serves this stage.
    pub fn role(self) -> Role {
        match self {
            Stage::EncodeText => Role::TextEncoder,
            Stage::EncodeImage | Stage::Decode => Role::Vae,
            Stage::DenoiseHigh => Role::DitHigh,
            Stage::DenoiseLow => Role::DitLow,
            Stage::Denoise => Role::Dit,
        }
    }

    /// The expert that runs in this stage, if it is a denoising one.
    pub fn expert(self) -> Option<Expert> {
        match self {
            Stage::DenoiseHigh => Some(Expert::High),
            Stage::DenoiseLow => Some(Expert::Low),
            Stage::Denoise => Some(Expert::Single),
            Stage::EncodeText | Stage::EncodeImage | Stage::Decode => None,
        }
    }

    /// Its name in files, logs and tables.
    pub fn name(self) -> &'static str {
        match self {
            Stage::EncodeText => "encode_text",
            Stage::EncodeImage => "encode_image",
            Stage::DenoiseHigh => "denoise_high",
            Stage::DenoiseLow => "denoise_low",
            Stage::Denoise => "denoise",
            Stage::Decode => "decode",
        }
    }
}

impl Expert {
    /// Its name in manifests; the only one of a model has no need of one.
    pub const fn name(self) -> &'static str {
        match self {
            Expert::High => "high",
            Expert::Low => "low",
            Expert::Single => "single",
        }
    }

    /// The stage in which this expert runs.
    pub fn stage(self) -> Stage {
        match self {
            Expert::High => Stage::DenoiseHigh,
            Expert::Low => Stage::DenoiseLow,
            Expert::Single => Stage::Denoise,
        }
    }
}

impl Role {
    /// All roles.
    pub const ALL: [Role; 5] = [Role::TextEncoder, Role::DitHigh, Role::DitLow, Role::Dit, Role::Vae];

    /// Its name on the command line and in tables.
    pub fn name(self) -> &'static str {
        match self {
            Role::TextEncoder => "text-encoder",
            Role::DitHigh => "dit-high",
            Role::DitLow => "dit-low",
            Role::Dit => "dit",
            Role::Vae => "vae",
        }
    }

    /// The expert whose weights this role holds, if any.
    pub fn expert(self) -> Option<Expert> {
        match self {
            Role::DitHigh => Some(Expert::High),
            Role::DitLow => Some(Expert::Low),
            Role::Dit => Some(Expert::Single),
            Role::TextEncoder | Role::Vae => None,
        }
    }
}

/// The text names no role.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no role is called {0:?}; the roles are text-encoder, dit-high, dit-low, dit, vae")]
pub struct BadRole(String);

impl FromStr for Role {
    type Err = BadRole;

    fn from_str(text: &str) -> Result<Self, BadRole> {
        Role::ALL.into_iter().find(|role| role.name() == text).ok_or_else(|| BadRole(text.to_owned()))
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}
