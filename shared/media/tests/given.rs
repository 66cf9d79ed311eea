//! Clips of other programs (`clips/make.sh`): which are read, and what is seen of them; which are refused, and why.

use std::fs::File;
use std::path::{Path, PathBuf};

use wanfarm_image::{ClipAbout, RgbImage, load_image, pack};
use wanfarm_media::{Clip, Frames, psnr};
use wanfarm_types::{ClipLength, FrameRate};

fn path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clips").join(name)
}

fn about(name: &str) -> Result<ClipAbout, String> {
    ClipAbout::read(name, &mut File::open(path(name)).expect("a clip")).map_err(|error| error.to_string())
}

fn open(name: &str) -> Clip {
    Clip::given(name, File::open(path(name)).expect("a clip")).expect("a clip that is read")
}

fn frames(name: &str) -> Vec<RgbImage> {
    let mut clip = open(name);
    let left = clip.left();
    let frames: Vec<RgbImage> = std::iter::from_fn(|| clip.next_frame().expect("a frame")).collect();
    assert_eq!((frames.len(), clip.left()), (left, 0));
    frames
}

/// As ffmpeg shows it; numbered from 1.
fn shown(name: &str, number: usize) -> RgbImage {
    let file = path(&format!("{name}-{number:02}.png"));
    load_image(name, &std::fs::read(file).expect("a picture")).expect("a picture")
}

fn decibels(one: &RgbImage, other: &RgbImage) -> f64 {
    let frames = |image| Frames::new(RgbImage::data(image), 1, image.height(), image.width()).expect("a frame");
    psnr(&frames(one), &frames(other)).expect("of one size").clip.unwrap_or(f64::INFINITY)
}

#[test]
fn pictures_come_in_the_order_in_which_they_are_shown() {
    let frames = frames("reordered.mp4");
    assert_eq!(frames.len(), 12);
    for (number, frame) in (1..).zip(&frames) {
        eprintln!("{number}: {}", decibels(frame, &shown("reordered", number)));
        let other = if number == 12 { 11 } else { number + 1 };
        eprintln!("{number}: {}", decibels(frame, &shown("reordered", other)));
        assert!(decibels(frame, &shown("reordered", other)) < 33.0, "this test tells pictures apart, {number}");
    }
    let length = ClipLength { pictures: 12, microseconds: Some(500_000) };
    assert_eq!(about("reordered.mp4"), Ok(ClipAbout { size: [64, 48], length }));
}

#[test]
fn colours_are_those_that_the_file_says() {
    // BT.709 from 0 to 255, where nothing said would be BT.601 from 16 to 235.
    for (number, frame) in (1..).zip(&frames("full_range.mp4")[..2]) {
        eprintln!("{number}: {}", decibels(frame, &shown("full_range", number)));
    }
}

#[test]
fn a_clip_that_was_turned_is_turned_upright() {
    assert_eq!(about("turned.mov").expect("a clip").size, [48, 64]);
    let frames = frames("turned.mov");
    for (number, frame) in (1..).zip(&frames[..2]) {
        eprintln!("{number}: {}", decibels(frame, &shown("turned", number)));
    }
}

#[test]
fn what_lies_before_the_start_is_not_shown() {
    let (whole, cut) = (frames("reordered.mp4"), frames("cut.mp4"));
    assert!(cut.len() < whole.len(), "{}", cut.len());
    let before = whole.len() - cut.len();
    assert_eq!(cut, whole[before..]);
    assert_eq!(about("cut.mp4").expect("a clip").length.pictures as usize, cut.len());
}

#[test]
fn at_another_rate_each_frame_is_what_shows_then() {
    let all = frames("reordered.mp4");
    let at = |name: &str, rate: u32, count: usize| -> Vec<RgbImage> {
        open(name).at_rate(FrameRate::whole(rate)).take(count).map(|frame| frame.expect("a frame")).collect()
    };
    assert_eq!(at("reordered.mp4", 24, 12), all);
    assert_eq!(at("reordered.mp4", 12, 6), (0..6).map(|frame| all[2 * frame].clone()).collect::<Vec<_>>());
    assert_eq!(at("reordered.mp4", 48, 24), (0..24).map(|frame| all[frame / 2].clone()).collect::<Vec<_>>());
    assert_eq!(at("reordered.mp4", 24, 14)[11..], [all[11].clone(), all[11].clone(), all[11].clone()]);
}

