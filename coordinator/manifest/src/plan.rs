//! From a resolved video to what the scheduler needs to know of it. Pure.

use std::ops::Range;

use wanfarm_sampling::cache::{Branch, Phases, Plan, TeaZones, computes_both, mag_plan, may_reuse};
use wanfarm_sampling::{Schedule, ScheduleError};
use wanfarm_scheduler::{SizeClass, TextKey, VideoPlan};
use wanfarm_types::{
    CacheSettings, ClipLength, ClipSource, Digest, FrameRate, ImageSource, ModelInfo, Need, SpecError, Stage,
    StepRange, VaeKind, VideoRequest, VideoSpec, WholeOf, in_order,
};

use crate::chains;
use crate::clip::{self, Clip};
use crate::film;
use crate::first_frame::{Image, no_last_frame, sized, unlike};

/// A tiny autoencoder computes so many times less than Wan2.1's decoder: 0.043 and 1.08 billion products for each latent
/// pixel, counted from the shapes of their layers.
const TINY: u64 = 25;

/// The stages, texts and size of a video.
///
/// # Errors
/// A step count or shift that no schedule has.
pub fn plan(spec: &VideoSpec, info: &ModelInfo) -> Result<VideoPlan, ScheduleError> {
    let schedule = Schedule::of(spec)?;
    let mut texts = vec![text_key(&spec.model, &spec.prompt)];
    if is_guided(spec) || spec.nag.is_some() {
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
        has_image: spec.is_encoded(),
        stages,
        size: SizeClass(size.tokens),
        encode: encoded(spec, info).map(SizeClass),
        decode: (!spec.decode.is_full()).then(|| SizeClass((size.tokens / TINY).max(1))),
        frame: size.frame,
        kept: kept(spec, size.tokens),
        after: Vec::new(),
        name: String::new(),
    })
}

/// Tokens of what is encoded, where that is not the whole video: TI2V-5B finds its first frames in the latents.
fn encoded(spec: &VideoSpec, info: &ModelInfo) -> Option<u64> {
    let alone = spec.image.is_some() && spec.video.is_none() && info.vae == VaeKind::Wan22;
    alone.then(|| info.geometry.item_size(spec.width, spec.height, spec.overlap).tokens)
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

/// A request with nothing left open and its plan, or why this model cannot render it. Width and height of its first frame
/// and of its last, and what its clip is, as far as they are known.
///
/// # Errors
/// Every reason that was found, in words.
pub fn resolve(
    request: &VideoRequest,
    [first, last]: [Option<[u32; 2]>; 2],
    clip: Option<Clip>,
    info: &ModelInfo,
) -> Result<(VideoPlan, VideoSpec), String> {
    match request.image {
        Some(_) if !info.takes_image => {
            return Err(format!("{} is a text-to-video model and takes no first frame; remove image", info.name));
        }
        None if info.needs_image => {
            return Err(format!("{} is an image-to-video model and needs a first frame; add image", info.name));
        }
        None if request.last_image.is_some() => {
            return Err("a last frame is reached from a first one; add image, or remove last_image".to_owned());
        }
        _ if request.last_image.is_some() && !info.takes_last_image() => {
            return Err(format!("{}; remove last_image", no_last_frame(info)));
        }
        _ => {}
    }
    if let Some(why) = first.zip(last).and_then(unlike) {
        return Err(format!("{why}; crop one of them to the shape of the other"));
    }
    let words = |faults: Vec<SpecError>| faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ");
    let mut request = sized(request, first.or(clip.map(|clip| clip.size)), info);
    if let Some(clip) = clip {
        request = clip::cut(request, clip.length, info)?;
    }
    let spec = request.resolve(info).map_err(words)?;
    if spec.last_image.is_some() && spec.frames == 1 {
        return Err("a single frame has no room for a last one; ask for 5 frames or more".to_owned());
    }
    Ok((plan(&spec, info).map_err(|error| error.to_string())?, spec))
}

/// As [`resolve`], for all videos of a job: sizes follow from pictures, and plans name those that come before them.
/// `images`: what is known of the files that they name.
pub fn resolve_all<'i>(
    requests: &[VideoRequest],
    images: impl Fn(&Digest) -> Option<&'i Image>,
    info: &ModelInfo,
) -> Vec<Resolved> {
    let mut resolved = each(requests, images, info);
    for (place, at) in (0u32..).zip(0..resolved.len()) {
        let spec = |place: u32| resolved.get(place as usize)?.as_ref().ok().map(|(_, spec)| spec);
        if let Some(why) = film::unfit(requests, place, spec) {
            resolved[at] = Err(why);
        }
    }
    link(requests, &mut resolved);
    resolved
}

/// A video with nothing left open and its plan, or why it cannot be rendered.
type Resolved = Result<(VideoPlan, VideoSpec), String>;

