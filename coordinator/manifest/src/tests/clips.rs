//! Videos that are made from clips.

use std::path::Path;

use wanfarm_types::{ClipSource, Digest, Experts, ImageSource, ModelInfo, VideoRequest, WholeOf};

use super::{info, lines, read_in};
use crate::plan;

/// Copies a clip of another program.
fn given(folder: &Path, name: &str, to: &str) {
    let clips = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/media/tests/clips");
    std::fs::copy(clips.join(name), folder.join(to)).unwrap();
}

/// A folder with two clips, one picture that is none, and a folder of 25 pictures.
fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    given(folder.path(), "reordered.mp4", "a.mp4");
    given(folder.path(), "moving.gif", "b.gif");
    std::fs::create_dir(folder.path().join("shot")).unwrap();
    for number in 0..25u8 {
        let picture = image::RgbImage::from_pixel(96, 48, image::Rgb([10 * number; 3]));
        picture.save(folder.path().join(format!("shot/{number}.png"))).unwrap();
    }
    image::RgbImage::new(32, 32).save(folder.path().join("first.png")).unwrap();
    folder
}

fn asked(folder: &Path, video: &str, info: &ModelInfo) -> Result<Vec<VideoRequest>, Vec<String>> {
    read_in(folder, video).and_then(|manifest| manifest.check(Some(info))).map_err(|faults| lines(&faults))
}

#[test]
fn a_clip_decides_how_long_and_how_large_a_video_is() {
    let (folder, info) = (folder(), info());
    let planned = |video: &str| {
        let manifest = read_in(folder.path(), video).unwrap();
        let videos = manifest.check(Some(&info)).unwrap();
        let image =
            |digest: &Digest| manifest.images.iter().map(|file| &file.image).find(|image| image.digest == *digest);
        let (plan, spec) = plan::resolve_all(&videos, image, &info).remove(0).unwrap();
        (plan, spec, manifest.files().len())
    };
    // Half a second, of 4:3: at 16 frames a second 8, of which 5 are 4n+1.
    let (plan, spec, files) = planned("video='a.mp4'\nsteps=10");
    assert_eq!((spec.frames, spec.width, spec.height, spec.strength, files), (5, 720, 544, Some(0.8), 1));
    assert!(plan.has_image);
    assert_eq!(plan.stages.iter().map(|(_, steps)| steps.len()).sum::<u32>(), 8);
    let (_, spec, _) = planned("video='a.mp4'\nfps=24\nwidth=64\nheight=64");
    assert_eq!((spec.frames, spec.width, spec.height), (9, 64, 64));
    let (_, spec, _) = planned("video='shot'\nstrength=0.5\nfps=50");
    assert_eq!((spec.frames, spec.strength), (25, Some(0.5)), "pictures without times are frames at any rate");
    let (_, spec, _) = planned("video='shot'\nframes=13");
    assert_eq!(spec.frames, 13);
}

#[test]
fn several_clips_make_several_videos() {
    let (folder, info) = (folder(), info());
    for video in ["video=['a.mp4','b.gif']", "video='[ab].*'", "sweep={video=['*.mp4','b.gif']}"] {
        let videos = asked(folder.path(), video, &info).unwrap();
        assert_eq!(videos.len(), 2, "{video}");
        assert_ne!(videos[0].video, videos[1].video);
    }
    let manifest = read_in(folder.path(), "video='s*'\nnegative='{video}'").unwrap();
    assert_eq!(manifest.check(Some(&info)).unwrap()[0].negative.as_deref(), Some("shot"));
    // In [defaults] a strength is for the videos that have a clip.
    let text =
        "[job]\nmodel='m'\n[defaults]\nstrength=0.5\n[[video]]\nprompt='p'\n[[video]]\nprompt='p'\nvideo='a.mp4'";
    let manifest = crate::Manifest::parse("m.toml", crate::Syntax::Toml, text, Some(folder.path())).unwrap();
    let strengths: Vec<_> = manifest.check(Some(&info)).unwrap().iter().map(|video| video.strength).collect();
    assert_eq!(strengths, [None, Some(0.5)]);
}

#[test]
fn what_a_clip_cannot_be_is_told_where_it_stands() {
    let (folder, info) = (folder(), info());
    given(folder.path(), "hevc.mp4", "hevc.mp4");
    std::fs::create_dir(folder.path().join("empty")).unwrap();
    let refused = |video: &str| asked(folder.path(), video, &info).unwrap_err();
    let clip = |name: &str| format!("7:7 video[0].video: cannot use the clip `{}`", folder.path().join(name).display());
    for name in ["hevc.mp4", "none.mp4", "empty", "first.png"] {
        assert_eq!(refused(&format!("video='{name}'")), [clip(name)]);
    }
    let image = format!("7:7 video[0].image: cannot use the image `{}`", folder.path().join("a.mp4").display());
    assert_eq!(refused("image='a.mp4'"), [image]);
    assert_eq!(refused("strength=0.5"), ["7:10 video[0].strength: video[0].strength has no video beside it"]);
    assert_eq!(refused("video='a.mp4'\nframes=9"), ["8:8 video[0].frames: video[0] is longer than its clip"]);
    assert_eq!(refused("video='a.mp4'\nstrength=0"), ["8:10 video[0].strength: video[0].strength is out of range"]);
    assert_eq!(refused("video='a.mp4'\nstrength=1.1"), ["8:10 video[0].strength: video[0].strength is out of range"]);
    assert_eq!(refused("video='a.mp4'\nstrength=0.1\nsteps=9"), ["8:10 video[0].strength: video[0] would run no step"]);
    assert_eq!(refused("video='a.mp4'\ncache='cfg-cache'"), ["8:7 video[0].cache: video[0].cache cannot be cfg-cache"]);
    let needs = ModelInfo { takes_image: true, needs_image: true, ..super::info() };
    assert_eq!(asked(folder.path(), "video='a.mp4'", &needs).unwrap_err(), ["5:1 video[0]: video[0] has no image"]);
    assert!(asked(folder.path(), "video='a.mp4'\nimage='first.png'", &needs).is_ok());
}

