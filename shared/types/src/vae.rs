//! The autoencoders of a model.

use serde::{Deserialize, Serialize};

use crate::Digest;
use crate::bounds::{self, BadMessage};

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

/// What of a tiny autoencoder lies with a model.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TinyVae {
    /// One that decodes its latents.
    Here {
        /// Relative to the model folder, with `/`, or to the folder that the model lies in.
        file: String,
        /// Of the file's bytes.
        blake3: Digest,
    },
    /// None that does: why the one that is there does not.
    Unfit(String),
}

impl TinyVae {
    /// None that decodes, and why: no longer than others are to keep, in characters that can be shown.
    pub fn unfit(why: String) -> Self {
        Self::Unfit(bounds::reason(why))
    }

    /// The published file for latents of this kind.
    pub fn wanted(vae: VaeKind) -> &'static str {
        match vae {
            VaeKind::Wan21 => "taew2_1.safetensors",
            VaeKind::Wan22 => "taew2_2.safetensors",
        }
    }

    /// The bytes of the file that decodes, if there is one.
    pub fn blake3(&self) -> Option<Digest> {
        match self {
            Self::Here { blake3, .. } => Some(*blake3),
            Self::Unfit(_) => None,
        }
    }

    pub(crate) fn check(&self) -> Result<(), BadMessage> {
        match self {
            Self::Here { file, .. } => bounds::path("tiny VAE", file),
            Self::Unfit(why) => bounds::text("tiny VAE", why),
        }
    }
}
