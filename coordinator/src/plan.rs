//! From a resolved video to what the scheduler needs to know of it. Pure.

use wanfarm_sampling::{Schedule, ScheduleError};
use wanfarm_scheduler::{SizeClass, TextKey, VideoPlan};
use wanfarm_types::{Digest, Experts, ModelCard, SpecError, Stage, StepRange, VideoRequest, VideoSpec};

/// The stages, texts and size of a video.
///
/// # Errors
/// A step count or shift that no schedule has.
pub fn plan(spec: &VideoSpec, card: &ModelCard) -> Result<VideoPlan, ScheduleError> {
    let schedule = Schedule::new(spec.solver, spec.steps, spec.shift)?;
    let stages = match card.experts {
        Experts::Single => vec![(Stage::Denoise, 0, spec.steps)],
        Experts::Dual { boundary } => {
            let switch = schedule.high_steps(boundary);
            vec![(Stage::DenoiseHigh, 0, switch), (Stage::DenoiseLow, switch, spec.steps)]
        }
    };
    let mut texts = vec![text_key(&spec.model, &spec.prompt)];
    if spec.guidance.high != 1.0 || spec.guidance.low != 1.0 {
        texts.push(text_key(&spec.model, &spec.negative));
    }
    Ok(VideoPlan {
        texts,
        has_image: spec.image.is_some(),
        stages: stages
            .into_iter()
            .filter(|(_, first, end)| first < end)
            .map(|(stage, first, end)| (stage, StepRange { first, end }))
            .collect(),
        size: SizeClass(card.geometry.sequence_length(spec.width, spec.height, spec.frames) as u64),
    })
}

/// A request with nothing left open and its plan, or why this model cannot render it. A size that the image decides
/// must be set.
///
/// # Errors
/// Every reason that was found, for people.
pub fn resolve(request: &VideoRequest, card: &ModelCard) -> Result<(VideoPlan, VideoSpec), String> {
    match request.image {
        Some(_) if !card.takes_image => {
            return Err(format!("{} is a text-to-video model and takes no first frame; remove image", card.name));
        }
        None if card.needs_image => {
            return Err(format!("{} is an image-to-video model and needs a first frame; add image", card.name));
        }
        _ => {}
    }
    let words = |faults: Vec<SpecError>| faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ");
    let spec = request.resolve(card).map_err(words)?;
    Ok((plan(&spec, card).map_err(|error| error.to_string())?, spec))
}

/// The name under which a text is encoded once per model.
pub fn text_key(model: &str, text: &str) -> TextKey {
    let mut hasher = blake3::Hasher::new();
    // The length separates the two, so that no pair of (model, text) reads like another.
    hasher.update(&(model.len() as u64).to_le_bytes());
    hasher.update(model.as_bytes());
    hasher.update(text.as_bytes());
    TextKey(Digest(*hasher.finalize().as_bytes()))
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::images::{Image, sized};
    use wanfarm_types::{Defaults, Format, Geometry, Guidance, SolverKind, VaeKind};

    pub(crate) fn card(experts: Experts) -> ModelCard {
        ModelCard {
            name: "m".into(),
            preset: "t2v-a14b".into(),
            experts,
            vae: VaeKind::Wan21,
            geometry: Geometry { latent_channels: 16, stride_t: 4, stride_hw: 8, patch: 2 },
            takes_image: false,
            needs_image: false,
            defaults: Defaults {
                width: 1280,
                height: 720,
                frames: 81,
                fps: 16,
                steps: 40,
                shift: 12.0,
                solver: SolverKind::UniPc,
                guidance: Guidance { high: 4.0, low: 3.0 },
                negative: "bad".into(),
            },
            mag_curve: None,
            loras: Vec::new(),
        }
    }

    pub(crate) fn request() -> VideoRequest {
        VideoRequest {
            prompt: "a cat".into(),
            negative: None,
            seed: 7,
            width: None,
            height: None,
            frames: None,
            fps: None,
            steps: None,
            shift: None,
            solver: None,
            guidance: None,
            image: None,
            cache: None,
            loras: Vec::new(),
            formats: vec![Format::Mp4],
            output: "cat".into(),
        }
    }

    #[test]
    fn the_published_split_of_t2v_a14b() {
        let card = card(Experts::Dual { boundary: 0.875 });
        let plan = plan(&request().resolve(&card).unwrap(), &card).unwrap();
        let range = |first, end| StepRange { first, end };
        assert_eq!(plan.stages, [(Stage::DenoiseHigh, range(0, 26)), (Stage::DenoiseLow, range(26, 40))]);
        assert_eq!(plan.texts.len(), 2);
        assert_eq!(plan.size, SizeClass(75_600));
    }

    #[test]
    fn an_expert_without_steps_has_no_stage() {
        let card = card(Experts::Dual { boundary: 2.0 });
        let plan = plan(&request().resolve(&card).unwrap(), &card).unwrap();
        assert_eq!(plan.stages, [(Stage::DenoiseLow, StepRange { first: 0, end: 40 })]);
    }

    #[test]
    fn without_guidance_no_negative_prompt_is_encoded() {
        let card = card(Experts::Single);
        let mut request = request();
        request.guidance = Some(Guidance { high: 1.0, low: 1.0 });
        let plan = plan(&request.resolve(&card).unwrap(), &card).unwrap();
        assert_eq!(plan.texts.len(), 1);
    }

    #[test]
    fn an_image_goes_to_models_that_take_one_and_sets_the_size() {
        let image = Image { digest: Digest([7; 32]), bytes: 1, width: 72, height: 128 };
        let text = card(Experts::Single);
        let i2v = ModelCard { takes_image: true, needs_image: true, ..text.clone() };
        let ti2v = ModelCard { takes_image: true, ..text.clone() };
        let with = VideoRequest { image: Some(image.digest), ..request() };
        let resolved = |request: &VideoRequest, card| resolve(&sized(request, Some(&image), card), card);
        assert!(resolve(&with, &text).unwrap_err().contains("takes no first frame"));
        assert!(resolve(&request(), &i2v).unwrap_err().contains("needs a first frame"));
        let size = |request, card| resolved(request, card).map(|(_, spec)| (spec.width, spec.height));
        assert_eq!(size(&with, &i2v), Ok((720, 1280)));
        assert_eq!(size(&with, &ti2v), Ok((720, 1280)));
        assert_eq!(resolve(&request(), &ti2v).map(|(_, spec)| (spec.width, spec.height)), Ok((1280, 720)));
    }

    #[test]
    fn keys_do_not_run_together() {
        assert_ne!(text_key("ab", "c"), text_key("a", "bc"));
        assert_eq!(text_key("a", "b"), text_key("a", "b"));
    }
}
