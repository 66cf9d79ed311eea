//! The index of an mp4 file: boxes one after the other, each with its length before it, and what they say of the pictures.
//! Not the pictures: those are decoded by `wanfarm-media`.

use std::io::{Read, Seek, SeekFrom};

use h264_reader::nal::sps::{ChromaFormat, FrameMbsFlags, SeqParameterSet};
use h264_reader::rbsp::{BitReader, decode_nal};
use mp4_atom::{Atom, Avc1, Codec, Colr, Moov, Stbl, StszSamples, Trak};

use crate::mp4_boxes;

/// An index is at most this long; that of an hour takes a hundredth.
const MAX_INDEX: u64 = 64 << 20;
/// Pictures of a clip; more than a day of them.
const MAX_PICTURES: usize = 1 << 22;
/// Microseconds of a second.
const SECOND: i128 = 1_000_000;
/// ISO/IEC 23091-2: that of BT.709.
const MATRIX_BT709: u16 = 1;
/// Those of BT.470BG and SMPTE 170M, which are one: BT.601.
const MATRICES_BT601: [u16; 2] = [5, 6];
/// Nothing is said.
const MATRIX_UNKNOWN: u16 = 2;
/// From so many rows on, pictures that do not say their matrix are BT.709, as players have it.
const HIGH_DEFINITION: u32 = 720;

/// The H.264 track of an mp4 file.
#[derive(Debug, Clone)]
pub struct Mp4Track {
    /// The whole index.
    pub moov: Moov,
    /// What the decoder needs.
    pub avc1: Avc1,
    /// Its pictures, in the order in which they are stored.
    pub samples: Vec<Mp4Sample>,
    /// The frames that it shows, in order: the place of each among all pictures as they are shown, and when it begins, in
    /// microseconds.
    pub shown: Vec<(usize, u64)>,
    /// When the last one ends, in microseconds.
    pub end: u64,
    /// Width and height of a picture, as it is stored.
    pub size: [u32; 2],
    /// How often a picture is to be turned by 90 degrees, clockwise.
    pub turns: u8,
    /// How its colours are stored.
    pub colour: Mp4Colour,
}

/// Where a coded picture lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mp4Sample {
    /// Bytes from the start of the file.
    pub place: u64,
    /// Bytes.
    pub length: u32,
}

/// How luma and chroma stand for colours.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Mp4Colour {
    /// What the luma has of red and of blue.
    pub kr_kb: [f32; 2],
    /// Luma from 0 to 255, not from 16 to 235.
    pub full_range: bool,
}

/// BT.709, limited range: what `write_mp4` writes.
pub(crate) const BT709: [f32; 2] = [0.2126, 0.0722];
const BT601: [f32; 2] = [0.299, 0.114];

/// The body of the `moov` box of an mp4 file, of which no more is left than is read anywhere.
///
/// # Errors
/// Why there is none: the file cannot be read, is no mp4 file, is cut off, or its index is longer than 64 MiB or damaged.
pub fn mp4_index(file: &mut (impl Read + Seek)) -> Result<Vec<u8>, String> {
    let end = file.seek(SeekFrom::End(0)).map_err(|error| error.to_string())?;
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
            read.map_err(|error| error.to_string())?;
            return mp4_boxes::read(&body);
        }
        at += size;
    }
    Err("it is no mp4 file: it has no index".into())
}

impl Mp4Track {
    /// That of a file, if the decoder can read it.
    ///
    /// # Errors
    /// Why there is none: as of [`mp4_index`]; another codec, more than 8 bits, other chroma than 4:2:0, fields, pixels that
    /// are not square, or an index that contradicts itself.
    pub fn read(file: &mut (impl Read + Seek)) -> Result<Self, String> {
        let index = mp4_index(file)?;
        let moov =
            Moov::decode_body(&mut index.as_slice()).map_err(|error| format!("its index is damaged: {error}"))?;
        let (trak, avc1) = h264(&moov)?;
        let table = &trak.mdia.minf.stbl;
        let contradicts = || "its table of pictures contradicts itself".to_owned();
        let samples = samples(table).ok_or_else(contradicts)?;
        if samples.is_empty() {
            return Err(match moov.mvex {
                Some(_) => "its pictures lie in fragments".to_owned(),
                None => "it has no pictures".to_owned(),
            });
        }
        let (shown, end) = shown(&moov, trak, samples.len())?;
        if shown.is_empty() {
            return Err("it shows none of its pictures".to_owned());
        }
        let (size, colour) = stream(avc1)?;
        let turns = turns(trak).ok_or("its pictures are mirrored or slanted")?;
        let avc1 = avc1.clone();
        Ok(Self { samples, shown, end, size, turns, colour, avc1, moov })
    }

