//! The encoder itself. Its layers pass through memory one by one, widened to f32: the weights stay where they are, in
//! the file's type in a memory-mapped file, and 11 GB of them never become 22.
//!
//! Not here: half-precision arithmetic. The network is run once per prompt, and in f32 it is right on every device.
//! Neither is padding: the encoder masks it, so that real tokens alone give the same rows.

use candle_core::{DType, Device, Tensor};

use super::bias::{buckets, position_bias};
use super::config::Config;
use crate::error::ModelError;
use crate::layers::Linear;
use crate::ops::attention::attend;
use crate::ops::norm::rms_norm;
use crate::weights::Weights;

/// Added to mean squares.
const EPS: f64 = 1e-6;

/// A UMT5 encoder.
///
/// Source: `Wan2.2@42bf4cf wan/modules/t5.py` `T5Encoder`.
#[derive(Debug)]
pub struct Umt5 {
    config: Config,
    weights: Weights,
    device: Device,
}

impl Umt5 {
    /// Checks that the files hold exactly the encoder's tensors. They are read when prompts are encoded.
    ///
    /// # Errors
    /// Tensors that are missing, unexpected, misshapen or of an unusable type; all are named.
    pub fn load(weights: Weights, device: &Device) -> Result<Self, ModelError> {
        let config = Config::from_weights(weights.files())?;
        weights.files().check(&config.parameters())?;
        Ok(Self { config, weights, device: device.clone() })
    }

    /// Sizes of the network.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Encodes the ids of one prompt.
    ///
    /// # Shapes
    /// → f32 `(ids, dim)`.
    ///
    /// # Errors
    /// As [`Umt5::encode_all`].
    pub fn encode(&self, ids: &[u32]) -> Result<Tensor, ModelError> {
        let encoded = self.encode_all(&[ids])?.pop();
        encoded.ok_or_else(|| ModelError::input("prompt", "there is none to encode"))
    }

    /// Encodes several prompts, each for itself, while the weights pass through memory once.
    ///
    /// # Shapes
    /// → for each prompt f32 `(ids, dim)`.
    ///
    /// # Errors
    /// A prompt without ids, or with one beyond the vocabulary; a device out of memory.
    pub fn encode_all(&self, prompts: &[&[u32]]) -> Result<Vec<Tensor>, ModelError> {
        let mut rows = prompts.iter().map(|ids| self.embed(ids)).collect::<Result<Vec<_>, _>>()?;
        let buckets = prompts.iter().map(|ids| buckets(ids.len(), &self.device)).collect::<Result<Vec<_>, _>>()?;
        for layer in 0..self.config.num_layers {
            let block = Block::load(&self.weights, layer, self.config.num_heads, &self.device)?;
            for (x, buckets) in rows.iter_mut().zip(&buckets) {
                *x = block.forward(x, buckets)?;
            }
            // Only now does a GPU's memory pool take the layer's buffers back.
            self.device.synchronize()?;
        }
        let norm = self.weights.tensor("norm.weight", Some(DType::F32), &self.device)?;
        rows.iter().map(|x| rms_norm(x, &norm, EPS)).collect()
    }

    /// The rows of the embedding table, widened only after they are picked.
    fn embed(&self, ids: &[u32]) -> Result<Tensor, ModelError> {
        if ids.is_empty() {
            return Err(ModelError::input("prompt", "it has no ids; even an empty text has its end mark"));
        }
        if let Some(id) = ids.iter().find(|&&id| id as usize >= self.config.vocab_size) {
            let why = format!(
                "id {id} is beyond the {} tokens of the text encoder; its tokenizer.json is another model's",
                self.config.vocab_size
            );
            return Err(ModelError::input("prompt", why));
        }
        let rows = self.weights.rows("token_embedding.weight", ids)?;
        Ok(rows.to_dtype(DType::F32)?.to_device(&self.device)?)
    }
}

/// One layer: attention, then a gated feed-forward network, each added to what it was given.
///
/// Source: `Wan2.2@42bf4cf wan/modules/t5.py` `T5SelfAttention`, `T5Attention`, `T5FeedForward`.
struct Block {
    num_heads: usize,
    norm1: Tensor,
    q: Linear,
    k: Linear,
    v: Linear,
    o: Linear,
    pos_embedding: Tensor,
    norm2: Tensor,
    gate: Linear,
    fc1: Linear,
    fc2: Linear,
}

impl Block {
    fn load(weights: &Weights, layer: usize, num_heads: usize, device: &Device) -> Result<Self, ModelError> {
        let tensor = |name: &str| weights.tensor(&format!("blocks.{layer}.{name}.weight"), Some(DType::F32), device);
        let linear = |name: &str| Linear::load(weights, &format!("blocks.{layer}.{name}"), false, DType::F32, device);
        Ok(Self {
            num_heads,
            norm1: tensor("norm1")?,
            q: linear("attn.q")?,
            k: linear("attn.k")?,
            v: linear("attn.v")?,
            o: linear("attn.o")?,
            pos_embedding: tensor("pos_embedding.embedding")?,
            norm2: tensor("norm2")?,
            gate: linear("ffn.gate.0")?,
            fc1: linear("ffn.fc1")?,
            fc2: linear("ffn.fc2")?,
        })
    }

