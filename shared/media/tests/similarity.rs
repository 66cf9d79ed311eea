//! Clips written and read back, and how like they are.

#![allow(clippy::unwrap_used, reason = "helpers of tests may fail as loudly as tests")]

use std::fs;
use std::path::Path;

use wanfarm_media::{Clip, Frames, Similarity, psnr, write_mp4, write_png_folder};
use wanfarm_types::FrameRate;

const SHAPE: [usize; 3] = [9, 48, 64];

/// A patch that moves over a soft ground.
fn clip([frames, height, width]: [usize; 3]) -> Vec<u8> {
    let mut data = Vec::new();
    for (t, y, x) in (0..frames).flat_map(|t| (0..height).flat_map(move |y| (0..width).map(move |x| (t, y, x)))) {
        let inside = (x + 64 - 4 * t) % 64 < 16 && y.abs_diff(24) < 8;
        data.extend(if inside { [200, 60, 30] } else { [40 + x as u8, 90 + y as u8, 120] });
    }
    data
}

fn write(data: &[u8], [frames, height, width]: [usize; 3], folder: &Path) {
    let frames = Frames::new(data, frames, height, width).unwrap();
    write_png_folder(&frames, &folder.join("png")).unwrap();
    write_mp4(&frames, FrameRate::whole(8), &folder.join("clip.mp4")).unwrap();
}

fn between(left: &Path, right: &Path) -> Result<Similarity, String> {
    let open = |path| Clip::open(path).map_err(|error| error.to_string());
    Similarity::between(&mut open(left)?, &mut open(right)?).map_err(|error| error.to_string())
}

#[test]
fn a_clip_is_like_itself_and_less_like_what_was_done_to_it() {
    let (folder, changed) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let data = clip(SHAPE);
    write(&data, SHAPE, folder.path());
    let (png, mp4) = (folder.path().join("png"), folder.path().join("clip.mp4"));
    for same in [&png, &mp4] {
        let similarity = between(same, same).unwrap();
        assert_eq!((similarity.ssim, similarity.psnr, similarity.frames.len()), (1.0, None, SHAPE[0]));
    }
    let compressed = between(&png, &mp4).unwrap();
    assert!(compressed.ssim > 0.98 && compressed.psnr.unwrap() > 30.0, "{compressed:?}");

    let mut worse = data.clone();
    let frame = SHAPE[1] * SHAPE[2] * 3;
    worse[3 * frame..4 * frame].iter_mut().for_each(|value| *value = value.wrapping_mul(3));
    write(&worse, SHAPE, changed.path());
    let similarity = between(&png, &changed.path().join("png")).unwrap();
    let frames = |data| Frames::new(data, SHAPE[0], SHAPE[1], SHAPE[2]).unwrap();
    let psnr = psnr(&frames(&data), &frames(&worse)).unwrap();
    assert_eq!(similarity.psnr, psnr.clip);
    assert_eq!(similarity.psnr_min, psnr.frames[3]);
    assert_eq!(similarity.ssim_min, similarity.frames[3].ssim);
    assert!(similarity.frames.iter().enumerate().all(|(i, frame)| (frame.ssim < 1.0) == (i == 3)));
    assert!((similarity.ssim - (8.0 + similarity.ssim_min) / 9.0).abs() < 1e-12);
}

#[test]
fn what_cannot_be_compared_says_why() {
    let (folder, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    write(&clip(SHAPE), SHAPE, folder.path());
    let png = folder.path().join("png");
    for shape in [[5, 48, 64], [9, 32, 64]] {
        write(&clip(shape), shape, other.path());
        let error = between(&png, &other.path().join("clip.mp4")).unwrap_err();
        assert!(error.contains("[9, 48, 64]") && error.contains(&format!("{shape:?}")), "{error}");
        fs::remove_dir_all(other.path().join("png")).unwrap();
    }
    fs::remove_file(png.join("00004.png")).unwrap();
    assert!(between(&png, &png).unwrap_err().contains("no 00004.png"));
    assert!(between(&other.path().join("x.mp4"), &png).unwrap_err().contains("x.mp4"));
    assert!(between(other.path(), &png).unwrap_err().contains("no PNG files"));
    let cut = other.path().join("cut.mp4");
    let bytes = fs::read(folder.path().join("clip.mp4")).unwrap();
    for length in [0, 20, 700, bytes.len() - 100] {
        fs::write(&cut, &bytes[..length]).unwrap();
        assert!(between(&cut, &cut).unwrap_err().contains("cut.mp4"), "{length}");
    }
    fs::write(&cut, [b"\0\0\0\x08free".as_slice(), &bytes].concat()).unwrap();
    assert!(between(&cut, &cut).is_err(), "places are off by eight bytes");
    let tiny = other.path().join("tiny");
    write_png_folder(&Frames::new(&[7; 192], 1, 8, 8).unwrap(), &tiny).unwrap();
    assert!(between(&tiny, &tiny).unwrap_err().contains("11 pixels"));
}
