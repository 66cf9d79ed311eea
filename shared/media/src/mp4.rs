//! mp4 files that play everywhere: H.264 4:2:0 from the bundled encoder, tagged BT.709 limited range in the stream
//! and in the container, index before the pictures.
//!
//! Deliberately not here: sound, variable frame rates, other codecs, and hardware encoders, whose bytes differ from
//! machine to machine.

use std::io::{Seek, SeekFrom, Write};
use std::path::Path;

use mp4_atom::{
    Avc1, Avcc, Codec, Colr, Desc, Dinf, Dref, Encode, Ftyp, Hdlr, Ilst, Mdhd, Mdia, Meta, Minf, Moov, Mvhd, Pasp,
    Stbl, Stco, Stsc, StscEntry, Stsd, Stss, Stsz, StszSamples, Stts, SttsEntry, Tkhd, Trak, Udta, Url, Visual, Vmhd,
};
use openh264::OpenH264API;
use openh264::encoder::{BitRate, Complexity, Encoder, EncoderConfig, QpRange, RateControlMode, UsageType, VuiConfig};
use openh264::formats::YUVSlices;
use wanfarm_types::{Format, FrameRate};

use crate::colour::Planes;
use crate::file::write_file;
use crate::{Frames, MediaError};

/// Quantiser of every macroblock (key frames may take two more). Finals, not previews: luma stays above 48 dB on
/// renders and photographs, so that 4:2:0 itself is the larger loss.
pub const QUANTISER: u8 = 14;
/// The last one to be tried; every picture is small then.
const COARSEST: u8 = 50;
/// Between two tries: coded noise loses a third of a bit per sample.
const STEP: u8 = 2;
/// Fewest ticks per frame; old players stumble over clocks that hardly tick.
const TICKS: u32 = 1000;
/// Bytes of the mdat header with a 64-bit length; a long 4K clip passes 4 GiB.
pub(crate) const MDAT_HEADER: u64 = 16;

/// Writes the clip as an mp4 file of this frame rate. Equal frames give equal bytes. Returns the quantiser that all its
/// pictures were written with: [`QUANTISER`], or the next coarser one at which even pictures of noise fit the encoder.
///
/// # Errors
/// [`MediaError::Size`], or what the encoder or the disk reports.
pub fn write_mp4(frames: &Frames<'_>, rate: FrameRate, path: &Path) -> Result<u8, MediaError> {
    let (width, height) = frames.size_in(Format::Mp4, path)?;
    let writer = Mp4Writer { frames, size: (width as u16, height as u16), rate, path };
    let mut qp = QUANTISER;
    // One encoder per try: one that could not hold a picture is of no further use.
    while !write_file(path, |file| writer.write(qp, file))? {
        qp += STEP;
    }
    Ok(qp)
}

/// A clip on its way into a file.
struct Mp4Writer<'a> {
    frames: &'a Frames<'a>,
    size: (u16, u16),
    rate: FrameRate,
    path: &'a Path,
}

