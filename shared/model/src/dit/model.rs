//! The whole transformer.

use std::sync::{Mutex, PoisonError};

use candle_core::{DType, Device, Tensor};

use super::block::WanAttentionBlock;
use super::embedding::{PerTime, TimeEmbedding, Timesteps, patchify, unpatchify};
use super::head::Head;
use super::text::{TextContext, TextEmbedding};
use crate::error::ModelError;
use crate::layers::Linear;
use crate::ops::chunks::{Chunks, TOKENS, tokens_per_chunk};
use crate::ops::device::bound_queue;
use crate::ops::rope::RopeTable;
use crate::weights::Weights;
use wanfarm_types::Transformer;
use wanfarm_weights::kernels::PATCH;
use wanfarm_weights::transformer::parameters;

/// What all blocks together added to the tokens: f32 `(L, dim)` on the device.
#[derive(Debug)]
pub struct Residual(Tensor);

impl Residual {
    /// The norm of each token's, in the order of the tokens.
    ///
    /// # Errors
    /// A device out of memory.
    pub fn norms(&self) -> Result<Vec<f32>, ModelError> {
        let mut norms = Vec::new();
        for (first, count) in Chunks::new(self.0.dim(0)?, TOKENS).iter() {
            let chunk = self.0.narrow(0, first, count)?.sqr()?.sum(1)?.sqrt()?;
            norms.extend(chunk.to_device(&Device::Cpu)?.to_vec1::<f32>()?);
        }
        Ok(norms)
    }

    /// All of it.
    pub fn rows(&self) -> &Tensor {
        &self.0
    }
}

