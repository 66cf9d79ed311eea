//! Model cards and their files.

use wanfarm_types as domain;

use super::enums::FromWireNumber;
use super::{WireError, bounds, finite, ids, required};
use crate::v1;

/// More than any transformer has.
const MOST_LAYERS: u32 = 1000;
/// Pixels along a side, and frames, beyond any model's.
const PIXELS: u32 = 1 << 14;
const FRAMES: u32 = 1 << 16;

impl From<domain::Geometry> for v1::Geometry {
    fn from(geometry: domain::Geometry) -> Self {
        Self {
            latent_channels: geometry.latent_channels,
            stride_t: geometry.stride_t,
            stride_hw: geometry.stride_hw,
            patch: geometry.patch,
        }
    }
}

impl TryFrom<v1::Geometry> for domain::Geometry {
    type Error = WireError;

    fn try_from(wire: v1::Geometry) -> Result<Self, WireError> {
        // Zero would divide; anything large would overflow the products that follow.
        for (field, value, most) in [
            ("latent_channels", wire.latent_channels, 1024),
            ("stride_t", wire.stride_t, 64),
            ("stride_hw", wire.stride_hw, 256),
            ("patch", wire.patch, 64),
        ] {
            if !(1..=most).contains(&value) {
                return Err(WireError::unknown(field, value));
            }
        }
        Ok(Self {
            latent_channels: wire.latent_channels,
            stride_t: wire.stride_t,
            stride_hw: wire.stride_hw,
            patch: wire.patch,
        })
    }
}

impl From<domain::Defaults> for v1::Defaults {
    fn from(defaults: domain::Defaults) -> Self {
        Self {
            width: defaults.width,
            height: defaults.height,
            frames: defaults.frames,
            fps: Some(defaults.fps.into()),
            steps: defaults.steps,
            shift: defaults.shift,
            solver: v1::SolverKind::from(defaults.solver).into(),
            guidance: Some(defaults.guidance.into()),
            negative: defaults.negative,
        }
    }
}

impl TryFrom<v1::Defaults> for domain::Defaults {
    type Error = WireError;

    fn try_from(wire: v1::Defaults) -> Result<Self, WireError> {
        bounds::text("defaults.negative", &wire.negative)?;
        Ok(Self {
            width: bounds::count("defaults.width", wire.width, PIXELS)?,
            height: bounds::count("defaults.height", wire.height, PIXELS)?,
            frames: bounds::count("defaults.frames", wire.frames, FRAMES)?,
            fps: required("fps", wire.fps)?,
            steps: bounds::count("defaults.steps", wire.steps, bounds::STEPS)?,
            shift: finite("defaults.shift", wire.shift)?,
            solver: domain::SolverKind::from_wire_number(wire.solver)?,
            guidance: required("guidance", wire.guidance)?,
            negative: wire.negative,
        })
    }
}

impl From<domain::Transformer> for v1::Transformer {
    fn from(sizes: domain::Transformer) -> Self {
        Self {
            in_dim: sizes.in_dim,
            out_dim: sizes.out_dim,
            dim: sizes.dim,
            num_heads: sizes.num_heads,
            num_layers: sizes.num_layers,
            ffn_dim: sizes.ffn_dim,
            freq_dim: sizes.freq_dim,
            text_dim: sizes.text_dim,
            text_len: sizes.text_len,
            eps: sizes.eps,
            cross_attn_norm: sizes.cross_attn_norm,
        }
    }
}

impl TryFrom<v1::Transformer> for domain::Transformer {
    type Error = WireError;

    fn try_from(wire: v1::Transformer) -> Result<Self, WireError> {
        // Whoever lists its tensors lists as many as it has layers.
        if wire.num_layers > MOST_LAYERS {
            return Err(WireError::unknown("num_layers", wire.num_layers));
        }
        Ok(Self {
            in_dim: wire.in_dim,
            out_dim: wire.out_dim,
            dim: wire.dim,
            num_heads: wire.num_heads,
            num_layers: wire.num_layers,
            ffn_dim: wire.ffn_dim,
            freq_dim: wire.freq_dim,
            text_dim: wire.text_dim,
            text_len: wire.text_len,
            eps: finite("eps", wire.eps)?,
            cross_attn_norm: wire.cross_attn_norm,
        })
    }
}

