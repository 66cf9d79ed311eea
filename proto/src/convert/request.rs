//! Videos as they are asked for.

use wanfarm_types as domain;

use super::enums::{FromWireNumber, numbers};
use super::{WireError, cache, digest, each, finite, finite_or_absent};
use crate::v1;

fn formats(formats: Vec<domain::Format>) -> Vec<i32> {
    formats.into_iter().map(|format| v1::Format::from(format).into()).collect()
}

fn picture_to_wire(picture: Option<domain::ImageSource>) -> (Option<Vec<u8>>, Option<v1::FrameOf>) {
    match picture {
        None => (None, None),
        Some(domain::ImageSource::File(file)) => (Some(file.0.to_vec()), None),
        Some(domain::ImageSource::Frame(domain::FrameOf { video, frame })) => {
            (None, Some(v1::FrameOf { video, frame }))
        }
    }
}

fn picture(file: Option<Vec<u8>>, frame: Option<v1::FrameOf>) -> Result<Option<domain::ImageSource>, WireError> {
    match (file, frame) {
        (None, None) => Ok(None),
        (Some(file), None) => Ok(Some(domain::ImageSource::File(digest("image digest", &file)?))),
        (None, Some(v1::FrameOf { video, frame })) => {
            Ok(Some(domain::ImageSource::Frame(domain::FrameOf { video, frame })))
        }
        (Some(_), Some(_)) => Err(WireError::unknown("image", "both a file and a frame of a video")),
    }
}

fn clip(file: Option<Vec<u8>>, video: Option<u32>) -> Result<Option<domain::ClipSource>, WireError> {
    match (file, video) {
        (None, None) => Ok(None),
        (Some(file), None) => Ok(Some(domain::ClipSource::File(digest("video", &file)?))),
        (None, Some(video)) => Ok(Some(domain::ClipSource::Video(domain::WholeOf { video }))),
        (Some(_), Some(_)) => Err(WireError::unknown("video", "a file and another video at once")),
    }
}

pub(super) fn swept_to_wire(swept: &domain::Swept) -> Vec<v1::SweptValue> {
    swept.iter().map(|(name, value)| v1::SweptValue { name: name.to_owned(), value: value.to_owned() }).collect()
}

pub(super) fn swept_from_wire(wire: Vec<v1::SweptValue>) -> domain::Swept {
    wire.into_iter().map(|v1::SweptValue { name, value }| (name, value)).collect()
}

impl From<domain::Guidance> for v1::Guidance {
    fn from(guidance: domain::Guidance) -> Self {
        Self { high: guidance.high, low: guidance.low }
    }
}

impl TryFrom<v1::Guidance> for domain::Guidance {
    type Error = WireError;

    fn try_from(wire: v1::Guidance) -> Result<Self, WireError> {
        Ok(Self { high: finite("guidance", wire.high)?, low: finite("guidance", wire.low)? })
    }
}

impl From<domain::Nag> for v1::Nag {
    fn from(nag: domain::Nag) -> Self {
        let domain::Nag { scale, tau, alpha } = nag;
        Self { scale, tau, alpha }
    }
}

impl TryFrom<v1::Nag> for domain::Nag {
    type Error = WireError;

    fn try_from(wire: v1::Nag) -> Result<Self, WireError> {
        let v1::Nag { scale, tau, alpha } = wire;
        Ok(Self { scale: finite("nag", scale)?, tau: finite("nag", tau)?, alpha: finite("nag", alpha)? })
    }
}

impl From<domain::FrameRate> for v1::FrameRate {
    fn from(rate: domain::FrameRate) -> Self {
        Self { numerator: rate.numerator(), denominator: rate.denominator() }
    }
}

impl TryFrom<v1::FrameRate> for domain::FrameRate {
    type Error = WireError;

    fn try_from(wire: v1::FrameRate) -> Result<Self, WireError> {
        Self::new(wire.numerator, wire.denominator.max(1)).map_err(|error| WireError::unknown("fps", error))
    }
}

