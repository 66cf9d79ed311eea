//! Chains: videos that start from a frame of another one. How a manifest says so, what a submission must be like, and how
//! people are told. Deliberately not here: who is rendered when, which is the scheduler's.

use std::collections::{BTreeMap, BTreeSet};

use wanfarm_types::{ClipSource, Digest, ImageSource, Need, VideoRequest, in_order};

use super::fault::{Fault, Place, clipped, suggest};
use super::keys::MAX_NAME;
use super::node::{Node, Value};
use super::values::{FrameFrom, text, unknown_key, whole, wrong_type};

/// The keys of a frame of another video, and what they mean.
pub(crate) const KEYS: [(&str, &str); 2] = [
    ("from", "The name of a video of this manifest; one that is swept makes a video for each of its videos."),
    ("frame", "Which frame: \"first\", \"last\", or a number counted from 0. Without it, the last."),
];
/// The words of `frame`.
pub(crate) const FRAMES: [&str; 2] = ["first", "last"];
/// The last frame that any video has.
pub(crate) const MAX_FRAME: u32 = 4096;

/// Ways that are told one by one.
const MAX_TOLD: usize = 20;

/// Reads `{ from, frame }`.
pub(crate) fn read(node: &Node, place: &Place) -> Result<FrameFrom, Fault> {
    let Value::Table(entries) = &node.value else {
        return Err(wrong_type(node, place, "a path, or { from, frame }"));
    };
    let mut read = FrameFrom { from: String::new(), frame: None };
    for entry in entries {
        let at = Place::new(entry.node.span, format!("{}.{}", place.key, clipped(&entry.key)));
        match entry.key.as_str() {
            "from" => read.from = name(&entry.node, &at)?,
            "frame" => read.frame = frame(&entry.node, &at)?,
            other => {
                let known = KEYS.map(|(name, _)| name);
                let fault = Fault::at(&Place::new(entry.key_span, at.key), unknown_key(other));
                return Err(fault.why("a frame is told by a video's name and a number").help(suggest(other, known)));
            }
        }
    }
    if read.from.is_empty() {
        return Err(Fault::at(place, format!("{} names no video", place.key))
            .why("it is a table, so it is a frame of another video")
            .help("write { from = \"…\" } with the name of a [[video]], or the path of a file"));
    }
    Ok(read)
}

/// Reads `{ from }`, which is all of a video.
pub(crate) fn read_whole(node: &Node, place: &Place) -> Result<FrameFrom, Fault> {
    if let Value::Table(entries) = &node.value
        && let Some(entry) = entries.iter().find(|entry| entry.key == "frame")
    {
        let fault = Fault::at(&Place::new(entry.key_span, format!("{}.frame", place.key)), "a clip is no single frame");
        return Err(fault.why("it is all of the other video").help("remove frame, or write image instead of video"));
    }
    read(node, place)
}

fn frame(node: &Node, place: &Place) -> Result<Option<u32>, Fault> {
    match &node.value {
        Value::Text(word) if word == FRAMES[0] => Ok(Some(0)),
        Value::Text(word) if word == FRAMES[1] => Ok(None),
        Value::Integer(_) => Ok(u32::try_from(whole(node, place, &(0..=MAX_FRAME.into()))?).ok()),
        _ => Err(wrong_type(node, place, "\"first\", \"last\" or a number")),
    }
}

/// Reads the name of a video.
pub(crate) fn name(node: &Node, place: &Place) -> Result<String, Fault> {
    let name = text(node, place)?;
    match name_fault(name) {
        None => Ok(name.to_owned()),
        Some(why) => Err(Fault::at(place, format!("{} cannot be a video's name", place.key))
            .why(why)
            .help("use a short name, such as shot-01")),
    }
}

fn name_fault(name: &str) -> Option<String> {
    if name.trim().is_empty() || name.chars().any(char::is_control) {
        return Some("a name can be read, and stands on one line".to_owned());
    }
    let length = name.chars().count();
    (length > MAX_NAME).then(|| format!("it has {length} characters, at most {MAX_NAME} are taken"))
}

/// For each video those that have to be rendered before it.
pub(crate) fn needs(videos: &[VideoRequest]) -> Vec<Vec<u32>> {
    let needs =
        |video: &VideoRequest| video.needs().into_iter().flatten().map(|need| need.video()).collect::<BTreeSet<_>>();
    videos.iter().map(|video| needs(video).into_iter().collect()).collect()
}

