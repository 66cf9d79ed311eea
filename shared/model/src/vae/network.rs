//! A network as the row of its layers, and how a frame goes through it.
//!
//! Not here: which layers (`blueprint`), and what goes in and comes out (`wan_vae`).

use candle_core::{DType, Device, Tensor};

use super::blueprint::{Named, Spec};
use super::cache::{FeatureCache, SlotId, Slots};
use super::layers::{AttentionBlock, NormedConv, ResidualBlock};
use super::resample::Resample;
use super::shortcut::Shortcut;
use crate::error::ModelError;
use crate::layers::Linear;
use crate::layers::conv::CausalConv3d;
use crate::ops::device::bound_queue;
use crate::weights::Weights;

/// Layers in a row.
#[derive(Debug)]
pub(crate) struct Network(Vec<Layer>);

#[derive(Debug)]
enum Layer {
    Linear(Linear),
    Conv(CausalConv3d, SlotId),
    Residual(ResidualBlock),
    Attention(AttentionBlock),
    Resample(Resample),
    Head(NormedConv),
    Group { layers: Network, shortcut: Option<Shortcut> },
}

impl Network {
    pub(crate) fn load(
        layers: &[Named],
        weights: &Weights,
        slots: &mut Slots,
        device: &Device,
    ) -> Result<Self, ModelError> {
        let layers = layers.iter().map(|layer| Layer::load(layer, weights, slots, device));
        Ok(Self(layers.collect::<Result<_, _>>()?))
    }

    /// Sends a frame through; appends the frames it completes to `out`.
    pub(crate) fn push(
        &self,
        frame: Tensor,
        cache: &mut FeatureCache,
        out: &mut Vec<Tensor>,
    ) -> Result<(), ModelError> {
        run(&self.0, frame, cache, out)
    }
}

/// Depth first: of two frames that a layer makes, the first goes all the way before the second starts.
fn run(layers: &[Layer], frame: Tensor, cache: &mut FeatureCache, out: &mut Vec<Tensor>) -> Result<(), ModelError> {
    let Some((layer, rest)) = layers.split_first() else {
        out.push(frame);
        return Ok(());
    };
    let device = frame.device().clone();
    let frames = layer.push(frame, cache)?;
    bound_queue(&device)?;
    frames.into_iter().try_for_each(|frame| run(rest, frame, cache, out))
}

impl Layer {
    fn load(layer: &Named, weights: &Weights, slots: &mut Slots, device: &Device) -> Result<Self, ModelError> {
        let name = layer.name.as_str();
        Ok(match &layer.spec {
            Spec::Linear { .. } => Self::Linear(Linear::load(weights, name, true, DType::F32, device)?),
            Spec::Conv { .. } => Self::Conv(CausalConv3d::load(weights, name, device)?, slots.next()),
            Spec::Residual { input, output } => {
                Self::Residual(ResidualBlock::load(weights, name, input != output, slots, device)?)
            }
            Spec::Attention { .. } => Self::Attention(AttentionBlock::load(weights, name, device)?),
            Spec::Resample { mode, .. } => Self::Resample(Resample::load(weights, name, *mode, slots, device)?),
            Spec::Head { .. } => {
                let (norm, conv) = (format!("{name}.0"), format!("{name}.2"));
                Self::Head(NormedConv::load(weights, (&norm, &conv), slots, device)?)
            }
            Spec::Group { layers, shortcut } => Self::Group {
                layers: Network::load(layers, weights, slots, device)?,
                shortcut: shortcut.map(|spec| Shortcut::new(spec, slots)).transpose()?,
            },
        })
    }

    /// The frames that this one completes: one, or none or two where time is resampled.
    fn push(&self, frame: Tensor, cache: &mut FeatureCache) -> Result<Vec<Tensor>, ModelError> {
        Ok(match self {
            Self::Linear(linear) => vec![linear.forward(&frame)?],
            Self::Conv(conv, slot) => vec![conv.forward(&frame, &mut cache.slot(*slot).history)?],
            Self::Residual(block) => vec![block.forward(&frame, cache)?],
            Self::Attention(block) => vec![block.forward(&frame)?],
            Self::Resample(resample) => resample.push(frame, cache)?,
            Self::Head(conv) => vec![conv.forward(&frame, cache)?],
            Self::Group { layers, shortcut } => {
                let around = shortcut.as_ref().map(|shortcut| shortcut.push(&frame, cache)).transpose()?;
                let mut through = Vec::new();
                layers.push(frame, cache, &mut through)?;
                match around {
                    None => through,
                    Some(around) => {
                        let sum = |(a, b): (Tensor, Tensor)| -> Result<Tensor, ModelError> { Ok((a + b)?) };
                        through.into_iter().zip(around).map(sum).collect::<Result<_, _>>()?
                    }
                }
            }
        })
    }
}
