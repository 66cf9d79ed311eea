//! `vae`: image files and clips → what conditions a video on them; finished latents → frames, one latent frame at a time, by the model's
//! own autoencoder or by the tiny one that lies with it.

use std::io::Cursor;

use candle_core::{Device, Tensor};
use wanfarm_image::{ClipAbout, RgbImage, load_image};
use wanfarm_media::{Clip, MediaError};
use wanfarm_model::conditioning::{Anchors, encode, encode_clip};
use wanfarm_model::folder::TinyFile;
use wanfarm_model::tiny_vae::{TinyDecoder, TinyVae};
use wanfarm_model::vae::{self, WanVae, rgb8};
use wanfarm_model::{ModelError, Weights};
use wanfarm_types::{DType, Decoder, Digest, Failure, FailureKind, ItemOutputs, Stage, VideoSpec};

use super::{explain, finite, values};
use crate::digests::hash;
use crate::runner::{Control, HostTensor, Output, PreparedItem, RoleRunner, abandoned, refs};

/// The autoencoder of one model, and the tiny one once a video has asked for it.
#[derive(Debug)]
pub(crate) struct Vae {
    model: WanVae,
    file: Option<TinyFile>,
    tiny: Option<(Digest, TinyVae)>,
    device: Device,
}

/// A video on its way through one of them.
enum Decoding<'v> {
    Full(vae::Decoder<'v>),
    Tiny(Box<TinyDecoder<'v>>),
}

impl Decoding<'_> {
    fn push(&mut self, latent: &Tensor) -> Result<Vec<Tensor>, ModelError> {
        match self {
            Self::Full(decoder) => decoder.push(latent),
            Self::Tiny(decoder) => decoder.push(latent),
        }
    }
}

/// Why a clip was not encoded.
enum Unencoded {
    Clip(MediaError),
    Model(ModelError),
}

impl From<ModelError> for Unencoded {
    fn from(error: ModelError) -> Self {
        Self::Model(error)
    }
}

/// The last frames of a clip, as many as a video starts from.
fn last_frames(file: &HostTensor, spec: &VideoSpec) -> Result<Vec<RgbImage>, String> {
    const NAME: &str = "the clip it carries on from";
    let about = ClipAbout::read(NAME, &mut Cursor::new(&file.bytes)).map_err(|error| error.to_string())?;
    let (there, wanted) = (about.length.frames(spec.fps), spec.overlap);
    let before = there.checked_sub(wanted).ok_or_else(|| format!("{NAME} has {there} frames, not {wanted}"))?;
    let clip = Clip::given(NAME, Cursor::new(file.bytes.clone())).map_err(|error| error.to_string())?;
    let frames = clip.at_rate(spec.fps).skip(before as usize).take(wanted as usize);
    frames.map(|frame| frame.map_err(|error| error.to_string())).collect()
}

