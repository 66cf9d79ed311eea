//! Submissions without a manifest: checked by the same rules, because a gRPC client may send anything.
//!
//! People never see these faults; their manifests are checked, with places, before anything is sent.

use std::ops::RangeInclusive;
use std::path::Path;

use wanfarm_types::{CacheRequest, JobId, LoraRef, MAX_LORA_BYTES, MAX_STRENGTH, VideoRequest};

use super::chains;
use super::check::FINEST;
use super::film;
use super::keys::{self, MAX_TEXT, Rule, Setting};
use super::loras::MAX_LORAS;
use super::names::{self, component_fault, output_fault};
use super::swept;
use super::twins::Twins;
use crate::claims::{Claims, Holder, Wanted};
use crate::job::Submission;

/// Most bytes of a client's key.
const MAX_KEY: usize = 200;

/// Refuses a number of videos that no manifest may ask for.
///
/// # Errors
/// In words.
pub fn check_count(videos: usize) -> Result<(), String> {
    let most = keys::MAX_VIDEOS;
    if (1..=most).contains(&videos) { Ok(()) } else { Err(format!("a job has 1 to {most} videos, not {videos}")) }
}

/// Fills in what a manifest may leave out and what does not depend on the model.
pub fn complete(submission: &mut Submission) {
    let Submission { name, videos, .. } = submission;
    for (index, video) in videos.iter_mut().enumerate() {
        if video.formats.is_empty() {
            video.formats = keys::DEFAULT_FORMATS.to_vec();
        }
        if video.output.is_empty() {
            let (slug, seed) = (names::slug(&video.prompt), video.seed);
            video.output = format!("{name}/{index:04}-{slug}-{seed}");
        }
    }
}

/// A priority that a job can have.
///
/// # Errors
/// There is none such, in words.
pub fn check_priority(priority: u32) -> Result<u32, String> {
    let known = keys::PRIORITY.contains(&priority.into());
    known.then_some(priority).ok_or_else(|| format!("priority {priority} is not in 0 to {}", keys::PRIORITY.end()))
}

/// Refuses what no manifest could have asked for.
///
/// # Errors
/// The first fault, in words.
pub fn check_submission(submission: &Submission) -> Result<(), String> {
    for (what, name) in [("name", &submission.name), ("model", &submission.model)] {
        if let Some(why) = component_fault(name) {
            return Err(format!("the job's {what} {name:?} cannot be a folder's name: {why}"));
        }
    }
    check_priority(submission.priority)?;
    let key = &submission.client_key;
    if key.len() > MAX_KEY || key.chars().any(char::is_control) {
        return Err(format!("a client key has at most {MAX_KEY} bytes and no control characters"));
    }
    chains::check(&submission.videos)?;
    let (mut claims, mut twins) = (Claims::default(), Twins::default());
    for (index, video) in (0u32..).zip(&submission.videos) {
        let at = |why: String| format!("video {index}: {why}");
        let texts = [Some(&video.prompt), video.negative.as_ref()].into_iter().flatten();
        if texts.clone().any(|text| text.len() > MAX_TEXT) || video.prompt.trim().is_empty() {
            return Err(at(format!("a prompt has 1 to {MAX_TEXT} bytes")));
        }
        let numbers = [
            (Setting::Width, video.width),
            (Setting::Height, video.height),
            (Setting::Frames, video.frames),
            (Setting::Steps, video.steps),
            (Setting::Overlap, video.overlap),
        ];
        for (setting, value) in numbers {
            let (Rule::Whole(range), Some(value)) = (setting.rule(), value) else { continue };
            within(setting.name(), u64::from(value), &range).map_err(at)?;
        }
        let guidance = video.guidance.map(|guidance| [guidance.high, guidance.low]);
        let reals = video.shift.map(|shift| (Setting::Shift, shift)).into_iter();
        let reals = reals.chain(video.strength.map(|strength| (Setting::Strength, strength)));
        let reals = reals.chain(guidance.into_iter().flatten().map(|scale| (Setting::Guidance, scale)));
        for (setting, value) in reals {
            let (least, above, most) = match setting.rule() {
                Rule::Number { least, above, most } => (least, above, most),
                Rule::Guidance { most } => (0.0, false, most),
                _ => continue,
            };
            if !(value <= most && if above { value > least } else { value >= least }) {
                return Err(at(format!("{} = {value} is not in {least} to {most}", setting.name())));
            }
        }
        if video.last_image.is_some() && video.image.is_none() {
            return Err(at("a last frame is reached from a first one: last_image needs image".to_owned()));
        }
        if video.overlap.is_some() && video.image.is_none() {
            return Err(at("overlap says how many frames it starts from: overlap needs image".to_owned()));
        }
        if video.strength.is_some() && video.video.is_none() {
            return Err(at("strength says how much a clip is changed: strength needs video".to_owned()));
        }
        check_size(video).map_err(at)?;
        video.cache.as_ref().map_or(Ok(()), CacheRequest::check).map_err(|bad| at(bad.to_string()))?;
        video.nag.map_or(Ok(()), |nag| nag.check()).map_err(|bad| at(bad.to_string()))?;
        check_loras(&video.loras).map_err(at)?;
        swept::check(&video.swept).map_err(at)?;
        if let Some(why) = output_fault(&video.output) {
            return Err(at(format!("{:?} is no safe output name: {why}", video.output)));
        }
        if let Some(why) = video.join.as_deref().and_then(film::name_fault).or_else(|| film::fault(video)) {
            return Err(at(format!("it cannot end a film: {why}")));
        }
        if let Some(first) = twins.find(index, video, None) {
            return Err(at(format!("it is video {first} again; give it another seed, or leave it out")));
        }
        let wanted = Wanted::video(Path::new(""), video);
        if let Some(clash) = claims.clashes(&wanted).first() {
            return Err(at(format!("{:?} is written by another video of the job", clash.path)));
        }
        claims.claim(Holder { job: JobId(0), video: Some(index) }, &wanted);
    }
    Ok(())
}