/// What to do with the blocks of a forward pass.
#[derive(Debug)]
pub enum Blocks<'a> {
    /// Run them.
    Run,
    /// Run them, and keep what they add.
    Keep(&'a mut Option<Residual>),
    /// Skip them, and add what was kept.
    Reuse(&'a Residual),
}

/// A diffusion transformer on one device.
///
/// Source: Wan2.2@42bf4cf `wan/modules/model.py#L294` `WanModel`.
#[derive(Debug)]
pub struct WanModel {
    cfg: Transformer,
    device: Device,
    patch_embedding: Linear,
    text_embedding: TextEmbedding,
    time_embedding: TimeEmbedding,
    blocks: Vec<WanAttentionBlock>,
    head: Head,
    /// Of the last grid: a worker renders one size for hours.
    rope: Mutex<Option<RopeTable>>,
    /// Tokens worked over at a time.
    chunk: usize,
}

impl WanModel {
    /// Loads the weights, the large matrices in `dtype`; everything else, and the first and last layers, in f32.
    /// f32 is the choice for the CPU, bf16 for GPUs.
    ///
    /// # Errors
    /// All faults of the tensors at once, before anything is loaded; or a device out of memory.
    pub fn load(cfg: Transformer, weights: &Weights, dtype: DType, device: &Device) -> Result<Self, ModelError> {
        weights.files().check(&parameters(&cfg))?;
        let block = |i| WanAttentionBlock::load(&cfg, weights, &format!("blocks.{i}"), dtype, device);
        Ok(Self {
            patch_embedding: Linear::load(weights, "patch_embedding", true, DType::F32, device)?,
            text_embedding: TextEmbedding::load(&cfg, weights, dtype, device)?,
            time_embedding: TimeEmbedding::load(&cfg, weights, device)?,
            blocks: (0..cfg.num_layers).map(block).collect::<Result<_, _>>()?,
            head: Head::load(&cfg, weights, device)?,
            rope: Mutex::new(None),
            chunk: tokens_per_chunk(cfg.ffn_dim, device.is_metal()),
            device: device.clone(),
            cfg,
        })
    }

    /// Takes the adapters of `weights`, the same that the network was loaded from, in place of those it had: beside the
    /// large matrices, which are not read again, and in everything else. A network that was loaded with adapters has
    /// them inside its matrices, and must not be adapted. Texts embedded before are another network's.
    ///
    /// # Errors
    /// A tensor is missing, or a device out of memory; the network is then neither as it was nor as it should be.
    pub fn adapt(&mut self, weights: &Weights) -> Result<(), ModelError> {
        let device = &self.device;
        self.patch_embedding.adapt(weights, "patch_embedding", device)?;
        self.text_embedding.adapt(weights, device)?;
        self.time_embedding.adapt(weights, device)?;
        for (i, block) in self.blocks.iter_mut().enumerate() {
            block.adapt(weights, &format!("blocks.{i}"), device)?;
        }
        self.head.adapt(weights, device)
    }

    /// Sizes of the network.
    pub fn config(&self) -> &Transformer {
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
        let text = self.text_embedding.forward(&context.to_device(&self.device)?)?;
        let blocks = self.blocks.iter().map(|block| block.text_keys(&text)).collect::<Result<_, _>>()?;
        self.device.synchronize()?;
        Ok(TextContext { blocks })
    }

    /// The text as this transformer alone embeds it, before its keys and values.
    ///
    /// # Shapes
    /// As of [`Self::embed_text`] → f32 `(text_len, dim)`.
    ///
    /// # Errors
    /// A context of another shape, or a device out of memory.
    pub fn text_rows(&self, context: &Tensor) -> Result<Tensor, ModelError> {
        self.text_embedding.forward(&context.to_device(&self.device)?)
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
        self.forward_with(x, t, text, Blocks::Run)
    }

    /// The velocity of one sample, the blocks run or skipped. Patches, time and head are computed either way.
    ///
    /// # Shapes
    /// As of [`Self::forward`].
    ///
    /// # Errors
    /// As of [`Self::forward`]; a residual of another size.
    pub fn forward_with(
        &self,
        x: &Tensor,
        t: Timesteps<'_>,
        text: &TextContext,
        blocks: Blocks<'_>,
    ) -> Result<Tensor, ModelError> {
        let grid = self.grid(x)?;
        if text.blocks.len() != self.blocks.len() {
            return Err(ModelError::input("text context", "it was embedded for another transformer"));
        }
        let length = grid.iter().product();
        let tokens = Chunks::new(length, self.chunk);
        let rope = self.rope(grid)?;
        let (e, e0) = self.time_embedding.forward(t, length, &self.device)?;
        let patches = self.embed_patches(x, tokens)?;
        let run = || -> Result<Tensor, ModelError> {
            let mut x = patches.clone();
            for (block, text) in self.blocks.iter().zip(&text.blocks) {
                x = block.forward(&x, tokens, &e0, &rope, text)?;
                bound_queue(&self.device)?;
            }
            Ok(x)
        };
        let x = match blocks {
            Blocks::Run => run()?,
            Blocks::Keep(kept) => {
                // What was kept is of no use any more, and as large as what takes its place.
                *kept = None;
                let x = run()?;
                *kept = Some(Residual((&x - &patches)?));
                x
            }
            Blocks::Reuse(Residual(residual)) if residual.dims() == patches.dims() => (&patches + residual)?,
            Blocks::Reuse(Residual(residual)) => {
                let why = format!("what the blocks added is {:?}, not {:?}", residual.dims(), patches.dims());
                return Err(ModelError::input("residual", why));
            }
        };
        unpatchify(&self.head.forward(&x, tokens, &e)?, grid, self.cfg.out_dim)
    }

    /// How far the embedding of time moves from one step to the next, relative to its size: the embedding itself, or as
    /// the blocks get it (`projected`).
    ///
    /// # Errors
    /// Times for another number of tokens, or a device out of memory.
    ///
    /// Source: ali-vilab/TeaCache `TeaCache4Wan2.1/teacache_generate.py#L519`.
    pub fn time_change(&self, from: Timesteps<'_>, to: Timesteps<'_>, projected: bool) -> Result<f64, ModelError> {
        let embed = |t: Timesteps<'_>| {
            let tokens = if let Timesteps::PerToken(times) = t { times.len() } else { 1 };
            let (e, e0) = self.time_embedding.forward(t, tokens, &self.device)?;
            Ok::<_, ModelError>(if projected { e0 } else { e })
        };
        PerTime::change(&embed(from)?, &embed(to)?)
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
    fn embed_patches(&self, x: &Tensor, tokens: Chunks) -> Result<Tensor, ModelError> {
        let patches = patchify(&x.to_device(&self.device)?.to_dtype(DType::F32)?)?;
        let mut out = tokens.gather(0);
        for (first, count) in tokens.iter() {
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

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use wanfarm_types::Nag;

    use super::*;

    const CFG: Transformer = Transformer {
        in_dim: 5,
        out_dim: 3,
        dim: 24,
        num_heads: 2,
        num_layers: 2,
        ffn_dim: 32,
        freq_dim: 16,
        text_dim: 10,
        text_len: 6,
        eps: 1e-6,
        cross_attn_norm: true,
    };

    /// Deterministic values in ±`size`.
    fn values(shape: impl Into<Vec<usize>>, salt: usize, size: f64) -> Tensor {
        let shape = shape.into();
        let count: usize = shape.iter().product();
        let value = |i: usize| (size * (i as f64 * 12.9898 + salt as f64 * 78.233).sin()) as f32;
        Tensor::from_vec((0..count).map(value).collect::<Vec<f32>>(), shape, &Device::Cpu).unwrap()
    }

    fn model(dtype: DType) -> WanModel {
        altered(dtype, |_| 1.)
    }

    /// The model with each parameter multiplied by a factor of its name's.
    fn altered(dtype: DType, factor: fn(&str) -> f64) -> WanModel {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("m.safetensors");
        let params = parameters(&CFG).into_iter().enumerate();
        let tensors: HashMap<_, _> =
            params.map(|(i, p)| (p.name.clone(), values(p.shape, i, 0.4 * factor(&p.name)))).collect();
        candle_core::safetensors::save(&tensors, &path).unwrap();
        WanModel::load(CFG, &Weights::open(&[path]).unwrap(), dtype, &Device::Cpu).unwrap()
    }

    fn latents() -> Tensor {
        values([5, 3, 4, 6], 1, 1.)
    }

    /// ‖a − b‖ / ‖b‖.
    fn apart(a: &Tensor, b: &Tensor) -> f32 {
        let norm = |t: &Tensor| t.sqr().unwrap().sum_all().unwrap().sqrt().unwrap().to_scalar::<f32>().unwrap();
        norm(&(a - b).unwrap()) / norm(b)
    }

    #[test]
    fn texts_are_padded_and_the_padding_is_attended() {
        let mut model = model(DType::F32);
        let text = values([2, 10], 2, 1.);
        let rows = |n| Tensor::cat(&[&text, &Tensor::zeros((n, 10), DType::F32, &Device::Cpu).unwrap()], 0).unwrap();
        let velocity = |model: &WanModel, text: &Tensor| {
            let text = model.embed_text(text).unwrap();
            model.forward(&latents(), Timesteps::Scalar(500.), &text).unwrap()
        };
        let (short, half, full) = (velocity(&model, &text), velocity(&model, &rows(2)), velocity(&model, &rows(4)));
        assert_eq!(short.dims(), [3, 3, 4, 6]);
        assert!(apart(&short, &full) < 1e-6 && apart(&half, &full) < 1e-6);
        model.text_embedding.text_len = 2;
        assert!(apart(&velocity(&model, &text), &full) > 1e-3, "padding is attended");
    }

    #[test]
    fn nag_moves_away_in_cross_attention_alone() {
        let velocity = |model: &WanModel, salt: usize| {
            let text = |salt| model.embed_text(&values([6, 10], salt, 3.)).unwrap();
            let text = text(2).avoiding(&text(salt), Nag::default());
            model.forward(&latents(), Timesteps::Scalar(500.), &text).unwrap()
        };
        let whole = model(DType::F32);
        let plain = whole.embed_text(&values([6, 10], 2, 3.)).unwrap();
        let plain = whole.forward(&latents(), Timesteps::Scalar(500.), &plain).unwrap();
        assert!(apart(&velocity(&whole, 2), &plain) < 1e-6, "away from itself is nowhere");
        let (one, other) = (velocity(&whole, 3), velocity(&whole, 4));
        let (from_plain, from_other) = (apart(&one, &plain), apart(&one, &other));
        assert!(from_plain > 1e-4 && from_other > 1e-4, "{from_plain}, {from_other}");
        // Where cross-attention adds nothing, it makes no difference what is avoided.
        let deaf = altered(DType::F32, |name| f64::from(!name.contains("cross_attn.o.")));
        assert_eq!(apart(&velocity(&deaf, 3), &velocity(&deaf, 4)), 0.);
        let chunked = WanModel { chunk: 7, ..model(DType::F32) };
        assert!(apart(&velocity(&chunked, 3), &one) < 1e-6);
    }

    #[test]
    fn one_time_for_all_is_the_same_time_for_each() {
        let model = model(DType::F32);
        let text = model.embed_text(&values([2, 10], 2, 1.)).unwrap();
        let velocity = |t| model.forward(&latents(), t, &text).unwrap();
        let scalar = velocity(Timesteps::Scalar(321.));
        let (same, mut other) = ([321.; 18], [321.; 18]);
        other[..6].fill(0.);
        let (same, other) = (velocity(Timesteps::PerToken(&same)), velocity(Timesteps::PerToken(&other)));
        assert_eq!(apart(&same, &scalar), 0.);
        assert!(apart(&other, &scalar) > 1e-3);
    }

    #[test]
    fn chunks_of_tokens_change_nothing() {
        let whole = model(DType::F32);
        let chunked = WanModel { chunk: 7, ..model(DType::F32) };
        let times: Vec<f64> = (0..18).map(|i| f64::from(i % 5) * 100.).collect();
        let velocity = |model: &WanModel, t| {
            let text = model.embed_text(&values([2, 10], 2, 1.)).unwrap();
            model.forward(&latents(), t, &text).unwrap()
        };
        for t in [Timesteps::Scalar(700.), Timesteps::PerToken(&times)] {
            assert!(apart(&velocity(&chunked, t), &velocity(&whole, t)) < 1e-6);
        }
    }

    #[test]
    fn bf16_products_are_near() {
        let velocity = |model: WanModel| {
            let text = model.embed_text(&values([2, 10], 2, 1.)).unwrap();
            model.forward(&latents(), Timesteps::Scalar(700.), &text).unwrap()
        };
        let apart = apart(&velocity(model(DType::BF16)), &velocity(model(DType::F32)));
        assert!((1e-5..2e-2).contains(&apart), "{apart}");
    }

    #[test]
    fn wrong_inputs_are_named() {
        let model = model(DType::F32);
        let text = model.embed_text(&values([2, 10], 2, 1.)).unwrap();
        let refused = |x: Tensor| model.forward(&x, Timesteps::Scalar(1.), &text).unwrap_err().to_string();
        assert!(refused(values([4, 1, 2, 2], 1, 1.)).contains("[4, 1, 2, 2], not (5, frames"));
        assert!(refused(values([5, 1, 3, 2], 1, 1.)).contains("even height"));
        assert!(refused(values([5, 0, 2, 2], 1, 1.)).contains("[5, 0, 2, 2]"));
        assert!(model.embed_text(&values([7, 10], 1, 1.)).unwrap_err().to_string().contains("at most (6, 10)"));
        let foreign = TextContext { blocks: Vec::new() };
        let error = model.forward(&latents(), Timesteps::Scalar(1.), &foreign).unwrap_err();
        assert!(error.to_string().contains("another transformer"), "{error}");
    }
}