    /// # Shapes
    /// `x` f32 `(len, dim)`, `buckets` u32 `(len · len)` → f32 `(len, dim)`.
    fn forward(&self, x: &Tensor, buckets: &Tensor) -> Result<Tensor, ModelError> {
        let x = (x + self.attention(&rms_norm(x, &self.norm1, EPS)?, buckets)?)?;
        let y = rms_norm(&x, &self.norm2, EPS)?;
        // candle's `gelu` is the tanh approximation, which UMT5 means; the exact one is 2e-4 away.
        let hidden = (self.gate.forward(&y)?.gelu()? * self.fc1.forward(&y)?)?;
        Ok((x + self.fc2.forward(&hidden)?)?)
    }

    /// Scores are not divided by the root of the head's size: T5 has that in its initial weights.
    fn attention(&self, x: &Tensor, buckets: &Tensor) -> Result<Tensor, ModelError> {
        let len = x.dim(0)?;
        let heads = |rows: Tensor| rows.reshape((len, self.num_heads, ()))?.transpose(0, 1)?.contiguous();
        let (q, k, v) = (heads(self.q.forward(x)?)?, heads(self.k.forward(x)?)?, heads(self.v.forward(x)?)?);
        let bias = position_bias(&self.pos_embedding, buckets, len)?;
        let rows = attend(&q, &k, &v, Some(&bias), 1.)?.transpose(0, 1)?.contiguous()?.reshape((len, ()))?;
        self.o.forward(&rows)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    const CONFIG: Config = Config { vocab_size: 20, dim: 12, dim_attn: 8, dim_ffn: 10, num_heads: 2, num_layers: 2 };

    /// An encoder with values that bf16 holds exactly, stored in `dtype`.
    fn weights(dtype: DType, leave_out: &str) -> Weights {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("encoder.safetensors");
        let tensors = CONFIG.parameters().into_iter().enumerate().filter(|(_, param)| param.name != leave_out);
        let tensors = tensors.map(|(salt, param)| {
            let values: Vec<f32> = (0..param.shape.iter().product())
                .map(|i: usize| ((i * 37 + salt * 11) % 101) as f32 / 64. - 0.75)
                .collect();
            let tensor = Tensor::from_vec(values, param.shape, &Device::Cpu).unwrap();
            (param.name, tensor.to_dtype(dtype).unwrap())
        });
        candle_core::safetensors::save(&tensors.collect::<HashMap<_, _>>(), &path).unwrap();
        Weights::open(&[path]).unwrap()
    }

    fn rows(tensor: &Tensor) -> Vec<Vec<f32>> {
        tensor.to_vec2().unwrap()
    }

    #[test]
    fn sizes_are_read_from_the_tensors() {
        assert_eq!(*Umt5::load(weights(DType::F32, ""), &Device::Cpu).unwrap().config(), CONFIG);
    }

    #[test]
    fn arithmetic_is_f32_whatever_the_file_holds() {
        let wide = Umt5::load(weights(DType::F32, ""), &Device::Cpu).unwrap().encode(&[3, 19, 0, 3]).unwrap();
        let narrow = Umt5::load(weights(DType::BF16, ""), &Device::Cpu).unwrap().encode(&[3, 19, 0, 3]).unwrap();
        assert_eq!((wide.dtype(), wide.dims()), (DType::F32, [4, 12].as_slice()));
        assert_eq!(rows(&wide), rows(&narrow));
        assert!(rows(&wide)[0] != rows(&wide)[3], "one token in two places has two results");
    }

    #[test]
    fn prompts_do_not_touch_each_other() {
        let encoder = Umt5::load(weights(DType::F32, ""), &Device::Cpu).unwrap();
        let (long, short): (&[u32], &[u32]) = (&[5, 6, 7, 8, 1], &[1]);
        let both = encoder.encode_all(&[long, short]).unwrap();
        assert_eq!(rows(&both[0]), rows(&encoder.encode(long).unwrap()));
        assert_eq!(rows(&both[1]), rows(&encoder.encode(short).unwrap()));
    }

    #[test]
    fn faults_are_named() {
        let encoder = Umt5::load(weights(DType::F32, ""), &Device::Cpu).unwrap();
        assert!(encoder.encode(&[20]).unwrap_err().to_string().contains("id 20 is beyond the 20 tokens"));
        assert!(encoder.encode(&[]).unwrap_err().to_string().contains("no ids"));
        let missing = Umt5::load(weights(DType::F32, "blocks.1.attn.o.weight"), &Device::Cpu).unwrap_err();
        assert!(missing.to_string().contains("1 missing: blocks.1.attn.o.weight"), "{missing}");
        let other = Umt5::load(weights(DType::F32, "token_embedding.weight"), &Device::Cpu).unwrap_err();
        assert!(other.to_string().contains("no UMT5 encoder: there is no token_embedding.weight"), "{other}");
    }
}
