//! The sizes of the published transformers, and of videos that are commonly rendered with them.
//!
//! Source: Wan2.2@42bf4cf `wan/configs/`; Wan2.1's for T2V-1.3B.

use wanfarm_types::Transformer;

/// A published model.
#[derive(Debug, Clone, Copy)]
pub struct Published {
    /// The name of its preset.
    pub name: &'static str,
    /// Its transformer; of two, either.
    pub transformer: Transformer,
    /// Sizes that are commonly rendered: name, width, height and frames.
    pub sizes: &'static [(&'static str, [u32; 3])],
}

/// Wan2.2 T2V-A14B, either expert.
pub const T2V_A14B: Transformer = Transformer {
    in_dim: 16,
    out_dim: 16,
    dim: 5120,
    num_heads: 40,
    num_layers: 40,
    ffn_dim: 13_824,
    freq_dim: 256,
    text_dim: 4096,
    text_len: 512,
    eps: 1e-6,
    cross_attn_norm: true,
};

/// Wan2.2 TI2V-5B.
pub const TI2V_5B: Transformer =
    Transformer { in_dim: 48, out_dim: 48, dim: 3072, num_heads: 24, num_layers: 30, ffn_dim: 14_336, ..T2V_A14B };

/// Wan2.1 T2V-1.3B.
pub const T2V_1_3B: Transformer = Transformer { dim: 1536, num_heads: 12, num_layers: 30, ffn_dim: 8960, ..T2V_A14B };

/// 832×480 and 1280×720 with 81 frames.
const SIZES: [(&str, [u32; 3]); 2] = [("480p, 81 frames", [832, 480, 81]), ("720p, 81 frames", [1280, 720, 81])];

/// Those that differ in size. I2V-A14B costs what T2V-A14B does, but for its first layer.
pub const PUBLISHED: [Published; 3] = [
    Published { name: "t2v-1.3b", transformer: T2V_1_3B, sizes: SIZES.split_at(1).0 },
    Published { name: "ti2v-5b", transformer: TI2V_5B, sizes: &[("704p, 121 frames", [1280, 704, 121])] },
    Published { name: "t2v-a14b", transformer: T2V_A14B, sizes: &SIZES },
];

impl Published {
    /// Tokens of a video of this size.
    pub fn tokens(&self, [width, height, frames]: [u32; 3]) -> u64 {
        let stride = match self.transformer.vae() {
            wanfarm_types::VaeKind::Wan21 => 16,
            wanfarm_types::VaeKind::Wan22 => 32,
        };
        u64::from((frames - 1) / 4 + 1) * u64::from(width / stride) * u64::from(height / stride)
    }
}