/// As [`resolve`], for all videos of a job by themselves, each after those that it needs frames of.
pub(crate) fn each<'i>(
    requests: &[VideoRequest],
    images: impl Fn(&Digest) -> Option<&'i Image>,
    info: &ModelInfo,
) -> Vec<Resolved> {
    let needs = chains::needs(requests);
    let mut resolved: Vec<Resolved> = requests.iter().map(|_| Err("it needs a frame of itself".to_owned())).collect();
    for place in in_order(&needs).unwrap_or_else(|_| (0u32..).take(requests.len()).collect()) {
        let request = &requests[place as usize];
        let rate = request.fps.unwrap_or(info.defaults.fps);
        let size = |picture, need, overlap| match (picture, need) {
            (Some(ImageSource::File(file)), _) => match images(&file) {
                Some(image) => still(image, overlap, rate).map(|()| Some(image.size())),
                None => Ok(None),
            },
            (Some(ImageSource::Frame(_)), Some(need)) => size_of_frames(need, rate, requests, &resolved).map(Some),
            _ => Ok(None),
        };
        let [first, last, _] = request.needs();
        let first = size(request.image, first, request.overlap.unwrap_or(1));
        let last = size(request.last_image, last, 1);
        let clip = match request.video {
            None => Ok(None),
            Some(ClipSource::File(file)) => match images(&file) {
                Some(Image { clip: None, .. }) => Err(format!("{file} is an image and no clip")),
                image => Ok(image.and_then(|image| Some(Clip { size: image.size(), length: image.clip? }))),
            },
            Some(ClipSource::Video(whole)) => all_of(whole, requests, &resolved).map(Some),
        };
        let given = first.and_then(|first| Ok(([first, last?], clip?)));
        resolved[place as usize] = given.and_then(|(sizes, clip)| resolve(request, sizes, clip, info));
    }
    resolved
}

/// Names in each plan those that come before it.
fn link(requests: &[VideoRequest], resolved: &mut [Resolved]) {
    let needs = chains::needs(requests);
    // Videos that are refused are not among those planned.
    let planned = resolved.iter().scan(0u32, |next, video| {
        let number = *next;
        *next += u32::from(video.is_ok());
        Some(number)
    });
    let planned: Vec<u32> = planned.collect();
    for (place, &parent) in
        needs.iter().enumerate().flat_map(|(place, needs)| needs.iter().map(move |need| (place, need)))
    {
        if let (Ok((plan, _)), Some(number)) = (&mut resolved[place], planned.get(parent as usize)) {
            plan.after.push(*number);
        }
        if let (Some(Ok((plan, _))), Some(request)) = (resolved.get_mut(parent as usize), requests.get(parent as usize))
        {
            plan.name = request.label(parent);
        }
    }
}

/// Size and length of another video.
fn all_of(whole: WholeOf, requests: &[VideoRequest], resolved: &[Resolved]) -> Result<Clip, String> {
    let place = whole.video as usize;
    match requests.get(place).zip(resolved.get(place)) {
        None => Err(format!("it is made from video {place}, which is not there")),
        Some((parent, Err(_))) => {
            Err(format!("it is made from {}, which cannot be rendered", parent.label(whole.video)))
        }
        Some((_, Ok((_, spec)))) => {
            let length = ClipLength { pictures: spec.frames, microseconds: None };
            Ok(Clip { size: [spec.width, spec.height], length })
        }
    }
}

/// Whether a file can be an image, or of a clip the last frames, so many at this rate.
fn still(image: &Image, overlap: u32, rate: FrameRate) -> Result<(), String> {
    let file = image.digest;
    match (image.clip, overlap) {
        (None, 1) => Ok(()),
        (Some(_), 1) => {
            Err(format!("{file} is a clip and no image; with overlap = 5 its last frames are carried on from"))
        }
        (None, _) => Err(format!("{file} is an image, and has no {overlap} frames to carry on from; remove overlap")),
        (Some(length), _) if length.frames(rate) < overlap => Err(format!(
            "the clip has {} frames at {rate} frames per second, and overlap is {overlap}",
            length.frames(rate)
        )),
        (Some(_), _) => Ok(()),
    }
}

