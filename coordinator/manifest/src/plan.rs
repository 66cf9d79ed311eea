//! From a resolved video to what the scheduler needs to know of it. Pure.

use std::ops::Range;

use wanfarm_sampling::cache::{Branch, Phases, Plan, TeaZones, computes_both, mag_plan, may_reuse};
use wanfarm_sampling::{Schedule, ScheduleError};
use wanfarm_scheduler::{SizeClass, TextKey, VideoPlan};
use wanfarm_types::{CacheSettings, Digest, ModelInfo, SpecError, Stage, StepRange, VideoRequest, VideoSpec};

/// The stages, texts and size of a video.
///
/// # Errors
/// A step count or shift that no schedule has.
pub fn plan(spec: &VideoSpec, info: &ModelInfo) -> Result<VideoPlan, ScheduleError> {
    let schedule = Schedule::new(spec.solver, spec.steps, spec.shift)?;
    let mut texts = vec![text_key(&spec.model, &spec.prompt)];
    if is_guided(spec) {
        texts.push(text_key(&spec.model, &spec.negative));
    }
    let stages: Vec<(Stage, StepRange)> = schedule
        .split(info.experts)
        .into_iter()
        .filter(|(_, steps)| !steps.is_empty())
        .map(|(expert, steps)| (expert.stage(), StepRange { first: steps.start, end: steps.end }))
        .collect();
    let size = info.geometry.item_size(spec.width, spec.height, spec.frames);
    Ok(VideoPlan {
        work: work(spec, &stages),
        texts,
        has_image: spec.image.is_some(),
        stages,
        size: SizeClass(size.tokens),
        frame: size.frame,
        kept: kept(spec, size.tokens),
    })
}

/// Whether any step has a pass without the prompt.
fn is_guided(spec: &VideoSpec) -> bool {
    spec.guidance.high != 1.0 || spec.guidance.low != 1.0
}

/// Tokens of which something is kept while a pass runs: with guidance there is another pass, of which MagCache and TeaCache
/// keep what the blocks added; what the pass itself had kept is let go before its blocks run.
fn kept(spec: &VideoSpec, tokens: u64) -> u64 {
    let has_residuals = matches!(spec.cache, CacheSettings::Magcache(_) | CacheSettings::Teacache(_));
    if has_residuals && is_guided(spec) { tokens } else { 0 }
}

/// What the step cache leaves of each step, in per cent; empty without one.
fn work(spec: &VideoSpec, stages: &[(Stage, StepRange)]) -> Vec<Option<u8>> {
    let high = stages.iter().find(|(stage, _)| *stage == Stage::DenoiseHigh).map(|(_, steps)| steps.end);
    let high = high.or_else(|| stages.iter().any(|(stage, _)| *stage == Stage::DenoiseLow).then_some(0));
    let skips = match &spec.cache {
        CacheSettings::None => return Vec::new(),
        CacheSettings::Magcache(settings) => mag_plan(settings, Phases { steps: spec.steps, high }, false),
        _ => Plan::dense(spec.steps),
    };
    let of_step = |stage: Stage, phase: &Range<u32>, step: u32| {
        let guided = stage.expert().is_some_and(|expert| spec.guidance.passes(expert) == 2);
        match &spec.cache {
            CacheSettings::None => Some(100),
            CacheSettings::Magcache(_) => {
                let left = |branch| u8::from(!skips.skips(step, branch));
                Some(if guided { 50 * (left(Branch::Cond) + left(Branch::Uncond)) } else { 100 * left(Branch::Cond) })
            }
            CacheSettings::CfgCache(settings) => {
                let is_high = stage == Stage::DenoiseHigh;
                let both = !guided || computes_both(settings, step, spec.steps, phase, is_high);
                Some(if both { 100 } else { 50 })
            }
            // These follow from the model's weights, and from the latents.
            CacheSettings::Teacache(settings) => (!TeaZones::new(settings, phase.clone()).is_free(step)).then_some(100),
            CacheSettings::Sencache(settings) => (!may_reuse(settings, step, spec.steps, phase)).then_some(100),
        }
    };
    let stages = stages.iter().map(|(stage, steps)| (*stage, steps.first..steps.end));
    stages
        .flat_map(|(stage, phase)| phase.clone().map(move |step| (stage, phase.clone(), step)))
        .map(|(stage, phase, step)| of_step(stage, &phase, step))
        .collect()
}