    /// Width and height as it is shown.
    pub fn upright(&self) -> [u32; 2] {
        let [width, height] = self.size;
        if self.turns.is_multiple_of(2) { [width, height] } else { [height, width] }
    }
}

/// The track that is H.264.
fn h264(moov: &Moov) -> Result<(&Trak, &Avc1), String> {
    let mut others = Vec::new();
    for trak in &moov.trak {
        for codec in &trak.mdia.minf.stbl.stsd.codecs {
            others.push(match codec {
                Codec::Avc1(avc1) => return Ok((trak, avc1)),
                Codec::Avc3(_) => "H.264 without its parameters in the index",
                Codec::Hev1(_) | Codec::Hvc1(_) => "HEVC",
                Codec::Av01(_) => "AV1",
                Codec::Vp08(_) | Codec::Vp09(_) => "VP8 or VP9",
                Codec::Jpeg(_) => "JPEG",
                Codec::Mp4a(_) | Codec::Mp3(_) | Codec::Opus(_) | Codec::Flac(_) => continue,
                Codec::Unknown(kind, _) if trak.mdia.minf.vmhd.is_some() => {
                    return Err(format!("its pictures are {kind}, and only H.264 is read"));
                }
                _ => continue,
            });
        }
    }
    Err(match others.first() {
        Some(other) => format!("its pictures are {other}, and only H.264 is read"),
        None => "it has no pictures that are read".to_owned(),
    })
}

/// Place and length of each sample.
fn samples(table: &Stbl) -> Option<Vec<Mp4Sample>> {
    let chunks: Vec<u64> = match (&table.stco, &table.co64) {
        (Some(stco), _) => stco.entries.iter().map(|&place| u64::from(place)).collect(),
        (None, Some(co64)) => co64.entries.clone(),
        (None, None) => return None,
    };
    let (count, one) = match &table.stsz.samples {
        StszSamples::Different { sizes } => (sizes.len(), None),
        StszSamples::Identical { count, size } => (*count as usize, Some(*size)),
    };
    let length = |sample: usize| match &table.stsz.samples {
        StszSamples::Different { sizes } => sizes.get(sample).copied(),
        StszSamples::Identical { .. } => one,
    };
    if count > MAX_PICTURES {
        return None;
    }
    let (mut samples, mut runs) = (Vec::new(), table.stsc.entries.iter().peekable());
    let mut in_chunk = 0;
    for (number, mut place) in (1u32..).zip(chunks) {
        while let Some(run) = runs.next_if(|run| run.first_chunk <= number) {
            in_chunk = run.samples_per_chunk;
        }
        for sample in (samples.len()..count).take(in_chunk as usize) {
            let length = length(sample)?;
            samples.push(Mp4Sample { place, length });
            place = place.checked_add(u64::from(length))?;
        }
    }
    (samples.len() == count).then_some(samples)
}

/// The frames that are shown, and when the last one ends.
fn shown(moov: &Moov, trak: &Trak, count: usize) -> Result<(Vec<(usize, u64)>, u64), String> {
    let table = &trak.mdia.minf.stbl;
    let contradicts = || "its table of times contradicts itself".to_owned();
    let lengths = table.stts.entries.iter().flat_map(|run| (0..run.sample_count).map(|_| i128::from(run.sample_delta)));
    let offsets = table.ctts.iter().flat_map(|ctts| &ctts.entries);
    let offsets = offsets.flat_map(|run| (0..run.sample_count).map(|_| i128::from(run.sample_offset)));
    let offsets = offsets.chain(std::iter::repeat(0));
    let mut decoded = 0i128;
    let mut spans: Vec<(i128, i128)> = Vec::with_capacity(count);
    for (length, offset) in lengths.zip(offsets).take(count) {
        spans.push((decoded + offset, length));
        decoded += length;
    }
    if spans.len() != count {
        return Err(contradicts());
    }
    spans.sort_unstable();
    let [first, .., last] = spans[..] else {
        // The one picture there is is shown for as long as it says.
        let micros = ticks(spans.first().map_or(0, |span| span.1), trak.mdia.mdhd.timescale).ok_or_else(contradicts)?;
        return Ok((vec![(0, 0)], micros));
    };
    let edits = trak.edts.as_ref().and_then(|edts| edts.elst.as_ref()).map_or(&[][..], |elst| &elst.entries);
    let mut edits = edits.iter().filter_map(|edit| Some((edit.media_time?, edit)));
    let (begin, until) = match (edits.next(), edits.next()) {
        (None, _) => (first.0, i128::MAX),
        (Some((from, edit)), None) if edit.media_rate.integer() == 1 => {
            let (from, scale) = (i128::from(from), i128::from(trak.mdia.mdhd.timescale));
            let length = i128::from(edit.segment_duration) * scale / i128::from(moov.mvhd.timescale.max(1));
            (from, if length == 0 { i128::MAX } else { from + length })
        }
        _ => return Err("it is cut by a list of edits".to_owned()),
    };
    let end = (last.0 + last.1).min(until);
    let micros = |time: i128| ticks(time - begin, trak.mdia.mdhd.timescale).ok_or_else(contradicts);
    let mut shown = Vec::new();
    for (place, (time, _)) in spans.iter().enumerate().filter(|(_, (time, _))| *time >= begin && *time < end) {
        shown.push((place, micros(*time)?));
    }
    Ok((shown, micros(end)?))
}

