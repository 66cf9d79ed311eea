//! mp4 files read back, picture by picture, in the order in which they are shown: one H.264 track.
//!
//! Not here: other codecs, and sound.

use std::collections::VecDeque;
use std::fmt;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use mp4_atom::Avcc;
use openh264::OpenH264API;
use openh264::decoder::{DecodedYUV, Decoder, DecoderConfig, Flush};
use openh264::formats::YUVSource;

use wanfarm_image::{ImageError, Mp4Colour, Mp4Sample, Mp4Track, RgbImage};

use crate::MediaError;

/// A compressed picture is at most this long.
const MAX_SAMPLE: u32 = 64 << 20;

/// A file, or bytes in memory.
pub(crate) trait Source: Read + Seek + Send {}

impl<R: Read + Seek + Send> Source for R {}

/// The coded pictures of an mp4 file, one after the other.
pub(crate) struct Samples {
    path: PathBuf,
    file: Box<dyn Source>,
    /// Those that are to come.
    places: std::vec::IntoIter<Mp4Sample>,
}

impl Samples {
    /// Those of a file, and its track.
    pub(crate) fn open(path: &Path) -> Result<(Mp4Track, Self), MediaError> {
        let file = File::open(path).map_err(|error| MediaError::clip(path, error))?;
        Self::of(path, Box::new(file))
    }

    /// `path` is only used in errors.
    pub(crate) fn of(path: &Path, mut file: Box<dyn Source>) -> Result<(Mp4Track, Self), MediaError> {
        let track = Mp4Track::read(&mut file).map_err(|why| MediaError::clip(path, why))?;
        let places = track.samples.clone().into_iter();
        Ok((track, Self { path: path.to_owned(), file, places }))
    }

    pub(crate) fn left(&self) -> usize {
        self.places.len()
    }

    /// Bytes of each picture that is to come.
    pub(crate) fn sizes(&self) -> Vec<u32> {
        self.places.as_slice().iter().map(|sample| sample.length).collect()
    }

    /// After so many more pictures there is none.
    pub(crate) fn end_after(&mut self, pictures: usize) {
        let kept = self.places.as_slice().iter().take(pictures).copied().collect::<Vec<_>>();
        self.places = kept.into_iter();
    }

    pub(crate) fn next_sample(&mut self) -> Result<Option<Vec<u8>>, MediaError> {
        let Some(Mp4Sample { place, length }) = self.places.next() else { return Ok(None) };
        let fault = |why: String| MediaError::clip(&self.path, why);
        if length > MAX_SAMPLE {
            return Err(fault(format!("{length} bytes are too many for a picture")));
        }
        let mut sample = vec![0; length as usize];
        let read = self.file.seek(SeekFrom::Start(place)).and_then(|_| self.file.read_exact(&mut sample));
        read.map(|()| Some(sample)).map_err(|error| match error.kind() {
            std::io::ErrorKind::UnexpectedEof => fault("it is cut off".to_owned()),
            _ => fault(error.to_string()),
        })
    }
}

/// An mp4 file being read, picture by picture.
pub(crate) struct Mp4 {
    samples: Samples,
    track: Mp4Track,
    decoder: Decoder,
    /// Whether the decoder has its parameters.
    begun: bool,
    /// Decoded, and not yet handed out.
    ready: VecDeque<RgbImage>,
    /// How many came out of the decoder.
    decoded: usize,
    /// How many were handed out.
    given: usize,
}

impl fmt::Debug for Mp4 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mp4").field("path", &self.samples.path).field("left", &self.left()).finish_non_exhaustive()
    }
}

impl Mp4 {
    pub(crate) fn open(path: &Path) -> Result<Self, MediaError> {
        let file = File::open(path).map_err(|error| MediaError::clip(path, error))?;
        Self::of(path, Box::new(file))
    }

    /// `path` is only used in errors.
    pub(crate) fn of(path: &Path, file: Box<dyn Source>) -> Result<Self, MediaError> {
        let (track, samples) = Samples::of(path, file)?;
        // Pictures that others follow from come first, and are kept back until it is their turn.
        let config = DecoderConfig::new().flush_after_decode(Flush::NoFlush);
        let decoder = Decoder::with_api_config(OpenH264API::from_source(), config);
        let decoder = decoder.map_err(|error| MediaError::clip(path, error.to_string()))?;
        Ok(Self { samples, track, decoder, begun: false, ready: VecDeque::new(), decoded: 0, given: 0 })
    }

    pub(crate) fn left(&self) -> usize {
        self.track.shown.len() - self.given
    }

    /// When each picture begins, in microseconds.
    pub(crate) fn times(&self) -> Vec<u64> {
        self.track.shown.iter().map(|(_, time)| *time).collect()
    }

    pub(crate) fn next_frame(&mut self) -> Result<Option<RgbImage>, MediaError> {
        while self.given < self.track.shown.len() {
            if let Some(frame) = self.ready.pop_front() {
                self.given += 1;
                return Ok(Some(frame));
            }
            if !self.decode()? {
                let (of, came) = (self.track.samples.len(), self.decoded);
                let why = format!(
                    "only {came} of its {of} pictures can be decoded: it is damaged, or uses what the decoder lacks"
                );
                return Err(MediaError::clip(&self.samples.path, why));
            }
        }
        Ok(None)
    }

