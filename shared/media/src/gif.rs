//! Animated GIFs for chat windows and tickets: one palette for the whole clip, endless loop. A preview, not a final.

use std::collections::BTreeSet;
use std::io;
use std::path::Path;

use ::gif::{Encoder, EncodingError, Frame, Repeat};
use color_quant::NeuQuant;
use wanfarm_types::{Format, FrameRate};

use crate::file::write_file;
use crate::{Frames, MediaError};

/// Pixels the palette is trained on, spread evenly over the clip.
const TRAINING_PIXELS: usize = 1 << 18;
/// Hundredths of a second below which viewers fall back to a tenth.
const SHORTEST_DELAY: u64 = 2;

/// Writes the clip as a GIF that lasts as long as the clip does at this rate. GIF counts in hundredths of a second: the
/// rounding is carried along, and above 50 frames per second some are left out.
///
/// # Errors
/// [`MediaError::Size`], or what the disk reports.
pub fn write_gif(frames: &Frames<'_>, rate: FrameRate, path: &Path) -> Result<(), MediaError> {
    frames.size_in(Format::Gif, path)?;
    write_file(path, |writer| encode(frames, rate, writer).map_err(|error| MediaError::io(path, into_io(error))))
}

/// The same in memory.
///
/// # Errors
/// [`MediaError::Size`].
pub fn gif(frames: &Frames<'_>, rate: FrameRate) -> Result<Vec<u8>, MediaError> {
    let path = Path::new("a GIF");
    frames.size_in(Format::Gif, path)?;
    let mut bytes = Vec::new();
    encode(frames, rate, &mut bytes).map_err(|error| MediaError::io(path, into_io(error)))?;
    Ok(bytes)
}

fn encode(frames: &Frames<'_>, rate: FrameRate, writer: impl io::Write) -> Result<(), EncodingError> {
    let (w, h) = (frames.width() as u16, frames.height() as u16);
    let mut palette = Palette::of(frames);
    let mut encoder = Encoder::new(writer, w, h, &palette.colours)?;
    encoder.set_repeat(Repeat::Infinite)?;
    for (index, delay) in delays(frames.count(), rate) {
        let pixels: Vec<u8> = frames.frame(index).chunks_exact(3).map(|pixel| palette.nearest(pixel)).collect();
        let frame = Frame { delay, width: w, height: h, buffer: pixels.into(), ..Frame::default() };
        encoder.write_frame(&frame)?;
    }
    encoder.into_inner().map(drop)
}

/// Frames to show and for how long, in hundredths of a second.
fn delays(count: usize, rate: FrameRate) -> Vec<(usize, u16)> {
    let (frames, seconds) = (u64::from(rate.numerator()), u64::from(rate.denominator()));
    let start = |index: usize| (index as u64 * 100 * seconds + frames / 2) / frames;
    let mut shown: Vec<usize> = vec![0];
    let mut last = 0;
    for index in 1..count {
        if start(index) - start(last) >= SHORTEST_DELAY && start(count) - start(index) >= SHORTEST_DELAY {
            shown.push(index);
            last = index;
        }
    }
    let ends = shown.iter().skip(1).copied().chain([count]);
    shown
        .iter()
        .zip(ends)
        .map(|(&index, end)| (index, (start(end) - start(index)).max(SHORTEST_DELAY) as u16))
        .collect()
}

/// At most 256 colours. One palette for all frames keeps still parts still.
struct Palette {
    colours: Vec<u8>,
    quantiser: Option<NeuQuant>,
    /// Index of each 24-bit colour seen so far, plus one.
    known: Vec<u16>,
}

impl Palette {
    fn of(frames: &Frames<'_>) -> Self {
        let mut known = vec![0u16; 1 << 24];
        if let Some(exact) = few_colours(frames) {
            for (index, &colour) in exact.iter().enumerate() {
                known[key(&colour)] = index as u16 + 1;
            }
            return Self { colours: exact.into_iter().flatten().collect(), quantiser: None, known };
        }
        let pixels = frames.data().len() / 3;
        // An odd stride does not walk down a column of an image whose width is a power of two.
        let stride = pixels.div_ceil(TRAINING_PIXELS) | 1;
        let sample: Vec<u8> =
            frames.data().chunks_exact(3).step_by(stride).flat_map(|p| [p[0], p[1], p[2], 255]).collect();
        let quantiser = NeuQuant::new(1, 256, &sample);
        Self { colours: quantiser.color_map_rgb(), quantiser: Some(quantiser), known }
    }

