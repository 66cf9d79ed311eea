//! Contact sheets: one PNG with evenly spaced frames of a clip side by side, for a look at a night's work.

use std::path::Path;

use image::imageops::{self, FilterType};
use image::{ImageBuffer, Rgb, RgbImage as Sheet};
use wanfarm_types::Format;

use crate::png::write_png;
use crate::{Frames, MediaError};

/// Pixels between frames and around them.
const GAP: u32 = 8;
const BACKGROUND: Rgb<u8> = Rgb([24, 24, 24]);

/// How large a sheet may get.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ContactSheet {
    /// Frames shown, the first and the last among them; fewer if the clip is shorter.
    pub tiles: usize,
    /// Pixels of the whole sheet. Frames are made smaller to fit, never larger.
    pub max_width: u32,
}

impl Default for ContactSheet {
    fn default() -> Self {
        Self { tiles: 16, max_width: 1600 }
    }
}

/// Writes a contact sheet, read row by row.
///
/// # Errors
/// [`MediaError::Size`], or what the disk reports.
pub fn write_contact(frames: &Frames<'_>, sheet: ContactSheet, path: &Path) -> Result<(), MediaError> {
    let indices = spread(frames.count(), sheet.tiles);
    let (width, height) = frames.size_in(Format::Contact, path)?;

    let columns = (indices.len() as f64).sqrt().ceil() as u32;
    let rows = (indices.len() as u32).div_ceil(columns);
    let room = sheet.max_width.saturating_sub(GAP * (columns + 1)) / columns;
    let tile_width = width.min(room).max(1);
    let tile_height = (f64::from(height) * f64::from(tile_width) / f64::from(width)).round().max(1.0) as u32;

    let mut canvas =
        Sheet::from_pixel(GAP + columns * (tile_width + GAP), GAP + rows * (tile_height + GAP), BACKGROUND);
    for (place, &index) in (0u32..).zip(&indices) {
        let Some(frame) = ImageBuffer::<Rgb<u8>, &[u8]>::from_raw(width, height, frames.frame(index)) else { continue };
        let (x, y) = (GAP + place % columns * (tile_width + GAP), GAP + place / columns * (tile_height + GAP));
        if tile_width == width {
            imageops::replace(&mut canvas, &frame, x.into(), y.into());
        } else {
            let tile = imageops::resize(&frame, tile_width, tile_height, FilterType::Lanczos3);
            imageops::replace(&mut canvas, &tile, x.into(), y.into());
        }
    }
    write_png(canvas.as_raw(), canvas.width(), canvas.height(), frames.remark(), path)
}

/// `wanted` indices below `count`, evenly spaced, first and last included.
fn spread(count: usize, wanted: usize) -> Vec<usize> {
    let wanted = wanted.clamp(1, count);
    let steps = (wanted - 1).max(1);
    (0..wanted).map(|place| (place * (count - 1) + steps / 2) / steps).collect()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn first_and_last_are_shown() {
        assert_eq!(spread(1, 16), [0]);
        assert_eq!(spread(3, 16), [0, 1, 2]);
        assert_eq!(spread(81, 5), [0, 20, 40, 60, 80]);
        assert_eq!(spread(9, 1), [0]);
        for count in 1..100 {
            let indices = spread(count, 16);
            assert_eq!((indices[0], *indices.last().unwrap()), (0, count - 1));
            assert!(indices.windows(2).all(|pair| pair[0] < pair[1]));
        }
    }

    fn sheet_of(frames: usize, height: usize, width: usize, sheet: ContactSheet) -> wanfarm_image::RgbImage {
        // Frame k is grey 10 + 10 k.
        let data: Vec<u8> = (0..frames).flat_map(|k| vec![10 + 10 * k as u8; height * width * 3]).collect();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("sheet.png");
        write_contact(&Frames::new(&data, frames, height, width).unwrap(), sheet, &path).unwrap();
        wanfarm_image::load_image("sheet", &fs::read(path).unwrap()).unwrap()
    }

    #[test]
    fn small_frames_keep_their_pixels() {
        let image = sheet_of(17, 20, 30, ContactSheet::default());
        assert_eq!((image.width(), image.height()), (8 + 4 * 38, 8 + 4 * 28));
        let grey = |x: usize, y: usize| image.data()[(y * image.width() + x) * 3];
        assert_eq!(grey(0, 0), 24);
        assert_eq!(grey(8, 8), 10);
        assert_eq!(grey(image.width() - 9, image.height() - 9), 170);
    }

    #[test]
    fn large_frames_shrink_with_their_aspect() {
        let image = sheet_of(4, 90, 160, ContactSheet { tiles: 4, max_width: 184 });
        assert_eq!((image.width(), image.height()), (184, 8 + 2 * (45 + 8)));
        assert_eq!(image.data()[(8 * image.width() + 8) * 3], 10);
    }
}