/// Microseconds of so many ticks.
fn ticks(ticks: i128, per_second: u32) -> Option<u64> {
    let per_second = i128::from(per_second);
    let micros = (ticks.checked_mul(SECOND)? + per_second / 2).checked_div(per_second)?;
    u64::try_from(micros).ok()
}

/// The size of the pictures, and how their colours are stored.
fn stream(avc1: &Avc1) -> Result<([u32; 2], Mp4Colour), String> {
    let unreadable = || "its parameters are damaged".to_owned();
    let nal = avc1.avcc.sequence_parameter_sets.first().ok_or_else(unreadable)?;
    let bits = decode_nal(nal).map_err(|_| unreadable())?;
    let sps = SeqParameterSet::from_bits(BitReader::new(&*bits)).map_err(|_| unreadable())?;
    let chroma = &sps.chroma_info;
    let bits = 8 + chroma.bit_depth_luma_minus8.max(chroma.bit_depth_chroma_minus8);
    if bits > 8 {
        return Err(format!("its pictures have {bits} bits a sample, and only 8 are read"));
    }
    if chroma.chroma_format != ChromaFormat::YUV420 {
        return Err(format!("its chroma is {:?}, and only YUV420 is read", chroma.chroma_format));
    }
    if !matches!(sps.frame_mbs_flags, FrameMbsFlags::Frames) {
        return Err("its pictures are interlaced".to_owned());
    }
    if let Some(pasp) = avc1.pasp.as_ref().filter(|pasp| pasp.h_spacing != pasp.v_spacing) {
        return Err(format!("its pixels are not square but {}:{}", pasp.h_spacing, pasp.v_spacing));
    }
    let (width, height) = sps.pixel_dimensions().map_err(|_| unreadable())?;
    let signal = sps.vui_parameters.as_ref().and_then(|vui| vui.video_signal_type.as_ref());
    let said = signal.and_then(|signal| signal.colour_description.as_ref());
    let said = said.map_or(MATRIX_UNKNOWN, |colour| u16::from(colour.matrix_coefficients));
    let full = signal.is_some_and(|signal| signal.video_full_range_flag);
    // What the container says goes before what the stream says.
    let (matrix, full_range) = match &avc1.colr {
        Some(Colr::Nclx { matrix_coefficients, full_range_flag, .. }) => (*matrix_coefficients, *full_range_flag),
        Some(Colr::Nclc { matrix_coefficients, .. }) => (*matrix_coefficients, full),
        _ => (said, full),
    };
    let kr_kb = match matrix {
        MATRIX_BT709 => BT709,
        matrix if MATRICES_BT601.contains(&matrix) => BT601,
        MATRIX_UNKNOWN if height < HIGH_DEFINITION => BT601,
        MATRIX_UNKNOWN => BT709,
        other => return Err(format!("its colours are stored by matrix {other}, and only BT.709 and BT.601 are read")),
    };
    Ok(([width, height], Mp4Colour { kr_kb, full_range }))
}

/// How often the pictures are turned by 90 degrees.
fn turns(trak: &Trak) -> Option<u8> {
    let matrix = &trak.tkhd.matrix;
    let unit = |value: i32| match value {
        0 => Some(0),
        0x1_0000 => Some(1),
        -0x1_0000 => Some(-1),
        _ => None,
    };
    match [matrix.a, matrix.b, matrix.c, matrix.d].map(unit) {
        [Some(1), Some(0), Some(0), Some(1)] => Some(0),
        [Some(0), Some(1), Some(-1), Some(0)] => Some(1),
        [Some(-1), Some(0), Some(0), Some(-1)] => Some(2),
        [Some(0), Some(-1), Some(1), Some(0)] => Some(3),
        _ => None,
    }
}
