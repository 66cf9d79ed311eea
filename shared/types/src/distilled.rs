//! Models and LoRA files that were distilled to few steps: how they are known by their names, and how they are sampled.
//!
//! Not here: the grids themselves, which are a solver's (`wanfarm_sampling`).

use crate::SolverKind;

/// How distilled weights are to be sampled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sampling {
    /// By this solver, with its own steps and shift, without guidance.
    Solver(SolverKind),
    /// By none that is here: their attention is one that no network here has.
    Unknown,
}

/// A family of distilled weights.
#[derive(Debug, PartialEq, Eq)]
pub struct Distilled {
    /// What people call it.
    pub name: &'static str,
    /// How it is sampled.
    pub sampling: Sampling,
    /// What a path of one says, all of it: in small letters, without `-`, `_` and spaces.
    marks: &'static [&'static str],
}

const LIGHTNING: Sampling = Sampling::Solver(SolverKind::Lightning);
const DMD: Sampling = Sampling::Solver(SolverKind::Dmd);
const RCM: Sampling = Sampling::Solver(SolverKind::Rcm);

/// Those that are known. All that `lightning` is for were trained on the timesteps 1000, 750, 500 and 250 at shift 5, the first
/// two of them the high-noise expert's where there are two.
const KNOWN: [Distilled; 8] = [
    // huggingface.co/lightx2v/Wan2.2-Lightning: Wan2.2-T2V-A14B-4steps-lora-rank64-Seko-V1, V1.1, -250928, and the I2V pair; as
    // repacked, wan2.2_i2v_lightx2v_4steps_lora_v1_high_noise. Settings: ModelTC/Wan2.2-Lightning@92efeb4 `wan/configs`.
    Distilled { name: "Wan2.2-Lightning", sampling: LIGHTNING, marks: &["wan2", "4stepslora"] },
    // huggingface.co/lightx2v/Wan2.2-Distill-Models, Wan2.2-Distill-Loras and their like for Wan2.1.
    // Settings: ModelTC/LightX2V@f8aee98 `configs/distill`.
    Distilled { name: "LightX2V", sampling: LIGHTNING, marks: &["wan2", "lightx2v4step"] },
    // Wan21_T2V_14B_lightx2v_cfg_step_distill_lora_rank32, and huggingface.co/lightx2v/Wan2.1-T2V-14B-StepDistill-CfgDistill.
    Distilled { name: "LightX2V", sampling: LIGHTNING, marks: &["lightx2v", "cfgstepdistill"] },
    Distilled { name: "LightX2V", sampling: LIGHTNING, marks: &["wan2", "stepdistillcfgdistill"] },
    // huggingface.co/FastVideo/FastWan2.2-TI2V-5B-FullAttn-Diffusers and its like: DMD at 1000, 757 and 522.
    // hao-ai-lab/FastVideo@2f3d407 `examples/distill`.
    Distilled { name: "FastWan", sampling: DMD, marks: &["fastwan"] },
    // NVlabs/rcm@5b41aa9 `rcm/inference`: angles arctan(80), 1.5, 1.4 and 1.0.
    Distilled { name: "rCM", sampling: RCM, marks: &["rcmwan"] },
    // Wan2.2-I2V-A14B-high-rCM-merged, -low-: one of each expert.
    Distilled { name: "rCM", sampling: RCM, marks: &["wan2", "rcmmerged"] },
    // thu-ml/TurboDiffusion@aaecff5, by rCM, with an attention of its own.
    Distilled { name: "TurboWan", sampling: Sampling::Unknown, marks: &["turbowan"] },
];

impl Distilled {
    /// The family that a file or folder belongs to, as far as its path tells.
    pub fn of(path: &str) -> Option<&'static Self> {
        const ALL: &[Distilled] = &KNOWN;
        let plain: String =
            path.chars().filter(|letter| !matches!(letter, '-' | '_' | ' ')).flat_map(char::to_lowercase).collect();
        ALL.iter().find(|known| known.marks.iter().all(|mark| plain.contains(mark)))
    }

    /// The solver that it is for, if there is one.
    pub fn solver(&self) -> Option<SolverKind> {
        if let Sampling::Solver(solver) = self.sampling { Some(solver) } else { None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn published_files_are_known_by_their_names_and_others_are_not() {
        let name = |path| Distilled::of(path).map(|known| known.name);
        for path in [
            "loras/Wan2.2-T2V-A14B-4steps-lora-rank64-Seko-V1.1/high_noise_model.safetensors",
            "Wan2.2-T2V-A14B-4steps-lora-250928/low_noise_model.safetensors",
            "wan2.2_i2v_lightx2v_4steps_lora_v1_high_noise.safetensors",
            "Wan22_A14B_T2V_HIGH_Lightning_4steps_lora_250928_rank128_fp16.safetensors",
        ] {
            assert_eq!(name(path), Some("Wan2.2-Lightning"), "{path}");
        }
        for path in [
            "wan2.2_t2v_A14b_high_noise_lora_rank64_lightx2v_4step_1217.safetensors",
            "wan2.2_i2v_A14b_low_noise_scaled_fp8_e4m3_lightx2v_4step.safetensors",
            "Wan21_T2V_14B_lightx2v_cfg_step_distill_lora_rank32.safetensors",
            "Wan2.1-T2V-14B-StepDistill-CfgDistill",
        ] {
            assert_eq!(name(path), Some("LightX2V"), "{path}");
            assert_eq!(Distilled::of(path).unwrap().solver(), Some(SolverKind::Lightning));
        }
        for (path, solver) in [
            ("FastWan2.2-TI2V-5B-FullAttn-Diffusers", Some(SolverKind::Dmd)),
            ("rCM_Wan2.1_T2V_1.3B_480p.pt", Some(SolverKind::Rcm)),
            ("Wan2.2-I2V-A14B-low-rCM-merged", Some(SolverKind::Rcm)),
            ("TurboWan2.1-T2V-1.3B-480P", None),
        ] {
            assert_eq!(Distilled::of(path).unwrap().solver(), solver, "{path}");
        }
        for path in
            ["styles/film.safetensors", "Wan2.2-T2V-A14B", "wan2.2_t2v_high_noise_14B.gguf", "4steps.safetensors"]
        {
            assert_eq!(name(path), None, "{path}");
        }
    }
}