/// Refuses chains that no manifest could have asked for. Names of videos that were swept are several's.
pub(crate) fn check(videos: &[VideoRequest]) -> Result<(), String> {
    let mut labels = BTreeSet::new();
    for (place, video) in (0u32..).zip(videos) {
        let at = |why: String| format!("video {place}: {why}");
        if let Some(why) = video.name.as_deref().and_then(name_fault) {
            return Err(at(format!("{:?} is no name of a video: {why}", video.name)));
        }
        if video.name.is_some() && video.swept.is_empty() && !labels.insert(video.label(place)) {
            return Err(at(format!("another video is called {}", video.label(place))));
        }
        for need in video.needs().into_iter().flatten() {
            let Some(parent) = videos.get(need.video() as usize) else {
                return Err(at(format!("it needs a frame of video {}, which is not there", need.video())));
            };
            let Need::Frames(frame, _) = need else { continue };
            if let Some(number) = frame.frame.filter(|number| *number > MAX_FRAME) {
                return Err(at(format!("frame {number} is not in 0 to {MAX_FRAME}")));
            }
            if let Some(frames) = parent.frames.filter(|frames| need.of(*frames).is_none()) {
                return Err(at(lacks_frames(need, parent, frames)));
            }
        }
    }
    in_order(&needs(videos)).map(drop).map_err(|circle| {
        let way: Vec<String> = circle.iter().map(ToString::to_string).collect();
        format!("video {}: it needs a frame of itself, by way of videos {}", circle[0], way.join(", "))
    })
}

/// Why a video has not these frames.
pub(crate) fn lacks_frames(need: Need, parent: &VideoRequest, frames: u32) -> String {
    let label = parent.label(need.video());
    match need {
        Need::Frames(frame, 1) => {
            let number = frame.frame.unwrap_or_default();
            format!("{label} has {frames} frames, counted from 0, and so no frame {number}")
        }
        Need::Frames(frame, wanted) => {
            let last = frame.frame.map_or("the last one".to_owned(), |number| format!("frame {number}"));
            format!("{label} has {frames} frames, and so not the {wanted} that end with {last}")
        }
        Need::Whole(_) => format!("{label} has {frames} frames"),
    }
}

/// Gives videos that are left of a job the places of those they need frames of as they are now; `places`: where each stood.
/// `lost`: the file, if there is one, that stands in for what is needed of a video that is not among them; it is given the
/// place, as it is now, of the video that needs it.
pub fn renumber(videos: &mut [VideoRequest], places: &[u32], mut lost: impl FnMut(usize, Need) -> Option<Digest>) {
    let now: BTreeMap<u32, u32> = places.iter().copied().zip(0u32..).collect();
    for (at, video) in videos.iter_mut().enumerate() {
        let [first, last, clip] = video.needs();
        for (picture, need) in [(&mut video.image, first), (&mut video.last_image, last)] {
            let (Some(ImageSource::Frame(frame)), Some(need)) = (&mut *picture, need) else { continue };
            match now.get(&frame.video) {
                Some(place) => frame.video = *place,
                None => *picture = lost(at, need).map(ImageSource::File).or(*picture),
            }
        }
        if let (Some(ClipSource::Video(whole)), Some(need)) = (&mut video.video, clip) {
            match now.get(&whole.video) {
                Some(place) => whole.video = *place,
                None => video.video = lost(at, need).map(ClipSource::File).or(video.video),
            }
        }
    }
}

/// The ways from videos that start from no other one to those that no other one needs, in words: `a → b (to d) → c`, where
/// `b` ends at a frame of `d`.
pub fn told(videos: &[VideoRequest]) -> Vec<String> {
    let frame = |place: u32, which: usize| videos.get(place as usize)?.pictures()[which]?.frame();
    let whole = |place: u32| Some(videos.get(place as usize)?.video?.whole()?.video);
    let start = |place| frame(place, 0).map(|frame| frame.video).or_else(|| whole(place));
    let last = |place| frame(place, 1);
    let needs = needs(videos);
    let parents: BTreeSet<u32> = needs.iter().flatten().copied().collect();
    let ends = (0u32..).zip(&needs).filter(|(place, needs)| !needs.is_empty() && !parents.contains(place));
    let mut known = BTreeMap::new();
    let mut ways: Vec<String> = Vec::new();
    let mut more = 0usize;
    for (end, _) in ends {
        if ways.len() == MAX_TOLD {
            more += 1;
            continue;
        }
        let (mut way, mut at) = (vec![end], end);
        // Never longer than there are videos, whatever they say.
        while let Some(start) = start(at).filter(|_| way.len() <= videos.len()) {
            at = start;
            way.push(at);
        }
        let name = |place: u32| videos.get(place as usize).map_or_else(String::new, |video| video.label(place));
        let label = |place: &u32| {
            let label = known.entry(*place).or_insert_with(|| match last(*place) {
                Some(last) => format!("{} (to {})", name(*place), name(last.video)),
                None => name(*place),
            });
            label.clone()
        };
        ways.push(way.iter().rev().map(label).collect::<Vec<_>>().join(" → "));
    }
    if more > 0 {
        ways.push(format!("and {more} more"));
    }
    ways
}

