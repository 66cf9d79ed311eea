//! What a LoRA file changes, in figures: for people who ask what it is.

use super::contents::{Change, LoraContents};
use super::names::is_of_images;
use crate::entry::Entry;
use crate::error::FileError;

/// A change in figures.
#[derive(Debug)]
pub struct Outline {
    /// Of its matrices, if it has some.
    pub rank: Option<usize>,
    /// What their product is multiplied by.
    pub scale: f64,
    /// Whether it has a plain difference.
    pub has_difference: bool,
    /// Channels of a token, if this tensor's shape tells.
    pub channels: Option<usize>,
    /// The block it is in.
    pub block: Option<usize>,
    /// The tensor, without the number of its block.
    pub module: String,
    /// Whether only transformers for images have it.
    pub of_images: bool,
}

impl LoraContents {
    /// Whether it holds adapters of two transformers.
    pub fn tells_experts_apart(&self) -> bool {
        self.experts().len() > 1
    }

    /// Its changes in figures, those of both transformers if it holds two.
    ///
    /// # Errors
    /// The file cannot be read any more.
    pub fn outline(&self) -> Result<Vec<Outline>, FileError> {
        let mut all = Vec::new();
        for expert in self.experts() {
            all.extend(self.changes(expert)?.iter().map(|(name, change)| change.outline(name)));
        }
        Ok(all)
    }
}

impl Change<'_> {
    fn outline(&self, name: &str) -> Outline {
        let parts: Vec<&str> = name.split('.').collect();
        let (block, module) = match parts.as_slice() {
            ["blocks", block, rest @ ..] => (block.parse().ok(), rest.join(".")),
            _ => (None, name.to_owned()),
        };
        let rows = |entry: &Entry| entry.shape.first().copied();
        let product = self.product();
        let channels = match module.as_str() {
            "self_attn.q.weight" | "self_attn.o.weight" | "cross_attn.q.weight" | "cross_attn.o.weight" => {
                product.map(|[rows, _]| rows).or(self.diff.and_then(rows))
            }
            "self_attn.q.bias" | "self_attn.o.bias" | "ffn.2.bias" | "norm3.weight" => self.diff.and_then(rows),
            "ffn.0.weight" => product.map(|[_, columns]| columns),
            "ffn.2.weight" => product.map(|[rows, _]| rows),
            _ => None,
        };
        Outline {
            rank: self.rank(),
            scale: self.scale(),
            has_difference: self.diff.is_some(),
            channels,
            block,
            of_images: is_of_images(name),
            module,
        }
    }
}
