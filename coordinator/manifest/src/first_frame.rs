//! First frames, last ones, and clips: the files that videos are rendered from, by digest.
//!
//! Of a file only the header is read, which tells its size; its pixels are the worker's. Deliberately not here: where
//! files lie, and the models' own resizing.

use std::io::{Read, Seek};

use wanfarm_image::{ClipAbout, ImageError, image_size, load_image};
use wanfarm_types::{
    ClipLength, ClipSource, DType, Digest, ImageSource, MAX_CLIP_BYTES, ModelInfo, TensorRef, VaeKind, VideoRequest,
    i2v_size, ti2v_size,
};

/// A larger file is no first frame.
pub const MAX_BYTES: u64 = 32 << 20;

/// How much more oblong the last frame may be than the first.
const MOST_APART: f64 = 0.02;

/// What is known of an image file, or of a clip.
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
    /// How long it is; an image has no length.
    pub clip: Option<ClipLength>,
}

/// Why a file is no first frame, or no clip.
#[derive(Debug, thiserror::Error)]
pub enum NoImage {
    /// It is too long.
    #[error("it is larger than {} MiB", MAX_BYTES >> 20)]
    TooLarge,
    /// Its header is none that a worker could decode the image of.
    #[error("{0}")]
    Broken(String),
    /// It is too long for a clip.
    #[error("it is larger than {} MiB; cut it to the part that is wanted", MAX_CLIP_BYTES >> 20)]
    TooLong,
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
        Ok(Self { digest: Digest(*blake3::hash(bytes).as_bytes()), bytes: length, width, height, clip: None })
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

    /// Looks at a clip's file, of so many bytes and with this digest; not at its pictures.
    ///
    /// # Errors
    /// When they are too many, or it is no clip that is read.
    pub fn read_clip(file: &mut (impl Read + Seek), bytes: u64, digest: Digest) -> Result<Self, NoImage> {
        if bytes > MAX_CLIP_BYTES {
            return Err(NoImage::TooLong);
        }
        let ClipAbout { size: [width, height], length } = ClipAbout::read("it", file).map_err(broken)?;
        Ok(Self { digest, bytes, width, height, clip: Some(length) })
    }

    /// The file as a tensor: what a worker that encodes it reads.
    pub fn tensor(&self) -> TensorRef {
        TensorRef { digest: self.digest, dtype: DType::U8, shape: vec![self.bytes] }
    }

    /// Its width and height.
    pub fn size(&self) -> [u32; 2] {
        [self.width, self.height]
    }
}

/// The width and height a model renders a picture at: about the area of its preset, with the picture's aspect.
fn size_for([width, height]: [u32; 2], info: &ModelInfo) -> (u32, u32) {
    let area = info.defaults.width.saturating_mul(info.defaults.height);
    match info.vae {
        VaeKind::Wan21 => i2v_size(area, width, height),
        VaeKind::Wan22 => ti2v_size(area, width, height),
    }
}

fn broken(error: ImageError) -> NoImage {
    NoImage::Broken(error.why)
}

/// A request whose size follows from that of the picture or the clip it starts from where it names none: that of another video stays
/// as it is, of a file the aspect. One side alone stays, and the aspect tells the other, as near as the model's grid allows.
pub fn sized(request: &VideoRequest, picture: Option<[u32; 2]>, info: &ModelInfo) -> VideoRequest {
    let mut request = request.clone();
    if let Some(picture) = picture {
        let given = [request.width, request.height];
        [request.width, request.height] = match (request.image, request.video) {
            (Some(ImageSource::Frame(_)), _) | (None, Some(ClipSource::Video(_))) => size_after(given, picture, info),
            _ => size(given, picture, info),
        };
    }
    request
}

/// Why a first and a last frame cannot be those of one video. Both are stretched to its size, so one of another shape would
/// show everything broader or narrower than it is.
pub fn unlike((first, last): ([u32; 2], [u32; 2])) -> Option<String> {
    let aspect = |[width, height]: [u32; 2]| f64::from(width.max(1)) / f64::from(height.max(1));
    // Sizes of whole pixels differ by a little.
    let apart = (aspect(last) / aspect(first)).ln().abs();
    (apart > MOST_APART.ln_1p())
        .then(|| format!("the first frame is {}x{} and the last {}x{}", first[0], first[1], last[0], last[1]))
}

/// Why a model that takes a first frame takes no last one.
pub fn no_last_frame(info: &ModelInfo) -> String {
    format!("{} finds a first frame in its latents and knows no other", info.name)
}

/// Width and height of a render from a frame of a video of this size, of which these are given.
pub(crate) fn size_after(given: [Option<u32>; 2], before: [u32; 2], info: &ModelInfo) -> [Option<u32>; 2] {
    if given == [None; 2] { before.map(Some) } else { size(given, before, info) }
}

/// Width and height of a render from a picture of this size, of which these are given.
pub fn size(given: [Option<u32>; 2], picture: [u32; 2], info: &ModelInfo) -> [Option<u32>; 2] {
    let grid = f64::from(info.geometry.alignment());
    let beside = |side: u32, of: u32, to: u32| {
        let exact = f64::from(side) * f64::from(to) / f64::from(of);
        // Saturates: a size beyond every model's is refused with the others.
        ((exact / grid).round().max(1.0) * grid) as u32
    };
    match given {
        [None, None] => {
            let (width, height) = size_for(picture, info);
            [Some(width), Some(height)]
        }
        [Some(width), None] => [Some(width), Some(beside(width, picture[0], picture[1]))],
        [None, Some(height)] => [Some(beside(height, picture[1], picture[0])), Some(height)],
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
        let picture = [72, 128];
        let size = |request: &VideoRequest, picture| {
            let request = sized(request, picture, &info);
            (request.width, request.height)
        };
        assert_eq!(size(&request(), Some(picture)), (Some(720), Some(1280)));
        assert_eq!(size(&request(), None), (None, None));
        let wide = VideoRequest { width: Some(640), ..request() };
        assert_eq!(size(&wide, Some(picture)), (Some(640), Some(1136)), "1137.8, on a grid of 16");
        assert_eq!(size(&wide, None), (Some(640), None));
        let high = VideoRequest { height: Some(640), ..request() };
        assert_eq!(size(&high, Some(picture)), (Some(368), Some(640)));
        let strip = [8000, 8];
        assert_eq!(size(&wide, Some(strip)), (Some(640), Some(16)), "never nothing");
        assert_eq!(size(&high, Some(strip)), (Some(640_000), Some(640)), "and never cut: the model refuses it");
        let both = VideoRequest { height: Some(640), ..wide };
        assert_eq!(size(&both, Some(picture)), (Some(640), Some(640)));
    }
}
