//! How long a clip is, and which of its pictures a video shows at a rate of its own.

use serde::{Deserialize, Serialize};

use crate::FrameRate;

/// Microseconds of a second.
const SECOND: u128 = 1_000_000;
/// Times of files are rounded: a picture may come so many hundredths of a frame late, and a last one be that short.
const SLACK: u128 = 1;

/// A clip's file has at most so many bytes: workers have it in memory while they encode it.
pub const MAX_CLIP_BYTES: u64 = 512 << 20;

/// How long a clip is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClipLength {
    /// Pictures.
    pub pictures: u32,
    /// From the first to the end of the last; `None`: it has no times, and each picture is a frame of the video.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub microseconds: Option<u64>,
}

impl ClipLength {
    /// How many frames it is at this rate.
    pub fn frames(&self, rate: FrameRate) -> u32 {
        let Some(microseconds) = self.microseconds else { return self.pictures };
        let (numerator, denominator) = (u128::from(rate.numerator()), u128::from(rate.denominator()));
        let hundredths = 100 * u128::from(microseconds) * numerator / (denominator * SECOND);
        u32::try_from(hundredths.saturating_sub(SLACK).div_ceil(100)).unwrap_or(u32::MAX)
    }
}

/// Which picture shows at each frame of a video, of pictures that begin at these times, in microseconds and in order: the last
/// one that has begun.
pub fn shown(times: Vec<u64>, rate: FrameRate) -> impl Iterator<Item = usize> + Send {
    let (numerator, denominator) = (u128::from(rate.numerator()), u128::from(rate.denominator()));
    (0u128..).map(move |frame| {
        let until = (100 * frame + SLACK) * denominator * SECOND / (100 * numerator);
        times.partition_point(|time| u128::from(*time) <= until).saturating_sub(1)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rate(text: &str) -> FrameRate {
        text.parse().unwrap()
    }

    /// Of pictures at this rate, as a file rounds them.
    fn times(pictures: u32, rate: FrameRate) -> (Vec<u64>, ClipLength) {
        let (n, d) = (u64::from(rate.numerator()), u64::from(rate.denominator()));
        let at = |picture: u32| (u64::from(picture) * d * 1_000_000 + n / 2) / n;
        ((0..pictures).map(at).collect(), ClipLength { pictures, microseconds: Some(at(pictures)) })
    }

    #[test]
    fn at_its_own_rate_every_picture_is_a_frame() {
        for own in ["16", "24", "24000/1001", "30000/1001", "60", "25"].map(rate) {
            for pictures in [1, 2, 81, 100, 1001] {
                let (times, length) = times(pictures, own);
                assert_eq!(length.frames(own), pictures, "{own:?}");
                let all: Vec<usize> = shown(times.clone(), own).take(pictures as usize).collect();
                assert_eq!(all, (0..pictures as usize).collect::<Vec<_>>(), "{own:?}");
            }
        }
    }

    #[test]
    fn at_another_rate_it_lasts_as_long() {
        let (times, length) = times(12, rate("24"));
        assert_eq!(length.frames(rate("16")), 8);
        assert_eq!(shown(times.clone(), rate("16")).take(8).collect::<Vec<_>>(), [0, 1, 3, 4, 6, 7, 9, 10]);
        assert_eq!(length.frames(rate("48")), 24);
        assert_eq!(shown(times.clone(), rate("48")).take(5).collect::<Vec<_>>(), [0, 0, 1, 1, 2]);
        assert_eq!(shown(times.clone(), rate("48")).nth(40), Some(11), "after the last one nothing else begins");
    }

    #[test]
    fn pictures_of_differing_length_show_as_long_as_they_do() {
        let times = vec![0, 500_000, 600_000];
        assert_eq!(shown(times.clone(), rate("10")).take(8).collect::<Vec<_>>(), [0, 0, 0, 0, 0, 1, 2, 2]);
    }

    #[test]
    fn without_times_every_picture_is_a_frame_at_any_rate() {
        let length = ClipLength { pictures: 7, microseconds: None };
        assert_eq!([length.frames(rate("16")), length.frames(rate("60"))], [7, 7]);
        let endless = ClipLength { pictures: 7, microseconds: Some(u64::MAX) };
        assert_eq!(endless.frames(rate("240")), u32::MAX);
        assert_eq!(ClipLength { pictures: 1, microseconds: Some(0) }.frames(rate("16")), 0);
        assert_eq!(shown(Vec::new(), rate("16")).next(), Some(0));
    }
}