/// Refuses sizes that no model renders, or that a file cannot hold. Sides that are not given are the model's or the
/// image's to decide, and checked when those are known.
fn check_size(video: &VideoRequest) -> Result<(), String> {
    let side = |given: Option<u32>| given.unwrap_or(FINEST.alignment());
    let (width, height) = (side(video.width), side(video.height));
    if let Some(fault) = FINEST.check(width, height, video.frames.unwrap_or(1)).first() {
        return Err(fault.to_string());
    }
    video.formats.iter().try_for_each(|format| format.check_size(width, height)).map_err(|fault| fault.to_string())
}

/// Refuses LoRA files that no manifest could have named.
fn check_loras(loras: &[LoraRef]) -> Result<(), String> {
    if loras.len() > MAX_LORAS {
        return Err(format!("it names {} LoRA files, at most {MAX_LORAS} are read", loras.len()));
    }
    for (index, lora) in loras.iter().enumerate() {
        let name = &lora.name;
        if let Some(why) = component_fault(name) {
            return Err(format!("the LoRA {name:?} cannot be a file's name: {why}"));
        }
        if !(-MAX_STRENGTH..=MAX_STRENGTH).contains(&lora.strength) {
            return Err(format!("strength {} of the LoRA {name} is not in ±{MAX_STRENGTH}", lora.strength));
        }
        if lora.bytes > MAX_LORA_BYTES {
            return Err(format!("the LoRA {name} is larger than {} GiB", MAX_LORA_BYTES >> 30));
        }
        if loras[..index].iter().any(|other| other.repeats(lora)) {
            return Err(format!("the LoRA {name} is there twice for one expert"));
        }
    }
    Ok(())
}

