//! Where the picture or the clip comes from that a video is rendered from: a file, or another video of the same job.

use serde::{Deserialize, Serialize};

use crate::Digest;

/// A picture that a video is rendered from. As JSON a file is its digest, a frame an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum ImageSource {
    /// An image file, by digest of its bytes.
    File(Digest),
    /// A frame of another video, which has to be rendered first.
    Frame(FrameOf),
}

/// A frame of a video, as its png files have it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct FrameOf {
    /// The video, by its place in the job.
    pub video: u32,
    /// Which frame, counted from 0; `None`: the last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub frame: Option<u32>,
}

/// A clip that a video is made from. As JSON a file is its digest, another video an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum ClipSource {
    /// A file, by digest of its bytes.
    File(Digest),
    /// All of another video, which has to be rendered first.
    Video(WholeOf),
}

/// All frames of a video, as its png files have them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct WholeOf {
    /// The video, by its place in the job.
    pub video: u32,
}

/// What a video needs of another one of its job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    /// So many frames, of which this is the last.
    Frames(FrameOf, u32),
    /// All of it.
    Whole(WholeOf),
}

/// What another video needs of one, which is kept as a file of its own: a frame as an image, several as a clip.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Excerpt {
    /// The frame of this number, counted from 0.
    Frame(u32),
    /// Frames one after the other.
    Clip {
        /// The first, counted from 0.
        first: u32,
        /// How many.
        frames: u32,
    },
}

impl Need {
    /// What a video needs that starts from so many frames, ends at a picture, and is made from a clip, in this order.
    pub(crate) fn of_all(
        pictures: [Option<ImageSource>; 2],
        overlap: u32,
        clip: Option<ClipSource>,
    ) -> [Option<Self>; 3] {
        let [first, last] = pictures.map(|picture| picture.and_then(|picture| picture.frame()));
        [
            first.map(|frame| Self::Frames(frame, overlap)),
            last.map(|frame| Self::Frames(frame, 1)),
            clip.and_then(|clip| clip.whole()).map(Self::Whole),
        ]
    }

    /// The other video, by its place in the job.
    pub fn video(&self) -> u32 {
        match self {
            Self::Frames(last, _) => last.video,
            Self::Whole(whole) => whole.video,
        }
    }

    /// Which of so many frames it is; nothing when there are not as many.
    pub fn of(&self, frames: u32) -> Option<Excerpt> {
        match *self {
            Self::Frames(last, 1) => last.number(frames).map(Excerpt::Frame),
            Self::Frames(last, wanted) => {
                let first = last.first(wanted, frames)?;
                Some(Excerpt::Clip { first, frames: wanted })
            }
            Self::Whole(_) => Some(Excerpt::Clip { first: 0, frames }),
        }
    }
}

impl ClipSource {
    /// The digest of a file.
    pub fn file(&self) -> Option<Digest> {
        match self {
            Self::File(digest) => Some(*digest),
            Self::Video(_) => None,
        }
    }

    /// The other video.
    pub fn whole(&self) -> Option<WholeOf> {
        match self {
            Self::File(_) => None,
            Self::Video(whole) => Some(*whole),
        }
    }
}

impl ImageSource {
    /// The digest of a file.
    pub fn file(&self) -> Option<Digest> {
        match self {
            ImageSource::File(digest) => Some(*digest),
            ImageSource::Frame(_) => None,
        }
    }

    /// The frame of another video.
    pub fn frame(&self) -> Option<FrameOf> {
        match self {
            ImageSource::File(_) => None,
            ImageSource::Frame(frame) => Some(*frame),
        }
    }
}

impl FrameOf {
    /// Which of so many frames it is, counted from 0; `None` when there are not as many.
    pub fn number(&self, frames: u32) -> Option<u32> {
        let last = frames.checked_sub(1)?;
        Some(self.frame.unwrap_or(last)).filter(|number| *number <= last)
    }

    /// Where so many of them begin that end with it, counted from 0; `None` when there are not as many.
    pub fn first(&self, wanted: u32, frames: u32) -> Option<u32> {
        (self.number(frames)? + 1).checked_sub(wanted)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_its_digest_in_json_and_a_frame_an_object() {
        let file = ImageSource::File(Digest([7; 32]));
        assert_eq!(serde_json::to_value(file).unwrap(), serde_json::to_value(Digest([7; 32])).unwrap());
        let frame = |frame| ImageSource::Frame(FrameOf { video: 3, frame });
        for (source, text) in [(frame(None), r#"{"video":3}"#), (frame(Some(0)), r#"{"video":3,"frame":0}"#)] {
            assert_eq!(serde_json::to_string(&source).unwrap(), text);
        }
        for source in [file, frame(None), frame(Some(16))] {
            let text = serde_json::to_string(&source).unwrap();
            assert_eq!(serde_json::from_str::<ImageSource>(&text).unwrap(), source);
        }
    }

    #[test]
    fn a_clip_is_a_digest_or_an_object_too() {
        let (file, whole) = (ClipSource::File(Digest([7; 32])), ClipSource::Video(WholeOf { video: 3 }));
        assert_eq!(serde_json::to_string(&whole).unwrap(), r#"{"video":3}"#);
        for source in [file, whole] {
            let text = serde_json::to_string(&source).unwrap();
            assert_eq!(serde_json::from_str::<ClipSource>(&text).unwrap(), source);
        }
        assert_eq!((file.whole(), whole.file()), (None, None));
    }

    #[test]
    fn a_frame_is_one_of_those_there_are() {
        let number = |frame, frames| FrameOf { video: 0, frame }.number(frames);
        assert_eq!((number(None, 17), number(Some(0), 17), number(Some(16), 17)), (Some(16), Some(0), Some(16)));
        assert_eq!((number(Some(17), 17), number(None, 0)), (None, None));
    }

    #[test]
    fn several_frames_end_with_the_one_that_is_named() {
        let need = |frame, wanted| Need::Frames(FrameOf { video: 0, frame }, wanted).of(17);
        assert_eq!(need(None, 1), Some(Excerpt::Frame(16)));
        assert_eq!(need(None, 5), Some(Excerpt::Clip { first: 12, frames: 5 }));
        assert_eq!(need(Some(4), 5), Some(Excerpt::Clip { first: 0, frames: 5 }));
        assert_eq!((need(Some(3), 5), need(Some(17), 5)), (None, None));
        assert_eq!(Need::Whole(WholeOf { video: 0 }).of(17), Some(Excerpt::Clip { first: 0, frames: 17 }));
    }
}
