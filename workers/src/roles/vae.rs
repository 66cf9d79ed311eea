//! `vae`: an image file → what conditions a video on it; finished latents → frames, one latent frame at a time.

use candle_core::{Device, Tensor};
use wanfarm_image::load_image;
use wanfarm_model::ModelError;
use wanfarm_model::conditioning::encode;
use wanfarm_model::vae::{WanVae, rgb8};
use wanfarm_types::{DType, Failure, FailureKind, ItemOutputs, Stage};

use super::{explain, finite, values};
use crate::runner::{Control, HostTensor, Output, PreparedItem, RoleRunner, abandoned};

/// The autoencoder of one model.
#[derive(Debug)]
pub(crate) struct Vae {
    pub(crate) model: WanVae,
}

impl RoleRunner for Vae {
    fn run(&mut self, item: &PreparedItem, control: &mut dyn Control) -> Result<Output, Failure> {
        match item.item.stage {
            Stage::EncodeImage => self.encode(item, control),
            _ => self.decode(item, control),
        }
    }
}

impl Vae {
    fn encode(&self, item: &PreparedItem, control: &dyn Control) -> Result<Output, Failure> {
        let failed = |error| explain(item, error);
        let PreparedItem { item: work, spec, .. } = item;
        let [file] = &item.image[..] else {
            let why = format!("{} image files where there must be one", item.image.len());
            return Err(failed(ModelError::input("image", why)));
        };
        let image = load_image("the image", &file.bytes)
            .map_err(|error| Failure::deterministic(format!("{}: {error}", work.stage)))?;
        let size = [spec.width, spec.height].map(|side| side as usize);
        let encoded =
            encode(&self.model, &image, size, spec.frames as usize, || control.abandoned()).map_err(failed)?;
        let encoded = encoded.ok_or_else(abandoned)?;
        let values = values(&encoded).map_err(failed)?;
        finite(&values, || "the latents of the first frame".to_owned())?;
        let image = HostTensor::from_f32(encoded.dims(), &values);
        Ok((ItemOutputs::Image(vec![image.name.clone()]), vec![image]))
    }

    fn decode(&self, item: &PreparedItem, control: &dyn Control) -> Result<Output, Failure> {
        let failed = |error| explain(item, error);
        let spec = &item.spec;
        let shape = [spec.frames, spec.height, spec.width, 3].map(|dim| dim as usize);
        let size: usize = shape.iter().product();
        let latents = item.state.as_ref().and_then(|state| state.tensors.first());
        let latents = latents.ok_or_else(|| failed(ModelError::input("latents", "there are none")))?;
        let latents =
            Tensor::from_vec(latents.to_f32(), latents.shape(), &Device::Cpu).map_err(|error| failed(error.into()))?;

        let mut bytes = Vec::new();
        bytes.try_reserve_exact(size).map_err(|error| {
            Failure::deterministic(format!("{}: out of memory for {size} bytes of frames: {error}", item.item.stage))
        })?;
        let mut decoder = self.model.decoder();
        for index in 0..latents.dim(1).map_err(|error| failed(error.into()))? {
            if control.abandoned() {
                return Err(abandoned());
            }
            let latent = latents
                .narrow(1, index, 1)
                .and_then(|latent| latent.squeeze(1))
                .map_err(|error| failed(error.into()))?;
            for frame in decoder.push(&latent).map_err(failed)? {
                let sum =
                    frame.sum_all().and_then(|sum| sum.to_scalar::<f32>()).map_err(|error| failed(error.into()))?;
                if !sum.is_finite() {
                    let message = format!("a frame decoded from latent frame {index} is not finite");
                    return Err(Failure { kind: FailureKind::NotFinite, message });
                }
                bytes.extend(rgb8(&frame).map_err(failed)?);
            }
        }
        if bytes.len() != size {
            let why = format!("{} bytes of frames came out where {shape:?} are {size}", bytes.len());
            return Err(failed(ModelError::input("latents", why)));
        }
        let frames = HostTensor::new(DType::U8, &shape, bytes);
        Ok((ItemOutputs::Frames(frames.name.clone()), vec![frames]))
    }
}
