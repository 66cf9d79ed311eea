//! Pillow's Lanczos resampling of 8-bit pictures, bit for bit: fixed point, and rounded to bytes between the passes.
//!
//! Only a window of the result is computed: of a thin strip blown up to cover a frame, all but the frame's part would
//! be thrown away, and could be larger than any memory.

use std::f64::consts::PI;
use std::ops::Range;

use crate::error::ModelError;
use wanfarm_image::RgbImage;

/// Half the filter's width, in pixels of the coarser of the two grids.
const SUPPORT: f64 = 3.;
/// Fractional bits of a weight.
const BITS: u32 = 22;

/// What one output pixel reads along one axis: consecutive pixels from `first`.
struct LanczosTaps {
    first: usize,
    weights: Vec<i32>,
}

impl LanczosTaps {
    fn range(&self) -> Range<usize> {
        self.first..self.first + self.weights.len()
    }
}

/// Resizes a picture to `width × height` and gives the window `columns × rows` of that.
///
/// # Errors
/// A size of zero, or a window that is empty or leaves the picture.
///
/// Source: Pillow `src/libImaging/Resample.c` `ImagingResample`, `precompute_coeffs`, `normalize_coeffs_8bpc`.
pub fn resize(
    image: &RgbImage,
    [width, height]: [usize; 2],
    columns: Range<usize>,
    rows: Range<usize>,
) -> Result<RgbImage, ModelError> {
    if columns.is_empty() || rows.is_empty() || columns.end > width || rows.end > height {
        let why = format!("there is no window {columns:?} x {rows:?} in a picture of {width}x{height}");
        return Err(ModelError::input("image", why));
    }
    let across: Vec<LanczosTaps> = columns.map(|x| taps(image.width(), width, x)).collect();
    let down: Vec<LanczosTaps> = rows.map(|y| taps(image.height(), height, y)).collect();
    // Taps move on from pixel to pixel, so the first and the last tell which rows are read at all.
    let start = down.first().map_or(0, |taps| taps.first);
    let end = down.last().map_or(0, |taps| taps.range().end);
    let mut passed = Vec::with_capacity((end - start) * across.len());
    for y in start..end {
        passed.extend(across.iter().map(|taps| filter(taps, |x| image.pixel(x, y))));
    }
    let at = |x: usize, y: usize| passed[(y - start) * across.len() + x].as_slice();
    let pixels = down.iter().flat_map(|taps| (0..across.len()).map(move |x| (taps, x)));
    let data = pixels.flat_map(|(taps, x)| filter(taps, |y| at(x, y))).collect();
    Ok(RgbImage::new(across.len(), down.len(), data)?)
}

/// One pixel: the weighted sum, rounded and clamped to bytes.
fn filter<'a>(taps: &LanczosTaps, pixel: impl Fn(usize) -> &'a [u8]) -> [u8; 3] {
    let mut sums = [1 << (BITS - 1); 3];
    for (index, &weight) in taps.range().zip(&taps.weights) {
        for (sum, &byte) in sums.iter_mut().zip(pixel(index)) {
            *sum += weight * i32::from(byte);
        }
    }
    sums.map(|sum| (sum >> BITS).clamp(0, 255) as u8)
}

fn taps(input: usize, output: usize, index: usize) -> LanczosTaps {
    let scale = input as f64 / output as f64;
    let stretch = scale.max(1.);
    let support = SUPPORT * stretch;
    let center = (index as f64 + 0.5) * scale;
    // Truncation towards zero, then clamping, as the reference casts and compares.
    let first = (center - support + 0.5) as usize;
    let end = ((center + support + 0.5) as usize).min(input);
    let weight = |at: usize| lanczos((at as f64 - center + 0.5) * (1. / stretch));
    let weights: Vec<f64> = (first..end).map(weight).collect();
    let total: f64 = weights.iter().sum();
    let fixed = |weight: &f64| (weight / total * f64::from(1 << BITS)).round() as i32;
    LanczosTaps { first, weights: weights.iter().map(fixed).collect() }
}

fn lanczos(x: f64) -> f64 {
    let sinc = |x: f64| if x == 0. { 1. } else { (x * PI).sin() / (x * PI) };
    if (-SUPPORT..SUPPORT).contains(&x) { sinc(x) * sinc(x / SUPPORT) } else { 0. }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn picture(width: usize, height: usize) -> Vec<u8> {
        (0..width * height * 3).map(|i| (i * 89 % 251) as u8).collect()
    }

    #[test]
    fn the_same_size_is_the_same_picture() {
        let data = picture(7, 5);
        let image = RgbImage::new(7, 5, data.clone()).unwrap();
        assert_eq!(resize(&image, [7, 5], 0..7, 0..5).unwrap(), image);
    }

    #[test]
    fn a_window_is_a_part_of_the_whole() {
        let data = picture(13, 29);
        let image = RgbImage::new(13, 29, data.clone()).unwrap();
        let whole = resize(&image, [40, 17], 0..40, 0..17).unwrap();
        let part = resize(&image, [40, 17], 5..9, 3..17).unwrap();
        let rows = (3..17).flat_map(|y| whole.data()[(y * 40 + 5) * 3..(y * 40 + 9) * 3].to_vec());
        assert_eq!(part.data(), rows.collect::<Vec<u8>>());
    }

    #[test]
    fn a_thin_strip_does_not_unfold() {
        let data = picture(1, 4000);
        let image = RgbImage::new(1, 4000, data.clone()).unwrap();
        let part = resize(&image, [1280, 1280 * 4000], 0..1280, 2_559_000..2_559_004).unwrap();
        assert_eq!(part.data().len(), 1280 * 4 * 3);
    }

    #[test]
    fn windows_must_lie_inside() {
        let data = picture(4, 4);
        let image = RgbImage::new(4, 4, data.clone()).unwrap();
        for (columns, rows) in [(0..5, 0..4), (0..4, 0..5), (2..2, 0..4), (0..4, 3..3)] {
            assert!(resize(&image, [4, 4], columns, rows).is_err());
        }
        assert!(resize(&image, [0, 0], 0..1, 0..1).is_err());
    }
}