impl From<domain::VideoRequest> for v1::VideoRequest {
    fn from(request: domain::VideoRequest) -> Self {
        let [(image, image_from), (last_image, last_image_from)] = request.pictures().map(picture_to_wire);
        Self {
            name: request.name,
            prompt: request.prompt,
            negative: request.negative,
            seed: request.seed,
            width: request.width,
            height: request.height,
            frames: request.frames,
            fps: request.fps.map(Into::into),
            steps: request.steps,
            shift: request.shift,
            solver: request.solver.map(|solver| v1::SolverKind::from(solver).into()),
            guidance: request.guidance.map(Into::into),
            nag: request.nag.map(Into::into),
            image,
            image_from,
            last_image,
            last_image_from,
            overlap: request.overlap,
            video: request.video.and_then(|clip| clip.file()).map(|file| file.0.to_vec()),
            video_from: request.video.and_then(|clip| clip.whole()).map(|whole| whole.video),
            strength: request.strength,
            formats: formats(request.formats),
            output: request.output,
            join: request.join,
            cache: request.cache.and_then(cache::to_wire),
            decode: (!request.decode.is_full()).then(|| v1::Decode::from(request.decode).into()),
            loras: request.loras.into_iter().map(Into::into).collect(),
            swept: swept_to_wire(&request.swept),
        }
    }
}

impl TryFrom<v1::VideoRequest> for domain::VideoRequest {
    type Error = WireError;

    fn try_from(wire: v1::VideoRequest) -> Result<Self, WireError> {
        Ok(Self {
            name: wire.name,
            prompt: wire.prompt,
            negative: wire.negative,
            seed: wire.seed,
            width: wire.width,
            height: wire.height,
            frames: wire.frames,
            fps: wire.fps.map(TryInto::try_into).transpose()?,
            steps: wire.steps,
            shift: finite_or_absent("shift", wire.shift)?,
            solver: wire.solver.map(domain::SolverKind::from_wire_number).transpose()?,
            guidance: wire.guidance.map(TryInto::try_into).transpose()?,
            nag: wire.nag.map(TryInto::try_into).transpose()?,
            image: picture(wire.image, wire.image_from)?,
            overlap: wire.overlap,
            last_image: picture(wire.last_image, wire.last_image_from)?,
            video: clip(wire.video, wire.video_from)?,
            strength: finite_or_absent("strength", wire.strength)?,
            formats: numbers(wire.formats)?,
            output: wire.output,
            join: wire.join,
            cache: cache::from_wire(wire.cache)?,
            decode: wire.decode.map(domain::Decode::from_wire_number).transpose()?.unwrap_or_default(),
            loras: each(wire.loras)?,
            swept: swept_from_wire(wire.swept),
        })
    }
}

impl From<domain::LoraRef> for v1::LoraRef {
    fn from(lora: domain::LoraRef) -> Self {
        let domain::LoraRef { name, blake3, bytes, strength, expert } = lora;
        let expert = expert.map(|expert| v1::Expert::from(expert).into());
        Self { name, blake3: blake3.0.to_vec(), bytes, strength, expert }
    }
}

impl TryFrom<v1::LoraRef> for domain::LoraRef {
    type Error = WireError;

