//! The sizes of a DiT: read from its tensors' shapes, and from `config.json` where shapes do not tell.

use wanfarm_types::{Transformer, VaeKind};

use crate::error::ModelError;
use crate::files::config::ConfigFile;
use crate::weights::Weights;

/// Latent frames, rows and columns per token. All Wan models share it.
///
/// Source: Wan2.2@42bf4cf `wan/configs/wan_t2v_A14B.py` `patch_size`.
pub(crate) const PATCH: [usize; 3] = [1, 2, 2];
/// Channels of a head where nothing says otherwise.
const HEAD_DIM: usize = 128;
/// Channels of Wan2.2's latents.
const WAN22_CHANNELS: usize = 48;
/// More layers than any DiT has.
const MAX_LAYERS: usize = 1000;

/// Sizes of a DiT.
///
/// Source: Wan2.2@42bf4cf `wan/modules/model.py` `WanModel.__init__`.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
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

impl Config {
    /// Reads the sizes of a DiT with official names.
    ///
    /// # Errors
    /// The tensors that tell are not there, or the head count cannot be known.
    pub fn from_weights(weights: &Weights, file: &ConfigFile) -> Result<Self, ModelError> {
        let shape = |name: &str, rank: usize| match weights.shape(name) {
            Some(shape) if shape.len() == rank => Ok(shape),
            Some(shape) => Err(ModelError::corrupt(weights.place(), format!("{name} has the shape {shape:?}"))),
            None => Err(ModelError::corrupt(weights.place(), format!("this is no Wan DiT: there is no {name}"))),
        };
        let patch = shape("patch_embedding.weight", 5)?;
        let block = |name: &str| name.strip_prefix("blocks.")?.split('.').next()?.parse::<usize>().ok();
        let layers = weights.names().filter_map(block).max().map_or(0, |last| last.saturating_add(1));
        // A file that lacks its last blocks must not pass for a smaller model.
        let num_layers = layers.max(file.count(&["num_layers"])?.unwrap_or(0));
        let config = Self {
            in_dim: patch[1],
            out_dim: shape("head.head.weight", 2)?[0] / PATCH.iter().product::<usize>(),
            dim: patch[0],
            num_heads: heads(file, patch[0])?,
            num_layers,
            ffn_dim: shape("blocks.0.ffn.0.weight", 2)?[0],
            freq_dim: shape("time_embedding.0.weight", 2)?[1],
            text_dim: shape("text_embedding.0.weight", 2)?[1],
            text_len: file.count(&["text_len"])?.unwrap_or(512),
            eps: file.number(&["eps"])?.unwrap_or(1e-6),
            cross_attn_norm: weights.shape("blocks.0.norm3.weight").is_some(),
        };
        config.checked(file)
    }

    /// The autoencoder whose latents it denoises, which their channels tell. Of the published models, that of Wan2.2
    /// has a first frame inside its latents; the others have it in further channels, or not at all.
    pub fn vae(&self) -> VaeKind {
        if self.out_dim == WAN22_CHANNELS { VaeKind::Wan22 } else { VaeKind::Wan21 }
    }

    /// Reads the sizes from `config.json` alone, for a folder that holds other parts of the model.
    ///
    /// # Errors
    /// A key is missing or impossible.
    pub fn from_file(file: &ConfigFile) -> Result<Self, ModelError> {
        let needed =
            |keys: &[&str]| file.count(keys)?.ok_or_else(|| file.wrong(format!("there is no {}", keys.join(" or "))));
        let dim = match file.count(&["dim"])? {
            Some(dim) => dim,
            None => needed(&["num_attention_heads"])? * needed(&["attention_head_dim"])?,
        };
        let config = Self {
            in_dim: needed(&["in_dim", "in_channels"])?,
            out_dim: needed(&["out_dim", "out_channels"])?,
            dim,
            num_heads: heads(file, dim)?,
            num_layers: needed(&["num_layers"])?,
            ffn_dim: needed(&["ffn_dim"])?,
            freq_dim: file.count(&["freq_dim"])?.unwrap_or(256),
            text_dim: file.count(&["text_dim"])?.unwrap_or(4096),
            text_len: file.count(&["text_len"])?.unwrap_or(512),
            eps: file.number(&["eps"])?.unwrap_or(1e-6),
            cross_attn_norm: file.flag("cross_attn_norm")?.unwrap_or(true),
        };
        config.checked(file)
    }

    /// As a model card has them.
    pub fn sizes(&self) -> Transformer {
        // Counts are bounded where they are read, and shapes are of tensors that lie in memory.
        let count = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
        Transformer {
            in_dim: count(self.in_dim),
            out_dim: count(self.out_dim),
            dim: count(self.dim),
            num_heads: count(self.num_heads),
            num_layers: count(self.num_layers),
            ffn_dim: count(self.ffn_dim),
            freq_dim: count(self.freq_dim),
            text_dim: count(self.text_dim),
            text_len: count(self.text_len),
            eps: self.eps,
            cross_attn_norm: self.cross_attn_norm,
        }
    }

