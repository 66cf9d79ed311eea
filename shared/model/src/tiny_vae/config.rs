//! The dimensions of a tiny decoder, which the shapes of its tensors tell, and the list of these tensors.
//!
//! Source: madebyollin/taehv@1f14a56 `taehv.py` `TAEHV.decoder`.

use wanfarm_weights::{FileError, Param, WeightFiles};

/// Resolutions: at each some blocks, then twice the size.
pub(crate) const LEVELS: usize = 3;
/// Blocks of a resolution.
pub(crate) const BLOCKS: usize = 3;
/// Channels of a pixel.
const COLOURS: usize = 3;
/// More channels than any has. A tensor without numbers can have any, and products of these are counted.
const MAX_WIDTH: usize = 1 << 16;

/// A tiny decoder's dimensions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TinyConfig {
    /// Channels of a latent.
    pub z: usize,
    /// Channels of each resolution, from the lowest to the full one.
    pub widths: [usize; LEVELS + 1],
    /// Frames that each frame becomes behind each resolution: one or two.
    pub growth: [usize; LEVELS],
    /// Side of the square of pixels that the last layer makes at once.
    pub patch: usize,
}

/// Place of a layer in the list that names it.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Layer {
    /// From latents.
    First,
    /// A block of a resolution.
    Block(usize, usize),
    /// What makes frames of a frame, behind a resolution.
    Grow(usize),
    /// To the channels of the next resolution.
    Narrow(usize),
    /// To pixels.
    Last,
}

impl Layer {
    /// What its tensors' names begin with.
    pub(crate) fn name(self) -> String {
        // Behind three blocks stand the doubling, which has no tensors, the growth and the convolution.
        let level = |level| 3 + (BLOCKS + 3) * level;
        match self {
            Self::First => "decoder.1".to_owned(),
            Self::Block(at, block) => format!("decoder.{}.conv", level(at) + block),
            Self::Grow(at) => format!("decoder.{}.conv", level(at) + BLOCKS + 1),
            Self::Narrow(at) => format!("decoder.{}", level(at) + BLOCKS + 2),
            Self::Last => format!("decoder.{}", level(LEVELS) + 1),
        }
    }
}

impl TinyConfig {
    /// Whether these are the tensors of such a decoder, of whatever dimensions.
    pub fn is_tiny(weights: &WeightFiles) -> bool {
        let rank = |layer: Layer, part: &str| weights.shape(&format!("{}{part}", layer.name())).map(<[usize]>::len);
        rank(Layer::Last, ".weight") == Some(4) && rank(Layer::Block(0, 0), ".0.weight") == Some(4)
    }

    /// Reads the dimensions off the shapes.
    ///
    /// # Errors
    /// The tensors are those of no such decoder; all that are missing or misshapen at once.
    pub fn from_weights(weights: &WeightFiles) -> Result<Self, FileError> {
        let dim = |name: String, axis: usize| {
            let wrong = |why| FileError::corrupt(weights.place(), format!("this is no tiny VAE: {why}"));
            match weights.shape(&name).and_then(|shape| shape.get(axis).copied()) {
                Some(dim @ 1..=MAX_WIDTH) => Ok(dim),
                Some(dim @ 1..) => Err(wrong(format!("{name} has {dim} channels"))),
                _ => Err(wrong(format!("there is no {name}"))),
            }
        };
        let weight = |layer: Layer| format!("{}.weight", layer.name());
        let outputs = |layer| dim(weight(layer), 0);
        let widths = [
            outputs(Layer::First)?,
            outputs(Layer::Narrow(0))?,
            outputs(Layer::Narrow(1))?,
            outputs(Layer::Narrow(2))?,
        ];
        let growth = |level: usize| Ok::<_, FileError>(outputs(Layer::Grow(level))? / widths[level]);
        let config = Self {
            z: dim(weight(Layer::First), 1)?,
            widths,
            growth: [growth(0)?, growth(1)?, growth(2)?],
            patch: (outputs(Layer::Last)? / COLOURS).isqrt(),
        };
        config.check(weights)?;
        Ok(config)
    }

    /// Every tensor there must be, and nothing else but an encoder.
    fn check(&self, weights: &WeightFiles) -> Result<(), FileError> {
        if !self.growth.iter().all(|frames| matches!(frames, 1 | 2)) {
            let why = format!("a frame becomes {:?} frames behind its resolutions; 1 and 2 are known", self.growth);
            return Err(FileError::corrupt(weights.place(), why));
        }
        let mut expected = self.parameters();
        let encoder = weights.names().filter(|name| name.starts_with("encoder."));
        expected.extend(encoder.filter_map(|name| Some(Param::new(name, weights.shape(name)?))));
        weights.check(&expected)
    }

