//! Clips that people give, as far as their files tell without decoding a picture: an mp4 file (H.264), a GIF, or pictures in a
//! zip file, one after the other.

use std::io::{BufReader, Read, Seek, SeekFrom};

use gif::DecodeOptions;
use wanfarm_types::ClipLength;

use crate::ImageError;
use crate::mp4::Mp4Track;
use crate::pictures::Pictures;
use crate::read::{check_size, image_size};

/// What turns a file of most other kinds into one that is read.
const CONVERT: &str = "convert it, for example with: ffmpeg -i CLIP -c:v libx264 -pix_fmt yuv420p clip.mp4";
/// Microseconds of the unit in which a GIF counts.
const GIF_UNIT: u64 = 10_000;
/// Frames of a GIF that are to show for no time, or next to none, show for so long: as in every browser.
const GIF_USUAL: u64 = 100_000;
/// Pictures of a GIF.
const MAX_PICTURES: usize = 1 << 16;

/// What a clip's file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClipKind {
    /// H.264 in mp4 or mov.
    Mp4,
    /// An animation.
    Gif,
    /// Pictures in a zip file.
    Pictures,
}

/// What is known of a clip without its pictures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClipAbout {
    /// Width and height, upright.
    pub size: [u32; 2],
    /// How long it is.
    pub length: ClipLength,
}

impl ClipKind {
    /// By the first bytes of a file; its name tells nothing.
    ///
    /// # Errors
    /// Why it is none, and what to do.
    pub fn of(file: &mut (impl Read + Seek)) -> Result<Self, String> {
        let mut head = Vec::new();
        let read = file.seek(SeekFrom::Start(0)).and_then(|_| file.take(12).read_to_end(&mut head));
        read.map_err(|error| error.to_string())?;
        match head[..] {
            [] => Err("it is empty".to_owned()),
            [b'G', b'I', b'F', b'8', ..] => Ok(Self::Gif),
            [b'P', b'K', 3, 4, ..] => Ok(Self::Pictures),
            [_, _, _, _, b'f', b't', b'y', b'p', ..] | [_, _, _, _, b'm', b'o', b'o', b'v', ..] => Ok(Self::Mp4),
            // QuickTime files of old begin with their pictures.
            [_, _, _, _, b'm', b'd', b'a', b't', ..] | [_, _, _, _, b'w', b'i', b'd', b'e', ..] => Ok(Self::Mp4),
            [0x1A, 0x45, 0xDF, 0xA3, ..] => Err(format!("WebM and Matroska files are not read; {CONVERT}")),
            [b'R', b'I', b'F', b'F', _, _, _, _, b'A', b'V', b'I', ..] => {
                Err(format!("AVI files are not read; {CONVERT}"))
            }
            _ => Err(format!("it is no mp4 file, no GIF and no zip file of pictures; {CONVERT}")),
        }
    }
}

impl ClipAbout {
    /// Looks at a file; not at its pictures. `name` is only used in errors.
    ///
    /// # Errors
    /// Why it is no clip that is read, and what to do.
    pub fn read(name: &str, file: &mut (impl Read + Seek)) -> Result<Self, ImageError> {
        let about = ClipKind::of(file).and_then(|kind| match kind {
            ClipKind::Mp4 => {
                let track = Mp4Track::read(file).map_err(|why| format!("{why}; {CONVERT}"))?;
                let pictures = u32::try_from(track.shown.len()).map_err(|_| "it has too many pictures".to_owned())?;
                Ok(Self { size: track.upright(), length: ClipLength { pictures, microseconds: Some(track.end) } })
            }
            ClipKind::Gif => {
                let (size, times) = gif_times(file)?;
                let pictures = times.len() as u32 - 1;
                Ok(Self { size, length: ClipLength { pictures, microseconds: times.last().copied() } })
            }
            ClipKind::Pictures => {
                let mut pictures = Pictures::open(file)?;
                let count = pictures.left() as u32;
                let first = pictures.next_file()?.ok_or("there are no pictures in it")?;
                let size = image_size(&first.0, &first.1).map_err(|error| error.to_string())?;
                Ok(Self { size, length: ClipLength { pictures: count, microseconds: None } })
            }
        });
        let checked = about.and_then(|about| check_size(about.size, 0).map(|()| about));
        checked.map_err(|why| ImageError { name: name.to_owned(), why })
    }
}

/// Width and height of a GIF, and when each of its pictures begins, in microseconds; behind them, when the last one ends.
///
/// # Errors
/// Why it is none.
pub fn gif_times(file: &mut (impl Read + Seek)) -> Result<([u32; 2], Vec<u64>), String> {
    file.seek(SeekFrom::Start(0)).map_err(|error| error.to_string())?;
    let mut options = DecodeOptions::new();
    options.skip_frame_decoding(true);
    let broken = |error: gif::DecodingError| format!("the GIF is broken: {error}");
    let mut gif = options.read_info(BufReader::new(file)).map_err(broken)?;
    let size = [gif.width(), gif.height()].map(u32::from);
    let (mut times, mut at) = (vec![0], 0u64);
    while let Some(frame) = gif.next_frame_info().map_err(broken)? {
        at += match frame.delay {
            0 | 1 => GIF_USUAL,
            delay => u64::from(delay) * GIF_UNIT,
        };
        times.push(at);
        if times.len() > MAX_PICTURES {
            return Err(format!("the GIF has more than {MAX_PICTURES} pictures"));
        }
    }
    if times.len() == 1 { Err("the GIF has no pictures".to_owned()) } else { Ok((size, times)) }
}