impl From<domain::ModelCard> for v1::ModelCard {
    fn from(card: domain::ModelCard) -> Self {
        Self {
            name: card.name,
            preset: card.preset,
            boundary: match card.experts {
                domain::Experts::Single => None,
                domain::Experts::Dual { boundary } => Some(boundary),
            },
            transformer: Some(card.transformer.into()),
            vae: v1::VaeKind::from(card.vae).into(),
            geometry: Some(card.geometry.into()),
            takes_image: card.takes_image,
            needs_image: card.needs_image,
            defaults: Some(card.defaults.into()),
            mag_curve: card.mag_curve.map(Into::into),
            loras: card.loras.into_iter().map(Into::into).collect(),
        }
    }
}

impl TryFrom<v1::ModelCard> for domain::ModelCard {
    type Error = WireError;

    fn try_from(wire: v1::ModelCard) -> Result<Self, WireError> {
        bounds::name("model name", &wire.name)?;
        bounds::check_label("preset", &wire.preset)?;
        Ok(Self {
            name: wire.name,
            preset: wire.preset,
            experts: match wire.boundary {
                None => domain::Experts::Single,
                Some(boundary) if boundary > 0.0 && boundary < 1.0 => domain::Experts::Dual { boundary },
                Some(boundary) => {
                    return Err(WireError::unusable("boundary", format!("is {boundary}, not between 0 and 1")));
                }
            },
            transformer: required("transformer", wire.transformer)?,
            vae: domain::VaeKind::from_wire_number(wire.vae)?,
            geometry: required("geometry", wire.geometry)?,
            takes_image: wire.takes_image,
            needs_image: wire.needs_image,
            defaults: required("defaults", wire.defaults)?,
            mag_curve: wire.mag_curve.map(TryInto::try_into).transpose()?,
            loras: wire.loras.into_iter().map(TryInto::try_into).collect::<Result<_, _>>()?,
        })
    }
}

impl From<domain::FixedLora> for v1::FixedLora {
    fn from(lora: domain::FixedLora) -> Self {
        let expert = lora.expert.map(|expert| v1::Expert::from(expert).into());
        Self { path: lora.path, strength: lora.strength, expert }
    }
}

impl TryFrom<v1::FixedLora> for domain::FixedLora {
    type Error = WireError;

    fn try_from(wire: v1::FixedLora) -> Result<Self, WireError> {
        let expert = wire.expert.map(domain::Expert::from_wire_number).transpose()?;
        bounds::path("LoRA path", &wire.path)?;
        Ok(Self { path: wire.path, strength: finite("LoRA strength", wire.strength)?, expert })
    }
}

impl From<domain::OwnCurve> for v1::OwnCurve {
    fn from(curve: domain::OwnCurve) -> Self {
        Self {
            steps: curve.steps,
            shift: curve.shift,
            solver: v1::SolverKind::from(curve.solver).into(),
            ratios: curve.ratios.into_flattened(),
        }
    }
}

impl TryFrom<v1::OwnCurve> for domain::OwnCurve {
    type Error = WireError;

    fn try_from(wire: v1::OwnCurve) -> Result<Self, WireError> {
        let (ratios, rest) = wire.ratios.as_chunks::<2>();
        if !rest.is_empty() {
            return Err(WireError::unknown("ratios", format!("an odd number of {}", wire.ratios.len())));
        }
        let solver = domain::SolverKind::from_wire_number(wire.solver)?;
        let curve = Self { steps: wire.steps, shift: wire.shift, solver, ratios: ratios.to_vec() };
        curve.check().map_err(|error| WireError::unknown("mag_curve", error))?;
        Ok(curve)
    }
}

impl From<domain::ModelFile> for v1::ModelFile {
    fn from(file: domain::ModelFile) -> Self {
        Self { path: file.path, blake3: file.blake3.0.to_vec() }
    }
}

impl TryFrom<v1::ModelFile> for domain::ModelFile {
    type Error = WireError;

