//! What a sampling loop does about a first frame, in two places: where it asks for the velocity, and where it has new
//! latents. Not the loop.

use candle_core::Tensor;
use wanfarm_types::{Transformer, VaeKind};

use super::first_frames::FirstFrames;
use super::i2v::MASK;
use crate::dit::{Blocks, TextContext, Timesteps, WanModel};
use crate::error::ModelError;

/// The conditioning of one video.
#[derive(Debug, Clone)]
pub enum Conditioning {
    /// By the text alone.
    None,
    /// Channels behind those of the latents: I2V-A14B.
    Channels(Tensor),
    /// First latent frames that are known: TI2V-5B.
    FirstFrames(FirstFrames),
}

impl Conditioning {
    /// What a transformer of these sizes makes of an encoded image, or of none.
    ///
    /// # Shapes
    /// `latents` `(C, T, H, W)`; `image` as of [`super::encode`].
    ///
    /// # Errors
    /// The model needs an image and there is none, or takes none and there is one, or the image has another shape.
    pub fn new(config: &Transformer, latents: [usize; 4], image: Option<Tensor>) -> Result<Self, ModelError> {
        let refuse = |why: String| Err(ModelError::input("first frame", why));
        let further = config.in_dim.saturating_sub(config.out_dim);
        let [_, frames, height, width] = latents;
        match image {
            None if further > 0 => {
                refuse("there is none, and this model renders from one; give the video an image".into())
            }
            None => Ok(Self::None),
            Some(y) if further > MASK => {
                let expected = [further, frames, height, width];
                if y.dims() != expected {
                    return refuse(format!("it is encoded as {:?}, not {expected:?}", y.dims()));
                }
                Ok(Self::Channels(y))
            }
            Some(z) if further == 0 && config.vae() == VaeKind::Wan22 => {
                Ok(Self::FirstFrames(FirstFrames::new(&z, latents)?))
            }
            Some(_) => refuse("this model renders from text only; leave the image out, or use another model".into()),
        }
    }

    /// The transformer's velocity.
    ///
    /// # Shapes
    /// `latents` and velocity `(C, T, H, W)`.
    ///
    /// # Errors
    /// As [`WanModel::forward`].
    pub fn velocity(
        &self,
        model: &WanModel,
        latents: &Tensor,
        timestep: f64,
        text: &TextContext,
        blocks: Blocks<'_>,
    ) -> Result<Tensor, ModelError> {
        let time = Timesteps::Scalar(timestep);
        match self {
            Self::None => model.forward_with(latents, time, text, blocks),
            Self::Channels(y) => model.forward_with(&Tensor::cat(&[latents, y], 0)?, time, text, blocks),
            Self::FirstFrames(first) => {
                model.forward_with(latents, Timesteps::PerToken(&first.timesteps(timestep)), text, blocks)
            }
        }
    }

    /// How far the transformer's embedding of time moves between two steps, as [`WanModel::time_change`].
    ///
    /// # Errors
    /// As there.
    pub fn time_change(&self, model: &WanModel, from: f64, to: f64, projected: bool) -> Result<f64, ModelError> {
        match self {
            Self::None | Self::Channels(_) => {
                model.time_change(Timesteps::Scalar(from), Timesteps::Scalar(to), projected)
            }
            Self::FirstFrames(first) => {
                let (from, to) = (first.timesteps(from), first.timesteps(to));
                model.time_change(Timesteps::PerToken(&from), Timesteps::PerToken(&to), projected)
            }
        }
    }

    /// Puts what is known into new latents, row-major: into the noise, and into what each step made.
    ///
    /// # Errors
    /// Latents of another size than those the conditioning was made for.
    pub fn hold(&self, latents: &mut [f32]) -> Result<(), ModelError> {
        match self {
            Self::FirstFrames(first) => first.hold(latents),
            Self::None | Self::Channels(_) => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use candle_core::{DType, Device};

    use super::*;

    const LATENTS: [usize; 4] = [16, 2, 4, 6];

    fn conditioning(in_dim: usize, out_dim: usize, image: Option<[usize; 4]>) -> Result<Conditioning, String> {
        let config = Transformer { in_dim, out_dim, ..wanfarm_types::fixtures::TINY };
        let image = image.map(|shape| Tensor::zeros(&shape, DType::F32, &Device::Cpu).unwrap());
        let latents = [out_dim, LATENTS[1], LATENTS[2], LATENTS[3]];
        Conditioning::new(&config, latents, image).map_err(|error| error.to_string())
    }

    #[test]
    fn shapes_tell_what_a_model_takes() {
        assert!(matches!(conditioning(16, 16, None), Ok(Conditioning::None)));
        assert!(matches!(conditioning(48, 48, None), Ok(Conditioning::None)));
        assert!(matches!(conditioning(36, 16, Some([20, 2, 4, 6])), Ok(Conditioning::Channels(_))));
        assert!(matches!(conditioning(48, 48, Some([48, 1, 4, 6])), Ok(Conditioning::FirstFrames(_))));
    }

    #[test]
    fn what_does_not_fit_is_refused_with_a_reason() {
        let refused = |in_dim, out_dim, image| conditioning(in_dim, out_dim, image).unwrap_err();
        assert!(refused(36, 16, None).contains("give the video an image"));
        assert!(refused(16, 16, Some([16, 1, 4, 6])).contains("from text only"));
        assert!(refused(36, 16, Some([20, 1, 4, 6])).contains("[20, 1, 4, 6], not [20, 2, 4, 6]"));
        assert!(refused(48, 48, Some([48, 3, 4, 6])).contains("[48, 3, 4, 6]"));
    }
}
