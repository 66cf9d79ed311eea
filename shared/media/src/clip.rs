//! A clip, frame by frame: a finished one, in a folder of PNG files or an mp4 file, or one that people gave, in an mp4 file, a
//! GIF, or pictures in a zip file. A few frames are in memory.
//!
//! PNG frames come back as they were rendered. Those of an mp4 file are what a player shows: after compression, and with
//! half the colour resolution.

use std::fmt;
use std::fs;
use std::io::{BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use image::AnimationDecoder;
use image::codecs::gif::GifDecoder;
use wanfarm_image::{ClipKind, Pictures, RgbImage, gif_times, load_image};
use wanfarm_types::{FrameRate, shown};

use crate::MediaError;
use crate::mp4_in::{self, Mp4};

/// A frame is at most this large a file; 8192x8192 pixels take less.
const MAX_PNG: u64 = 256 << 20;

/// A clip being read.
pub struct Clip {
    path: PathBuf,
    frames: Source,
    /// Width and height of the first frame.
    size: Option<[usize; 2]>,
}

enum Source {
    Png(std::vec::IntoIter<PathBuf>),
    Mp4(Box<Mp4>),
    Gif { frames: image::Frames<'static>, times: Vec<u64>, left: usize },
    Pictures(Box<Pictures<Box<dyn mp4_in::Source>>>),
}

impl fmt::Debug for Clip {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Clip").field("path", &self.path).field("left", &self.left()).finish_non_exhaustive()
    }
}

impl Clip {
    /// A clip that people gave: an mp4 file, a GIF, or a zip file of pictures. `name` is only used in errors.
    ///
    /// # Errors
    /// [`MediaError::Clip`]: it is none that is read.
    pub fn given(name: &str, file: impl Read + Seek + Send + 'static) -> Result<Self, MediaError> {
        let path = PathBuf::from(name);
        let fault = |why: String| MediaError::clip(&path, why);
        let mut file: Box<dyn mp4_in::Source> = Box::new(file);
        let frames = match ClipKind::of(&mut file).map_err(fault)? {
            ClipKind::Mp4 => Source::Mp4(Box::new(Mp4::of(&path, file)?)),
            ClipKind::Pictures => Source::Pictures(Box::new(Pictures::open(file).map_err(fault)?)),
            ClipKind::Gif => {
                let (_, mut times) = gif_times(&mut file).map_err(fault)?;
                times.pop();
                file.seek(SeekFrom::Start(0)).map_err(|error| MediaError::clip(&path, error))?;
                let gif = GifDecoder::new(BufReader::new(file)).map_err(|error| fault(error.to_string()))?;
                Source::Gif { frames: gif.into_frames(), left: times.len(), times }
            }
        };
        Ok(Self { path, frames, size: None })
    }

    /// The frames of a video at this rate, without end: of each moment the picture that shows then, and after the last one that
    /// one; of a clip without times one picture after the other.
    pub fn at_rate(self, rate: FrameRate) -> AtRate {
        let times = match &self.frames {
            Source::Mp4(mp4) => mp4.times(),
            Source::Gif { times, .. } => times.clone(),
            Source::Png(_) | Source::Pictures(_) => Vec::new(),
        };
        let wanted: Box<dyn Iterator<Item = usize> + Send> =
            if times.is_empty() { Box::new(0..) } else { Box::new(shown(times, rate)) };
        AtRate { clip: self, wanted, current: None, taken: 0 }
    }

    /// Opens a folder of PNG files or an mp4 file.
    ///
    /// # Errors
    /// [`MediaError::Clip`]: there is no such thing, it has no frames, one is missing in between, or the file is of
    /// another kind.
    pub fn open(path: &Path) -> Result<Self, MediaError> {
        let frames = if path.is_dir() {
            Source::Png(numbered(path)?.into_iter())
        } else if path.extension().is_some_and(|extension| extension == "mp4") {
            Source::Mp4(Box::new(Mp4::open(path)?))
        } else {
            let why = if path.exists() { "it is no folder of PNG files and no mp4 file" } else { "it is not there" };
            return Err(MediaError::clip(path, why));
        };
        Ok(Self { path: path.to_owned(), frames, size: None })
    }

    /// Whether a folder holds a clip.
    pub fn is_png_folder(path: &Path) -> bool {
        path.join(name(0)).is_file()
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Source that are still to come.
    pub fn left(&self) -> usize {
        match &self.frames {
            Source::Png(paths) => paths.len(),
            Source::Mp4(mp4) => mp4.left(),
            Source::Gif { left, .. } => *left,
            Source::Pictures(pictures) => pictures.left(),
        }
    }

    /// The next frame, all of one size; `None` after the last.
    ///
    /// # Errors
    /// [`MediaError::Clip`] or [`MediaError::Image`]: it cannot be decoded, or is of another size than the first.
    pub fn next_frame(&mut self) -> Result<Option<RgbImage>, MediaError> {
        let frame = match &mut self.frames {
            Source::Png(paths) => paths.next().map(|path| read_png(&path)).transpose()?,
            Source::Mp4(mp4) => mp4.next_frame()?,
            Source::Gif { frames, left, .. } => {
                *left = left.saturating_sub(1);
                frames.next().map(|frame| gif_frame(frame, &self.path)).transpose()?
            }
            Source::Pictures(pictures) => {
                let file = pictures.next_file().map_err(|why| MediaError::clip(&self.path, why))?;
                file.map(|(name, bytes)| load_image(&name, &bytes)).transpose()?
            }
        };
        if let Some(frame) = &frame {
            let size = [frame.width(), frame.height()];
            let [width, height] = *self.size.get_or_insert(size);
            if size != [width, height] {
                let why = format!("a frame of {}x{} follows one of {width}x{height}", size[0], size[1]);
                return Err(MediaError::clip(&self.path, why));
            }
        }
        Ok(frame)
    }
}

/// A clip's frames at the rate of a video.
pub struct AtRate {
    clip: Clip,
    /// Which picture each frame shows.
    wanted: Box<dyn Iterator<Item = usize> + Send>,
    current: Option<RgbImage>,
    /// How many pictures were taken from the clip.
    taken: usize,
}

impl Iterator for AtRate {
    type Item = Result<RgbImage, MediaError>;

    fn next(&mut self) -> Option<Self::Item> {
        let wanted = self.wanted.next()?;
        while self.taken <= wanted {
            match self.clip.next_frame() {
                Ok(Some(frame)) => (self.current, self.taken) = (Some(frame), self.taken + 1),
                Ok(None) => break,
                Err(error) => return Some(Err(error)),
            }
        }
        Some(self.current.clone().ok_or_else(|| MediaError::clip(&self.clip.path, "it has no pictures")))
    }
}

/// What is transparent is black, as where nothing was drawn.
fn gif_frame(frame: Result<image::Frame, image::ImageError>, path: &Path) -> Result<RgbImage, MediaError> {
    let frame = frame.map_err(|error| MediaError::clip(path, format!("the GIF is broken: {error}")))?.into_buffer();
    let (width, height) = (frame.width() as usize, frame.height() as usize);
    let data =
        frame.pixels().flat_map(|pixel| if pixel.0[3] == 0 { [0; 3] } else { [pixel.0[0], pixel.0[1], pixel.0[2]] });
    Ok(RgbImage::new(width, height, data.collect())?)
}

fn name(index: usize) -> String {
    format!("{index:05}.png")
}

/// The frames' files in order.
fn numbered(folder: &Path) -> Result<Vec<PathBuf>, MediaError> {
    let unreadable = |error| MediaError::clip(folder, error);
    let mut there = 0;
    for entry in fs::read_dir(folder).map_err(unreadable)? {
        there += usize::from(entry.map_err(unreadable)?.path().extension().is_some_and(|ext| ext == "png"));
    }
    let paths: Vec<PathBuf> = (0..there).map(|index| folder.join(name(index))).collect();
    match paths.iter().position(|path| !path.is_file()) {
        None if there > 0 => Ok(paths),
        None => Err(MediaError::clip(folder, "there are no PNG files in it")),
        Some(missing) => {
            let why =
                format!("it has {there} PNG files and no {}; frames are numbered from {}", name(missing), name(0));
            Err(MediaError::clip(folder, why))
        }
    }
}

pub(crate) fn read_png(path: &Path) -> Result<RgbImage, MediaError> {
    let unreadable = |error| MediaError::clip(path, error);
    let length = fs::metadata(path).map_err(unreadable)?.len();
    if length > MAX_PNG {
        return Err(MediaError::clip(path, format!("{length} bytes are too many for a frame")));
    }
    Ok(load_image(&path.display().to_string(), &fs::read(path).map_err(unreadable)?)?)
}