    fn nearest(&mut self, pixel: &[u8]) -> u8 {
        let slot = &mut self.known[key(pixel)];
        if *slot == 0 {
            let rgba = [pixel[0], pixel[1], pixel[2], 255];
            *slot = self.quantiser.as_ref().map_or(0, |quantiser| quantiser.index_of(&rgba)) as u16 + 1;
        }
        (*slot - 1) as u8
    }
}

/// The clip's colours if a palette holds them all.
fn few_colours(frames: &Frames<'_>) -> Option<BTreeSet<[u8; 3]>> {
    let mut colours = BTreeSet::new();
    for pixel in frames.data().chunks_exact(3) {
        if colours.insert([pixel[0], pixel[1], pixel[2]]) && colours.len() > 256 {
            return None;
        }
    }
    Some(colours)
}

fn key(pixel: &[u8]) -> usize {
    usize::from(pixel[0]) << 16 | usize::from(pixel[1]) << 8 | usize::from(pixel[2])
}

fn into_io(error: EncodingError) -> io::Error {
    match error {
        EncodingError::Io(error) => error,
        other => io::Error::other(other),
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;

    use super::*;

    #[test]
    fn delays_add_up_to_the_duration() {
        let television = ["23.976", "29.97", "59.94", "12.5"].map(|rate| rate.parse().unwrap());
        for rate in (1..=240).map(FrameRate::whole).chain(television) {
            let fps = rate.per_second();
            for count in [1usize, 2, 17, 81] {
                let delays = delays(count, rate);
                let total: u64 = delays.iter().map(|&(_, delay)| u64::from(delay)).sum();
                let exact = 100.0 * count as f64 / fps;
                assert!((total as f64 - exact).abs() <= 2.0, "{count} frames at {fps}: {total} for {exact}");
                assert!(delays.iter().all(|&(_, delay)| u64::from(delay) >= SHORTEST_DELAY));
                assert!(fps > 50.0 || delays.len() == count, "no frame is dropped at {fps}");
            }
        }
        assert_eq!(delays(4, FrameRate::whole(16)).iter().map(|d| d.1).collect::<Vec<_>>(), [6, 7, 6, 6]);
    }

    fn decode(path: &Path) -> (Vec<Vec<u8>>, Vec<u16>, Repeat) {
        let mut options = ::gif::DecodeOptions::new();
        options.set_color_output(::gif::ColorOutput::RGBA);
        let mut decoder = options.read_info(File::open(path).unwrap()).unwrap();
        let (mut frames, mut delays) = (Vec::new(), Vec::new());
        while let Some(frame) = decoder.read_next_frame().unwrap() {
            delays.push(frame.delay);
            frames.push(frame.buffer.chunks_exact(4).flat_map(|p| [p[0], p[1], p[2]]).collect());
        }
        (frames, delays, decoder.repeat())
    }

    #[test]
    fn few_colours_survive_exactly() {
        let data: Vec<u8> = (0..3 * 16 * 16).flat_map(|i| [(i % 16 * 16) as u8, (i / 256 * 80) as u8, 9]).collect();
        let clip = Frames::new(&data, 3, 16, 16).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("clip.gif");
        write_gif(&clip, FrameRate::whole(10), &path).unwrap();
        let (frames, delays, repeat) = decode(&path);
        assert_eq!(frames, clip.iter().map(<[u8]>::to_vec).collect::<Vec<_>>());
        assert_eq!(delays, [10, 10, 10]);
        assert_eq!(repeat, Repeat::Infinite);
    }

    #[test]
    fn many_colours_stay_close() {
        let data: Vec<u8> = (0..2 * 64 * 64)
            .flat_map(|i| [(i % 64 * 4) as u8, (i / 64 % 64 * 4) as u8, (200 - i / 4096 * 60) as u8])
            .collect();
        let clip = Frames::new(&data, 2, 64, 64).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("clip.gif");
        write_gif(&clip, FrameRate::whole(8), &path).unwrap();
        let decoded: Vec<u8> = decode(&path).0.concat();
        let psnr = crate::psnr(&clip, &Frames::new(&decoded, 2, 64, 64).unwrap()).unwrap().clip.unwrap();
        assert!(psnr > 28.0, "{psnr}");
    }
}
