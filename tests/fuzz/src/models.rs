//! Models that manifests are checked against.

use wanfarm_types::fixtures::info;
use wanfarm_types::{Defaults, Digest, Experts, Geometry, ModelInfo, TinyVae, Transformer, VaeKind};

/// A text-to-video model with two experts, one that needs a first frame, and one that takes one.
pub fn all() -> [ModelInfo; 3] {
    let tiny_vae = Some(TinyVae::Here { file: "taew2_1.safetensors".into(), blake3: Digest([7; 32]) });
    let t2v = ModelInfo { tiny_vae, ..info(Experts::Dual { boundary: 0.875 }) };
    let i2v = ModelInfo { takes_image: true, needs_image: true, ..t2v.clone() };
    let single = info(Experts::Single);
    let ti2v = ModelInfo {
        transformer: Transformer::TI2V_5B,
        vae: VaeKind::Wan22,
        geometry: Geometry { latent_channels: 48, stride_hw: 16, ..t2v.geometry },
        takes_image: true,
        defaults: Defaults { height: 704, ..single.defaults.clone() },
        ..single
    };
    [t2v, i2v, ti2v]
}