/// Width and height of a video.
fn size(spec: &VideoSpec) -> [usize; 2] {
    [spec.width, spec.height].map(|side| side as usize)
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
    /// With the file of a tiny autoencoder, which is read when it is first needed.
    pub(crate) fn new(model: WanVae, file: Option<TinyFile>, device: Device) -> Self {
        Self { model, file, tiny: None, device }
    }

    /// The decoder that a video asks for.
    fn decoder(&mut self, wanted: Decoder) -> Result<Decoding<'_>, Failure> {
        let Decoder::Tiny(wanted) = wanted else { return Ok(Decoding::Full(self.model.decoder())) };
        if self.tiny.as_ref().is_none_or(|(loaded, _)| *loaded != wanted) {
            self.tiny = Some((wanted, self.load(wanted)?));
        }
        let tiny = self.tiny.as_ref().ok_or_else(|| Failure::transient("decode: the tiny VAE is gone".to_owned()))?;
        Ok(Decoding::Tiny(Box::new(tiny.1.decoder())))
    }

    /// Another worker may have the file where this one has not, or not any more.
    fn load(&self, wanted: Digest) -> Result<TinyVae, Failure> {
        let lacking =
            |why: String| Failure::transient(format!("decode: the tiny VAE {wanted} cannot be used here: {why}"));
        let TinyFile { path, raw } = self.file.as_ref().ok_or_else(|| lacking("there is none".to_owned()))?;
        let found = hash(path).map_err(|error| lacking(error.to_string()))?;
        if found != wanted {
            let path = path.display();
            return Err(lacking(format!("{path} is now {found}; start this worker again and submit the video anew")));
        }
        let weights = Weights::open(std::slice::from_ref(path)).map_err(|error| lacking(error.to_string()))?;
        let statistics = raw.then_some(&self.model.config().statistics);
        TinyVae::load(&weights, statistics, &self.device).map_err(|error| lacking(error.to_string()))
    }

    /// The files of an item, in order: the image of the first frame, that of the last, the clip.
    fn encode(&self, item: &PreparedItem, control: &dyn Control) -> Result<Output, Failure> {
        let has_clip = item.spec.video.is_some();
        let (images, clip) = item.image.split_at(item.image.len().saturating_sub(has_clip.into()));
        let mut encoded = Vec::new();
        if item.spec.image.is_some() || !has_clip {
            encoded.push(self.encode_images(item, images, control)?);
        }
        if has_clip {
            let missing = || explain(item, ModelError::input("clip", "there is no file of it"));
            encoded.push(self.encode_clip(item, clip.first().ok_or_else(missing)?, control)?);
        }
        Ok((ItemOutputs::Image(refs(&encoded)), encoded))
    }

    fn encode_images(
        &self,
        item: &PreparedItem,
        images: &[HostTensor],
        control: &dyn Control,
    ) -> Result<HostTensor, Failure> {
        let failed = |error| explain(item, error);
        let PreparedItem { item: work, spec, .. } = item;
        let (first, last) = match images {
            [first] => (first, None),
            [first, last] => (first, Some(last)),
            others => {
                let why = format!("{} image files where there must be one or two", others.len());
                return Err(failed(ModelError::input("image", why)));
            }
        };
        let load = |name: &str, file: &HostTensor| -> Result<RgbImage, Failure> {
            load_image(name, &file.bytes).map_err(|error| Failure::deterministic(format!("{}: {error}", work.stage)))
        };
        let first = match spec.overlap {
            1 => vec![load("the image", first)?],
            _ => self::last_frames(first, spec)
                .map_err(|error| Failure::deterministic(format!("{}: {error}", work.stage)))?,
        };
        let last = last.map(|last| load("the last image", last)).transpose()?;
        let anchors = Anchors { first: &first, last: last.as_ref() };
        let encoded =
            encode(&self.model, anchors, size(spec), spec.frames as usize, || control.abandoned()).map_err(failed)?;
        let encoded = encoded.ok_or_else(abandoned)?;
        let values = values(&encoded).map_err(failed)?;
        finite(&values, || "the latents of the known frames".to_owned())?;
        Ok(HostTensor::from_f32(encoded.dims(), &values))
    }

    fn encode_clip(
        &self,
        item: &PreparedItem,
        file: &HostTensor,
        control: &dyn Control,
    ) -> Result<HostTensor, Failure> {
        let failed = |error| explain(item, error);
        let PreparedItem { item: work, spec, .. } = item;
        let unread = |error: MediaError| Failure::deterministic(format!("{}: {error}", work.stage));
        let clip = Clip::given("the clip", Cursor::new(file.bytes.clone())).map_err(unread)?;
        let frames = clip.at_rate(spec.fps).take(spec.frames as usize).map(|frame| frame.map_err(Unencoded::Clip));
        let encoded = encode_clip(&self.model, frames, size(spec), || control.abandoned());
        let encoded = encoded.map_err(|error| match error {
            Unencoded::Clip(error) => unread(error),
            Unencoded::Model(error) => failed(error),
        });
        let encoded = encoded?.ok_or_else(abandoned)?;
        let values = values(&encoded).map_err(failed)?;
        finite(&values, || "the latents of the clip".to_owned())?;
        Ok(HostTensor::from_f32(encoded.dims(), &values))
    }

    fn decode(&mut self, item: &PreparedItem, control: &dyn Control) -> Result<Output, Failure> {
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
        let mut decoder = self.decoder(spec.decode)?;
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
