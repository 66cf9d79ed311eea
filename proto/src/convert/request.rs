//! Videos as they are asked for.

use wanfarm_types as domain;

use super::enums::{FromWireNumber, numbers};
use super::{WireError, cache, digest, each, finite, finite_or_absent};
use crate::v1;

fn formats(formats: Vec<domain::Format>) -> Vec<i32> {
    formats.into_iter().map(|format| v1::Format::from(format).into()).collect()
}

fn image(wire: Option<Vec<u8>>) -> Result<Option<domain::Digest>, WireError> {
    wire.map(|bytes| digest("image digest", &bytes)).transpose()
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
        Self {
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
            image: request.image.map(|digest| digest.0.to_vec()),
            formats: formats(request.formats),
            output: request.output,
            cache: request.cache.and_then(cache::to_wire),
            loras: request.loras.into_iter().map(Into::into).collect(),
            swept: swept_to_wire(&request.swept),
        }
    }
}

impl TryFrom<v1::VideoRequest> for domain::VideoRequest {
    type Error = WireError;

    fn try_from(wire: v1::VideoRequest) -> Result<Self, WireError> {
        Ok(Self {
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
            image: image(wire.image)?,
            formats: numbers(wire.formats)?,
            output: wire.output,
            cache: cache::from_wire(wire.cache)?,
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
    use domain::{FrameRate, Guidance, LoraRef, VideoRequest};

    fn request() -> VideoRequest {
        let lora = LoraRef { name: "l".into(), blake3: domain::Digest([1; 32]), bytes: 1, strength: 0.5, expert: None };
        let cache = domain::MagCacheRequest { threshold: Some(0.1), ..Default::default() };
        VideoRequest {
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
            image: None,
            cache: Some(domain::CacheRequest::Magcache(cache)),
            loras: vec![lora],
            formats: Vec::new(),
            output: "o".into(),
            swept: [("pace", "slow"), ("animal", "fox")].into_iter().collect(),
        }
    }

    #[test]
    fn a_request_crosses_the_wire_unchanged() {
        assert_eq!(VideoRequest::try_from(v1::VideoRequest::from(request())), Ok(request()));
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
        let spoil: [fn(&mut v1::VideoRequest, f64); 5] = [
            |wire, value| wire.shift = Some(value),
            |wire, value| wire.guidance = Some(v1::Guidance { high: value, low: 1.0 }),
            |wire, value| wire.guidance = Some(v1::Guidance { high: 1.0, low: value }),
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
