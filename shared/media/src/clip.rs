//! A finished clip, frame by frame: a folder of PNG files as `write_png_folder` makes it, or an mp4 file as `write_mp4`
//! makes it. No more than a frame is in memory.
//!
//! PNG frames come back as they were rendered. Those of an mp4 file are what a player shows: after compression, and with
//! half the colour resolution.

use std::fs;
use std::path::{Path, PathBuf};

use crate::mp4_in::Mp4;
use wanfarm_image::{RgbImage, load_image};

use crate::MediaError;

/// A frame is at most this large a file; 8192x8192 pixels take less.
const MAX_PNG: u64 = 256 << 20;

/// A clip being read.
#[derive(Debug)]
pub struct Clip {
    path: PathBuf,
    frames: Source,
    /// Width and height of the first frame.
    size: Option<[usize; 2]>,
}

#[derive(Debug)]
enum Source {
    Png(std::vec::IntoIter<PathBuf>),
    Mp4(Box<Mp4>),
}

impl Clip {
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
