//! What makes a video's latents into frames: the model's own autoencoder, or a tiny one, for drafts.

use serde::{Deserialize, Serialize};

use crate::{Digest, ModelInfo, TinyVae};

/// As it is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum Decode {
    /// By the model's own autoencoder.
    #[default]
    Full,
    /// By the tiny one.
    Tiny,
}

/// With nothing left open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Decoder {
    /// The model's own autoencoder.
    #[default]
    Full,
    /// The tiny one in the file of these bytes.
    Tiny(Digest),
}

/// A video is to be decoded by a tiny autoencoder that is not there.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "decode = \"tiny\" needs a tiny VAE, and {why}: put {wanted} of madebyollin/taehv into vae_approx/ in the folder of {model}, on each machine that serves its VAE, and start that worker again; or leave decode out"
)]
pub struct NoTinyVae {
    model: String,
    wanted: &'static str,
    why: String,
}

impl Decode {
    /// Every one, by its name.
    pub const ALL: [Self; 2] = [Self::Full, Self::Tiny];

    /// As manifests write it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Tiny => "tiny",
        }
    }

    /// Whether it is what happens when nothing is said.
    pub fn is_full(&self) -> bool {
        *self == Self::Full
    }

    /// By which network of a model that is.
    ///
    /// # Errors
    /// The model has no such network.
    pub fn resolve(self, info: &ModelInfo) -> Result<Decoder, NoTinyVae> {
        let why = match (self, &info.tiny_vae) {
            (Self::Full, _) => return Ok(Decoder::Full),
            (Self::Tiny, Some(TinyVae::Here { blake3, .. })) => return Ok(Decoder::Tiny(*blake3)),
            (Self::Tiny, Some(TinyVae::Unfit(why))) => why.clone(),
            (Self::Tiny, None) => format!("{} has none", info.name),
        };
        Err(NoTinyVae { model: info.name.clone(), wanted: TinyVae::wanted(info.vae), why })
    }
}

impl Decoder {
    /// What it was asked for as.
    pub fn kind(self) -> Decode {
        match self {
            Self::Full => Decode::Full,
            Self::Tiny(_) => Decode::Tiny,
        }
    }

    /// Whether it is the model's own.
    pub fn is_full(&self) -> bool {
        *self == Self::Full
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Experts, VaeKind, fixtures};

    #[test]
    fn a_tiny_one_is_that_of_the_model_or_is_refused_with_what_to_do() {
        let mut info = fixtures::info(Experts::Single);
        assert_eq!(Decode::Full.resolve(&info), Ok(Decoder::Full));
        let refused = Decode::Tiny.resolve(&info).unwrap_err().to_string();
        for part in ["m has none", "taew2_1.safetensors", "vae_approx/ in the folder of m", "leave decode out"] {
            assert!(refused.contains(part), "{refused}");
        }
        info.vae = VaeKind::Wan22;
        info.tiny_vae = Some(TinyVae::Unfit("x has 16 channels".into()));
        let refused = Decode::Tiny.resolve(&info).unwrap_err().to_string();
        assert!(refused.contains("x has 16 channels") && refused.contains("taew2_2.safetensors"), "{refused}");
        let blake3 = Digest([7; 32]);
        info.tiny_vae = Some(TinyVae::Here { file: "vae_approx/a.safetensors".into(), blake3 });
        assert_eq!(info.check(), Ok(()));
        assert_eq!(Decode::Tiny.resolve(&info), Ok(Decoder::Tiny(blake3)));
    }

    #[test]
    fn what_is_not_said_leaves_no_trace() {
        let info = fixtures::info(Experts::Single);
        let spec = fixtures::request().resolve(&info).unwrap();
        for json in
            [serde_json::to_value(&spec), serde_json::to_value(fixtures::request()), serde_json::to_value(&info)]
        {
            let json = json.unwrap();
            assert!(json.get("decode").is_none() && json.get("tiny_vae").is_none(), "{json}");
        }
        let tiny = serde_json::to_value(Decoder::Tiny(Digest([7; 32]))).unwrap();
        assert_eq!(tiny, serde_json::json!({ "tiny": "07".repeat(32) }));
    }
}
