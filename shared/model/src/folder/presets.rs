//! The published models, recognised by the shapes of their transformers, and what their authors render with.
//!
//! Source: Wan2.2@42bf4cf `wan/configs/`.

use wanfarm_types::{Defaults, FrameRate, Guidance, SolverKind};

use wanfarm_types::Transformer;

/// What the authors' code puts where no negative prompt is given.
///
/// Source: Wan2.2@42bf4cf `wan/configs/shared_config.py` `sample_neg_prompt`.
pub const NEGATIVE_PROMPT: &str = "色调艳丽，过曝，静态，细节模糊不清，字幕，风格，作品，画作，画面，静止，整体发灰，最差质量，低质量，JPEG压缩残留，丑陋的，残缺的，多余的手指，画得不好的手部，画得不好的脸部，畸形的，毁容的，形态畸形的肢体，手指融合，静止不动的画面，杂乱的背景，三条腿，背景人很多，倒着走";

/// A published model, or the family an unpublished one belongs to.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Preset {
    pub(super) name: &'static str,
    /// Sizes of the published transformer.
    dim: usize,
    num_layers: usize,
    in_dim: usize,
    out_dim: usize,
    dual: bool,
    /// Where the high-noise expert ends, if there are two.
    pub(super) boundary: f64,
    pub(super) takes_image: bool,
    pub(super) needs_image: bool,
    size: (u32, u32),
    frames: u32,
    fps: FrameRate,
    steps: u32,
    shift: f64,
    /// High, low.
    guidance: (f64, f64),
}

const T2V_A14B: Preset = Preset {
    name: "t2v-a14b",
    dim: 5120,
    num_layers: 40,
    in_dim: 16,
    out_dim: 16,
    dual: true,
    boundary: 0.875,
    takes_image: false,
    needs_image: false,
    size: (1280, 720),
    frames: 81,
    fps: FrameRate::whole(16),
    steps: 40,
    shift: 12.,
    guidance: (4., 3.),
};

const I2V_A14B: Preset = Preset {
    name: "i2v-a14b",
    in_dim: 36,
    boundary: 0.9,
    takes_image: true,
    needs_image: true,
    shift: 5.,
    guidance: (3.5, 3.5),
    ..T2V_A14B
};

const TI2V_5B: Preset = Preset {
    name: "ti2v-5b",
    dim: 3072,
    num_layers: 30,
    in_dim: 48,
    out_dim: 48,
    dual: false,
    takes_image: true,
    size: (1280, 704),
    frames: 121,
    fps: FrameRate::whole(24),
    steps: 50,
    shift: 5.,
    guidance: (5., 5.),
    ..T2V_A14B
};

const T2V_1_3B: Preset = Preset {
    name: "t2v-1.3b",
    dim: 1536,
    num_layers: 30,
    dual: false,
    size: (832, 480),
    steps: 50,
    shift: 5.,
    guidance: (5., 5.),
    ..T2V_A14B
};

const PUBLISHED: [Preset; 4] = [T2V_A14B, I2V_A14B, TI2V_5B, T2V_1_3B];

/// The published models of this width that have at least so many blocks.
pub fn of_width(dim: usize, blocks: usize) -> Vec<&'static str> {
    let fits = |preset: &&Preset| preset.dim == dim && preset.num_layers >= blocks;
    PUBLISHED.iter().filter(fits).map(|preset| preset.name).collect()
}

impl Preset {
    /// Recognises a transformer by its shapes. One of unknown size is `custom`, with the settings of the published
    /// model that takes the same input; `None` for an input that no Wan model of this program takes.
    pub(super) fn of(cfg: &Transformer, dual: bool) -> Option<Self> {
        let same_input = |preset: &&Preset| (preset.in_dim, preset.out_dim) == (cfg.in_dim, cfg.out_dim);
        let family: Vec<&Preset> = PUBLISHED.iter().filter(same_input).collect();
        let same_size =
            |preset: &&&Preset| (preset.dim, preset.num_layers, preset.dual) == (cfg.dim, cfg.num_layers, dual);
        if let Some(preset) = family.iter().find(same_size) {
            return Some(**preset);
        }
        let nearest = family.iter().find(|preset| preset.dual == dual).or(family.first())?;
        Some(Preset { name: "custom", ..**nearest })
    }

    /// Whether it is one of the published models, whose settings are known for certain.
    pub(super) fn is_published(&self) -> bool {
        self.name != "custom"
    }

    /// What a manifest may leave out.
    pub(super) fn defaults(&self) -> Defaults {
        let ((width, height), (high, low)) = (self.size, self.guidance);
        Defaults {
            width,
            height,
            frames: self.frames,
            fps: self.fps,
            steps: self.steps,
            shift: self.shift,
            solver: SolverKind::UniPc,
            guidance: Guidance { high, low },
            negative: NEGATIVE_PROMPT.to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(in_dim: usize, out_dim: usize, dim: usize, num_layers: usize) -> Transformer {
        Transformer { in_dim, out_dim, dim, num_layers, ..Transformer::T2V_A14B }
    }

    #[test]
    fn shapes_tell_the_model() {
        let name = |cfg: Transformer, dual| Preset::of(&cfg, dual).map(|preset| preset.name);
        assert_eq!(name(config(16, 16, 5120, 40), true), Some("t2v-a14b"));
        assert_eq!(name(config(36, 16, 5120, 40), true), Some("i2v-a14b"));
        assert_eq!(name(config(48, 48, 3072, 30), false), Some("ti2v-5b"));
        assert_eq!(name(config(16, 16, 1536, 30), false), Some("t2v-1.3b"));
        assert_eq!(name(config(16, 16, 64, 2), true), Some("custom"));
        assert_eq!(name(config(16, 16, 5120, 40), false), Some("custom"), "Wan2.1's 14B is not an expert");
        assert_eq!(name(config(20, 16, 64, 2), true), None);
    }

    #[test]
    fn unknown_sizes_render_like_their_family() {
        let family = |in_dim, out_dim, dual| Preset::of(&config(in_dim, out_dim, 64, 2), dual).unwrap();
        assert_eq!(family(16, 16, true).shift, 12.);
        assert_eq!(family(16, 16, false).shift, 5.);
        assert_eq!(family(36, 16, false).boundary, 0.9);
        assert!(family(48, 48, false).takes_image && !family(48, 48, false).needs_image);
    }
}
