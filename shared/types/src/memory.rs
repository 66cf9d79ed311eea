//! What roles and items take of a device's memory, and what is in it.

use serde::{Deserialize, Serialize};

use crate::Role;

/// A role of a model.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ModelRole {
    /// The model's name.
    pub model: String,
    /// The role within the model.
    pub role: Role,
}

/// How large an item is, in tokens of the transformer.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ItemSize {
    /// Of the whole video.
    pub tokens: u64,
    /// Of one frame of its latents.
    pub frame: u64,
    /// Those of which a step cache keeps what the blocks added in one pass while another is computed.
    pub kept: u64,
}

/// Bytes of a device's memory that a role takes: its weights while they are loaded, and what an item takes beside them
/// while it runs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Footprint {
    /// Weights, as they are held.
    pub weights: u64,
    /// Of an item, whatever its size.
    pub item: u64,
    /// Of an item, per token of its video.
    pub per_token: u64,
    /// Of an item, per token of one frame of latents.
    pub per_frame_token: u64,
    /// Of an item, per token of which a step cache keeps something.
    #[serde(default)]
    pub per_kept_token: u64,
}

/// How far the loading of weights is.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct LoadProgress {
    /// Bytes of the files that were read.
    #[serde(rename = "read_bytes")]
    pub read: u64,
    /// Bytes that there are to be read.
    #[serde(rename = "of_bytes")]
    pub of: u64,
    /// Seconds since it began.
    pub seconds: f64,
}

impl Footprint {
    /// Bytes that an item takes beside the weights.
    pub fn of_item(&self, size: ItemSize) -> u64 {
        let Self { item, per_token, per_frame_token, per_kept_token, weights: _ } = *self;
        item.saturating_add(per_token.saturating_mul(size.tokens))
            .saturating_add(per_frame_token.saturating_mul(size.frame))
            .saturating_add(per_kept_token.saturating_mul(size.kept))
    }

    /// Bytes that weights and an item take together.
    pub fn needs(&self, size: ItemSize) -> u64 {
        self.weights.saturating_add(self.of_item(size))
    }
}

impl LoadProgress {
    /// Bytes per second so far; 0 while that cannot be told.
    pub fn speed(&self) -> f64 {
        let speed = self.read as f64 / self.seconds;
        if speed.is_finite() { speed } else { 0.0 }
    }

    /// True when all is read.
    pub fn is_done(&self) -> bool {
        self.read >= self.of
    }
}

impl std::fmt::Display for ModelRole {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} of {}", self.role, self.model)
    }
}
