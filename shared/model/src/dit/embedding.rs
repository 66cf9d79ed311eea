//! What enters the blocks: patches as tokens, and timesteps as modulation.

use std::collections::BTreeMap;

use candle_core::{DType, Device, Tensor};
use candle_nn::ops::silu;

use crate::error::ModelError;
use crate::layers::Linear;
use crate::weights::Weights;
use wanfarm_types::Transformer;
use wanfarm_weights::kernels::PATCH;

/// When the latents are, in units of training timesteps (0 … 1000).
#[derive(Debug, Clone, Copy)]
pub enum Timesteps<'a> {
    /// One time for all tokens.
    Scalar(f64),
    /// One time per token, in the tokens' order: frames, rows, columns.
    PerToken(&'a [f64]),
}

/// Cosines, then sines of the timesteps at geometric frequencies; in f64, rounded once.
///
/// # Shapes
/// `n` times → f32 `(n, dim)` on the device.
///
/// Source: Wan2.2@42bf4cf `wan/modules/model.py#L14` `sinusoidal_embedding_1d`.
fn sinusoidal_embedding_1d(dim: usize, times: &[f64], device: &Device) -> Result<Tensor, ModelError> {
    let half = dim / 2;
    let mut values = Vec::with_capacity(times.len() * dim);
    for time in times {
        let angle = |i: usize| time * 10_000f64.powf(-(i as f64) / half as f64);
        values.extend((0..half).map(|i| angle(i).cos() as f32));
        values.extend((0..half).map(|i| angle(i).sin() as f32));
    }
    Ok(Tensor::from_vec(values, (times.len(), dim), device)?)
}

/// Rows of modulation, one per distinct time, and which row each token takes: a grid of tens of thousands of tokens
/// has one time or two, and their modulation per token would be gigabytes.
#[derive(Debug, Clone)]
pub(super) struct PerTime {
    /// f32 `(times, …)`.
    rows: Tensor,
    /// u32 `(tokens)`; `None` when there is one time.
    tokens: Option<Tensor>,
}

impl PerTime {
    /// The same tokens with other rows.
    pub(super) fn map(&self, f: impl FnOnce(&Tensor) -> Result<Tensor, ModelError>) -> Result<Self, ModelError> {
        Ok(Self { rows: f(&self.rows)?, tokens: self.tokens.clone() })
    }

    /// mean |to − from| / mean |from|, over all tokens and channels; in f64, on the CPU.
    pub(super) fn change(from: &Self, to: &Self) -> Result<f64, ModelError> {
        let rows = |of: &Self| Ok::<_, ModelError>(of.rows.flatten_from(1)?.to_dtype(DType::F32)?.to_vec2::<f32>()?);
        let tokens = |of: &Self| Ok::<_, ModelError>(of.tokens.as_ref().map(|t| t.to_vec1::<u32>()).transpose()?);
        let (old, new, old_tokens, new_tokens) = (rows(from)?, rows(to)?, tokens(from)?, tokens(to)?);
        let count = old_tokens.as_ref().or(new_tokens.as_ref()).map_or(1, Vec::len);
        // Tokens of one time are as one, counted as often as they are.
        let mut pairs: BTreeMap<(u32, u32), f64> = BTreeMap::new();
        for token in 0..count {
            let row = |tokens: &Option<Vec<u32>>| tokens.as_ref().map_or(0, |t| t.get(token).copied().unwrap_or(0));
            *pairs.entry((row(&old_tokens), row(&new_tokens))).or_default() += 1.;
        }
        let (mut moved, mut size) = (0., 0.);
        for ((a, b), weight) in pairs {
            for (a, b) in old[a as usize].iter().zip(&new[b as usize]) {
                moved += weight * (f64::from(*b) - f64::from(*a)).abs();
                size += weight * f64::from(*a).abs();
            }
        }
        Ok(moved / size)
    }