/// The size of frames of another video; several are of one that is as fast.
fn size_of_frames(
    need: Need,
    rate: FrameRate,
    requests: &[VideoRequest],
    resolved: &[Resolved],
) -> Result<[u32; 2], String> {
    let place = need.video() as usize;
    let (Some(parent), Some(of_parent)) = (requests.get(place), resolved.get(place)) else {
        return Err(format!("it needs a frame of video {place}, which is not there"));
    };
    let label = || parent.label(need.video());
    match of_parent {
        Ok((_, spec)) if need.of(spec.frames).is_none() => Err(chains::lacks_frames(need, parent, spec.frames)),
        Ok((_, spec)) if matches!(need, Need::Frames(_, 2..)) && spec.fps != rate => Err(format!(
            "it carries on from {} at {rate} frames per second, which has {}; give both the same fps",
            label(),
            spec.fps
        )),
        Ok((_, spec)) => Ok([spec.width, spec.height]),
        Err(_) => Err(format!("it needs a frame of {}, which cannot be rendered", label())),
    }
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
    use wanfarm_types::fixtures::{info, request};
    use wanfarm_types::{
        CacheRequest, CfgCacheRequest, Experts, FrameOf, Guidance, MagCacheRequest, Nag, SenCacheRequest,
    };

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
        let texts = |request: &VideoRequest| plan(&request.resolve(&info).unwrap(), &info).unwrap().texts.len();
        assert_eq!(texts(&request), 1);
        request.nag = Some(Nag::default());
        assert_eq!(texts(&request), 2, "nag reads it in the pass with the prompt");
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
        let image = Image { digest: Digest([7; 32]), bytes: 1, width: 72, height: 128, clip: None };
        let text = info(Experts::Single);
        let i2v = ModelInfo { takes_image: true, needs_image: true, ..text.clone() };
        let ti2v = ModelInfo { takes_image: true, ..text.clone() };
        let with = VideoRequest { image: Some(ImageSource::File(image.digest)), ..request() };
        let resolved = |request: &VideoRequest, info: &ModelInfo| resolve(request, [Some(image.size()); 2], None, info);
        assert!(resolved(&with, &text).unwrap_err().contains("takes no first frame"));
        assert!(resolved(&request(), &i2v).unwrap_err().contains("needs a first frame"));
        let size = |request: &VideoRequest, info: &ModelInfo| {
            resolved(request, info).map(|(_, spec)| (spec.width, spec.height))
        };
        assert_eq!(size(&with, &i2v), Ok((720, 1280)));
        assert_eq!(size(&with, &ti2v), Ok((720, 1280)));
        let without = resolve(&request(), [None; 2], None, &ti2v).map(|(_, spec)| (spec.width, spec.height));
        assert_eq!(without, Ok((1280, 720)));
        let last = VideoRequest { last_image: Some(ImageSource::File(image.digest)), ..with.clone() };
        assert_eq!(size(&last, &i2v), Ok((720, 1280)));
        let frame = VideoRequest { frames: Some(1), ..last.clone() };
        assert!(resolved(&frame, &i2v).unwrap_err().contains("no room for a last one"));
        let known = ModelInfo { vae: VaeKind::Wan22, ..ti2v };
        assert!(resolved(&last, &known).unwrap_err().contains("remove last_image"));
        let alone = VideoRequest { image: None, ..last.clone() };
        assert!(resolved(&alone, &ModelInfo { needs_image: false, ..i2v.clone() }).unwrap_err().contains("add image"));
        let wide = Image { digest: Digest([8; 32]), width: 128, height: 72, ..image };
        let last = VideoRequest { last_image: Some(ImageSource::File(wide.digest)), ..with };
        let pictures = [Some(image.size()), Some(wide.size())];
        assert!(resolve(&last, pictures, None, &i2v).unwrap_err().contains("72x128 and the last 128x72"));
    }

    #[test]
    fn what_starts_from_a_video_has_its_size_and_comes_after_it() {
        let ti2v = ModelInfo { takes_image: true, ..info(Experts::Single) };
        let tall = VideoRequest { name: Some("a".into()), width: Some(480), height: Some(832), ..request() };
        let from = |video, frame| Some(ImageSource::Frame(FrameOf { video, frame }));
        let unfit = VideoRequest { width: Some(9), ..request() };
        let all = [
            VideoRequest { image: from(3, Some(0)), ..request() },
            unfit.clone(),
            VideoRequest { image: from(1, None), ..request() },
            tall.clone(),
            VideoRequest { image: from(3, Some(81)), ..request() },
            VideoRequest { image: from(0, None), width: Some(640), ..request() },
        ];
        let resolved = resolve_all(&all, |_| None, &ti2v);
        let size = |place: usize| resolved[place].as_ref().map(|(_, spec)| (spec.width, spec.height)).ok();
        assert_eq!(
            [0, 3, 5].map(size),
            [Some((480, 832)), Some((480, 832)), Some((640, 1104))],
            "its size, or its aspect"
        );
        let plan = |place: usize| resolved[place].as_ref().map(|(plan, _)| (plan.after.clone(), plan.name.clone()));
        assert_eq!(plan(0), Ok((vec![1], "video 0".to_owned())), "counted as planned");
        assert_eq!((plan(3), plan(5)), (Ok((vec![], "a".to_owned())), Ok((vec![0], String::new()))));
        let why = |place: usize| resolved[place].as_ref().unwrap_err().clone();
        assert!(why(2).contains("needs a frame of video 1, which cannot be rendered"), "{}", why(2));
        assert!(why(4).contains("a has 81 frames"), "{}", why(4));
        let first = VideoRequest { name: Some("a".into()), frames: Some(9), ..request() };
        let on = |overlap| VideoRequest { overlap: Some(overlap), frames: Some(9), image: from(0, None), ..request() };
        let up_to = |number, overlap| VideoRequest { image: from(0, Some(number)), ..on(overlap) };
        let faster = VideoRequest { fps: Some(FrameRate::whole(9)), ..on(5) };
        let all = [first, on(5), on(1), on(4), on(9), up_to(4, 5), up_to(3, 5), faster];
        let all = resolve_all(&all, |_| None, &ti2v).into_iter().map(|video| video.map(|(_, spec)| spec.overlap));
        let all: Vec<_> = all.collect();
        assert_eq!([&all[0], &all[1], &all[2], &all[5]], [&Ok(1), &Ok(5), &Ok(1), &Ok(5)]);
        for (place, why) in [
            (3, "overlap 4 of 9 frames is not one, or one more than a multiple of 4"),
            (4, "overlap 9 of 9 frames"),
            (6, "a has 9 frames, and so not the 5 that end with frame 3"),
            (7, "carries on from a at 9 frames per second, which has 16"),
        ] {
            let told = all[place].as_ref().unwrap_err();
            assert!(told.contains(why), "{told}");
        }

        let circle = [VideoRequest { image: from(0, None), ..request() }];
        assert!(resolve_all(&circle, |_| None, &ti2v)[0].is_err());

        let i2v = ModelInfo { takes_image: true, vae: VaeKind::Wan21, ..info(Experts::Single) };
        let sized = |width, height| VideoRequest { width: Some(width), height: Some(height), ..request() };
        let between = |last| VideoRequest { image: from(0, None), last_image: from(last, Some(0)), ..request() };
        let videos = [sized(320, 576), sized(160, 288), sized(576, 320), between(1), between(2), between(0)];
        let resolved = resolve_all(&videos, |_| None, &i2v);
        let after = |place: usize| resolved[place].as_ref().map(|(plan, _)| plan.after.clone());
        assert_eq!((after(3), after(5)), (Ok(vec![0, 1]), Ok(vec![0])));
        assert!(after(4).unwrap_err().contains("the first frame is 320x576 and the last 576x320"));
    }

    #[test]
    fn a_stage_has_the_size_of_what_it_computes() {
        let tiny_vae = Some(wanfarm_types::TinyVae::Here { file: "t".into(), blake3: Digest([7; 32]) });
        let t2v = ModelInfo { tiny_vae, takes_image: true, vae: VaeKind::Wan21, ..info(Experts::Single) };
        let ti2v = ModelInfo { vae: VaeKind::Wan22, ..t2v.clone() };
        let image = Some(ImageSource::File(Digest([7; 32])));
        let video = Some(ClipSource::File(Digest([8; 32])));
        let plain = VideoRequest { image, ..request() };
        let sizes = |request: &VideoRequest, info: &ModelInfo| {
            let plan = plan(&request.resolve(info).unwrap(), info).unwrap();
            [Stage::EncodeImage, Stage::DenoiseLow, Stage::Decode].map(|stage| plan.size_of(stage).0)
        };
        assert_eq!(sizes(&plain, &t2v), [75_600; 3]);
        assert_eq!(sizes(&plain, &ti2v), [3600, 75_600, 75_600]);
        assert_eq!(sizes(&VideoRequest { overlap: Some(5), ..plain.clone() }, &ti2v), [7200, 75_600, 75_600]);
        assert_eq!(sizes(&VideoRequest { video, ..plain.clone() }, &ti2v), [75_600; 3]);
        let draft = VideoRequest { decode: wanfarm_types::Decode::Tiny, ..plain };
        assert_eq!(sizes(&draft, &t2v), [75_600, 75_600, 3024]);
    }

    #[test]
    fn a_plan_knows_what_its_step_cache_computes() {
        let info = info(Experts::Dual { boundary: 0.875 });
        let of = |cache| {
            let request = VideoRequest { cache: Some(cache), ..request() };
            resolve(&request, [None; 2], None, &info).unwrap().0
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
        let unguided =
            resolve(&VideoRequest { cache: mag, guidance: one, ..request() }, [None; 2], None, &info).unwrap().0;
        assert!(unguided.work.contains(&Some(0)) && !unguided.work.contains(&Some(50)));
    }

    #[test]
    fn keys_do_not_run_together() {
        assert_ne!(text_key("ab", "c"), text_key("a", "bc"));
        assert_eq!(text_key("a", "b"), text_key("a", "b"));
    }
}
