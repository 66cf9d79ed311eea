//! mp4 files read back, picture by picture: one H.264 track without reordered pictures, as `write_mp4` makes it.
//!
//! Not here: other codecs, sound, and files of other makers that need more than that.

use std::fmt;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use mp4_atom::{Atom, Avcc, Codec, Moov, Stbl, StszSamples};
use openh264::decoder::{DecodedYUV, Decoder};
use openh264::formats::YUVSource;

use wanfarm_image::{ImageError, RgbImage};

use crate::MediaError;

/// An index is at most this long; that of an hour takes a hundredth.
const MAX_INDEX: u64 = 64 << 20;
/// A compressed picture is at most this long.
const MAX_SAMPLE: u64 = 64 << 20;

/// An mp4 file being read.
pub(crate) struct Mp4 {
    path: PathBuf,
    file: File,
    avcc: Avcc,
    /// Place and length of each picture that is to come.
    samples: std::vec::IntoIter<(u64, u64)>,
    decoder: Decoder,
    begun: bool,
}

impl fmt::Debug for Mp4 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mp4").field("path", &self.path).field("left", &self.left()).finish_non_exhaustive()
    }
}

impl Mp4 {
    pub(crate) fn open(path: &Path) -> Result<Self, MediaError> {
        let fault = |why: String| MediaError::clip(path, why);
        let mut file = File::open(path).map_err(|error| fault(error.to_string()))?;
        let index = index(&mut file).map_err(fault)?;
        let moov = Moov::decode_body(&mut index.as_slice()).map_err(|error| fault(error.to_string()))?;
        let track = moov.trak.iter().find_map(|track| {
            let table = &track.mdia.minf.stbl;
            let avc1 = table.stsd.codecs.iter().find_map(|codec| match codec {
                Codec::Avc1(avc1) => Some(avc1),
                _ => None,
            })?;
            Some((avc1.avcc.clone(), table))
        });
        let (avcc, table) = track.ok_or_else(|| fault("it has no H.264 track".into()))?;
        let samples = samples(table).ok_or_else(|| fault("its table of pictures contradicts itself".into()))?;
        if samples.is_empty() {
            return Err(fault("it has no pictures".into()));
        }
        let decoder = Decoder::new().map_err(|error| fault(error.to_string()))?;
        Ok(Self { path: path.to_owned(), file, avcc, samples: samples.into_iter(), decoder, begun: false })
    }

    pub(crate) fn left(&self) -> usize {
        self.samples.len()
    }

    pub(crate) fn next_frame(&mut self) -> Result<Option<RgbImage>, MediaError> {
        let Some((place, length)) = self.samples.next() else { return Ok(None) };
        let fault = |why: String| MediaError::clip(&self.path, why);
        if length > MAX_SAMPLE {
            return Err(fault(format!("{length} bytes are too many for a picture")));
        }
        let mut sample = vec![0; length as usize];
        let read = self.file.seek(SeekFrom::Start(place)).and_then(|_| self.file.read_exact(&mut sample));
        read.map_err(|error| fault(error.to_string()))?;
        let mut stream = Vec::new();
        if !self.begun {
            let sets = self.avcc.sequence_parameter_sets.iter().chain(&self.avcc.picture_parameter_sets);
            sets.for_each(|set| unit(&mut stream, set));
            self.begun = true;
        }
        annex_b(&mut stream, &sample, usize::from(self.avcc.length_size))
            .ok_or_else(|| fault("a picture is damaged".into()))?;
        let picture = self.decoder.decode(&stream).map_err(|error| fault(error.to_string()))?;
        let picture =
            picture.ok_or_else(|| fault("its pictures are not stored in the order they are shown in".into()))?;
        Ok(Some(rgb(&picture)?))
    }
}

