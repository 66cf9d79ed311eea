//! Adapters of a transformer, as a video names them. Not here: what is in their files (`wanfarm_model::lora`).

use serde::{Deserialize, Serialize};

use crate::{Digest, Expert};

/// A LoRA file at a strength.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LoraRef {
    /// Name of the file in a worker's folder of LoRA files.
    pub name: String,
    /// BLAKE3 of the file: of one name, workers may hold different ones.
    pub blake3: Digest,
    /// What its differences are multiplied by.
    pub strength: f64,
    /// The expert it is for; absent: each.
    pub expert: Option<Expert>,
}

impl LoraRef {
    /// Whether it adapts this expert.
    pub fn is_for(&self, expert: Expert) -> bool {
        self.expert.is_none_or(|of| of == expert)
    }
}
