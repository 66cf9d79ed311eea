//! The dimensions of an autoencoder and the statistics of its latents.
//!
//! Everything but the statistics can be read off the weights; those are published constants, or come with the model.

use wanfarm_types::VaeKind;

use wanfarm_weights::{FileError, WeightFiles};

/// Most blocks of one resolution that any known autoencoder comes near.
const MAX_BLOCKS: usize = 64;
/// Most resolutions. Each halves the last one, and pixels are counted.
const MAX_LEVELS: usize = 8;
/// Most channels, likewise. A tensor without numbers can have any.
const MAX_WIDTH: usize = 1 << 16;

/// An autoencoder's dimensions.
#[derive(Debug, Clone, PartialEq)]
pub struct VaeConfig {
    /// Wan2.1, or Wan2.2 with patches and parameter-free shortcuts around its resampling blocks.
    pub kind: VaeKind,
    /// Channels of the encoder at full resolution.
    pub dim: usize,
    /// Channels of the decoder at full resolution.
    pub dec_dim: usize,
    /// Channels of a latent.
    pub z: usize,
    /// Channels of each resolution, from full to lowest, as multiples of `dim` and `dec_dim`.
    pub dim_mult: Vec<usize>,
    /// Residual blocks of a resolution in the encoder; the decoder has one more.
    pub num_res_blocks: usize,
    /// Between two resolutions of the encoder, from full to lowest: whether time is halved too.
    pub temporal_downsample: Vec<bool>,
    /// Of the latents, by channel.
    pub statistics: LatentStatistics,
}

/// Mean and standard deviation of each latent channel: what makes latents out of the encoder's output.
#[derive(Debug, Clone, PartialEq)]
pub struct LatentStatistics {
    /// Subtracted.
    pub mean: Vec<f32>,
    /// Divided by.
    pub std: Vec<f32>,
}

impl LatentStatistics {
    /// The published constants.
    ///
    /// Source: Wan2.2@42bf4cf `wan/modules/vae2_1.py` `Wan2_1_VAE`, `wan/modules/vae2_2.py` `Wan2_2_VAE`.
    pub fn published(kind: VaeKind) -> Self {
        match kind {
            VaeKind::Wan21 => Self { mean: MEAN_21.to_vec(), std: STD_21.to_vec() },
            VaeKind::Wan22 => Self { mean: MEAN_22.to_vec(), std: STD_22.to_vec() },
        }
    }
}

impl VaeConfig {
    /// The published autoencoder of a kind.
    ///
    /// Source: Wan2.2@42bf4cf `wan/modules/vae2_1.py`, `wan/modules/vae2_2.py`.
    pub fn published(kind: VaeKind) -> Self {
        let (dim, dec_dim, z) = match kind {
            VaeKind::Wan21 => (96, 96, 16),
            VaeKind::Wan22 => (160, 256, 48),
        };
        Self {
            kind,
            dim,
            dec_dim,
            z,
            dim_mult: vec![1, 2, 4, 4],
            num_res_blocks: 2,
            temporal_downsample: vec![false, true, true],
            statistics: LatentStatistics::published(kind),
        }
    }

    /// Reads the dimensions off the shapes of a network's tensors, under their official names. Without `statistics`
    /// the latents have the published ones.
    ///
    /// # Errors
    /// The shapes are those of no autoencoder, or the statistics have another number of channels.
    pub fn from_weights(weights: &WeightFiles, statistics: Option<LatentStatistics>) -> Result<Self, FileError> {
        let config = Self::from_shapes(|name| weights.shape(name).map(<[usize]>::to_vec), statistics);
        config.map_err(|why| FileError::corrupt(weights.place(), format!("this is no Wan autoencoder: {why}")))
    }

    pub(crate) fn from_shapes(
        shape: impl Fn(&str) -> Option<Vec<usize>>,
        statistics: Option<LatentStatistics>,
    ) -> Result<Self, String> {
        let dim = |name: &str, axis: usize| -> Result<usize, String> {
            let found = shape(name).and_then(|dims| dims.get(axis).copied());
            found.ok_or_else(|| format!("{name} is missing, which every Wan autoencoder has"))
        };
        let kind = match dim("encoder.conv1.weight", 1)? {
            3 => VaeKind::Wan21,
            12 => VaeKind::Wan22,
            other => return Err(format!("encoder.conv1.weight takes {other} channels; 3 or 12 are known")),
        };
        // The encoder's layers in order: residual blocks, and a resampling layer behind each resolution but the last.
        let layer = |level: usize, block: usize, index: usize| match kind {
            VaeKind::Wan21 => format!("encoder.downsamples.{index}"),
            VaeKind::Wan22 => format!("encoder.downsamples.{level}.downsamples.{block}"),
        };
        let base = dim("encoder.conv1.weight", 0)?.max(1);
        let (mut widths, mut temporal_downsample) = (Vec::new(), Vec::new());
        let (mut num_res_blocks, mut index) = (0, 0);
        while widths.len() <= MAX_LEVELS {
            let (mut width, mut blocks) = (None, 0);
            while let Some(found) = shape(&format!("{}.residual.2.weight", layer(widths.len(), blocks, index))) {
                width = found.first().copied();
                (blocks, index) = (blocks + 1, index + 1);
                if blocks > MAX_BLOCKS {
                    return Err(format!("more than {MAX_BLOCKS} residual blocks at one resolution"));
                }
            }
            let Some(width) = width else { break };
            let resample = layer(widths.len(), blocks, index);
            widths.push(width);
            num_res_blocks = blocks;
            if shape(&format!("{resample}.resample.1.weight")).is_none() {
                break;
            }
            temporal_downsample.push(shape(&format!("{resample}.time_conv.weight")).is_some());
            index += 1;
        }
        let first = widths.first().map_or(1, |width| width / base).max(1);
        let config = Self {
            kind,
            dim: base,
            dec_dim: dim("decoder.head.0.gamma", 0)? / first,
            z: dim("conv2.weight", 0)?,
            dim_mult: widths.iter().map(|width| width / base).collect(),
            num_res_blocks,
            temporal_downsample,
            statistics: statistics.unwrap_or_else(|| LatentStatistics::published(kind)),
        };
        config.check()?;
        Ok(config)
    }