/// A request with nothing left open and its plan, or why this model cannot render it. A size that the image decides
/// must be set.
///
/// # Errors
/// Every reason that was found, in words.
pub fn resolve(request: &VideoRequest, info: &ModelInfo) -> Result<(VideoPlan, VideoSpec), String> {
    match request.image {
        Some(_) if !info.takes_image => {
            return Err(format!("{} is a text-to-video model and takes no first frame; remove image", info.name));
        }
        None if info.needs_image => {
            return Err(format!("{} is an image-to-video model and needs a first frame; add image", info.name));
        }
        _ => {}
    }
    let words = |faults: Vec<SpecError>| faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ");
    let spec = request.resolve(info).map_err(words)?;
    Ok((plan(&spec, info).map_err(|error| error.to_string())?, spec))
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
mod tests {
    use super::*;
    use crate::first_frame::{Image, sized};
    use wanfarm_types::fixtures::{info, request};
    use wanfarm_types::{CacheRequest, CfgCacheRequest, Experts, Guidance, MagCacheRequest, SenCacheRequest};

    #[test]
    fn the_published_split_of_t2v_a14b() {
        let info = info(Experts::Dual { boundary: 0.875 });
        let plan = plan(&request().resolve(&info).unwrap(), &info).unwrap();
        let range = |first, end| StepRange { first, end };
        assert_eq!(plan.stages, [(Stage::DenoiseHigh, range(0, 26)), (Stage::DenoiseLow, range(26, 40))]);
        assert_eq!(plan.texts.len(), 2);
        assert_eq!(plan.size, SizeClass(75_600));
    }

    #[test]
    fn an_expert_without_steps_has_no_stage() {
        let info = info(Experts::Dual { boundary: 2.0 });
        let plan = plan(&request().resolve(&info).unwrap(), &info).unwrap();
        assert_eq!(plan.stages, [(Stage::DenoiseLow, StepRange { first: 0, end: 40 })]);
    }

    #[test]
    fn without_guidance_no_negative_prompt_is_encoded() {
        let info = info(Experts::Single);
        let mut request = request();
        request.guidance = Some(Guidance { high: 1.0, low: 1.0 });
        let plan = plan(&request.resolve(&info).unwrap(), &info).unwrap();
        assert_eq!(plan.texts.len(), 1);
    }

    #[test]
    fn a_residual_is_kept_beside_a_pass_where_there_is_another_one() {
        let info = info(Experts::Dual { boundary: 0.875 });
        let mag = Some(CacheRequest::Magcache(MagCacheRequest::default()));
        let cfg = Some(CacheRequest::CfgCache(CfgCacheRequest::default()));
        for (cache, high, kept) in [(&mag, 5.0, true), (&mag, 1.0, false), (&cfg, 5.0, false), (&None, 5.0, false)] {
            let guidance = Some(Guidance { high, low: high });
            let request = VideoRequest { cache: cache.clone(), guidance, ..request() };
            let size = plan(&request.resolve(&info).unwrap(), &info).unwrap().item_size();
            assert_eq!(size.kept, if kept { size.tokens } else { 0 }, "{cache:?} at {high}");
        }
    }

    #[test]
    fn an_image_goes_to_models_that_take_one_and_sets_the_size() {
        let image = Image { digest: Digest([7; 32]), bytes: 1, width: 72, height: 128 };
        let text = info(Experts::Single);
        let i2v = ModelInfo { takes_image: true, needs_image: true, ..text.clone() };
        let ti2v = ModelInfo { takes_image: true, ..text.clone() };
        let with = VideoRequest { image: Some(image.digest), ..request() };
        let resolved = |request: &VideoRequest, info| resolve(&sized(request, Some(&image), info), info);
        assert!(resolve(&with, &text).unwrap_err().contains("takes no first frame"));
        assert!(resolve(&request(), &i2v).unwrap_err().contains("needs a first frame"));
        let size = |request, info| resolved(request, info).map(|(_, spec)| (spec.width, spec.height));
        assert_eq!(size(&with, &i2v), Ok((720, 1280)));
        assert_eq!(size(&with, &ti2v), Ok((720, 1280)));
        assert_eq!(resolve(&request(), &ti2v).map(|(_, spec)| (spec.width, spec.height)), Ok((1280, 720)));
    }

    #[test]
    fn a_plan_knows_what_its_step_cache_computes() {
        let info = info(Experts::Dual { boundary: 0.875 });
        let of = |cache| {
            let request = VideoRequest { cache: Some(cache), ..request() };
            resolve(&request, &info).unwrap().0
        };
        assert!(plan(&request().resolve(&info).unwrap(), &info).unwrap().work.is_empty());
        let joint = MagCacheRequest { joint: Some(true), ..MagCacheRequest::default() };
        let joint = of(CacheRequest::Magcache(joint));
        // The published schedule: `.....ss.ss.ss.ss.ss.ss.ss...ss.s.s......`.
        let drawn: String = joint.work.iter().map(|work| if *work == Some(0) { 's' } else { '.' }).collect();
        assert_eq!(drawn, ".....ss.ss.ss.ss.ss.ss.ss...ss.s.s......");
        let worth =
            |plan: &VideoPlan| -> Vec<u64> { plan.stages.iter().map(|(_, steps)| plan.work_of(*steps)).collect() };
        assert_eq!(worth(&joint), [1200, 1000]);
        let cfg = of(CacheRequest::CfgCache(CfgCacheRequest::default()));
        assert_eq!(worth(&cfg)[0], 2600, "the high-noise expert runs both passes always");
        assert!(worth(&cfg)[1] < 1400 && cfg.work.contains(&Some(50)) && !cfg.work.contains(&Some(0)));
        let sen = of(CacheRequest::Sencache(SenCacheRequest::default()));
        assert_eq!(worth(&sen), [2600, 1400], "what is not known beforehand counts whole");
        assert!(sen.is_whole(0) && !sen.is_whole(13) && sen.is_whole(26) && sen.is_whole(39));
        // Without guidance there is one pass: skipped, nothing is left of the step.
        let one = Some(Guidance { high: 1.0, low: 1.0 });
        let mag = Some(CacheRequest::Magcache(MagCacheRequest::default()));
        let unguided = resolve(&VideoRequest { cache: mag, guidance: one, ..request() }, &info).unwrap().0;
        assert!(unguided.work.contains(&Some(0)) && !unguided.work.contains(&Some(50)));
    }

    #[test]
    fn keys_do_not_run_together() {
        assert_ne!(text_key("ab", "c"), text_key("a", "bc"));
        assert_eq!(text_key("a", "b"), text_key("a", "b"));
    }
}
