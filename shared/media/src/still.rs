//! Pictures of finished clips as JPEG: stills so small that thousands of them fit on a page, posters to be looked at.

use std::fs::File;
use std::io::BufReader;
use std::path::Path;

use ::gif::{ColorOutput, DecodeOptions};
use image::codecs::jpeg::JpegEncoder;
use image::imageops;
use wanfarm_image::RgbImage;

use crate::clip::read_png;
use crate::{Clip, MediaError};

/// Most bytes of a still.
const MOST_STILL_BYTES: usize = 6 << 10;
/// Longest side in pixels and quality of the encoder, from the best to what is small whatever it shows.
const TRIES: [(u32, u8); 6] = [(240, 75), (240, 55), (240, 35), (160, 35), (120, 20), (64, 10)];

/// Longest side of a poster in pixels, and quality of its encoder.
const POSTER: (u32, u8) = (640, 85);

/// The first picture of an mp4 file, a GIF or a PNG, small, as a JPEG of at most 6 KiB.
///
/// # Errors
/// [`MediaError::Clip`] or [`MediaError::Image`]: it is of another kind, or cannot be read.
pub fn still(path: &Path) -> Result<Vec<u8>, MediaError> {
    let picture = first_picture(path)?;
    let mut jpeg = Vec::new();
    for (longest, quality) in TRIES {
        jpeg = shrunk(path, &picture, longest, quality)?;
        if jpeg.len() <= MOST_STILL_BYTES {
            break;
        }
    }
    Ok(jpeg)
}

/// The first picture of an mp4 file, a GIF or a PNG, as a JPEG of at most 640 pixels a side.
///
/// # Errors
/// As of [`still`].
pub fn poster(path: &Path) -> Result<Vec<u8>, MediaError> {
    shrunk(path, &first_picture(path)?, POSTER.0, POSTER.1)
}

fn first_picture(path: &Path) -> Result<image::RgbImage, MediaError> {
    let fault = |why: String| MediaError::clip(path, why);
    let ending = path.extension().and_then(|ending| ending.to_str()).unwrap_or_default();
    let picture = match ending {
        "mp4" => Clip::open(path)?.next_frame()?.ok_or_else(|| fault("it has no pictures".into()))?,
        "gif" => first_of_gif(path).map_err(fault)?,
        "png" => read_png(path)?,
        _ => return Err(fault("it is no mp4 file, no GIF and no PNG".into())),
    };
    let (width, height) = (picture.width() as u32, picture.height() as u32);
    let picture = image::RgbImage::from_raw(width, height, picture.data().to_vec());
    picture.ok_or_else(|| fault("it has no pixels".into()))
}

/// A picture of `path`, no longer than `longest` pixels a side.
fn shrunk(path: &Path, picture: &image::RgbImage, longest: u32, quality: u8) -> Result<Vec<u8>, MediaError> {
    let (width, height) = picture.dimensions();
    let shrink = f64::from(longest) / f64::from(width.max(height));
    let side = |side: u32| (f64::from(side) * shrink.min(1.0)).round().max(1.0) as u32;
    let small = imageops::thumbnail(picture, side(width), side(height));
    let mut jpeg = Vec::new();
    let encoder = JpegEncoder::new_with_quality(&mut jpeg, quality);
    small.write_with_encoder(encoder).map_err(|error| MediaError::clip(path, error.to_string()))?;
    Ok(jpeg)
}

fn first_of_gif(path: &Path) -> Result<RgbImage, String> {
    let file = BufReader::new(File::open(path).map_err(|error| error.to_string())?);
    let mut options = DecodeOptions::new();
    options.set_color_output(ColorOutput::RGBA);
    let mut decoder = options.read_info(file).map_err(|error| error.to_string())?;
    let frame = decoder.read_next_frame().map_err(|error| error.to_string())?.ok_or("it has no pictures")?;
    let data = frame.buffer.chunks_exact(4).flat_map(|pixel| [pixel[0], pixel[1], pixel[2]]).collect();
    RgbImage::new(frame.width.into(), frame.height.into(), data).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ContactSheet, Frames, write_contact, write_gif, write_mp4, write_png_folder};
    use wanfarm_types::FrameRate;

    fn seen(path: &Path) -> wanfarm_image::RgbImage {
        wanfarm_image::load_image("still", &still(path).unwrap()).unwrap()
    }

    #[test]
    fn every_file_of_a_video_shows_its_first_frame() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        // The first frame is light, the others are dark.
        let data: Vec<u8> = (0..4).flat_map(|frame| vec![if frame == 0 { 200 } else { 10 }; 64 * 480 * 3]).collect();
        let frames = Frames::new(&data, 4, 64, 480).unwrap();
        write_mp4(&frames, FrameRate::whole(8), &at("a.mp4")).unwrap();
        write_gif(&frames, FrameRate::whole(8), &at("a.gif")).unwrap();
        std::fs::create_dir(at("a")).unwrap();
        write_png_folder(&frames, &at("a")).unwrap();
        write_contact(&frames, ContactSheet::default(), &at("a.contact.png")).unwrap();
        for file in ["a.mp4", "a.gif", "a/00000.png"] {
            let picture = seen(&at(file));
            assert_eq!((picture.width(), picture.height()), (240, 32), "{file}");
            assert!(picture.data().iter().all(|level| level.abs_diff(200) < 8), "{file}");
        }
        assert!(seen(&at("a.contact.png")).width() <= 240);
        let wide: Vec<u8> = vec![200; 1280 * 16 * 3];
        write_gif(&Frames::new(&wide, 1, 16, 1280).unwrap(), FrameRate::whole(8), &at("wide.gif")).unwrap();
        for (file, size) in [("a.mp4", (480, 64)), ("wide.gif", (640, 8))] {
            let picture = wanfarm_image::load_image("poster", &poster(&at(file)).unwrap()).unwrap();
            assert_eq!((picture.width(), picture.height()), size, "{file}");
            assert!(picture.data().iter().all(|level| level.abs_diff(200) < 8), "{file}");
        }
        assert_eq!(still(&at("a.mp4")).unwrap(), still(&at("a.mp4")).unwrap());
    }

    #[test]
    fn a_still_is_small_whatever_it_shows_and_no_larger_than_its_clip() {
        let folder = tempfile::tempdir().unwrap();
        let noise: Vec<u8> = (0..512 * 512 * 3usize).map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
        let dot = [7; 3];
        for (name, data, side) in [("noise.gif", &noise[..], 512), ("dot.gif", &dot[..], 1)] {
            let path = folder.path().join(name);
            write_gif(&Frames::new(data, 1, side, side).unwrap(), FrameRate::whole(8), &path).unwrap();
            let bytes = still(&path).unwrap();
            assert!(bytes.len() <= MOST_STILL_BYTES, "{name}: {} bytes", bytes.len());
            assert!(seen(&path).width() <= side);
        }
    }

    #[test]
    fn what_is_no_clip_is_refused_by_name() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["a.txt", "a.mp4", "a.gif", "a.png"] {
            let path = folder.path().join(name);
            std::fs::write(&path, "no clip").unwrap();
            assert!(still(&path).unwrap_err().to_string().contains(name));
        }
    }
}