    /// Channels of a head.
    pub fn head_dim(&self) -> usize {
        self.dim / self.num_heads
    }

    fn checked(self, file: &ConfigFile) -> Result<Self, ModelError> {
        if !self.dim.is_multiple_of(self.num_heads) || !self.head_dim().is_multiple_of(2) {
            let why = format!("{} channels do not make {} heads of even width", self.dim, self.num_heads);
            return Err(file.wrong(why));
        }
        if self.num_layers > MAX_LAYERS {
            return Err(file.wrong(format!("{} layers are more than any DiT has", self.num_layers)));
        }
        if !self.freq_dim.is_multiple_of(2) {
            return Err(file.wrong(format!("freq_dim = {} is odd", self.freq_dim)));
        }
        Ok(self)
    }
}

impl From<&Transformer> for Config {
    fn from(sizes: &Transformer) -> Self {
        Self {
            in_dim: sizes.in_dim as usize,
            out_dim: sizes.out_dim as usize,
            dim: sizes.dim as usize,
            num_heads: sizes.num_heads as usize,
            num_layers: sizes.num_layers as usize,
            ffn_dim: sizes.ffn_dim as usize,
            freq_dim: sizes.freq_dim as usize,
            text_dim: sizes.text_dim as usize,
            text_len: sizes.text_len as usize,
            eps: sizes.eps,
            cross_attn_norm: sizes.cross_attn_norm,
        }
    }
}

/// The head count: shapes do not tell it.
fn heads(file: &ConfigFile, dim: usize) -> Result<usize, ModelError> {
    match file.count(&["num_heads", "num_attention_heads"])? {
        Some(heads) => Ok(heads),
        None if dim.is_multiple_of(HEAD_DIM) && dim > 0 => Ok(dim / HEAD_DIM),
        None => Err(file.wrong(format!(
            "the number of heads of a model with {dim} channels is not known; put a config.json with num_heads here"
        ))),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use super::*;
    use crate::dit::parameters;
    use crate::files::names::Naming;

    /// The tensors of a published file. In the data, `*` stands for the number of each of the layers.
    #[derive(serde::Deserialize)]
    struct Header {
        parameters: u64,
        layers: usize,
        tensors: BTreeMap<String, Vec<usize>>,
    }

    /// Official name → shape of every tensor.
    fn tensors(header: &str) -> BTreeMap<String, Vec<usize>> {
        let Header { parameters, layers, tensors } = serde_json::from_str(header).unwrap();
        let of_layers = |(name, shape): (String, Vec<usize>)| {
            let layers = if name.contains('*') { layers } else { 1 };
            (0..layers).map(move |i| (name.replace('*', &i.to_string()), shape.clone())).collect::<Vec<_>>()
        };
        let tensors: BTreeMap<_, _> = tensors.into_iter().flat_map(of_layers).collect();
        let count = |shape: &Vec<usize>| shape.iter().product::<usize>() as u64;
        assert_eq!(tensors.values().map(count).sum::<u64>(), parameters, "the data is complete");
        let naming = Naming::of(&tensors.keys().map(String::as_str).collect::<BTreeSet<_>>());
        tensors.into_iter().filter_map(|(name, shape)| Some((naming.official(&name)?, shape))).collect()
    }

    fn config(
        in_dim: usize,
        out_dim: usize,
        dim: usize,
        num_heads: usize,
        num_layers: usize,
        ffn_dim: usize,
    ) -> Config {
        let (freq_dim, text_dim, text_len, eps, cross_attn_norm) = (256, 4096, 512, 1e-6, true);
        Config {
            in_dim,
            out_dim,
            dim,
            num_heads,
            num_layers,
            ffn_dim,
            freq_dim,
            text_dim,
            text_len,
            eps,
            cross_attn_norm,
        }
    }

    #[test]
    fn parameters_are_the_tensors_of_the_published_files() {
        macro_rules! headers {
            ($name:literal) => {
                [
                    include_str!(concat!("../../tests/data/dit-", $name, ".json")),
                    include_str!(concat!("../../tests/data/diffusers-dit-", $name, ".json")),
                ]
            };
        }
        for (config, headers) in [
            (config(16, 16, 5120, 40, 40, 13_824), headers!("t2v-A14B")),
            (config(36, 16, 5120, 40, 40, 13_824), headers!("i2v-A14B")),
            (config(48, 48, 3072, 24, 30, 14_336), headers!("ti2v-5B")),
            (config(16, 16, 1536, 12, 30, 8960), headers!("t2v-1.3B")),
        ] {
            let params: BTreeMap<_, _> = parameters(&config).into_iter().map(|p| (p.name, p.shape)).collect();
            assert_eq!(params.len(), parameters(&config).len(), "no name twice");
            assert_eq!(Config::from(&config.sizes()), config);
            for header in headers {
                assert_eq!(tensors(header), params);
            }
        }
    }
}