fn within(name: &str, value: u64, range: &RangeInclusive<u64>) -> Result<(), String> {
    let refused = || format!("{name} = {value} is not in {} to {}", range.start(), range.end());
    range.contains(&value).then_some(()).ok_or_else(refused)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::job::Taken;
    use wanfarm_types::fixtures::request;
    use wanfarm_types::{Digest, Expert, Format, Guidance, Nag, SenCacheRequest};

    fn submission(videos: Vec<VideoRequest>) -> Submission {
        let (name, model) = ("night".into(), "m".into());
        let taken = Taken::Refuse;
        Submission { client_key: String::new(), name, model, priority: 50, early_look: false, taken, videos }
    }

    #[test]
    fn what_a_manifest_may_not_say_is_refused() {
        assert_eq!(check_submission(&submission(vec![request()])), Ok(()));
        let guidance = Some(Guidance { high: 4.0, low: f64::NAN });
        let lora = |name: &str, bytes, strength, expert| LoraRef {
            name: name.into(),
            blake3: Digest([7; 32]),
            bytes,
            strength,
            expert,
        };
        let with = |loras| VideoRequest { loras, ..request() };
        let good = lora("a.safetensors", 9, 1.0, Some(Expert::High));
        assert_eq!(check_submission(&submission(vec![with(vec![good.clone()])])), Ok(()));
        let sencache =
            |start| Some(CacheRequest::Sencache(SenCacheRequest { start: Some(start), ..Default::default() }));
        assert_eq!(check_submission(&submission(vec![VideoRequest { cache: sencache(0.5), ..request() }])), Ok(()));
        let bad = [
            (with(vec![lora("../a", 9, 1.0, None)]), "file's name"),
            (with(vec![lora("a", 9, f64::NAN, None)]), "strength"),
            (with(vec![lora("a", u64::MAX, 1.0, None)]), "larger"),
            (with(vec![good.clone(), lora("b", 9, 1.0, None)]), "twice"),
            (with(vec![good; 17]), "at most 16"),
            (VideoRequest { output: "../../etc/cron.d/x".into(), ..request() }, "safe output name"),
            (VideoRequest { output: "/tmp/x".into(), ..request() }, "safe output name"),
            (VideoRequest { prompt: "x".repeat(9000), ..request() }, "prompt"),
            (VideoRequest { prompt: " ".into(), ..request() }, "prompt"),
            (VideoRequest { negative: Some("x".repeat(9000)), ..request() }, "prompt"),
            (VideoRequest { swept: [("a b", "x")].into_iter().collect(), ..request() }, "name of a list"),
            (VideoRequest { steps: Some(u32::MAX), ..request() }, "steps"),
            (VideoRequest { frames: Some(0), ..request() }, "frames"),
            (VideoRequest { width: Some(1 << 20), ..request() }, "width"),
            (VideoRequest { shift: Some(0.0), ..request() }, "shift"),
            (VideoRequest { shift: Some(f64::NAN), ..request() }, "shift"),
            (VideoRequest { guidance, ..request() }, "guidance"),
            (VideoRequest { cache: sencache(1.5), ..request() }, "start = 1.5 of the step cache sencache"),
            (VideoRequest { nag: Some(Nag { tau: 0.5, ..Nag::default() }), ..request() }, "tau = 0.5 of nag"),
            (VideoRequest { width: Some(65), ..request() }, "width = 65"),
            (VideoRequest { frames: Some(18), ..request() }, "frames = 18"),
            (VideoRequest { width: Some(4096), height: Some(16), ..request() }, "mp4 cannot hold 4096x16"),
            (VideoRequest { height: Some(4096), ..request() }, "mp4 cannot hold 16x4096"),
        ];
        for (video, word) in bad {
            let why = check_submission(&submission(vec![video.clone()])).expect_err(&format!("{video:?}"));
            assert!(why.contains("video 0") && why.contains(word), "{why}");
        }
        let second = |video| check_submission(&submission(vec![request(), video]));
        let other = VideoRequest { output: "other".into(), ..request() };
        let why = second(other.clone()).unwrap_err();
        assert!(why.contains("video 1") && why.contains("video 0 again"), "{why}");
        assert_eq!(second(VideoRequest { seed: 8, ..other }), Ok(()));
        let why = second(VideoRequest { seed: 8, ..request() }).unwrap_err();
        assert!(why.contains("video 1") && why.contains("cat.mp4"), "{why}");
    }

    #[test]
    fn what_a_manifest_may_leave_out_is_filled_in() {
        let open = VideoRequest { formats: vec![], output: String::new(), ..request() };
        let own = VideoRequest { formats: vec![Format::Gif], seed: 8, ..request() };
        let mut submission = submission(vec![open, own.clone()]);
        complete(&mut submission);
        assert_eq!(check_submission(&submission), Ok(()));
        assert_eq!(submission.videos[0].formats, [Format::Mp4]);
        assert_eq!(submission.videos[0].output, "night/0000-a-cat-7");
        assert_eq!(submission.videos[1], own, "what is said stays");
        let text = "[job]\nname='night'\nmodel='m'\n[[video]]\nprompt='a cat'\nseed=7";
        let manifest = super::super::Manifest::parse("m.toml", super::super::Syntax::Toml, text, None).unwrap();
        assert_eq!(manifest.check(None).unwrap()[0], submission.videos[0], "as a manifest has it");
    }

    #[test]
    fn what_a_job_may_not_be_is_refused() {
        let good = submission(vec![request()]);
        for (bad, word) in [
            (Submission { name: "../x".into(), ..good.clone() }, "name"),
            (Submission { model: "a/b".into(), ..good.clone() }, "model"),
            (Submission { priority: 101, ..good.clone() }, "priority"),
            (Submission { client_key: "k".repeat(201), ..good.clone() }, "key"),
        ] {
            let why = check_submission(&bad).unwrap_err();
            assert!(why.contains(word), "{why}");
        }
        assert!(check_count(0).is_err() && check_count(100_001).is_err() && check_count(1).is_ok());
    }
}
