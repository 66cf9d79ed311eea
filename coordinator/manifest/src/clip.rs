//! Clips that videos are made from: how many frames that gives them.

use wanfarm_types::{ClipLength, FrameRate, ModelInfo, VideoRequest};

/// What is known of a clip: a file, or another video.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Clip {
    /// Width and height.
    pub size: [u32; 2],
    /// How long it is.
    pub length: ClipLength,
}

/// As many as it names, which the clip has to have; else as many as the clip has at its frame rate, at most the model's own,
/// and of those as many as a video can have.
pub(crate) fn frames(
    given: Option<u32>,
    rate: Option<FrameRate>,
    clip: ClipLength,
    info: &ModelInfo,
) -> Result<u32, String> {
    let rate = rate.unwrap_or(info.defaults.fps);
    let there = clip.frames(rate);
    let at = if clip.microseconds.is_some() { format!(" at {rate} frames per second") } else { String::new() };
    match given {
        Some(given) if given > there => Err(format!("the clip has {there} frames{at}, and {given} are wanted")),
        Some(given) => Ok(given),
        None if there == 0 => Err("the clip lasts no time".to_owned()),
        None => {
            let (most, stride) = (there.min(info.defaults.frames), info.geometry.stride_t.max(1));
            Ok((most - 1) / stride * stride + 1)
        }
    }
}

/// A request whose number of frames follows from its clip.
pub(crate) fn cut(request: VideoRequest, clip: ClipLength, info: &ModelInfo) -> Result<VideoRequest, String> {
    let frames = frames(request.frames, request.fps, clip, info)?;
    Ok(VideoRequest { frames: Some(frames), ..request })
}

#[cfg(test)]
mod tests {
    use super::*;
    use wanfarm_types::Experts;
    use wanfarm_types::fixtures::info;

    #[test]
    fn a_video_has_the_frames_that_its_clip_has() {
        let info = info(Experts::Single);
        assert_eq!((info.defaults.frames, info.defaults.fps), (81, FrameRate::whole(16)));
        let clip = |pictures, microseconds| ClipLength { pictures, microseconds };
        let second = clip(24, Some(1_000_000));
        assert_eq!(frames(None, None, second, &info), Ok(13), "16 of 24 pictures, of which 13 are 4n+1");
        assert_eq!(frames(None, Some(FrameRate::whole(24)), second, &info), Ok(21));
        assert_eq!(frames(None, None, clip(24, None), &info), Ok(21), "pictures without times are frames");
        assert_eq!(frames(None, None, clip(9000, Some(300_000_000)), &info), Ok(81));
        assert_eq!(frames(Some(101), None, clip(9000, Some(300_000_000)), &info), Ok(101));
        assert_eq!(
            frames(Some(17), None, second, &info).unwrap_err(),
            "the clip has 16 frames at 16 frames per second, and 17 are wanted"
        );
        assert_eq!(
            frames(Some(33), None, clip(24, None), &info).unwrap_err(),
            "the clip has 24 frames, and 33 are wanted"
        );
        assert!(frames(None, None, clip(1, Some(0)), &info).is_err());
        assert_eq!(frames(None, None, clip(1, Some(40_000)), &info), Ok(1));
    }
}
