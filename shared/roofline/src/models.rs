//! The published models, and the sizes of videos that are commonly rendered with them.

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

/// 832×480 and 1280×720 with 81 frames.
const SIZES: [(&str, [u32; 3]); 2] = [("480p, 81 frames", [832, 480, 81]), ("720p, 81 frames", [1280, 720, 81])];

/// Those that differ in size. I2V-A14B costs what T2V-A14B does, but for its first layer.
pub const PUBLISHED: [Published; 3] = [
    Published { name: "t2v-1.3b", transformer: Transformer::T2V_1_3B, sizes: SIZES.split_at(1).0 },
    Published { name: "ti2v-5b", transformer: Transformer::TI2V_5B, sizes: &[("704p, 121 frames", [1280, 704, 121])] },
    Published { name: "t2v-a14b", transformer: Transformer::T2V_A14B, sizes: &SIZES },
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