    /// Checks what building the network relies on; that its tensors have these shapes is for `Weights::check`.
    pub(crate) fn check(&self) -> Result<(), String> {
        let levels = self.dim_mult.len();
        if levels == 0 || levels > MAX_LEVELS || self.temporal_downsample.len() + 1 != levels {
            let halvings = self.temporal_downsample.len();
            return Err(format!("{levels} resolutions with {halvings} steps between them"));
        }
        if [self.dim, self.dec_dim, self.z, self.num_res_blocks].contains(&0) || self.dim_mult.contains(&0) {
            return Err("a dimension is zero".to_owned());
        }
        let base = self.dim.max(self.dec_dim);
        let widest = self.dim_mult.iter().map(|width| width.saturating_mul(base)).fold(base.max(self.z), usize::max);
        if widest > MAX_WIDTH {
            return Err(format!("{widest} channels, and {MAX_WIDTH} are the most"));
        }
        for (what, values) in [("means", &self.statistics.mean), ("standard deviations", &self.statistics.std)] {
            if values.len() != self.z {
                return Err(format!("{} {what} for {} latent channels", values.len(), self.z));
            }
        }
        if !self.statistics.std.iter().all(|std| std.is_finite() && *std > 0.) {
            return Err("a standard deviation is not positive".to_owned());
        }
        Ok(())
    }

    /// Side of the square of pixels that Wan2.2 folds into channels before its encoder.
    pub fn patch(&self) -> usize {
        match self.kind {
            VaeKind::Wan21 => 1,
            VaeKind::Wan22 => 2,
        }
    }

    /// Pixels per latent pixel, along a side.
    pub fn stride_hw(&self) -> usize {
        self.patch() << self.temporal_downsample.len()
    }

    /// Frames per latent frame after the first.
    pub fn stride_t(&self) -> usize {
        1 << self.temporal_downsample.iter().filter(|temporal| **temporal).count()
    }

    /// Channels of a frame as the network sees it.
    pub(crate) fn pixel_channels(&self) -> usize {
        3 * self.patch() * self.patch()
    }
}

const MEAN_21: [f32; 16] = [
    -0.7571, -0.7089, -0.9113, 0.1075, -0.1745, 0.9653, -0.1517, 1.5508, 0.4134, -0.0715, 0.5517, -0.3632, -0.1922,
    -0.9497, 0.2503, -0.2921,
];
const STD_21: [f32; 16] = [
    2.8184, 1.4541, 2.3275, 2.6558, 1.2196, 1.7708, 2.6052, 2.0743, 3.2687, 2.1526, 2.8652, 1.5579, 1.6382, 1.1253,
    2.8251, 1.9160,
];
const MEAN_22: [f32; 48] = [
    -0.2289, -0.0052, -0.1323, -0.2339, -0.2799, 0.0174, 0.1838, 0.1557, -0.1382, 0.0542, 0.2813, 0.0891, 0.1570,
    -0.0098, 0.0375, -0.1825, -0.2246, -0.1207, -0.0698, 0.5109, 0.2665, -0.2108, -0.2158, 0.2502, -0.2055, -0.0322,
    0.1109, 0.1567, -0.0729, 0.0899, -0.2799, -0.1230, -0.0313, -0.1649, 0.0117, 0.0723, -0.2839, -0.2083, -0.0520,
    0.3748, 0.0152, 0.1957, 0.1433, -0.2944, 0.3573, -0.0548, -0.1681, -0.0667,
];
const STD_22: [f32; 48] = [
    0.4765, 1.0364, 0.4514, 1.1677, 0.5313, 0.4990, 0.4818, 0.5013, 0.8158, 1.0344, 0.5894, 1.0901, 0.6885, 0.6165,
    0.8454, 0.4978, 0.5759, 0.3523, 0.7135, 0.6804, 0.5833, 1.4146, 0.8986, 0.5659, 0.7069, 0.5338, 0.4889, 0.4917,
    0.4069, 0.4999, 0.6866, 0.4093, 0.5709, 0.6065, 0.6415, 0.4944, 0.5726, 1.2042, 0.5458, 1.6887, 0.3971, 1.0600,
    0.3943, 0.5537, 0.5444, 0.4089, 0.7468, 0.7744,
];