    fn try_from(wire: v1::LoraRef) -> Result<Self, WireError> {
        Ok(Self {
            name: wire.name,
            blake3: digest("LoRA digest", &wire.blake3)?,
            bytes: wire.bytes,
            strength: finite("strength", wire.strength)?,
            expert: wire.expert.map(domain::Expert::from_wire_number).transpose()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::{FrameRate, Guidance, LoraRef, Nag, VideoRequest};

    fn request() -> VideoRequest {
        let lora = LoraRef { name: "l".into(), blake3: domain::Digest([1; 32]), bytes: 1, strength: 0.5, expert: None };
        let cache = domain::MagCacheRequest { threshold: Some(0.1), ..Default::default() };
        VideoRequest {
            name: Some("shot".into()),
            prompt: "p".into(),
            negative: None,
            seed: 1,
            width: None,
            height: None,
            frames: None,
            fps: Some("23.976".parse().unwrap()),
            steps: None,
            shift: Some(5.0),
            solver: None,
            guidance: Some(Guidance { high: 4.0, low: 3.0 }),
            image: Some(domain::ImageSource::File(domain::Digest([2; 32]))),
            overlap: Some(5),
            last_image: Some(domain::ImageSource::File(domain::Digest([3; 32]))),
            video: Some(domain::ClipSource::File(domain::Digest([4; 32]))),
            strength: Some(0.25),
            nag: Some(Nag::default()),
            cache: Some(domain::CacheRequest::Magcache(cache)),
            decode: domain::Decode::Tiny,
            loras: vec![lora],
            formats: Vec::new(),
            output: "o".into(),
            join: Some("film.mp4".into()),
            swept: [("pace", "slow"), ("animal", "fox")].into_iter().collect(),
        }
    }

    #[test]
    fn a_request_crosses_the_wire_unchanged() {
        let file = domain::ImageSource::File(domain::Digest([3; 32]));
        let frame = |frame| domain::ImageSource::Frame(domain::FrameOf { video: 7, frame });
        let pictures = [None, Some(file), Some(frame(None)), Some(frame(Some(0)))];
        for (image, last_image) in pictures.into_iter().flat_map(|image| pictures.map(|last| (image, last))) {
            let whole = domain::ClipSource::Video(domain::WholeOf { video: 3 });
            let video = if image == last_image { Some(whole) } else { request().video };
            let request = VideoRequest { image, last_image, video, ..request() };
            assert_eq!(VideoRequest::try_from(v1::VideoRequest::from(request.clone())), Ok(request));
        }
        let both =
            v1::VideoRequest { image: Some(vec![3; 32]), image_from: Some(v1::FrameOf::default()), ..request().into() };
        assert!(VideoRequest::try_from(both).is_err());
    }

    #[test]
    fn adapters_cross_the_wire_unchanged() {
        for expert in [None, Some(domain::Expert::High), Some(domain::Expert::Low), Some(domain::Expert::Single)] {
            let blake3 = domain::Digest([7; 32]);
            let lora = LoraRef { name: "a.safetensors".to_owned(), blake3, bytes: 9, strength: -0.5, expert };
            assert_eq!(LoraRef::try_from(v1::LoraRef::from(lora.clone())), Ok(lora));
        }
    }

    #[test]
    fn numbers_that_are_none_do_not_cross_the_wire() {
        let spoil: [fn(&mut v1::VideoRequest, f64); 6] = [
            |wire, value| wire.shift = Some(value),
            |wire, value| wire.guidance = Some(v1::Guidance { high: value, low: 1.0 }),
            |wire, value| wire.guidance = Some(v1::Guidance { high: 1.0, low: value }),
            |wire, value| wire.nag = Some(v1::Nag { scale: 11.0, tau: value, alpha: 0.25 }),
            |wire, value| wire.loras[0].strength = value,
            |wire, value| {
                let sen = v1::SenCacheRequest { tolerance: Some(value), ..Default::default() };
                wire.cache = Some(v1::CacheRequest { kind: Some(v1::cache_request::Kind::Sencache(sen)) });
            },
        ];
        for spoil in spoil {
            for value in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
                let mut wire = v1::VideoRequest::from(request());
                spoil(&mut wire, value);
                assert!(VideoRequest::try_from(wire.clone()).is_err(), "{wire:?}");
            }
        }
    }

    #[test]
    fn frame_rates_are_checked() {
        let rate = |numerator, denominator| FrameRate::try_from(v1::FrameRate { numerator, denominator });
        assert_eq!(rate(24, 0), Ok(FrameRate::whole(24)), "a denominator that is absent");
        assert_eq!(
            rate(48_000, 2002).map(v1::FrameRate::from),
            Ok(v1::FrameRate { numerator: 24_000, denominator: 1001 })
        );
        for (numerator, denominator) in [(0, 1), (241, 1), (1, 2), (u32::MAX, u32::MAX - 1)] {
            assert!(rate(numerator, denominator).is_err(), "{numerator}/{denominator}");
        }
    }
}
