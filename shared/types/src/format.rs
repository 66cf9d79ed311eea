//! The file formats of a finished video, and the picture sizes each can hold. How they are written is not here.

use serde::{Deserialize, Serialize};

/// A file format of the finished video.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// H.264 in MP4.
    Mp4,
    /// A folder of 8-bit RGB frames.
    Png,
    /// An animated GIF.
    Gif,
    /// One PNG with frames side by side.
    Contact,
}

/// Pictures of this size cannot be kept in that format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{} cannot hold {width}x{height}: {why}", .format.name())]
pub struct FormatError {
    /// Output format.
    pub format: Format,
    /// Width in pixels.
    pub width: u32,
    /// Height in pixels.
    pub height: u32,
    /// The rule it breaks, in words.
    pub why: &'static str,
}

/// Smallest side of an H.264 picture that the encoder takes, in pixels.
const H264_MIN_SIDE: u32 = 16;
/// Longest side of an H.264 picture that the encoder takes, in pixels.
const H264_LONG: u32 = 3840;
/// Most pixels of its shorter side.
const H264_SHORT: u32 = 2160;
/// Most pixels of a side that GIF's 16 bits can say, and that a contact sheet is made from.
const MAX_16_BIT: u32 = 65_535;
/// Most pixels of a side that PNG's 31 bits can say.
const MAX_31_BIT: u32 = i32::MAX as u32;

impl Format {
    /// Its name in manifests.
    pub const fn name(self) -> &'static str {
        match self {
            Format::Mp4 => "mp4",
            Format::Png => "png",
            Format::Gif => "gif",
            Format::Contact => "contact",
        }
    }

    /// Whether pictures of this size can be kept in the format.
    ///
    /// # Errors
    /// The rule that they break.
    pub fn check_size(self, width: u32, height: u32) -> Result<(), FormatError> {
        let (long, short) = (width.max(height), width.min(height));
        let most = match self {
            Format::Mp4 => H264_LONG,
            Format::Png => MAX_31_BIT,
            Format::Gif | Format::Contact => MAX_16_BIT,
        };
        let why = match self {
            Format::Mp4 if !width.is_multiple_of(2) || !height.is_multiple_of(2) => {
                "H.264 in 4:2:0 needs an even width and height"
            }
            Format::Mp4 if short < H264_MIN_SIDE => "H.264 needs at least 16 pixels on both sides",
            Format::Mp4 if long > most || short > H264_SHORT => {
                "the H.264 encoder takes at most 3840x2160, or 2160x3840 upright"
            }
            Format::Gif | Format::Contact if long > most => "a side has at most 65535 pixels",
            Format::Png if long > most => "a side has at most 2147483647 pixels",
            _ if short == 0 => "there is no picture without pixels",
            _ => return Ok(()),
        };
        Err(FormatError { format: self, width, height, why })
    }
}

/// The name of a frame in its folder: `00000.png`, `00001.png` …
pub fn frame_name(index: usize) -> String {
    format!("{index:05}.png")
}

/// True for what [`frame_name`] makes.
pub fn is_frame_name(name: &str) -> bool {
    let digits = name.strip_suffix(".png").unwrap_or_default();
    digits.len() >= 5 && digits.bytes().all(|digit| digit.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_each_format_holds() {
        use Format::{Contact, Gif, Mp4, Png};
        for (format, width, height) in [
            (Mp4, 16, 16),
            (Mp4, 3840, 2160),
            (Mp4, 2160, 3840),
            (Mp4, 3840, 16),
            (Mp4, 18, 34),
            (Png, 17, 8192),
            (Gif, 65_535, 1),
            (Contact, 1, 65_535),
        ] {
            assert_eq!(format.check_size(width, height), Ok(()), "{format:?} {width}x{height}");
        }
        for (format, width, height, why) in [
            (Mp4, 18, 17, "even"),
            (Mp4, 17, 18, "even"),
            (Mp4, 16, 14, "at least 16"),
            (Mp4, 0, 0, "at least 16"),
            (Mp4, 3856, 16, "3840x2160"),
            (Mp4, 16, 3856, "3840x2160"),
            (Mp4, 2176, 2176, "3840x2160"),
            (Gif, 65_536, 1, "65535"),
            (Contact, 1, 65_536, "65535"),
            (Png, u32::MAX, 1, "2147483647"),
            (Png, 0, 1, "without pixels"),
        ] {
            let error = format.check_size(width, height).unwrap_err();
            assert!(error.why.contains(why) && error.to_string().contains(format.name()), "{error}");
        }
    }

    #[test]
    fn frames_are_known_by_their_names() {
        assert!([0, 7, 99_999, 100_000].into_iter().all(|index| is_frame_name(&frame_name(index))));
        for other in ["", ".png", "0001.png", "00000.PNG", "00000.jpg", "0000a.png", "+0000.png", "first.png"] {
            assert!(!is_frame_name(other), "{other}");
        }
    }
}