    /// Every tensor of the decoder.
    pub fn parameters(&self) -> Vec<Param> {
        let mut params = Vec::new();
        let mut conv = |name: String, output: usize, input: usize, side: usize, bias: bool| {
            params.push(Param::new(format!("{name}.weight"), [output, input, side, side]));
            params.extend(bias.then(|| Param::new(format!("{name}.bias"), [output])));
        };
        conv(Layer::First.name(), self.widths[0], self.z, 3, true);
        for level in 0..LEVELS {
            let width = self.widths[level];
            for block in 0..BLOCKS {
                let name = Layer::Block(level, block).name();
                conv(format!("{name}.0"), width, 2 * width, 3, true);
                conv(format!("{name}.2"), width, width, 3, true);
                conv(format!("{name}.4"), width, width, 3, true);
            }
            conv(Layer::Grow(level).name(), self.growth[level] * width, width, 1, false);
            conv(Layer::Narrow(level).name(), self.widths[level + 1], width, 3, false);
        }
        conv(Layer::Last.name(), COLOURS * self.patch * self.patch, self.widths[LEVELS], 3, true);
        params
    }

    /// Pixels per latent pixel, along a side.
    pub fn stride_hw(&self) -> usize {
        self.patch << LEVELS
    }

    /// Frames per latent frame after the first.
    pub fn stride_t(&self) -> usize {
        self.growth.iter().product()
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::collections::{BTreeMap, HashMap};
    use std::path::PathBuf;

    use candle_core::{DType, Device, Tensor};

    use super::*;

    pub(crate) const PUBLISHED: TinyConfig =
        TinyConfig { z: 16, widths: [256, 128, 64, 64], growth: [1, 2, 2], patch: 1 };
    pub(crate) const SMALL: TinyConfig = TinyConfig { z: 3, widths: [4, 3, 2, 2], growth: [1, 2, 2], patch: 2 };

    /// A file of these tensors with small values without a pattern; the folder goes when it is dropped.
    pub(crate) fn file(tensors: &[(String, Vec<usize>)], dtype: DType) -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("taew2_1.safetensors");
        let tensors = tensors.iter().enumerate().map(|(salt, (name, shape))| {
            let count = shape.iter().product::<usize>();
            let value =
                |at: usize| ((((at * at) as f64).mul_add(0.37, at as f64 * 1.3) + salt as f64).sin() * 4.).round() / 8.;
            let values: Vec<f32> = (0..count).map(|at| value(at) as f32).collect();
            let tensor = Tensor::from_vec(values, shape.as_slice(), &Device::Cpu).unwrap();
            (name.clone(), tensor.to_dtype(dtype).unwrap())
        });
        candle_core::safetensors::save(&tensors.collect::<HashMap<_, _>>(), &path).unwrap();
        (folder, path)
    }

    pub(crate) fn of(config: &TinyConfig) -> Vec<(String, Vec<usize>)> {
        config.parameters().into_iter().map(|param| (param.name, param.shape)).collect()
    }

    #[test]
    fn published_files_hold_exactly_these_tensors_and_an_encoder() {
        for (published, config) in [
            (include_str!("../../../weights/tests/data/taew2_1.json"), PUBLISHED),
            (include_str!("../../../weights/tests/data/taew2_2.json"), TinyConfig { z: 48, patch: 2, ..PUBLISHED }),
        ] {
            let published: BTreeMap<String, Vec<usize>> = serde_json::from_str(published).unwrap();
            let decoder: BTreeMap<_, _> = published.iter().filter(|(name, _)| name.starts_with("decoder.")).collect();
            let ours: BTreeMap<_, _> = of(&config).into_iter().collect();
            assert_eq!(decoder, ours.iter().collect());
            assert_eq!((config.stride_t(), config.stride_hw()), (4, 8 * config.patch));
            let (_folder, path) = file(&published.into_iter().collect::<Vec<_>>(), DType::F16);
            let weights = WeightFiles::open(&[path]).unwrap();
            assert!(TinyConfig::is_tiny(&weights));
            assert_eq!(TinyConfig::from_weights(&weights).unwrap(), config);
        }
    }

    #[test]
    fn what_is_not_whole_is_refused_with_what_is_missing() {
        let refused = |change: fn(&mut Vec<(String, Vec<usize>)>)| {
            let mut tensors = of(&SMALL);
            change(&mut tensors);
            let (_folder, path) = file(&tensors, DType::F32);
            TinyConfig::from_weights(&WeightFiles::open(&[path]).unwrap()).unwrap_err().to_string()
        };
        assert!(
            refused(|all| all.retain(|(name, _)| name != "decoder.13.conv.weight")).contains("decoder.13.conv.weight")
        );
        assert!(
            refused(|all| all.retain(|(name, _)| name != "decoder.22.bias")).contains("1 missing: decoder.22.bias")
        );
        assert!(refused(|all| all.push(("decoder.23.weight".into(), vec![1]))).contains("decoder.23.weight"));
        let wide = refused(|all| {
            all.iter_mut()
                .filter(|(name, _)| name == "decoder.1.weight")
                .for_each(|(_, shape)| *shape = vec![1 << 60, 0]);
        });
        assert!(wide.contains("decoder.1.weight has 1152921504606846976 channels"), "{wide}");
        let grown = refused(|all| {
            all.iter_mut().filter(|(name, _)| name == "decoder.7.conv.weight").for_each(|(_, shape)| shape[0] = 12);
        });
        assert!(grown.contains("[3, 2, 2] frames"), "{grown}");
    }
}
