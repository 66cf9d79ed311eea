//! First frames: the image files that videos start from, by digest.
//!
//! Of a file only the header is read, which tells its size; its pixels are the worker's. Deliberately not here: where
//! files lie, and the models' own resizing.

use wanfarm_image::{ImageError, image_size, load_image};
use wanfarm_types::{DType, Digest, ModelInfo, TensorRef, VaeKind, VideoRequest, i2v_size, ti2v_size};

/// A larger file is no first frame.
pub const MAX_BYTES: u64 = 32 << 20;

/// What is known of an image file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Image {
    /// BLAKE3 of the file.
    pub digest: Digest,
    /// Length of the file.
    pub bytes: u64,
    /// Pixels, turned upright.
    pub width: u32,
    /// Pixels, turned upright.
    pub height: u32,
}

/// Why a file is no first frame.
#[derive(Debug, thiserror::Error)]
pub enum NoImage {
    /// It is too long.
    #[error("it is larger than {} MiB", MAX_BYTES >> 20)]
    TooLarge,
    /// Its header is none that a worker could decode the image of.
    #[error("{0}")]
    Broken(String),
}

impl Image {
    /// Looks at a file's bytes; not at its pixels, a few of which can stand for gigabytes.
    ///
    /// # Errors
    /// When they are too many, or begin like no image that is read.
    pub fn read(bytes: &[u8]) -> Result<Self, NoImage> {
        let length = bytes.len() as u64;
        if length > MAX_BYTES {
            return Err(NoImage::TooLarge);
        }
        let [width, height] = image_size("it", bytes).map_err(broken)?;
        Ok(Self { digest: Digest(*blake3::hash(bytes).as_bytes()), bytes: length, width, height })
    }

    /// Looks at a file's bytes and decodes them all, which takes a while: a broken file is reported at once.
    ///
    /// # Errors
    /// When they are too many, or no whole image.
    pub fn read_whole(bytes: &[u8]) -> Result<Self, NoImage> {
        let image = Self::read(bytes)?;
        load_image("it", bytes).map_err(broken)?;
        Ok(image)
    }

    /// The file as a tensor: what a worker that encodes it reads.
    pub fn tensor(&self) -> TensorRef {
        TensorRef { digest: self.digest, dtype: DType::U8, shape: vec![self.bytes] }
    }

    /// The width and height a model renders this image at: about the area of its preset, with the image's aspect.
    pub fn size_for(&self, info: &ModelInfo) -> (u32, u32) {
        let area = info.defaults.width.saturating_mul(info.defaults.height);
        match info.vae {
            VaeKind::Wan21 => i2v_size(area, self.width, self.height),
            VaeKind::Wan22 => ti2v_size(area, self.width, self.height),
        }
    }
}

fn broken(error: ImageError) -> NoImage {
    NoImage::Broken(error.why)
}

/// A request whose size follows from its image where it names none. One side alone stays, and the image's aspect tells
/// the other, as near as the model's grid allows.
pub fn sized(request: &VideoRequest, image: Option<&Image>, info: &ModelInfo) -> VideoRequest {
    let mut request = request.clone();
    if let Some(image) = image {
        [request.width, request.height] = size([request.width, request.height], image, info);
    }
    request
}

/// Width and height of a render from an image, of which these are given.
pub fn size(given: [Option<u32>; 2], image: &Image, info: &ModelInfo) -> [Option<u32>; 2] {
    let grid = f64::from(info.geometry.alignment());
    let beside = |side: u32, of: u32, to: u32| {
        let exact = f64::from(side) * f64::from(to) / f64::from(of);
        // Saturates: a size beyond every model's is refused with the others.
        ((exact / grid).round().max(1.0) * grid) as u32
    };
    match given {
        [None, None] => {
            let (width, height) = image.size_for(info);
            [Some(width), Some(height)]
        }
        [Some(width), None] => [Some(width), Some(beside(width, image.width, image.height))],
        [None, Some(height)] => [Some(beside(height, image.height, image.width)), Some(height)],
        both => both,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use wanfarm_types::Experts;
    use wanfarm_types::fixtures::{info, request};

    /// The bytes of a PNG of this size.
    fn png(width: u32, height: u32) -> Vec<u8> {
        let mut bytes = std::io::Cursor::new(Vec::new());
        image::RgbImage::new(width, height).write_to(&mut bytes, image::ImageFormat::Png).unwrap();
        bytes.into_inner()
    }

    #[test]
    fn a_file_is_known_by_its_bytes_and_pixels() {
        let file = png(6, 4);
        let image = Image::read(&file).unwrap();
        assert_eq!((image.width, image.height), (6, 4));
        let tensor = image.tensor();
        assert_eq!((tensor.dtype, tensor.byte_len()), (DType::U8, Some(file.len() as u64)));
        assert_eq!(tensor.digest.0, *blake3::hash(&file).as_bytes());
        assert_eq!(Image::read_whole(&file).unwrap(), image);
        let half = &file[..file.len() / 2];
        assert!(Image::read_whole(half).unwrap_err().to_string().contains("broken"));
        assert!(Image::read(b"text").unwrap_err().to_string().contains("not a PNG"));
        let long = vec![0; MAX_BYTES as usize + 1];
        assert_eq!(Image::read(&long).unwrap_err().to_string(), "it is larger than 32 MiB");
    }

    #[test]
    fn a_request_without_a_size_takes_the_image_s() {
        let info = info(Experts::Single);
        let image = Image { digest: Digest([1; 32]), bytes: 1, width: 72, height: 128 };
        let size = |request: &VideoRequest, image| {
            let request = sized(request, image, &info);
            (request.width, request.height)
        };
        assert_eq!(size(&request(), Some(&image)), (Some(720), Some(1280)));
        assert_eq!(size(&request(), None), (None, None));
        let wide = VideoRequest { width: Some(640), ..request() };
        assert_eq!(size(&wide, Some(&image)), (Some(640), Some(1136)), "1137.8, on a grid of 16");
        assert_eq!(size(&wide, None), (Some(640), None));
        let high = VideoRequest { height: Some(640), ..request() };
        assert_eq!(size(&high, Some(&image)), (Some(368), Some(640)));
        let strip = Image { width: 8000, height: 8, ..image };
        assert_eq!(size(&wide, Some(&strip)), (Some(640), Some(16)), "never nothing");
        assert_eq!(size(&high, Some(&strip)), (Some(640_000), Some(640)), "and never cut: the model refuses it");
        let both = VideoRequest { height: Some(640), ..wide };
        assert_eq!(size(&both, Some(&image)), (Some(640), Some(640)));
    }
}
