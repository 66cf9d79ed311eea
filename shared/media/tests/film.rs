//! Films of clips: every picture is one that a clip shows, and none is encoded again.

use std::path::{Path, PathBuf};

use wanfarm_media::{Clip, Frames, Part, write_film, write_mp4};
use wanfarm_types::FrameRate;

const SIZE: [usize; 2] = [64, 96];

/// Writes a clip in which this colour moves over grey.
fn clip(
    folder: &Path,
    name: &str,
    frames: usize,
    colour: [u8; 3],
    [height, width]: [usize; 2],
    rate: FrameRate,
) -> PathBuf {
    let mut data = vec![128; frames * height * width * 3];
    for (frame, pixels) in data.chunks_exact_mut(height * width * 3).enumerate() {
        for y in 8..24 {
            let at = (y * width + 2 * frame) * 3;
            pixels[at..at + 24].copy_from_slice(&[colour; 8].concat());
        }
    }
    let path = folder.join(name);
    let frames = Frames::new(&data, frames, height, width).expect("a clip");
    write_mp4(&frames, rate, &path).expect("written");
    path
}

/// What a player shows.
fn shown(path: &Path) -> Vec<Vec<u8>> {
    let mut clip = Clip::open(path).expect("a clip");
    std::iter::from_fn(|| clip.next_frame().expect("a frame")).map(|frame| frame.data().to_vec()).collect()
}

fn all(path: &Path) -> Part {
    Part { path: path.to_owned(), frames: None }
}

#[test]
fn a_film_shows_what_its_clips_show_as_far_as_they_are_taken() {
    let folder = tempfile::tempdir().unwrap();
    let rate = FrameRate::whole(8);
    let [red, green, blue] = [("red.mp4", [255, 0, 0]), ("green.mp4", [0, 255, 0]), ("blue.mp4", [0, 0, 255])]
        .map(|(name, colour)| clip(folder.path(), name, 20, colour, SIZE, rate));
    let film = folder.path().join("film.mp4");
    let first = |path: &Path, frames| Part { path: path.to_owned(), frames: Some(frames) };
    // One ends in the midst of what follows its second key frame, one is left out but for nothing.
    let parts = [first(&red, 19), first(&green, 0), first(&blue, 11), all(&green)];
    assert_eq!(write_film(&parts, &film).unwrap(), 50);
    let [red, green, blue] = [&red, &green, &blue].map(|path| shown(path));
    assert_eq!(shown(&film), [&red[..19], &blue[..11], &green[..]].concat());
    let again = folder.path().join("again.mp4");
    write_film(&parts, &again).unwrap();
    assert_eq!(std::fs::read(film).unwrap(), std::fs::read(again).unwrap());
}

#[test]
fn a_film_of_one_clip_holds_that_clip() {
    let folder = tempfile::tempdir().unwrap();
    let one = clip(folder.path(), "one.mp4", 9, [9, 99, 199], SIZE, FrameRate::new(24_000, 1001).unwrap());
    let film = folder.path().join("film.mp4");
    assert_eq!(write_film(&[all(&one)], &film).unwrap(), 9);
    assert_eq!(std::fs::read(one).unwrap(), std::fs::read(film).unwrap(), "to the byte, as it has no remark");
}

#[test]
fn clips_that_do_not_fit_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let make = |name, size, fps| clip(folder.path(), name, 5, [0; 3], size, FrameRate::whole(fps));
    let (one, large, quick) = (make("one.mp4", SIZE, 8), make("large.mp4", [64, 128], 8), make("quick.mp4", SIZE, 16));
    let cut = folder.path().join("cut.mp4");
    let bytes = std::fs::read(&one).unwrap();
    std::fs::write(&cut, &bytes[..bytes.len() - 9]).unwrap();
    let text = folder.path().join("text.mp4");
    std::fs::write(&text, "no film at all").unwrap();
    let film = folder.path().join("film.mp4");
    for (part, why) in [
        (all(&large), "large.mp4: it is 128x64, those before it are 96x64"),
        (all(&quick), "quick.mp4: its frame rate is another one"),
        (Part { path: one.clone(), frames: Some(6) }, "one.mp4: it has 5 frames, and 6 are wanted of it"),
        (all(&cut), "cut.mp4: it is cut off"),
        (all(&text), "text.mp4: it is no mp4 file"),
        (all(&folder.path().join("none.mp4")), "none.mp4: "),
    ] {
        let error = write_film(&[all(&one), part], &film).unwrap_err().to_string();
        assert!(error.contains(why), "{error}");
    }
    assert!(write_film(&[], &film).is_err());
}
