//! Latents as a small moving picture.

use wanfarm_media::{Frames, MediaError, gif};
use wanfarm_types::FrameRate;

use super::fit::{ColourMap, Latents};

/// Most bytes of a preview: hundreds of them are looked at over a phone's connection.
const MOST_BYTES: usize = 40 << 10;
/// How many frames it has, the first number with which it is small enough.
const FRAMES: [usize; 5] = [8, 5, 3, 2, 1];
/// Longest side in pixels; larger latents are thinned out.
const LONGEST: usize = 128;

/// The clip as a GIF of at most [`MOST_BYTES`], unless a single frame has more; it lasts `seconds`.
///
/// # Errors
/// Latents of a size that no GIF has.
pub(crate) fn clip(latents: Latents<'_>, map: &ColourMap, seconds: f64) -> Result<Vec<u8>, MediaError> {
    let [_, count, height, width] = latents.shape;
    let thin = height.max(width).div_ceil(LONGEST).max(1);
    let sides = [height.div_ceil(thin), width.div_ceil(thin)];
    let mut smallest = Vec::new();
    for shown in FRAMES.into_iter().filter(|&shown| shown == 1 || shown <= count) {
        let mut pixels = Vec::with_capacity(shown * sides[0] * sides[1] * 3);
        for number in 0..shown {
            // The first and the last, and those between at equal distances.
            let frame = if shown == 1 { count / 2 } else { number * (count - 1) / (shown - 1) };
            for y in 0..sides[0] {
                for x in 0..sides[1] {
                    pixels.extend(map.colour(latents.at([frame, y * thin, x * thin])));
                }
            }
        }
        let frames = Frames::new(&pixels, shown, sides[0], sides[1])?;
        smallest = gif(&frames, rate(shown, seconds))?;
        if smallest.len() <= MOST_BYTES {
            break;
        }
    }
    Ok(smallest)
}

/// Frames per second so that so many last about so long; one a second where that makes no sense.
fn rate(frames: usize, seconds: f64) -> FrameRate {
    let per_second = frames as f64 / seconds;
    let rate = FrameRate::new((per_second * 1000.0).round() as u32, 1000);
    rate.unwrap_or(FrameRate::whole(1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::preview::fit::Fit;

    fn map(latents: Latents<'_>, frames: &Frames<'_>) -> ColourMap {
        let mut fit = Fit::new(latents.shape[0]);
        fit.learn(latents, frames);
        fit.map().unwrap()
    }

    #[test]
    fn a_preview_is_small_whatever_it_shows() {
        // Noise in every frame, at the size of 720p.
        let shape = [4, 21, 90, 160];
        let noise = |i: usize| ((i * 2_654_435_761) >> 9 & 1023) as f32 / 512.0 - 1.0;
        let values: Vec<f32> = (0..shape.iter().product()).map(noise).collect();
        let latents = Latents::new(&values, shape).unwrap();
        let pixels: Vec<u8> = (0..81 * 90 * 160 * 3).map(|i| (i * 31 % 251) as u8).collect();
        let map = map(latents, &Frames::new(&pixels, 81, 90, 160).unwrap());
        let preview = clip(latents, &map, 5.0).unwrap();
        assert!(preview.starts_with(b"GIF89a"));
        assert!(preview.len() <= MOST_BYTES, "{} bytes", preview.len());
    }

    #[test]
    fn a_still_and_a_clip_without_end_are_shown_too() {
        let values = [0.5; 3];
        let latents = Latents::new(&values, [3, 1, 1, 1]).unwrap();
        let pixels = [1; 3];
        let mut fit = Fit::new(3);
        for _ in 0..9 {
            fit.learn(latents, &Frames::new(&pixels, 1, 1, 1).unwrap());
        }
        let map = fit.map().unwrap();
        for seconds in [0.0, f64::NAN, f64::INFINITY, 1e9] {
            assert!(clip(latents, &map, seconds).unwrap().starts_with(b"GIF89a"), "{seconds}");
        }
    }
}