    /// Part `i` of rows `(times, parts, dim)`, for some tokens: `(count or 1, dim)`.
    pub(super) fn part(&self, i: usize, first: usize, count: usize) -> Result<Tensor, ModelError> {
        let rows = self.rows.narrow(1, i, 1)?.squeeze(1)?.contiguous()?;
        Ok(match &self.tokens {
            None => rows,
            Some(tokens) => rows.index_select(&tokens.narrow(0, first, count)?.contiguous()?, 0)?,
        })
    }
}

/// `time_embedding` and `time_projection`, computed in f32 whatever the type of the other weights.
#[derive(Debug)]
pub(super) struct TimeEmbedding {
    freq_dim: usize,
    dim: usize,
    embedding: [Linear; 2],
    projection: Linear,
}

impl TimeEmbedding {
    pub(super) fn load(cfg: &Transformer, weights: &Weights, device: &Device) -> Result<Self, ModelError> {
        let linear = |name| Linear::load(weights, name, true, DType::F32, device);
        Ok(Self {
            freq_dim: cfg.freq_dim,
            dim: cfg.dim,
            embedding: [linear("time_embedding.0")?, linear("time_embedding.2")?],
            projection: linear("time_projection.1")?,
        })
    }

    pub(super) fn adapt(&mut self, weights: &Weights, device: &Device) -> Result<(), ModelError> {
        self.embedding[0].adapt(weights, "time_embedding.0", device)?;
        self.embedding[1].adapt(weights, "time_embedding.2", device)?;
        self.projection.adapt(weights, "time_projection.1", device)
    }

    /// The head's rows `(times, 1, dim)` and the blocks' rows `(times, 6, dim)`.
    pub(super) fn forward(
        &self,
        timesteps: Timesteps<'_>,
        tokens: usize,
        device: &Device,
    ) -> Result<(PerTime, PerTime), ModelError> {
        let (times, index) = distinct(timesteps, tokens)?;
        let index = index.map(|index| Tensor::new(index, device)).transpose()?;
        let e = sinusoidal_embedding_1d(self.freq_dim, &times, device)?;
        let e = self.embedding[1].forward(&silu(&self.embedding[0].forward(&e)?)?)?;
        let e0 = self.projection.forward(&silu(&e)?)?.reshape((times.len(), 6, self.dim))?;
        Ok((PerTime { rows: e.unsqueeze(1)?, tokens: index.clone() }, PerTime { rows: e0, tokens: index }))
    }
}

/// The distinct times and, if there are several, each token's place among them.
fn distinct(timesteps: Timesteps<'_>, tokens: usize) -> Result<(Vec<f64>, Option<Vec<u32>>), ModelError> {
    let per_token = match timesteps {
        Timesteps::Scalar(time) => return Ok((vec![time], None)),
        Timesteps::PerToken(times) => times,
    };
    if per_token.len() != tokens {
        return Err(ModelError::input("timesteps", format!("{} times for {tokens} tokens", per_token.len())));
    }
    let mut times = per_token.to_vec();
    times.sort_by(f64::total_cmp);
    times.dedup();
    if times.len() == 1 {
        return Ok((times, None));
    }
    let place = |time: &f64| times.partition_point(|other| other.total_cmp(time).is_lt()) as u32;
    let index = per_token.iter().map(place).collect();
    Ok((times, Some(index)))
}

/// Latents cut into tokens: a convolution whose kernel is its stride.
///
/// # Shapes
/// f32 `(C, T, H, W)` → f32 `(T·H/2·W/2, C·4)`, in the order of the kernel's weights.
///
/// Source: Wan2.2@42bf4cf `wan/modules/model.py#L448` `patch_embedding`.
pub(super) fn patchify(x: &Tensor) -> Result<Tensor, ModelError> {
    let (c, t, h, w) = x.dims4()?;
    let [_, p, q] = PATCH;
    let x = x.contiguous()?.reshape(vec![c, t, h / p, p, w / q, q])?.permute([1, 2, 4, 0, 3, 5])?;
    Ok(x.contiguous()?.reshape((t * (h / p) * (w / q), c * p * q))?)
}

