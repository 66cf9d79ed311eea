//! Films: a chain of videos as one mp4 file, in which each goes on where the next one starts. What may be joined, and of
//! which frames the film is.

use std::path::Path;

use wanfarm_types::{Format, ImageSource, JobId, VideoRequest, VideoSpec};

use super::names::output_fault;
use crate::claims::{Claims, Holder, Wanted};

/// What the name of a film ends with.
pub const ENDING: &str = ".mp4";

/// A video of a film.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cut {
    /// Its place in the job.
    pub video: u32,
    /// How many of its frames are shown, from the first on; `None`: all.
    pub frames: Option<u32>,
}

/// Why a film cannot be called so.
pub(crate) fn name_fault(join: &str) -> Option<String> {
    match join.strip_suffix(ENDING) {
        None => Some(format!("its name does not end with {ENDING}")),
        Some(stem) => output_fault(stem),
    }
}

/// Why a video cannot end a film, as far as its request tells.
pub fn fault(video: &VideoRequest) -> Option<String> {
    let join = video.join.as_deref()?;
    if !matches!(video.image, Some(ImageSource::Frame(_))) {
        return Some("it starts from no other video, so there is nothing to join".to_owned());
    }
    let mut own = Claims::default();
    let apart = VideoRequest { join: None, ..video.clone() };
    own.claim(Holder { job: JobId(0), video: None }, &Wanted::video(Path::new(""), &apart));
    let clash = own.clashes(&Wanted::file(Path::new(""), join)).into_iter().next();
    clash.map(|_| format!("{join} would lie where its other files do"))
}

/// The videos of the film that a video ends, from the first on: each up to the frames that the next one starts from, which
/// shows those first. `frames`: how many a video has.
pub fn cuts(videos: &[VideoRequest], last: u32, frames: impl Fn(u32) -> Option<u32>) -> Vec<Cut> {
    let mut cuts = vec![Cut { video: last, frames: None }];
    // Never longer than there are videos, whatever they say.
    while cuts.len() <= videos.len() {
        let at = cuts.last().and_then(|cut| videos.get(cut.video as usize));
        let Some(ImageSource::Frame(start)) = at.and_then(|video| video.image) else { break };
        let overlap = at.and_then(|video| video.overlap).unwrap_or(1);
        let shown = frames(start.video).and_then(|frames| start.first(overlap, frames));
        cuts.push(Cut { video: start.video, frames: shown });
    }
    cuts.reverse();
    cuts
}

/// Why the videos of a film do not fit each other; `spec`: the settings of a video, as far as it can be rendered.
pub(crate) fn unfit<'s>(
    videos: &[VideoRequest],
    last: u32,
    spec: impl Fn(u32) -> Option<&'s VideoSpec>,
) -> Option<String> {
    let of_last = spec(last)?;
    let join = of_last.join.as_deref()?;
    let label = |place: u32| videos.get(place as usize).map_or_else(String::new, |video| video.label(place));
    for Cut { video, .. } in cuts(videos, last, |place| spec(place).map(|spec| spec.frames)) {
        let part = spec(video)?;
        let why = if !part.formats.contains(&Format::Mp4) {
            format!("{} makes no mp4 file", label(video))
        } else if (part.width, part.height) != (of_last.width, of_last.height) {
            let size = |spec: &VideoSpec| format!("{}x{}", spec.width, spec.height);
            format!("{} is {}, {} is {}", label(video), size(part), label(last), size(of_last))
        } else if part.fps != of_last.fps {
            format!("{} has {} frames per second, {} has {}", label(video), part.fps, label(last), of_last.fps)
        } else {
            continue;
        };
        return Some(format!("{join} cannot be joined: {why}"));
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use wanfarm_types::fixtures::{info, request};
    use wanfarm_types::{Experts, FrameOf, FrameRate, ModelInfo};

    fn after(video: u32, frame: Option<u32>) -> VideoRequest {
        VideoRequest { image: Some(ImageSource::Frame(FrameOf { video, frame })), ..request() }
    }

    #[test]
    fn each_goes_on_where_the_next_starts() {
        let videos = [after(2, Some(7)), request(), after(3, None), VideoRequest { frames: Some(17), ..request() }];
        let cut = |video, frames| Cut { video, frames };
        let frames = |place: u32| Some(if place == 3 { 17 } else { 81 });
        assert_eq!(cuts(&videos, 0, frames), [cut(3, Some(16)), cut(2, Some(7)), cut(0, None)]);
        assert_eq!(cuts(&videos, 1, frames), [cut(1, None)]);
        let overlaps = |overlap| [request(), VideoRequest { overlap, ..after(0, Some(16)) }];
        assert_eq!(cuts(&overlaps(Some(5)), 1, frames), [cut(0, Some(12)), cut(1, None)]);
        assert_eq!(cuts(&[after(0, None)], 0, frames).len(), 2, "and never without end");
    }

    #[test]
    fn what_is_no_film_is_told() {
        let film = |join: &str| VideoRequest { join: Some(join.into()), ..after(1, None) };
        assert_eq!(fault(&film("film.mp4")), None);
        assert_eq!(fault(&request()), None);
        assert!(fault(&VideoRequest { image: None, ..film("film.mp4") }).unwrap().contains("starts from no other"));
        let own =
            |join: &str| VideoRequest { output: "a".into(), formats: vec![Format::Mp4, Format::Png], ..film(join) };
        for join in ["a.mp4", "A.mp4", "a/film.mp4"] {
            assert!(fault(&own(join)).unwrap().contains("where its other files do"), "{join}");
        }
        assert_eq!(fault(&own("b/film.mp4")), None);
        assert_eq!(name_fault("b/film.mp4"), None);
        for name in ["film", "film.mov", ".mp4", "../film.mp4", "/film.mp4"] {
            assert!(name_fault(name).is_some(), "{name}");
        }
    }

    #[test]
    fn videos_that_differ_cannot_be_joined() {
        let info = ModelInfo { takes_image: true, ..info(Experts::Single) };
        let both = |first: VideoRequest| {
            let last = VideoRequest { join: Some("film.mp4".into()), name: Some("b".into()), ..after(0, None) };
            let videos = [VideoRequest { name: Some("a".into()), ..first }, last];
            let specs: Vec<VideoSpec> = videos.iter().map(|video| video.resolve(&info).unwrap()).collect();
            unfit(&videos, 1, |place| specs.get(place as usize))
        };
        let mp4 = || VideoRequest { formats: vec![Format::Mp4], ..request() };
        assert_eq!(both(mp4()), None);
        for (first, why) in [
            (VideoRequest { formats: vec![Format::Png], ..mp4() }, "film.mp4 cannot be joined: a makes no mp4 file"),
            (VideoRequest { width: Some(640), height: Some(352), ..mp4() }, "a is 640x352, b is "),
            (VideoRequest { fps: Some(FrameRate::whole(9)), ..mp4() }, "a has 9 frames per second, b has "),
        ] {
            let told = both(first).unwrap();
            assert!(told.contains(why), "{told}");
        }
    }
}
