//! The whole transformer.

use std::sync::{Mutex, PoisonError};

use candle_core::{DType, Device, Tensor};

use super::block::WanAttentionBlock;
use super::config::{Config, PATCH};
use super::embedding::{TimeEmbedding, Timesteps, patchify, unpatchify};
use super::head::Head;
use super::text::{TextContext, TextEmbedding};
use crate::error::ModelError;
use crate::ops::Linear;
use crate::ops::chunks::{Gather, chunks};
use crate::ops::rope::RopeTable;
use crate::weights::{Param, Weights};

/// Every tensor of a DiT, by official name.
pub fn parameters(cfg: &Config) -> Vec<Param> {
    let [t, p, q] = PATCH;
    let mut params = vec![
        Param::new("patch_embedding.weight", [cfg.dim, cfg.in_dim, t, p, q]),
        Param::new("patch_embedding.bias", [cfg.dim]),
    ];
    params.extend(TextEmbedding::parameters(cfg));
    params.extend(TimeEmbedding::parameters(cfg));
    params.extend((0..cfg.num_layers).flat_map(|i| WanAttentionBlock::parameters(cfg, &format!("blocks.{i}"))));
    params.extend(Head::parameters(cfg));
    params
}

/// A diffusion transformer on one device.
///
/// Source: Wan2.2@42bf4cf `wan/modules/model.py#L294` `WanModel`.
#[derive(Debug)]
pub struct WanModel {
    cfg: Config,
    device: Device,
    patch_embedding: Linear,
    text_embedding: TextEmbedding,
    time_embedding: TimeEmbedding,
    blocks: Vec<WanAttentionBlock>,
    head: Head,
    /// Of the last grid: a worker renders one size for hours.
    rope: Mutex<Option<RopeTable>>,
}

impl WanModel {
    /// Loads the weights, the large matrices in `dtype`; everything else, and the first and last layers, in f32.
    /// f32 is the choice for the CPU, bf16 for GPUs.
    ///
    /// # Errors
    /// All faults of the tensors at once, before anything is loaded; or a device out of memory.
    pub fn load(cfg: Config, weights: &Weights, dtype: DType, device: &Device) -> Result<Self, ModelError> {
        weights.check(&parameters(&cfg))?;
        let block = |i| WanAttentionBlock::load(&cfg, weights, &format!("blocks.{i}"), dtype, device);
        Ok(Self {
            patch_embedding: Linear::load(weights, "patch_embedding", true, DType::F32, device)?,
            text_embedding: TextEmbedding::load(&cfg, weights, dtype, device)?,
            time_embedding: TimeEmbedding::load(&cfg, weights, device)?,
            blocks: (0..cfg.num_layers).map(block).collect::<Result<_, _>>()?,
            head: Head::load(&cfg, weights, device)?,
            rope: Mutex::new(None),
            device: device.clone(),
            cfg,
        })
    }

    /// Its sizes.
    pub fn config(&self) -> &Config {
        &self.cfg
    }

    /// Embeds a text for this transformer, once per video.
    ///
    /// # Shapes
    /// f32 `(n, text_dim)`, the encoder's rows without padding, n ≤ `text_len`.
    ///
    /// # Errors
    /// Another shape, or a device out of memory.
    pub fn embed_text(&self, context: &Tensor) -> Result<TextContext, ModelError> {
        let (text, bias) = self.text_embedding.forward(&context.to_device(&self.device)?)?;
        let blocks = self.blocks.iter().map(|block| block.text_keys(&text, bias.as_ref())).collect::<Result<_, _>>()?;
        self.device.synchronize()?;
        Ok(TextContext { blocks })
    }

    /// The velocity of one sample. Guidance takes two calls, with two texts.
    ///
    /// # Shapes
    /// `x` f32 `(in_dim, T, H, W)`, H and W even → f32 `(out_dim, T, H, W)`.
    ///
    /// # Errors
    /// Another shape, a text of another transformer, or a device out of memory.
    ///
    /// Source: Wan2.2@42bf4cf `wan/modules/model.py#L410` `WanModel.forward`.
    pub fn forward(&self, x: &Tensor, t: Timesteps<'_>, text: &TextContext) -> Result<Tensor, ModelError> {
        let grid = self.grid(x)?;
        if text.blocks.len() != self.blocks.len() {
            return Err(ModelError::input("text context", "it was embedded for another transformer"));
        }
        let tokens: usize = grid.iter().product();
        let rope = self.rope(grid)?;
        let (e, e0) = self.time_embedding.forward(t, tokens, &self.device)?;
        let mut x = self.embed_patches(x)?;
        for (block, text) in self.blocks.iter().zip(&text.blocks) {
            x = block.forward(&x, &e0, &rope, text)?;
            // Bounds what a GPU has queued, and lets freed buffers go.
            self.device.synchronize()?;
        }
        unpatchify(&self.head.forward(&x, &e)?, grid, self.cfg.out_dim)
    }

    /// Tokens along time, height and width.
    fn grid(&self, x: &Tensor) -> Result<[usize; 3], ModelError> {
        let [_, p, q] = PATCH;
        match *x.dims() {
            [c, t, h, w] if c == self.cfg.in_dim && t * h * w > 0 && h % p == 0 && w % q == 0 => Ok([t, h / p, w / q]),
            ref shape => {
                let wanted = format!("({}, frames, even height, even width)", self.cfg.in_dim);
                Err(ModelError::input("latents", format!("have the shape {shape:?}, not {wanted}")))
            }
        }
    }

    /// Source: Wan2.2@42bf4cf `wan/modules/model.py#L378` `patch_embedding`.
    fn embed_patches(&self, x: &Tensor) -> Result<Tensor, ModelError> {
        let patches = patchify(&x.to_device(&self.device)?.to_dtype(DType::F32)?)?;
        let length = patches.dim(0)?;
        let mut out = Gather::new(0, length);
        for (first, count) in chunks(length) {
            out.put(first, &self.patch_embedding.forward(&patches.narrow(0, first, count)?)?)?;
        }
        out.finish()
    }

    fn rope(&self, grid: [usize; 3]) -> Result<RopeTable, ModelError> {
        let mut last = self.rope.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(match &*last {
            Some(table) if table.grid() == grid => table.clone(),
            _ => last.insert(RopeTable::new(grid, self.cfg.head_dim(), &self.device)?).clone(),
        })
    }
}