impl Mp4Writer<'_> {
    /// Writes the whole file with this quantiser; false where a picture does not fit the encoder and a coarser one is
    /// left to try.
    fn write(&self, qp: u8, file: &mut (impl Write + Seek)) -> Result<bool, MediaError> {
        let Self { frames, size: (width, height), rate, path } = *self;
        let io = |error| MediaError::io(path, error);
        let fault = |frame: usize, why: String| MediaError::Encode { path: path.to_owned(), frame, why };
        // About one key frame a second keeps scrubbing quick and costs little.
        let second = rate.per_second().round().max(1.0) as usize;
        let mut encoder = VideoEncoder::new(frames, rate, qp).map_err(|why| fault(0, why))?;
        let mut sample = Vec::new();
        let encode = |encoder: &mut VideoEncoder, index: usize, sample: &mut Vec<u8>| {
            let encoded = encoder.encode(frames.frame(index), index.is_multiple_of(second), sample);
            match encoded {
                Ok(()) => Ok(true),
                Err(Refusal::TooLarge) if qp < COARSEST => Ok(false),
                Err(refusal) => Err(fault(index, refusal.to_string())),
            }
        };
        if !encode(&mut encoder, 0, &mut sample)? {
            return Ok(false);
        }

        let mut track = Track {
            remark: frames.remark().map(described),
            width,
            height,
            ticks: Ticks::of(rate),
            parameter_sets: encoder.parameter_sets.clone().ok_or_else(|| fault(0, "no parameter sets".into()))?,
            key_frames: (0..frames.count()).step_by(second).map(|index| index as u32 + 1).collect(),
            sizes: vec![0; frames.count()],
        };
        // The index has its final length as soon as the counts are known; its numbers follow at the end.
        let head = track.head().map_err(|why| fault(0, why))?;
        file.write_all(&head).map_err(io)?;
        file.write_all(&mdat_header(0)).map_err(io)?;

        let mut total = 0u64;
        for index in 0..frames.count() {
            if index > 0 && !encode(&mut encoder, index, &mut sample)? {
                return Ok(false);
            }
            file.write_all(&sample).map_err(io)?;
            track.sizes[index] = u32::try_from(sample.len()).map_err(|error| fault(index, error.to_string()))?;
            total += sample.len() as u64;
        }

        file.seek(SeekFrom::Start(0)).map_err(io)?;
        file.write_all(&track.head().map_err(|why| fault(0, why))?).map_err(io)?;
        file.write_all(&mdat_header(total)).map_err(io)?;
        Ok(true)
    }
}

/// Why the encoder gave no picture.
#[derive(Debug, thiserror::Error)]
enum Refusal {
    /// Its buffer is as large as the raw picture, and it wants half as much again as a coded one takes in it: coded at
    /// more than a byte per pixel, as only noise is, a picture does not fit.
    #[error("the coded picture is too large for its buffer")]
    TooLarge,
    /// Anything else.
    #[error("{0}")]
    Other(String),
}

impl From<openh264::Error> for Refusal {
    fn from(error: openh264::Error) -> Self {
        // `cmMallocMemeError`: what a full buffer is called, on all its ways out of the encoder.
        if error.native_code() == 3 { Self::TooLarge } else { Self::Other(error.to_string()) }
    }
}

/// The H.264 encoder, its planes, and the parameter sets it announced.
struct VideoEncoder {
    encoder: Encoder,
    planes: Planes,
    parameter_sets: Option<[Vec<u8>; 2]>,
}

impl VideoEncoder {
    fn new(frames: &Frames<'_>, rate: FrameRate, qp: u8) -> Result<Self, String> {
        let (width, height) = (frames.width(), frames.height());
        // With one permitted QP there is no rate to control; the rate (a bit per pixel) only chooses the level written
        // into the stream. The mode without any control would fix QP at 26, and those that may skip frames warn on
        // standard error when they may not.
        let bits = (width * height) as u64 * u64::from(rate.numerator()) / u64::from(rate.denominator());
        let config = EncoderConfig::new()
            .usage_type(UsageType::CameraVideoRealTime)
            .complexity(Complexity::High)
            .rate_control_mode(RateControlMode::Bufferbased)
            .qp(QpRange::new(qp, qp))
            .bitrate(BitRate::from_bps(bits.clamp(100_000, 240_000_000) as u32))
            .max_frame_rate(openh264::encoder::FrameRate::from_hz(rate.per_second() as f32))
            .skip_frames(false)
            .scene_change_detect(false)
            .background_detection(false)
            .adaptive_quantization(false)
            .num_threads(1)
            .vui(VuiConfig::bt709());
        let encoder =
            Encoder::with_api_config(OpenH264API::from_source(), config).map_err(|error| error.to_string())?;
        Ok(Self { encoder, planes: Planes::new(width, height), parameter_sets: None })
    }

