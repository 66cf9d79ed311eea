//! Cases `tiny*`: a tiny autoencoder's decoder.
//!
//! Tensors: `{f}_{h}x{w}.latents` → `.frames`, in [0, 1] but for those beyond it, which are not clamped.

use anyhow::Result;
use candle_core::Tensor;
use wanfarm_model::Weights;
use wanfarm_model::tiny_vae::TinyVae;
use wanfarm_tests::files::weights_in;
use wanfarm_tests::render::flat;

use crate::case::{Case, Checks};

pub(crate) fn run(case: &Case<'_>) -> Result<Checks> {
    let (io, tolerance) = (case.io()?, case.tolerance()?);
    let mut checks = Checks::default();
    for layout in case.folders()? {
        let weights = Weights::open(&weights_in(&case.dir.join(&layout))?)?;
        let vae = TinyVae::load(&weights, None, &case.device)?;
        for size in io.names().filter_map(|name| name.strip_suffix(".latents")) {
            let want = format!("{size}.frames");
            let frames = decode(&vae, &io.tensor(&format!("{size}.latents"))?)?;
            checks.close(format!("{layout}: {want}"), &flat(&frames)?, &io.f32(&want)?, tolerance);
        }
    }
    Ok(checks)
}

/// Frames `(3, frames, height, width)`, in [0, 1] but for those beyond it.
fn decode(vae: &TinyVae, latents: &Tensor) -> Result<Tensor> {
    let mut decoder = vae.decoder();
    let mut frames = Vec::new();
    for index in 0..latents.dim(1)? {
        frames.extend(decoder.push(&latents.narrow(1, index, 1)?.squeeze(1)?)?);
    }
    let frames = Tensor::stack(&frames, 0)?.permute((3, 0, 1, 2))?;
    Ok(((frames + 1.)? / 2.)?)
}

/// What the cases must catch, as far from the truth as the script found it.
#[cfg(test)]
mod negative_controls {
    use super::*;
    use crate::committed;

    #[test]
    fn other_clamps_memories_and_orders_are_far_beyond_the_tolerance() {
        let folder = committed().unwrap();
        for (name, count) in [("tiny21", 9), ("tiny22", 11)] {
            let case = folder.case(name).unwrap();
            let limit = case.number("/suggested_f32_tolerance/rel_l2").unwrap();
            for mistakes in case.value("/mistakes").unwrap().as_object().unwrap().values() {
                let mistakes = mistakes.as_object().unwrap();
                assert_eq!(mistakes.len(), count);
                assert!(mistakes.values().all(|far| far["rel_l2"].as_f64().unwrap() > 1000.0 * limit));
            }
        }
    }

    #[test]
    fn a_lost_past_and_latents_of_another_spread_are_caught() {
        let folder = committed().unwrap();
        for name in ["tiny21", "tiny22"] {
            let case = folder.case(name).unwrap();
            let io = case.io().unwrap();
            let weights = Weights::open(&weights_in(&case.dir.join("taehv")).unwrap()).unwrap();
            let vae = TinyVae::load(&weights, None, &case.device).unwrap();
            let size = io.names().find_map(|name| name.strip_suffix(".latents")).unwrap();
            let latents = io.tensor(&format!("{size}.latents")).unwrap();
            let truth = io.tensor(&format!("{size}.frames")).unwrap();
            let caught = |frames: &Tensor, truth: &Tensor| {
                let mut checks = Checks::default();
                let (frames, truth) = (flat(frames).unwrap(), flat(truth).unwrap());
                checks.close("frames", &frames, &truth, case.tolerance().unwrap());
                !checks.passed()
            };
            assert!(!caught(&decode(&vae, &latents).unwrap(), &truth));
            assert!(caught(&decode(&vae, &(&latents * 1.01).unwrap()).unwrap(), &truth));
            // The second latent frame alone, beside the first of the frames that it became.
            let count = latents.dim(1).unwrap();
            let alone = decode(&vae, &latents.narrow(1, count - 1, 1).unwrap()).unwrap();
            assert!(caught(&alone, &truth.narrow(1, truth.dim(1).unwrap() - 4, 1).unwrap()));
        }
    }
}
