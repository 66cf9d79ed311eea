//! Case `nag`: one forward pass with normalized attention guidance, of the transformer of `run.base`.
//!
//! Tensors: `x`, `context.0` of the prompt, `context.1` of the negative prompt, `velocity`.

use anyhow::{Context, Result};
use candle_core::DType;
use wanfarm_model::dit::Timesteps;
use wanfarm_tests::files::Experts;
use wanfarm_tests::render::flat;
use wanfarm_types::Nag;

use crate::case::{Case, Checks};

pub(crate) fn run(case: &Case<'_>) -> Result<Checks> {
    let mut checks = Checks::default();
    let velocity = velocity(case, settings(case)?, ["context.0", "context.1"])?;
    checks.close("velocity", &velocity, &case.io()?.f32("velocity")?, case.tolerance()?);
    Ok(checks)
}

fn settings(case: &Case<'_>) -> Result<Nag> {
    Ok(serde_json::from_value(case.value("/run/nag")?.clone())?)
}

fn velocity(case: &Case<'_>, nag: Nag, [prompt, negative]: [&str; 2]) -> Result<Vec<f32>> {
    let base = case.value("/run/base")?.as_str().context("the base is no name")?;
    let folder = case.dir.with_file_name(base).join("official");
    let (model, io) = (Experts::in_folder(&folder, DType::F32, &case.device)?.low, case.io()?);
    let text = |name: &str| -> Result<_> { Ok(model.embed_text(&io.tensor(name)?)?) };
    let text = text(prompt)?.avoiding(&text(negative)?, nag);
    flat(&model.forward(&io.tensor("x")?, Timesteps::Scalar(case.number("/run/timestep")?), &text)?)
}

/// What the case must catch: each mistake, made on purpose, has to fail it.
#[cfg(test)]
mod negative_controls {
    use super::*;
    use crate::committed;

    #[test]
    fn settings_and_texts_in_each_other_s_place_are_caught() {
        let folder = committed().unwrap();
        let case = folder.case("nag").unwrap();
        let (nag, texts) = (settings(&case).unwrap(), ["context.0", "context.1"]);
        let caught = |nag: Nag, texts| {
            let (mut checks, truth) = (Checks::default(), case.io().unwrap().f32("velocity").unwrap());
            checks.close("velocity", &velocity(&case, nag, texts).unwrap(), &truth, case.tolerance().unwrap());
            !checks.passed()
        };
        assert!(!caught(nag, texts));
        assert!(caught(nag, ["context.1", "context.0"]));
        assert!(caught(Nag { alpha: 1.0 - nag.alpha, ..nag }, texts));
        assert!(caught(Nag { tau: Nag::MAX_TAU, ..nag }, texts));
    }

    /// Mistakes that the product offers no setting for, as far from the truth as the script found them.
    #[test]
    fn other_norms_and_places_are_far_beyond_the_tolerance() {
        let folder = committed().unwrap();
        let case = folder.case("nag").unwrap();
        let limit = case.number("/suggested_f32_tolerance/rel_l2").unwrap();
        let mistakes = case.value("/mistakes").unwrap().as_object().unwrap();
        assert_eq!(mistakes.len(), 8);
        assert!(mistakes.values().all(|far| far["rel_l2"].as_f64().unwrap() > 1000.0 * limit));
    }
}