    /// Encodes one frame into `sample`: NAL units behind their lengths, parameter sets taken out.
    fn encode(&mut self, rgb: &[u8], key: bool, sample: &mut Vec<u8>) -> Result<(), Refusal> {
        let other = |why: &str| Refusal::Other(why.to_owned());
        self.planes.fill(rgb);
        let Planes { width, height, y, cb, cr } = &self.planes;
        let picture = YUVSlices::new((y, cb, cr), (*width, *height), (*width, width / 2, width / 2));
        // The first picture is a key frame anyway, and before it the encoder is not set up to be asked.
        if key && self.parameter_sets.is_some() {
            self.encoder.force_intra_frame();
        }
        let stream = self.encoder.encode(&picture)?;

        sample.clear();
        let mut announced: [Vec<u8>; 2] = Default::default();
        let mut pictures = 0;
        for layer in (0..stream.num_layers()).filter_map(|index| stream.layer(index)) {
            for nal in (0..layer.nal_count()).filter_map(|index| layer.nal_unit(index)) {
                let nal = without_start_code(nal).ok_or_else(|| other("a NAL unit without start code"))?;
                match nal.first().map(|byte| byte & 0x1F) {
                    Some(7) => announced[0] = nal.to_vec(),
                    Some(8) => announced[1] = nal.to_vec(),
                    kind => {
                        if kind != Some(if key { 5 } else { 1 }) {
                            return Err(other(&format!("NAL unit of type {kind:?} in a frame with key = {key}")));
                        }
                        pictures += 1;
                        sample.extend_from_slice(&(nal.len() as u32).to_be_bytes());
                        sample.extend_from_slice(nal);
                    }
                }
            }
        }
        if pictures == 0 {
            return Err(other("it skipped the frame"));
        }
        if announced.iter().all(|set| !set.is_empty())
            && self.parameter_sets.get_or_insert_with(|| announced.clone()) != &announced
        {
            return Err(other("its parameter sets changed"));
        }
        Ok(())
    }
}

fn without_start_code(nal: &[u8]) -> Option<&[u8]> {
    nal.strip_prefix(&[0, 0, 0, 1]).or_else(|| nal.strip_prefix(&[0, 0, 1]))
}

/// The clock of a file: every frame lasts a whole number of ticks, so that no time is rounded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Ticks {
    pub(crate) per_second: u32,
    pub(crate) per_frame: u32,
}

impl Ticks {
    fn of(rate: FrameRate) -> Self {
        let scale = TICKS.div_ceil(rate.denominator());
        Self { per_second: rate.numerator() * scale, per_frame: rate.denominator() * scale }
    }
}

/// Where players look for a description.
fn described(remark: &str) -> Udta {
    let desc = Desc { country_indicator: 0, language_indicator: 0, text: remark.to_owned() };
    let mut meta = Meta { hdlr: Hdlr { handler: b"mdir".into(), name: String::new() }, items: Vec::new() };
    meta.push(Ilst { desc: Some(desc), ..Ilst::default() });
    Udta { meta: Some(meta), ..Udta::default() }
}

/// What the index says about the one track.
#[derive(Clone)]
pub(crate) struct Track {
    /// What is said of it.
    pub(crate) remark: Option<Udta>,
    pub(crate) width: u16,
    pub(crate) height: u16,
    pub(crate) ticks: Ticks,
    /// Sequence, then picture parameter set.
    pub(crate) parameter_sets: [Vec<u8>; 2],
    /// Counted from 1.
    pub(crate) key_frames: Vec<u32>,
    /// Bytes of each frame.
    pub(crate) sizes: Vec<u32>,
}

impl Track {
    /// Puts the frames of another track after its own, or says why it cannot.
    pub(crate) fn append(&mut self, next: &Self) -> Result<(), String> {
        if [self.width, self.height] != [next.width, next.height] {
            let [width, height, next_width, next_height] = [self.width, self.height, next.width, next.height];
            return Err(format!("it is {next_width}x{next_height}, those before it are {width}x{height}"));
        }
        if self.ticks != next.ticks {
            return Err("its frame rate is another one than that of those before it".to_owned());
        }
        if self.parameter_sets != next.parameter_sets {
            return Err("it was encoded in another way than those before it".to_owned());
        }
        let before = self.sizes.len() as u32;
        self.key_frames.extend(next.key_frames.iter().map(|number| number + before));
        self.sizes.extend(&next.sizes);
        Ok(())
    }

    /// Everything before the mdat box. Its length depends on the number of frames, not on their sizes.
    pub(crate) fn head(&self) -> Result<Vec<u8>, String> {
        let length = self.boxes(0)?.len() as u64;
        self.boxes(u32::try_from(length + MDAT_HEADER).map_err(|error| error.to_string())?)
    }

