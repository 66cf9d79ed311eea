//! The sizes of a UMT5 encoder, all of which its tensors' shapes tell, and the tensors that follow from them.

use wanfarm_weights::{FileError, Param, WeightFiles};

/// Distances that a bias of attention is learnt for.
pub(super) const BUCKETS: usize = 32;
/// More layers than any UMT5 has: a number in a file must not make us allocate without bound.
const MAX_LAYERS: usize = 1000;
/// Larger sizes than any has. A tensor without numbers can have any, and products of these are counted.
const MAX_SIZE: usize = 1 << 24;

/// Sizes of a UMT5 encoder.
///
/// Source: `Wan2.2@42bf4cf wan/modules/t5.py` `T5Encoder.__init__`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Config {
    /// Tokens of the vocabulary.
    pub vocab_size: usize,
    /// Features of a token.
    pub dim: usize,
    /// Features of all attention heads together; not always `dim`.
    pub dim_attn: usize,
    /// Features inside the feed-forward layers.
    pub dim_ffn: usize,
    /// Attention heads.
    pub num_heads: usize,
    /// Blocks.
    pub num_layers: usize,
}

impl Config {
    /// Reads the sizes from tensors with official names.
    ///
    /// # Errors
    /// The tensors that tell are not there, or tell what cannot be.
    pub fn from_weights(weights: &WeightFiles) -> Result<Self, FileError> {
        let not_umt5 = |why: String| FileError::corrupt(weights.place(), format!("this is no UMT5 encoder: {why}"));
        let matrix = |name: &str| match weights.shape(name) {
            Some(&[rows, columns]) => Ok((rows, columns)),
            Some(shape) => Err(not_umt5(format!("{name} has the shape {shape:?}"))),
            None => Err(not_umt5(format!("there is no {name}"))),
        };
        let (vocab_size, dim) = matrix("token_embedding.weight")?;
        let (dim_attn, _) = matrix("blocks.0.attn.q.weight")?;
        let (dim_ffn, _) = matrix("blocks.0.ffn.fc1.weight")?;
        let (_, num_heads) = matrix("blocks.0.pos_embedding.embedding.weight")?;
        let block = |name: &str| name.strip_prefix("blocks.")?.split('.').next()?.parse::<usize>().ok();
        let num_layers = weights.names().filter_map(block).max().map_or(0, |last| last.saturating_add(1));
        if num_layers > MAX_LAYERS {
            return Err(not_umt5(format!("it has {num_layers} layers")));
        }
        let sizes = [vocab_size, dim, dim_attn, dim_ffn, num_heads];
        if let Some(size) = sizes.into_iter().find(|size| !(1..=MAX_SIZE).contains(size)) {
            return Err(not_umt5(format!("{size} is none of its sizes")));
        }
        if dim_attn % num_heads != 0 {
            return Err(not_umt5(format!("{dim_attn} features of attention are not divided by {num_heads} heads")));
        }
        Ok(Self { vocab_size, dim, dim_attn, dim_ffn, num_heads, num_layers })
    }

    /// Every tensor of the encoder, by its official name.
    pub fn parameters(&self) -> Vec<Param> {
        let mut params = vec![
            Param::new("token_embedding.weight", [self.vocab_size, self.dim]),
            Param::new("norm.weight", [self.dim]),
        ];
        for layer in 0..self.num_layers {
            let param = |name: &str, shape: &[usize]| Param::new(format!("blocks.{layer}.{name}.weight"), shape);
            params.extend([
                param("norm1", &[self.dim]),
                param("attn.q", &[self.dim_attn, self.dim]),
                param("attn.k", &[self.dim_attn, self.dim]),
                param("attn.v", &[self.dim_attn, self.dim]),
                param("attn.o", &[self.dim, self.dim_attn]),
                param("norm2", &[self.dim]),
                param("ffn.gate.0", &[self.dim_ffn, self.dim]),
                param("ffn.fc1", &[self.dim_ffn, self.dim]),
                param("ffn.fc2", &[self.dim, self.dim_ffn]),
                param("pos_embedding.embedding", &[BUCKETS, self.num_heads]),
            ]);
        }
        params
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use super::*;
    use wanfarm_weights::Naming;

    const XXL: Config =
        Config { vocab_size: 256_384, dim: 4096, dim_attn: 4096, dim_ffn: 10_240, num_heads: 64, num_layers: 24 };

    /// The tensors of a real file, by their official names.
    fn file(header: &str) -> BTreeMap<String, Vec<usize>> {
        let tensors: BTreeMap<String, Vec<usize>> = serde_json::from_str(header).unwrap();
        let naming = Naming::of(&tensors.keys().map(String::as_str).collect::<BTreeSet<_>>());
        tensors.into_iter().filter_map(|(name, shape)| Some((naming.official(&name)?, shape))).collect()
    }

    #[test]
    fn sizes_that_no_encoder_has_are_refused_before_anything_is_counted() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("t5.safetensors");
        let read = |vocabulary: usize, dim: usize, heads: usize| {
            let shape = |name: &str| match name {
                "token_embedding.weight" => [vocabulary, dim],
                "blocks.0.pos_embedding.embedding.weight" => [0, heads],
                _ => [8, dim],
            };
            let names = ["token_embedding", "blocks.0.attn.q", "blocks.0.ffn.fc1", "blocks.0.pos_embedding.embedding"];
            let names = names.map(|name| format!("{name}.weight"));
            let bytes = vec![0; 4 * vocabulary.max(8) * dim];
            let views = names.iter().map(|name| {
                let bytes = &bytes[..4 * shape(name).iter().product::<usize>()];
                let view = safetensors::tensor::TensorView::new(safetensors::Dtype::F32, shape(name).to_vec(), bytes);
                (name, view.unwrap())
            });
            std::fs::write(&path, safetensors::serialize(views, None).unwrap()).unwrap();
            Config::from_weights(&WeightFiles::open(std::slice::from_ref(&path)).unwrap()).map_err(|e| e.to_string())
        };
        assert_eq!(read(4, 6, 2).map(|config| config.dim), Ok(6));
        for (vocabulary, dim, heads, size) in [(1 << 60, 0, 2, 1usize << 60), (4, 0, 2, 0), (4, 6, 0, 0)] {
            let error = read(vocabulary, dim, heads).unwrap_err();
            assert!(error.contains(&format!("no UMT5 encoder: {size} is none of its sizes")), "{error}");
        }
    }

    #[test]
    fn parameters_are_the_tensors_of_the_real_files() {
        let params: BTreeMap<_, _> = XXL.parameters().into_iter().map(|param| (param.name, param.shape)).collect();
        assert_eq!(params.len(), 2 + 24 * 10);
        assert_eq!(params, file(include_str!("../../../weights/tests/data/umt5-xxl-encoder.json")));
        assert_eq!(params, file(include_str!("../../../weights/tests/data/diffusers-umt5-xxl.json")));
    }
}
