//! Clips that people give: what their files tell, and the first of their frames. The byte before a file chooses the frame rate.
#![no_main]

use std::io::Cursor;
use std::path::Path;

use libfuzzer_sys::fuzz_target;
use wanfarm_fuzz::{scratch, seeds};
use wanfarm_image::{ClipAbout, ClipKind, Mp4Track, gif_times, pack_all};
use wanfarm_media::{Clip, Frames, gif, png, write_mp4};
use wanfarm_types::FrameRate;

/// Frames that are decoded of each clip.
const FRAMES: usize = 4;
/// Larger pictures take long.
const MAX_PIXELS: u64 = 1 << 18;

fuzz_target!(init: seeds::write(seeds), |data: &[u8]| {
    let [rate, file @ ..] = data else { return };
    let rate = FrameRate::whole(u32::from(rate % 60) + 1);
    let about = ClipAbout::read("it", &mut Cursor::new(file));
    match ClipKind::of(&mut Cursor::new(file)) {
        Ok(ClipKind::Mp4) => {
            let Ok(track) = Mp4Track::read(&mut Cursor::new(file)) else { return };
            assert!(!track.shown.is_empty() && track.shown.len() <= track.samples.len());
            assert!(track.shown.iter().all(|(place, _)| *place < track.samples.len()));
            assert!(track.shown.is_sorted_by_key(|(_, time)| *time), "{:?}", track.shown);
            assert!(track.shown.last().is_none_or(|(_, time)| *time <= track.end), "{:?} {}", track.shown, track.end);
        }
        Ok(ClipKind::Gif) => {
            let Ok((_, times)) = gif_times(&mut Cursor::new(file)) else { return };
            assert!(times.len() > 1 && times.is_sorted());
        }
        Ok(ClipKind::Pictures) | Err(_) => {}
    }
    let Ok(about) = about else { return };
    assert!(about.length.pictures > 0);
    let _ = about.length.frames(rate);
    let [width, height] = about.size.map(u64::from);
    if width * height > MAX_PIXELS {
        return;
    }
    let Ok(clip) = Clip::given("it", Cursor::new(file.to_vec())) else { return };
    let mut frames = clip.at_rate(rate);
    let mut size = None;
    for _ in 0..FRAMES {
        let Some(Ok(frame)) = frames.next() else { return };
        let found = [frame.width(), frame.height()];
        assert_eq!(*size.get_or_insert(found), found, "all frames are of one size");
    }
});

fn seeds() -> Vec<Vec<u8>> {
    let pixels: Vec<u8> = (0..3 * 16 * 16 * 3).map(|place| (place * 7 / 3) as u8).collect();
    let frames = Frames::new(&pixels, 3, 16, 16).expect("three frames");
    let path = scratch::folder().join("c.mp4");
    write_mp4(&frames, FrameRate::whole(8), &path).expect("room for a clip");
    let mp4 = std::fs::read(path).expect("it was written");
    let moving = gif(&frames, FrameRate::whole(8)).expect("a clip");
    let pictures =
        (0..2).map(|index| Ok((format!("{index}.png"), png(&frames, index, Path::new("p")).expect("a picture"))));
    let mut packed = Vec::new();
    pack_all(pictures, &mut packed).expect("memory takes what is written");
    [mp4, moving, packed, deep()].map(|file| seeds::behind(8, file)).to_vec()
}

/// Boxes that lie in one another.
fn deep() -> Vec<u8> {
    let of = |kind: &[u8], body: &[u8]| [&(body.len() as u32 + 8).to_be_bytes(), kind, body].concat();
    let inner = (0..20_000).fold(Vec::new(), |inner, _| of(b"mdia", &inner));
    [of(b"ftyp", b"isom"), of(b"moov", &inner)].concat()
}