    fn boxes(&self, first_byte: u32) -> Result<Vec<u8>, String> {
        let mut out = Vec::new();
        Ftyp {
            major_brand: b"isom".into(),
            minor_version: 512,
            compatible_brands: [b"isom", b"iso2", b"avc1", b"mp41"].map(Into::into).into(),
        }
        .encode(&mut out)
        .and_then(|()| self.moov(first_byte)?.encode(&mut out))
        .map_err(|error| error.to_string())?;
        Ok(out)
    }

    fn moov(&self, first_byte: u32) -> mp4_atom::Result<Moov> {
        let frames = self.sizes.len() as u32;
        let duration = u64::from(frames) * u64::from(self.ticks.per_frame);
        let timescale = self.ticks.per_second;
        let [sps, pps] = &self.parameter_sets;
        let avc1 = Avc1 {
            visual: Visual { data_reference_index: 1, width: self.width, height: self.height, ..Visual::default() },
            avcc: Avcc::new(sps, pps)?,
            colr: Some(Colr::new(1, 1, 1, false)?),
            pasp: Some(Pasp { h_spacing: 1, v_spacing: 1 }),
            ..Avc1::default()
        };
        let stbl = Stbl {
            stsd: Stsd { codecs: vec![Codec::Avc1(avc1)] },
            stts: Stts { entries: vec![SttsEntry { sample_count: frames, sample_delta: self.ticks.per_frame }] },
            stss: Some(Stss { entries: self.key_frames.clone() }),
            stsc: Stsc {
                entries: vec![StscEntry { first_chunk: 1, samples_per_chunk: frames, sample_description_index: 1 }],
            },
            stsz: Stsz { samples: StszSamples::Different { sizes: self.sizes.clone() } },
            stco: Some(Stco { entries: vec![first_byte] }),
            ..Stbl::default()
        };
        let trak = Trak {
            tkhd: Tkhd {
                track_id: 1,
                duration,
                enabled: true,
                in_movie: true,
                width: self.width.into(),
                height: self.height.into(),
                ..Tkhd::default()
            },
            mdia: Mdia {
                mdhd: Mdhd { timescale, duration, language: "und".into(), ..Mdhd::default() },
                hdlr: Hdlr { handler: b"vide".into(), name: "VideoHandler".into() },
                minf: Minf {
                    vmhd: Some(Vmhd::default()),
                    dinf: Dinf { dref: Dref { entries: vec![Url::default().into()] } },
                    stbl,
                    ..Minf::default()
                },
            },
            ..Trak::default()
        };
        // Movie and track count in the same ticks, so neither duration is rounded. Creation times stay 0: bytes must
        // not depend on the clock.
        let mvhd = Mvhd { timescale, duration, rate: 1.into(), volume: 1.into(), next_track_id: 2, ..Mvhd::default() };
        Ok(Moov { mvhd, trak: vec![trak], udta: self.remark.clone(), ..Moov::default() })
    }
}

pub(crate) fn mdat_header(payload: u64) -> [u8; MDAT_HEADER as usize] {
    let mut header = [0; MDAT_HEADER as usize];
    header[..4].copy_from_slice(&1u32.to_be_bytes());
    header[4..8].copy_from_slice(b"mdat");
    header[8..].copy_from_slice(&(payload + MDAT_HEADER).to_be_bytes());
    header
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_that_h264_cannot_hold_make_no_file() {
        let path = Path::new("never-created.mp4");
        for (width, height) in [(18, 17), (16, 14), (4096, 16)] {
            let data = vec![0; width * height * 3];
            let error =
                write_mp4(&Frames::new(&data, 1, height, width).unwrap(), FrameRate::whole(16), path).unwrap_err();
            assert!(matches!(error, MediaError::Size { .. }) && error.to_string().contains("H.264"), "{error}");
            assert!(!error.is_transient());
        }
        assert!(!path.exists());
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_full_disk_is_told_apart() {
        let clip = Frames::new(&[9; 16 * 16 * 3], 1, 16, 16).unwrap();
        let error = write_mp4(&clip, FrameRate::whole(8), Path::new("/dev/full")).unwrap_err();
        assert!(matches!(error, MediaError::DiskFull { .. }), "{error:?}");
    }
}
