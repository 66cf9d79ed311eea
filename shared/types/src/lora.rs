//! Adapters of a transformer, as a video names them. Not here: what is in their files (`wanfarm_model::lora`).

use serde::{Deserialize, Serialize};

use crate::{Digest, Expert, ModelInfo};

/// A LoRA file at a strength.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct LoraRef {
    /// The file's name, without its folder.
    pub name: String,
    /// BLAKE3 of the file: of one name, workers may hold different ones.
    #[cfg_attr(feature = "openapi", schema(value_type = String, pattern = "^[0-9a-f]{64}$"))]
    pub blake3: Digest,
    /// Length of the file.
    pub bytes: u64,
    /// What its differences are multiplied by.
    pub strength: f64,
    /// The expert it is for; absent: each.
    pub expert: Option<Expert>,
}

/// No LoRA file is larger.
pub const MAX_LORA_BYTES: u64 = 8 << 30;
/// Beyond this, a strength means nothing.
pub const MAX_STRENGTH: f64 = 100.0;

/// An adapter that a video cannot have.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum LoraError {
    /// An expert that the model lacks.
    #[error("the LoRA {name} is for an expert {expert} that {model} does not have; leave expert out")]
    NoSuchExpert {
        /// Of the file.
        name: String,
        /// In manifests' words.
        expert: &'static str,
        /// Name of the model.
        model: String,
    },
    /// The same file twice for one expert.
    #[error("the LoRA {name} is there twice for one expert; name it once, with the strengths added")]
    Twice {
        /// Of the file.
        name: String,
    },
}

impl LoraRef {
    /// Whether it adapts this expert.
    pub fn is_for(&self, expert: Expert) -> bool {
        self.expert.is_none_or(|of| of == expert)
    }

    /// Whether a model has the expert that it names.
    ///
    /// # Errors
    /// It has not.
    pub fn check(&self, info: &ModelInfo) -> Result<(), LoraError> {
        let Some(expert) = self.expert else { return Ok(()) };
        let is_there = info.denoisers().contains(&expert);
        let missing =
            || LoraError::NoSuchExpert { name: self.name.clone(), expert: expert.name(), model: info.name.clone() };
        is_there.then_some(()).ok_or_else(missing)
    }

    /// Whether a file stands twice for one expert.
    pub fn repeats(&self, other: &LoraRef) -> bool {
        let same_expert = self.expert.is_none() || other.expert.is_none() || self.expert == other.expert;
        self.blake3 == other.blake3 && same_expert
    }
}
