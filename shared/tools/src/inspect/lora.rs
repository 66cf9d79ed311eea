//! What a LoRA file is: from its header and its alphas; no matrix is read.

use std::collections::BTreeSet;
use std::fmt;
use std::path::{Path, PathBuf};

use serde::Serialize;
use wanfarm_types::Expert;

use wanfarm_model::folder::{named_expert, of_width};
use wanfarm_weights::FileError;
use wanfarm_weights::lora::LoraContents;

/// A LoRA file in figures.
#[derive(Debug, Serialize)]
pub struct LoraInspection {
    /// Path of the file.
    pub path: PathBuf,
    /// Length of the file in bytes.
    pub bytes: u64,
    /// Pairs of matrices, for both transformers if it tells them apart.
    pub pairs: usize,
    /// Plain differences of tensors.
    pub differences: usize,
    /// The least and the greatest rank of its pairs; absent without pairs.
    pub ranks: Option<[usize; 2]>,
    /// The least and the greatest factor, alpha over rank, at strength 1; absent without pairs.
    pub scales: Option<[f64; 2]>,
    /// Channels of a token in the model it was made for, where that can be told.
    pub channels: Option<usize>,
    /// Blocks of that model, at least.
    pub blocks: usize,
    /// What it changes, without the numbers of the blocks.
    pub modules: Vec<String>,
    /// Of these changes, those for parts that only Wan2.1's image-to-video models have.
    pub of_images: usize,
    /// The transformer it is for, as far as its keys or its name say.
    pub expert: Option<&'static str>,
    /// The published models of that width and depth.
    pub suits: Vec<&'static str>,
}

/// Whether a file has keys that only LoRA files have.
pub fn is_lora(path: &Path) -> bool {
    path.is_file() && LoraContents::has_adapters(path)
}

/// Says what a LoRA file is.
///
/// # Errors
/// It cannot be read, or cannot be used with any model.
pub fn inspect_lora(path: &Path) -> Result<LoraInspection, FileError> {
    let lora = LoraContents::open(path)?;
    let bytes = std::fs::metadata(path).map_err(|source| FileError::io(path, source))?.len();
    let all = lora.outline()?;
    let range = |values: Vec<f64>| {
        let least = values.iter().copied().reduce(f64::min)?;
        Some([least, values.iter().copied().reduce(f64::max)?])
    };
    let ranks = range(all.iter().filter_map(|change| change.rank).map(|rank| rank as f64).collect());
    let scales = range(all.iter().filter(|change| change.rank.is_some()).map(|change| change.scale).collect());
    let channels = all.iter().find_map(|change| change.channels);
    let blocks = all.iter().filter_map(|change| change.block).max().map_or(0, |last| last.saturating_add(1));
    let modules: BTreeSet<String> = all.iter().map(|change| change.module.clone()).collect();
    Ok(LoraInspection {
        path: path.to_owned(),
        bytes,
        pairs: all.iter().filter(|change| change.rank.is_some()).count(),
        differences: all.iter().filter(|change| change.has_difference).count(),
        ranks: ranks.map(|ranks| ranks.map(|rank| rank as usize)),
        scales,
        channels,
        blocks,
        modules: modules.into_iter().collect(),
        of_images: all.iter().filter(|change| change.of_images).count(),
        expert: if lora.tells_experts_apart() {
            Some("both, each its own")
        } else {
            named_expert(path).map(Expert::name)
        },
        suits: channels.map(|channels| of_width(channels, blocks)).unwrap_or_default(),
    })
}

impl fmt::Display for LoraInspection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let of = |[least, most]: [String; 2]| if least == most { least } else { format!("{least} to {most}") };
        let expert = self.expert.map(|expert| format!(", for the expert: {expert}")).unwrap_or_default();
        writeln!(f, "{}: a LoRA file{expert}", self.path.display())?;
        if let (Some(ranks), Some(scales)) = (self.ranks, self.scales) {
            let (ranks, scales) =
                (of(ranks.map(|rank| rank.to_string())), of(scales.map(|scale| format!("{scale:.3}"))));
            writeln!(f, "  {} pairs of matrices of rank {ranks}, times {scales} (alpha over rank)", self.pairs)?;
        }
        if self.differences > 0 {
            writeln!(f, "  {} plain differences", self.differences)?;
        }
        let channels = self.channels.map_or("unknown".to_owned(), |channels| channels.to_string());
        writeln!(f, "  made for a transformer of {channels} channels and at least {} blocks", self.blocks)?;
        match self.suits.as_slice() {
            [] => writeln!(f, "  no published model has that width and depth")?,
            suits => writeln!(f, "  of the published models: {}", suits.join(", "))?,
        }
        writeln!(f, "  changes {}", self.modules.join(", "))?;
        if self.of_images > 0 {
            let count = self.of_images;
            writeln!(f, "  {count} changes are for image parts of Wan2.1; models without those take the rest")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_published_lora_is_told_in_figures() {
        let golden = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/golden/data/e2e_distill4"));
        let path = golden.join("lora_high_noise_model.safetensors");
        assert!(is_lora(&path));
        let told = inspect_lora(&path).unwrap();
        assert_eq!(told.expert, Some("high"));
        assert!(told.pairs > 0 && told.ranks.is_some() && told.channels.is_some() && told.blocks > 0, "{told:?}");
        assert!(told.suits.is_empty(), "no published model is so small");
        let words = told.to_string();
        assert!(words.contains("a LoRA file, for the expert: high") && words.contains("of rank "), "{words}");
        let model = golden.join("../e2e_t2v_a14b");
        assert!(!is_lora(&model));
    }
}
