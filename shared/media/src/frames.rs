//! A clip as a borrowed view: RGB bytes, row-major. It owns nothing, so the bytes may be a memory map.

use std::path::Path;

use wanfarm_types::Format;

use crate::MediaError;

/// Frames of 8-bit RGB in `[frames, height, width, 3]` order, checked to be that and not empty.
#[derive(Debug, Clone, Copy)]
pub struct Frames<'a> {
    data: &'a [u8],
    frames: usize,
    height: usize,
    width: usize,
    remark: Option<&'a str>,
}

impl<'a> Frames<'a> {
    /// A view of `data`.
    ///
    /// # Errors
    /// [`MediaError::Shape`] if the length is not `frames * height * width * 3` or a dimension is 0.
    pub fn new(data: &'a [u8], frames: usize, height: usize, width: usize) -> Result<Self, MediaError> {
        let bytes = [frames, height, width].into_iter().try_fold(3usize, usize::checked_mul);
        if data.is_empty() || bytes != Some(data.len()) {
            return Err(MediaError::Shape { frames, height, width, got: data.len() });
        }
        Ok(Self { data, frames, height, width, remark: None })
    }

    /// These, with a text for the files made of them, which players and viewers show as a description.
    pub fn with_remark(self, remark: &'a str) -> Self {
        Self { remark: Some(remark), ..self }
    }

    /// What files of them say of them.
    pub(crate) fn remark(&self) -> Option<&'a str> {
        self.remark
    }

    /// All bytes.
    pub fn data(&self) -> &'a [u8] {
        self.data
    }

    /// How many frames; at least 1.
    pub fn count(&self) -> usize {
        self.frames
    }

    /// Height in pixels.
    pub fn height(&self) -> usize {
        self.height
    }

    /// Width in pixels.
    pub fn width(&self) -> usize {
        self.width
    }

    /// Frames, height, width.
    pub fn shape(&self) -> [usize; 3] {
        [self.frames, self.height, self.width]
    }

    /// Width and height in pixels, as far as `format` can hold them.
    ///
    /// # Errors
    /// [`MediaError::Size`], naming `path`.
    pub(crate) fn size_in(&self, format: Format, path: &Path) -> Result<(u32, u32), MediaError> {
        // Sides beyond 32 bits are beyond every format.
        let [width, height] = [self.width, self.height].map(|side| u32::try_from(side).unwrap_or(u32::MAX));
        match format.check_size(width, height) {
            Ok(()) => Ok((width, height)),
            Err(source) => Err(MediaError::Size { path: path.to_owned(), source }),
        }
    }

    /// The bytes of one frame.
    ///
    /// # Panics
    /// If `index` is not below [`Self::count`].
    pub fn frame(&self, index: usize) -> &'a [u8] {
        let size = self.height * self.width * 3;
        &self.data[index * size..(index + 1) * size]
    }

    /// The frames in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &'a [u8]> + use<'a> {
        self.data.chunks_exact(self.height * self.width * 3)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_exact_lengths_are_clips() {
        let bytes = [0u8; 2 * 3 * 4 * 3];
        let clip = Frames::new(&bytes, 2, 3, 4).unwrap();
        assert_eq!(clip.frame(1).len(), 36);
        assert_eq!(clip.iter().len(), 2);
        assert!(Frames::new(&bytes, 2, 3, 3).is_err());
        assert!(Frames::new(&bytes, 3, 3, 4).is_err());
        assert!(Frames::new(&[], 0, 3, 4).is_err());
        assert!(Frames::new(&bytes, usize::MAX, usize::MAX, 2).is_err());
    }
}
