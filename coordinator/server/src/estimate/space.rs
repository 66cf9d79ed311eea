//! Bytes that videos take on disks: their files, and the durable copies of their states while they are computed. Pure.
//!
//! How well a file compresses shows when it is written, so what is reckoned is typical, not a bound: nobody is refused
//! for it. Only the least that a copy takes is certain. Small things (sidecars' attempts, texts, first frames, LoRA files)
//! are left out.

use wanfarm_types::{Format, Geometry, VideoSpec};

/// States of one video on the disk at once: the newest, and the next while it is being written.
const STATES: u64 = 2;
/// Tensors of the latents' size in a state of UniPC, which keeps the most; each step cache adds a few.
const TENSORS: u64 = 4;
/// A sidecar.
const SIDECAR: u64 = 16 << 10;
/// Frames of a contact sheet, and the most pixels of its width.
const TILES: u64 = 16;
const SHEET_WIDTH: u64 = 1600;

/// Disk space of one video.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Footprint {
    /// Bytes of its files, typically.
    files: u64,
    /// Bytes of its latents: exact.
    latents: u64,
}

/// Disk space of several videos.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Space {
    /// Bytes of all files in the output folder, typically.
    pub files: u64,
    /// Bytes of durable copies in the data directory at the same time, typically.
    pub copies: u64,
    /// Bytes without which no copy can be made of any of them.
    pub least_copy: u64,
}

impl Footprint {
    /// The footprint of a video whose size its model can render.
    pub fn of(spec: &VideoSpec, geometry: &Geometry) -> Self {
        let latents: u64 =
            geometry.latent_shape(spec.width, spec.height, spec.frames).map(|dim| dim as u64).iter().product();
        let (width, height, frames) = (spec.width.into(), spec.height.into(), spec.frames.into());
        let files = spec.formats.iter().map(|&format| typical_bytes(format, width, height, frames)).sum::<u64>();
        Self { files: files + SIDECAR, latents: latents * size_of::<f32>() as u64 }
    }
}

impl Space {
    /// Of these videos, of which so many at most are under way at a time.
    pub fn of(videos: impl IntoIterator<Item = Footprint>, under_way: u64) -> Self {
        let (mut count, mut most) = (0u64, 0);
        let mut space = Self { least_copy: u64::MAX, ..Self::default() };
        for video in videos {
            count += 1;
            most = most.max(video.latents);
            space.least_copy = space.least_copy.min(video.latents);
            space.files = space.files.saturating_add(video.files);
        }
        if count == 0 {
            return Self::default();
        }
        space.copies = (STATES * TENSORS * under_way.clamp(1, count)).saturating_mul(most);
        space
    }
}

/// Bytes that a format takes for pictures of moving, detailed scenes; raw, they take three a pixel.
///
/// - mp4: two bits a pixel. Pictures of noise get up to eight, more never: the encoder takes no more.
/// - png: half of raw. Noise takes all of raw, flat pictures next to nothing.
/// - gif: six bits a pixel; twelve of noise, more never.
/// - contact: half of raw, of a sheet that has a fixed width at most.
fn typical_bytes(format: Format, width: u64, height: u64, frames: u64) -> u64 {
    let pixels = width * height * frames;
    match format {
        Format::Mp4 => pixels / 4,
        Format::Png => pixels * 3 / 2,
        Format::Gif => pixels * 3 / 4,
        Format::Contact => {
            let tiles = frames.min(TILES);
            let across = width.min(SHEET_WIDTH / tiles.isqrt().max(1));
            tiles * across * (height * across / width.max(1)) * 3 / 2
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use wanfarm_types::fixtures::{info, request};
    use wanfarm_types::{Experts, VideoRequest};

    fn footprint(formats: &[Format], frames: u32) -> Footprint {
        let info = info(Experts::Single);
        let request = VideoRequest { formats: formats.to_vec(), frames: Some(frames), ..request() };
        Footprint::of(&request.resolve(&info).unwrap(), &info.geometry)
    }

    #[test]
    fn a_video_takes_what_its_formats_and_its_state_do() {
        let raw = 1280 * 720 * 81 * 3;
        let (mp4, png) = (footprint(&[Format::Mp4], 81), footprint(&[Format::Png], 81));
        assert_eq!((mp4.files, png.files), (raw / 12 + SIDECAR, raw / 2 + SIDECAR));
        assert_eq!(footprint(&[Format::Mp4, Format::Png], 81).files + SIDECAR, mp4.files + png.files);
        assert_eq!(mp4.latents, 16 * 21 * 90 * 160 * 4);
        let (sheet, short) = (footprint(&[Format::Contact], 81).files, footprint(&[Format::Contact], 1).files);
        assert_eq!((sheet, short), (16 * 400 * 225 * 3 / 2 + SIDECAR, 1280 * 720 * 3 / 2 + SIDECAR));
    }

    #[test]
    fn files_add_up_and_copies_are_those_under_way() {
        let (long, short) = (footprint(&[Format::Mp4], 81), footprint(&[Format::Mp4], 1));
        let space = Space::of([long, short, short], 2);
        assert_eq!(space.files, long.files + 2 * short.files);
        assert_eq!((space.copies, space.least_copy), (2 * 8 * long.latents, short.latents));
        assert_eq!(Space::of([long], 64).copies, 8 * long.latents);
        assert_eq!(Space::of([], 64), Space::default());
    }
}