    fn try_from(wire: v1::ModelFile) -> Result<Self, WireError> {
        bounds::path("file path", &wire.path)?;
        Ok(Self { blake3: ids::digest("file digest", &wire.blake3)?, path: wire.path })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_cross_the_wire_and_absurd_ones_do_not() {
        let sizes = v1::Transformer { dim: 5120, num_layers: 40, eps: 1e-6, ..Default::default() };
        let back = domain::Transformer::try_from(sizes).map(v1::Transformer::from);
        assert_eq!(back, Ok(sizes));
        assert!(domain::Transformer::try_from(v1::Transformer { num_layers: u32::MAX, ..sizes }).is_err());
    }

    #[test]
    fn a_curve_crosses_the_wire_and_a_wrong_one_does_not() {
        let ratios = vec![[0.5, 0.25], [1.0, 2.0]];
        let curve = domain::OwnCurve { steps: 3, shift: 5.0, solver: domain::SolverKind::Euler, ratios };
        let wire = v1::OwnCurve::from(curve.clone());
        assert_eq!(domain::OwnCurve::try_from(wire.clone()), Ok(curve));
        for ratios in [vec![1.0; 3], vec![1.0; 6], vec![1.0, 1.0, f64::NAN, 1.0], vec![1.0; 1 << 20]] {
            assert!(domain::OwnCurve::try_from(v1::OwnCurve { ratios, ..wire.clone() }).is_err());
        }
    }

    #[test]
    fn a_card_has_numbers_that_can_be_kept_and_read_again() {
        let good = domain::ModelCard {
            name: "wan".into(),
            preset: "t2v-a14b".into(),
            experts: domain::Experts::Dual { boundary: 0.875 },
            vae: domain::VaeKind::Wan21,
            geometry: domain::Geometry { latent_channels: 16, stride_t: 4, stride_hw: 8, patch: 2 },
            takes_image: false,
            needs_image: false,
            defaults: domain::Defaults {
                width: 832,
                height: 480,
                frames: 81,
                fps: domain::FrameRate::new(16, 1).unwrap(),
                steps: 40,
                shift: 5.0,
                solver: domain::SolverKind::UniPc,
                guidance: domain::Guidance { high: 4.0, low: 3.0 },
                negative: "blurred".into(),
            },
            mag_curve: None,
            transformer: domain::Transformer {
                in_dim: 16,
                out_dim: 16,
                dim: 64,
                num_heads: 2,
                num_layers: 2,
                ffn_dim: 128,
                freq_dim: 256,
                text_dim: 64,
                text_len: 512,
                eps: 1e-6,
                cross_attn_norm: true,
            },
            loras: vec![domain::FixedLora { path: "loras/a.safetensors".into(), strength: -1.0, expert: None }],
        };
        let wire = v1::ModelCard::from(good.clone());
        assert_eq!(domain::ModelCard::try_from(wire.clone()), Ok(good));
        let refused = |change: fn(&mut v1::ModelCard, &mut v1::Defaults)| {
            let (mut card, mut defaults) = (wire.clone(), wire.defaults.clone().unwrap());
            change(&mut card, &mut defaults);
            card.defaults = Some(defaults);
            domain::ModelCard::try_from(card).unwrap_err().to_string()
        };
        for (error, field) in [
            (refused(|card, _| card.boundary = Some(f64::NAN)), "boundary"),
            (refused(|card, _| card.boundary = Some(1.0)), "boundary"),
            (refused(|_, defaults| defaults.shift = f64::INFINITY), "defaults.shift"),
            (refused(|_, defaults| defaults.guidance.as_mut().unwrap().high = f64::NAN), "guidance"),
            (refused(|_, defaults| defaults.guidance.as_mut().unwrap().low = f64::NEG_INFINITY), "guidance"),
            (refused(|_, defaults| defaults.steps = 0), "defaults.steps"),
            (refused(|_, defaults| defaults.width = u32::MAX), "defaults.width"),
            (refused(|_, defaults| defaults.negative = "n".repeat(20 << 20)), "defaults.negative"),
            (refused(|card, _| card.loras[0].strength = f64::NAN), "LoRA strength"),
            (refused(|card, _| card.name = String::new()), "the message lacks model name"),
            (refused(|card, _| card.name = "m".repeat(1 << 20)), "model name"),
        ] {
            assert!(error.starts_with(field), "{error}");
        }
    }
}