#[test]
fn a_submission_without_a_manifest_is_held_to_the_same() {
    let info = wanfarm_types::fixtures::info(Experts::Single);
    let (folder, clip) = (folder(), |request: &VideoRequest| VideoRequest { frames: Some(5), ..request.clone() });
    let manifest = read_in(folder.path(), "video='a.mp4'\nimage='first.png'").unwrap();
    let taking = ModelInfo { takes_image: true, ..info };
    let [video] = &manifest.check(Some(&taking)).unwrap()[..] else { panic!() };
    let image = |digest: &Digest| manifest.images.iter().map(|file| &file.image).find(|image| image.digest == *digest);
    let resolved =
        |request: VideoRequest| plan::resolve_all(&[request], image, &taking).remove(0).map(|(_, spec)| spec);
    assert_eq!(resolved(clip(video)).unwrap().frames, 5);
    let file = |clip: Option<ClipSource>| clip.and_then(|clip| clip.file());
    let as_image = VideoRequest { image: file(video.video).map(ImageSource::File), ..clip(video) };
    assert!(resolved(as_image).unwrap_err().contains("is a clip and no image"));
    let image = video.image.and_then(|image| image.file());
    let as_clip = VideoRequest { video: image.map(ClipSource::File), ..clip(video) };
    assert!(resolved(as_clip).unwrap_err().contains("is an image and no clip"));
    let alone = VideoRequest { video: None, strength: Some(0.5), ..clip(video) };
    assert!(resolved(alone).unwrap_err().contains("add video, or remove strength"));
    let long = VideoRequest { frames: Some(81), ..clip(video) };
    assert!(resolved(long).unwrap_err().contains("the clip has 8 frames at 16 frames per second, and 81 are wanted"));
}

#[test]
fn a_video_is_made_from_another_one_and_is_as_long_and_as_large() {
    let info = info();
    let chain = "[[video]]\nname='a'\nprompt='{how}'\nframes=9\nwidth=64\nheight=32\nsweep={how=['x','y']}\n\
        [[video]]\nprompt='{how}, {video}'\nvideo={from='a'}\n";
    let videos = super::requests(chain);
    let of = |video| Some(ClipSource::Video(WholeOf { video }));
    assert_eq!(videos.iter().map(|video| video.video).collect::<Vec<_>>(), [None, None, of(0), of(1)]);
    assert_eq!((videos[3].prompt.as_str(), videos[3].strength), ("y, a", None));
    let resolved = plan::resolve_all(&videos, |_| None, &info);
    let (plan, spec) = resolved[3].as_ref().unwrap();
    assert_eq!((spec.width, spec.height, spec.frames, spec.strength), (64, 32, 9, Some(0.8)));
    assert_eq!((&plan.after[..], plan.has_image), (&[1][..], true));
    assert_eq!(crate::chains::told(&videos), ["a (x) → video 2", "a (y) → video 3"]);

    let refused = |second: &str| {
        let text = format!("[[video]]\nname='a'\nprompt='p'\nframes=9\n[[video]]\nprompt='q'\n{second}");
        super::told(super::read_videos(&text).and_then(|manifest| manifest.check(Some(&info)).map(|_| manifest)))
    };
    assert_eq!(refused("video={from='b'}"), ["10:14 video[1].video: no video is called `b`"]);
    assert_eq!(refused("video={from='a',frame=3}"), ["10:17 video[1].video.frame: a clip is no single frame"]);
    assert_eq!(refused("video={from='a'}\nframes=13"), ["11:8 video[1].frames: video[1] is longer than its clip"]);
    let circle = "[[video]]\nname='a'\nprompt='p'\nvideo={from='a'}";
    assert_eq!(super::told(super::read_videos(circle)), ["7:7 video[0].video: video[0] needs a frame of itself"]);
    // With frames of others beside it, those belong together that were swept alike.
    let both = "[[video]]\nname='a'\nprompt='{n}'\nsweep={n=[1,2]}\n[[video]]\nname='b'\nprompt='{n}!'\nsweep={n=[2,1]}\n\
        [[video]]\nprompt='{n}?'\nvideo={from='a'}\nimage={from='b'}";
    let ends = |video: &VideoRequest| video.needs().into_iter().flatten().map(|need| need.video()).collect::<Vec<_>>();
    let needs: Vec<_> =
        super::requests_of(both, &ModelInfo { takes_image: true, ..info.clone() }).iter().map(ends).collect();
    assert_eq!(needs[4..], [vec![2, 1], vec![3, 0]]);
}
