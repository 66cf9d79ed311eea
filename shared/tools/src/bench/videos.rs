//! What videos take, by a part of them that was measured. What the part and the whole should take is calculated for a chip
//! with this machine's peaks; the whole takes as much longer than calculated as the part did.

use wanfarm_roofline::dit::Pass;
use wanfarm_roofline::models::{PUBLISHED, Published};
use wanfarm_roofline::{Kernels, umt5, vae};
use wanfarm_types::VaeKind;

use super::Scene;
use super::result::VideoTime;

/// Forward passes of a step with guidance.
const PASSES: f64 = 2.;

/// A step of each size, by a block over so many tokens.
pub(super) fn steps(scene: &Scene, published: &Published, tokens: u64, seconds: f64) -> Vec<VideoTime> {
    let Some(machine) = scene.measured() else { return Vec::new() };
    let transformer = &published.transformer;
    let text = transformer.text_len as u64;
    let pass = |tokens| Pass { transformer, tokens, text, elements: scene.elements };
    let slower = seconds / machine.seconds(&pass(tokens).block(Kernels::Current));
    let step = |(name, size): &(&str, [u32; 3])| {
        let pass = pass(published.tokens(*size));
        VideoTime {
            what: format!("a step of {}, {name}", published.name),
            seconds: PASSES * machine.forward(&pass) * slower,
            expected_seconds: scene.chip.map(|chip| PASSES * chip.forward(&pass)),
        }
    };
    published.sizes.iter().map(step).collect()
}

/// Decoding of each size, by one latent frame.
pub(super) fn decodes(scene: &Scene, kind: VaeKind, size: [u64; 2], seconds: f64) -> Vec<VideoTime> {
    // The autoencoders compute in f32, whatever the transformers do.
    let peaks = super::Peaks { product: scene.peaks.f32, ..scene.peaks };
    let Some(machine) = peaks.machine() else { return Vec::new() };
    let frame = vae::latent_frame(kind, vae::Way::Decode, size, false, Kernels::Current);
    let slower = seconds / machine.seconds(&frame);
    let stride = match kind {
        VaeKind::Wan21 => 8,
        VaeKind::Wan22 => 16,
    };
    // The largest models of a kind have all its sizes.
    let published = PUBLISHED.iter().rev().find(|published| published.transformer.vae() == kind);
    let decode = |(name, [width, height, frames]): &(&str, [u32; 3])| {
        let latents = [(frames - 1) / 4 + 1, height / stride, width / stride].map(u64::from);
        let ledger = vae::video(kind, vae::Way::Decode, latents, Kernels::Current);
        VideoTime {
            what: format!("decoding {name}"),
            seconds: machine.seconds(&ledger) * slower,
            expected_seconds: scene.chip.map(|chip| chip.seconds(&ledger)),
        }
    };
    published.map(|published| published.sizes.iter().map(decode).collect()).unwrap_or_default()
}

/// A prompt, by one layer.
pub(super) fn prompt(scene: &Scene, seconds: f64) -> VideoTime {
    VideoTime {
        what: "encoding a prompt".to_owned(),
        seconds: umt5::LAYERS as f64 * seconds,
        expected_seconds: scene.chip.map(|chip| chip.text()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::{Limits, Peaks};
    use candle_core::{DType, Device};
    use wanfarm_roofline::{Chip, Elements, Forecast};

    #[test]
    fn a_machine_as_fast_as_its_peaks_takes_what_is_calculated() {
        let peaks = Peaks { f32: Some(17.4), product: Some(17.4), copy: Some(819. * 0.75), write: None };
        let chip = Forecast::of(*Chip::named("Apple M3 Ultra").unwrap());
        let (device, dtype, elements) = (Device::Cpu, DType::BF16, Elements::Bf16);
        let scene = Scene { device, dtype, elements, limits: Limits::new(1., 1), chip: Some(chip), peaks };
        let a14b = &PUBLISHED[2];
        let (transformer, text) = (&a14b.transformer, 512);
        let block = chip.seconds(&Pass { transformer, tokens: 1560, text, elements }.block(Kernels::Current));
        let steps = steps(&scene, a14b, 1560, 2. * block);
        assert_eq!(steps.len(), 2);
        for step in &steps {
            let expected = step.expected_seconds.unwrap();
            assert!(
                (step.seconds / expected - 2.).abs() < 1e-9,
                "twice as slow as calculated, so is the whole: {step:?}"
            );
        }
        let frame = chip.seconds(&vae::latent_frame(VaeKind::Wan22, vae::Way::Decode, [4, 4], false, Kernels::Current));
        let decodes = decodes(&scene, VaeKind::Wan22, [4, 4], frame);
        assert_eq!(decodes[0].what, "decoding 704p, 121 frames");
        assert!((decodes[0].seconds / decodes[0].expected_seconds.unwrap() - 1.).abs() < 1e-9);
    }
}