/// The body of the index.
fn index(file: &mut File) -> Result<Vec<u8>, String> {
    let end = file.metadata().map_err(|error| error.to_string())?.len();
    let mut at = 0;
    while at < end {
        let mut head = [0; 16];
        let known = (end - at).min(16) as usize;
        let read = file.seek(SeekFrom::Start(at)).and_then(|_| file.read_exact(&mut head[..known]));
        read.map_err(|error| error.to_string())?;
        let [a, b, c, d, kind @ .., _, _, _, _, _, _, _, _] = head;
        let mut long = [0; 8];
        long.copy_from_slice(&head[8..]);
        let (header, size) = match u32::from_be_bytes([a, b, c, d]) {
            0 => (8, end - at),
            1 => (16, u64::from_be_bytes(long)),
            size => (8, u64::from(size)),
        };
        if size < header || size > end - at {
            return Err("it is no mp4 file, or is cut off".into());
        }
        if kind == *b"moov" {
            let length = size - header;
            if length > MAX_INDEX {
                return Err(format!("an index of {length} bytes is too long"));
            }
            let mut body = vec![0; length as usize];
            let read = file.seek(SeekFrom::Start(at + header)).and_then(|_| file.read_exact(&mut body));
            return read.map(|()| body).map_err(|error| error.to_string());
        }
        at += size;
    }
    Err("it is no mp4 file: it has no index".into())
}

/// Place and length of each sample.
fn samples(table: &Stbl) -> Option<Vec<(u64, u64)>> {
    let chunks: Vec<u64> = match (&table.stco, &table.co64) {
        (Some(stco), _) => stco.entries.iter().map(|&place| u64::from(place)).collect(),
        (None, Some(co64)) => co64.entries.clone(),
        (None, None) => return None,
    };
    let sizes: &[u32] = match &table.stsz.samples {
        StszSamples::Different { sizes } => sizes,
        _ => return None,
    };
    let (mut samples, mut sizes, mut runs) = (Vec::new(), sizes.iter(), table.stsc.entries.iter().peekable());
    let mut in_chunk = 0;
    for (number, mut place) in (1u32..).zip(chunks) {
        while let Some(run) = runs.next_if(|run| run.first_chunk <= number) {
            in_chunk = run.samples_per_chunk;
        }
        for &size in sizes.by_ref().take(in_chunk as usize) {
            samples.push((place, u64::from(size)));
            place = place.checked_add(u64::from(size))?;
        }
    }
    sizes.next().is_none().then_some(samples)
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

/// A picture in RGB: BT.709, limited range, chroma between its samples, as the files are tagged.
fn rgb(picture: &DecodedYUV<'_>) -> Result<RgbImage, ImageError> {
    const KR: f32 = 0.2126;
    const KB: f32 = 0.0722;
    let ((width, height), (sy, su, sv)) = (picture.dimensions(), picture.strides());
    let (right, bottom) = ((width / 2).saturating_sub(1), (height / 2).saturating_sub(1));
    // Samples sit on even columns and between pairs of rows.
    let chroma = |plane: &[u8], stride: usize, x: usize, y: usize| {
        let row = |row: usize| {
            let at = |column: usize| f32::from(plane[row.min(bottom) * stride + column.min(right)]);
            (at(x / 2) + at(x.div_ceil(2))) / 2.0
        };
        let other = if y.is_multiple_of(2) { (y / 2).saturating_sub(1) } else { y / 2 + 1 };
        (0.75 * row(y / 2) + 0.25 * row(other) - 128.0) / 224.0
    };
    let mut data = Vec::with_capacity(width * height * 3);
    for (y, x) in (0..height).flat_map(|y| (0..width).map(move |x| (y, x))) {
        let luma = (f32::from(picture.y()[y * sy + x]) - 16.0) / 219.0;
        let (cb, cr) = (chroma(picture.u(), su, x, y), chroma(picture.v(), sv, x, y));
        let red = luma + 2.0 * (1.0 - KR) * cr;
        let blue = luma + 2.0 * (1.0 - KB) * cb;
        let green = (luma - KR * red - KB * blue) / (1.0 - KR - KB);
        data.extend([red, green, blue].map(|value| (value * 255.0).round().clamp(0.0, 255.0) as u8));
    }
    RgbImage::new(width, height, data)
}