#[cfg(test)]
mod tests {
    use wanfarm_types::FrameOf;

    use super::*;
    use wanfarm_types::fixtures::request;

    fn named(name: &str, start: Option<(u32, Option<u32>)>) -> VideoRequest {
        let image = start.map(|(video, frame)| ImageSource::Frame(FrameOf { video, frame }));
        VideoRequest { name: Some(name.into()), image, ..request() }
    }

    /// A video that ends at the last frame of another one.
    fn to(name: &str, video: u32) -> VideoRequest {
        let last_image = Some(ImageSource::Frame(FrameOf { video, frame: None }));
        VideoRequest { last_image, ..named(name, None) }
    }

    #[test]
    fn what_no_manifest_leads_to_is_refused() {
        let short = VideoRequest { frames: Some(5), ..named("a", None) };
        assert_eq!(check(&[short.clone(), named("b", Some((0, Some(4)))), named("c", Some((1, None)))]), Ok(()));
        for (second, why) in [
            (named("b", Some((2, None))), "video 1: it needs a frame of video 2, which is not there"),
            (named("b", Some((1, None))), "video 1: it needs a frame of itself"),
            (to("b", 2), "video 1: it needs a frame of video 2, which is not there"),
            (to("b", 1), "video 1: it needs a frame of itself"),
            (named("b", Some((0, Some(5)))), "video 1: a has 5 frames, counted from 0, and so no frame 5"),
            (named("b", Some((0, Some(5000)))), "frame 5000 is not in"),
            (named("a", None), "video 1: another video is called a"),
            (named("", None), "no name of a video"),
            (named("a\nb", None), "no name of a video"),
            (named(&"x".repeat(101), None), "at most 100"),
        ] {
            let told = check(&[short.clone(), second]).unwrap_err();
            assert!(told.contains(why), "{told}");
        }
        let swept = [("n", "1")].into_iter().collect();
        let one = VideoRequest { swept, ..named("a", None) };
        assert_eq!(check(&[one.clone(), one]), Ok(()), "of those that were swept the name is one");
    }

    #[test]
    fn what_is_left_of_a_job_finds_its_starts_again() {
        let of = |video| Some(ImageSource::Frame(FrameOf { video, frame: None }));
        let file = Some(ImageSource::File(Digest([7; 32])));
        let mut left =
            [named("b", Some((3, None))), named("c", Some((0, None))), named("a", None), to("d", 0), to("e", 2)];
        let mut lost = Vec::new();
        renumber(&mut left, &[1, 2, 3, 4, 5], |at, frame| {
            lost.push((at, frame.video()));
            Some(Digest([7; 32]))
        });
        assert_eq!(lost, [(1, 0), (3, 0)]);
        assert_eq!(left.each_ref().map(|video| video.image), [of(2), file, None, None, None]);
        assert_eq!(left.each_ref().map(|video| video.last_image), [None, None, None, file, of(1)]);
        renumber(&mut left, &[], |_, _| None);
        assert_eq!(left[0].image, of(2), "where nothing stands in");
    }

    #[test]
    fn chains_are_told_from_their_first_video_on() {
        let unnamed = VideoRequest { name: None, ..named("", Some((1, None))) };
        let videos = [named("b", Some((3, None))), named("c", Some((0, Some(0)))), unnamed, named("a", None)];
        assert_eq!(told(&videos), ["a → b → c → video 2"]);
        assert_eq!(told(&[named("a", None)]), [""; 0]);
        let between = VideoRequest { last_image: to("", 2).last_image, ..named("b", Some((0, None))) };
        assert_eq!(told(&[named("a", None), between, named("c", None)]), ["a → b (to c)"]);
        assert_eq!(told(&[named("a", None), to("b", 0)]), ["b (to a)"]);
        let many: Vec<_> = (0..30).map(|n| named(&n.to_string(), (n > 0).then_some((0, None)))).collect();
        assert_eq!(told(&many).last().unwrap(), "and 9 more");
        let circle = [named("a", Some((1, None))), named("b", Some((0, None))), named("c", Some((0, None)))];
        assert_eq!(told(&circle).len(), 1, "and never without end");
    }
}