    /// Decodes the next sample, or what the decoder has kept back; false when there is nothing more.
    fn decode(&mut self) -> Result<bool, MediaError> {
        let Self { samples, track, decoder, begun, ready, decoded, .. } = self;
        let sample = samples.next_sample()?;
        let fault = |why: String| MediaError::clip(&samples.path, why);
        let mut keep = |picture: &DecodedYUV<'_>| -> Result<(), MediaError> {
            // Pictures before the start are decoded for those that follow from them, and never shown.
            if track.shown.binary_search_by_key(decoded, |(place, _)| *place).is_ok() {
                ready.push_back(turned(rgb(picture, track.colour)?, track.turns)?);
            }
            *decoded += 1;
            Ok(())
        };
        let Some(sample) = sample else {
            let rest = decoder.flush_remaining().map_err(|error| fault(error.to_string()))?;
            rest.iter().try_for_each(&mut keep)?;
            return Ok(!rest.is_empty());
        };
        let Avcc { sequence_parameter_sets, picture_parameter_sets, length_size, .. } = &track.avc1.avcc;
        let mut stream = Vec::new();
        if !std::mem::replace(begun, true) {
            sequence_parameter_sets.iter().chain(picture_parameter_sets).for_each(|set| unit(&mut stream, set));
        }
        annex_b(&mut stream, &sample, usize::from(*length_size)).ok_or_else(|| fault("a picture is damaged".into()))?;
        let picture = decoder.decode(&stream).map_err(|error| fault(error.to_string()))?;
        picture.iter().try_for_each(keep)?;
        Ok(true)
    }
}

fn unit(stream: &mut Vec<u8>, nal: &[u8]) {
    stream.extend([0, 0, 0, 1]);
    stream.extend(nal);
}

/// Units with their lengths before them, as a decoder wants them: with start codes.
fn annex_b(stream: &mut Vec<u8>, sample: &[u8], length_size: usize) -> Option<()> {
    let mut rest = sample;
    while !rest.is_empty() {
        let (length, tail) = rest.split_at_checked(length_size)?;
        let length = length.iter().fold(0usize, |length, &byte| length << 8 | usize::from(byte));
        let (nal, tail) = tail.split_at_checked(length)?;
        unit(stream, nal);
        rest = tail;
    }
    Some(())
}

/// A picture in RGB, chroma between its samples.
fn rgb(picture: &DecodedYUV<'_>, colour: Mp4Colour) -> Result<RgbImage, ImageError> {
    let Mp4Colour { kr_kb: [kr, kb], full_range } = colour;
    let (black, of_luma, of_chroma) = if full_range { (0.0, 255.0, 255.0) } else { (16.0, 219.0, 224.0) };
    let ((width, height), (sy, su, sv)) = (picture.dimensions(), picture.strides());
    let (right, bottom) = ((width / 2).saturating_sub(1), (height / 2).saturating_sub(1));
    // Samples sit on even columns and between pairs of rows.
    let chroma = |plane: &[u8], stride: usize, x: usize, y: usize| {
        let row = |row: usize| {
            let at = |column: usize| f32::from(plane[row.min(bottom) * stride + column.min(right)]);
            (at(x / 2) + at(x.div_ceil(2))) / 2.0
        };
        let other = if y.is_multiple_of(2) { (y / 2).saturating_sub(1) } else { y / 2 + 1 };
        (0.75 * row(y / 2) + 0.25 * row(other) - 128.0) / of_chroma
    };
    let mut data = Vec::with_capacity(width * height * 3);
    for (y, x) in (0..height).flat_map(|y| (0..width).map(move |x| (y, x))) {
        let luma = (f32::from(picture.y()[y * sy + x]) - black) / of_luma;
        let (cb, cr) = (chroma(picture.u(), su, x, y), chroma(picture.v(), sv, x, y));
        let red = luma + 2.0 * (1.0 - kr) * cr;
        let blue = luma + 2.0 * (1.0 - kb) * cb;
        let green = (luma - kr * red - kb * blue) / (1.0 - kr - kb);
        data.extend([red, green, blue].map(|value| (value * 255.0).round().clamp(0.0, 255.0) as u8));
    }
    RgbImage::new(width, height, data)
}

/// A picture turned clockwise by so many times 90 degrees.
fn turned(image: RgbImage, turns: u8) -> Result<RgbImage, ImageError> {
    let (width, height) = (image.width(), image.height());
    let (new_width, new_height) = if turns.is_multiple_of(2) { (width, height) } else { (height, width) };
    if turns.is_multiple_of(4) {
        return Ok(image);
    }
    let mut data = Vec::with_capacity(image.data().len());
    for (y, x) in (0..new_height).flat_map(|y| (0..new_width).map(move |x| (y, x))) {
        let (x, y) = match turns % 4 {
            1 => (y, height - 1 - x),
            2 => (width - 1 - x, height - 1 - y),
            _ => (width - 1 - y, x),
        };
        data.extend(image.pixel(x, y));
    }
    RgbImage::new(new_width, new_height, data)
}