#[test]
fn pictures_of_differing_length_show_as_long_as_they_do() {
    let all = frames("uneven.mp4");
    let length = about("uneven.mp4").expect("a clip").length;
    assert_eq!((length.pictures, all.len()), (12, 12));
    assert_eq!(length.frames(FrameRate::whole(24)), 19);
    let at: Vec<RgbImage> = open("uneven.mp4").at_rate(FrameRate::whole(24)).take(19).map(Result::unwrap).collect();
    let wanted = [0, 1, 2, 3, 4, 4, 5, 5, 6, 6, 7, 7, 8, 8, 9, 9, 10, 10, 11];
    assert_eq!(at, wanted.map(|picture: usize| all[picture].clone()));
}

#[test]
fn an_animation_is_a_clip() {
    let length = ClipLength { pictures: 4, microseconds: Some(400_000) };
    assert_eq!(about("moving.gif"), Ok(ClipAbout { size: [64, 48], length }));
    let frames = frames("moving.gif");
    assert_eq!(frames.len(), 4);
    assert!(frames.windows(2).all(|pair| pair[0] != pair[1]));
    let slow: Vec<RgbImage> = open("moving.gif").at_rate(FrameRate::whole(5)).take(2).map(Result::unwrap).collect();
    assert_eq!(slow, [frames[0].clone(), frames[2].clone()]);
}

#[test]
fn pictures_of_a_folder_are_a_clip() {
    let folder = tempfile::tempdir().unwrap();
    for number in [1, 2] {
        let name = format!("full_range-{number:02}.png");
        std::fs::copy(path(&name), folder.path().join(format!("{}.png", number * 9))).unwrap();
    }
    let file = folder.path().join("clip.zip");
    pack(folder.path(), File::create(&file).unwrap()).unwrap();
    let about = ClipAbout::read("it", &mut File::open(&file).unwrap()).unwrap();
    assert_eq!(about, ClipAbout { size: [64, 48], length: ClipLength { pictures: 2, microseconds: None } });
    let clip = Clip::given("it", File::open(&file).unwrap()).unwrap();
    let frames: Vec<RgbImage> = clip.at_rate(FrameRate::whole(60)).take(2).map(Result::unwrap).collect();
    assert_eq!(frames, [1, 2].map(|number| shown("full_range", number)));
}

#[test]
fn what_is_not_read_says_why_and_what_to_do() {
    for (name, why) in [
        ("ten_bits.mp4", "10 bits a sample"),
        ("all_chroma.mp4", "chroma is YUV444"),
        ("interlaced.mp4", "interlaced"),
        ("hevc.mp4", "its pictures are HEVC, and only H.264 is read"),
        ("oblong_pixels.mp4", "pixels are not square but 4:3"),
        ("fragments.mp4", "lie in fragments"),
        ("sound.m4a", "no pictures that are read"),
        ("other.webm", "WebM and Matroska"),
        ("make.sh", "no mp4 file, no GIF and no zip"),
    ] {
        let told = about(name).expect_err(name);
        assert!(told.contains(why) && told.contains("ffmpeg -i CLIP -c:v libx264"), "{name}: {told}");
        let opened = Clip::given(name, File::open(path(name)).unwrap());
        assert!(opened.is_err(), "{name}");
    }
}

#[test]
fn a_file_that_is_damaged_anywhere_is_refused_or_read_and_never_more() {
    let whole = std::fs::read(path("reordered.mp4")).unwrap();
    let gif = std::fs::read(path("moving.gif")).unwrap();
    for (name, whole) in [("reordered.mp4", &whole), ("moving.gif", &gif)] {
        let look = |bytes: Vec<u8>| {
            let bytes = std::io::Cursor::new(bytes);
            let known = ClipAbout::read(name, &mut bytes.clone()).is_ok();
            let Ok(mut clip) = Clip::given(name, bytes) else { return (known, 0) };
            let mut frames = 0;
            while let Ok(Some(_)) = clip.next_frame() {
                frames += 1;
            }
            (known, frames)
        };
        let all = look(whole.clone());
        assert!(all.0 && all.1 > 0);
        for length in (0..whole.len()).step_by(97) {
            assert!(look(whole[..length].to_vec()).1 <= all.1, "{name} cut off at {length}");
        }
        for at in (0..whole.len()).step_by(13) {
            let mut bytes = whole.clone();
            bytes[at] ^= 0xFF;
            look(bytes);
        }
    }
}