/// Tokens put back in place.
///
/// # Shapes
/// f32 `(T·H/2·W/2, 4·C)`, channels innermost → f32 `(C, T, H, W)`; `grid` is `[T, H/2, W/2]`.
///
/// Source: Wan2.2@42bf4cf `wan/modules/model.py#L499` `unpatchify`.
pub(super) fn unpatchify(x: &Tensor, grid: [usize; 3], out_dim: usize) -> Result<Tensor, ModelError> {
    let [t, h, w] = grid;
    let [_, p, q] = PATCH;
    let x = x.reshape(vec![t, h, w, p, q, out_dim])?.permute([5, 0, 1, 3, 2, 4])?;
    Ok(x.contiguous()?.reshape((out_dim, t, h * p, w * q))?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sinusoid_is_cosines_then_sines() {
        let e = sinusoidal_embedding_1d(4, &[0., 2.], &Device::Cpu).unwrap().to_vec2::<f32>().unwrap();
        assert_eq!(e[0], [1., 1., 0., 0.]);
        let want = [2f64.cos(), 0.02f64.cos(), 2f64.sin(), 0.02f64.sin()];
        assert!(e[1].iter().zip(want).all(|(e, want)| (f64::from(*e) - want).abs() < 1e-7));
    }

    #[test]
    fn equal_times_share_a_row() {
        assert_eq!(distinct(Timesteps::PerToken(&[7.; 3]), 3).unwrap(), (vec![7.], None));
        let (times, index) = distinct(Timesteps::PerToken(&[0., 987., 0., 5.]), 4).unwrap();
        assert_eq!((times, index), (vec![0., 5., 987.], Some(vec![0, 2, 0, 1])));
        assert!(distinct(Timesteps::PerToken(&[0.]), 2).is_err());
    }

    #[test]
    fn changes_are_means_over_tokens() {
        let rows = |rows: &[[f32; 2]], tokens: Option<&[u32]>| PerTime {
            rows: Tensor::from_vec(rows.as_flattened().to_vec(), (rows.len(), 1, 2), &Device::Cpu).unwrap(),
            tokens: tokens.map(|tokens| Tensor::new(tokens, &Device::Cpu).unwrap()),
        };
        let (a, b) = (rows(&[[1., -3.]], None), rows(&[[2., -3.5]], None));
        assert_eq!(PerTime::change(&a, &b).unwrap(), 1.5 / 4.);
        // One token of three stands still.
        let (a, b) = (rows(&[[1., 1.], [1., -3.]], Some(&[0, 1, 1])), rows(&[[1., 1.], [2., -3.5]], Some(&[0, 1, 1])));
        assert_eq!(PerTime::change(&a, &b).unwrap(), 3. / 10.);
    }

    #[test]
    fn patches_and_back() {
        let x = Tensor::arange(0f32, 2. * 3. * 4. * 6., &Device::Cpu).unwrap().reshape((2, 3, 4, 6)).unwrap();
        let tokens = patchify(&x).unwrap();
        assert_eq!(tokens.dims(), [18, 8]);
        // The second token: columns 2 and 3 of rows 0 and 1, channel by channel.
        let second = tokens.get(1).unwrap().to_vec1::<f32>().unwrap();
        assert_eq!(second, [2., 3., 8., 9., 74., 75., 80., 81.]);
        // The head writes channels innermost, so they are moved there before going back.
        let swapped = tokens.reshape((18, 2, 4)).unwrap().transpose(1, 2).unwrap().contiguous().unwrap();
        let back = unpatchify(&swapped.reshape((18, 8)).unwrap(), [3, 2, 3], 2).unwrap();
        let values = |t: &Tensor| t.flatten_all().unwrap().to_vec1::<f32>().unwrap();
        assert_eq!(values(&back), values(&x));
    }
}
