//! First frames from image files: PNG, JPEG and WebP, turned upright, 8-bit RGB.
//!
//! As `PIL.ImageOps.exif_transpose` and `.convert("RGB")` do it: the EXIF orientation is applied, grey is repeated,
//! palettes are looked up, and alpha is dropped, not blended; colour profiles are ignored. 16-bit samples keep their
//! high byte. (For 16-bit grey PIL clips instead, which whitens nearly every such picture; that is not followed.)
//! Resizing is not done here.

use std::io::Cursor;

use image::metadata::Orientation;
use image::{DynamicImage, ImageDecoder, ImageFormat, ImageReader, Limits};

use crate::{ImageError, RgbImage};

/// Longest side that is read, in pixels.
const MAX_SIDE: u32 = 16_384;
/// Most pixels that are read; twice an 8192x8192 picture.
const MAX_PIXELS: u64 = 1 << 27;
/// Most bytes of decoded pixels, and most memory a decoder may take: those pixels with alpha, or half of them with 16
/// bits a sample.
const MAX_BYTES: u64 = 1 << 29;

/// Decodes an image file. `name` is only used in errors; the format is recognised from the bytes.
///
/// # Errors
/// If the bytes are not a whole PNG, JPEG or WebP file or the picture is too large.
pub fn load_image(name: &str, bytes: &[u8]) -> Result<RgbImage, ImageError> {
    decode(bytes).map_err(|why| ImageError { name: name.to_owned(), why })
}

/// Width and height of an image file, upright, from its header: no pixel is decoded, so a damaged picture may have a
/// size. `name` is only used in errors.
///
/// # Errors
/// If [`load_image`] would refuse the file for its header.
pub fn image_size(name: &str, bytes: &[u8]) -> Result<[u32; 2], ImageError> {
    let size = open(bytes).map(|Opened { decoder, orientation, .. }| {
        use Orientation::{Rotate90, Rotate90FlipH, Rotate270, Rotate270FlipH};
        let (width, height) = decoder.dimensions();
        match orientation {
            Rotate90 | Rotate270 | Rotate90FlipH | Rotate270FlipH => [height, width],
            _ => [width, height],
        }
    });
    size.map_err(|why| ImageError { name: name.to_owned(), why })
}

fn decode(bytes: &[u8]) -> Result<RgbImage, String> {
    let Opened { decoder, format, orientation } = open(bytes)?;
    let mut image = DynamicImage::from_decoder(decoder).map_err(|error| broken(format, error))?;
    image.apply_orientation(orientation);
    let (width, height) = (image.width() as usize, image.height() as usize);
    RgbImage::new(width, height, rgb8(image)).map_err(|error| error.why)
}

/// A file whose header has been read.
struct Opened<D> {
    decoder: D,
    format: ImageFormat,
    orientation: Orientation,
}

fn open(bytes: &[u8]) -> Result<Opened<impl ImageDecoder>, String> {
    let format = match image::guess_format(bytes) {
        Ok(format @ (ImageFormat::Png | ImageFormat::Jpeg | ImageFormat::WebP)) => format,
        Ok(other) => return Err(format!("{other:?} files are not read; convert it to PNG, JPEG or WebP")),
        Err(_) if bytes.is_empty() => return Err("it is empty".into()),
        Err(_) => return Err("it is not a PNG, JPEG or WebP file".into()),
    };
    if format == ImageFormat::Jpeg && !jpeg_is_complete(bytes) {
        return Err("the file is cut off; copy it again".into());
    }
    let mut limits = Limits::default();
    limits.max_image_width = Some(MAX_SIDE);
    limits.max_image_height = Some(MAX_SIDE);
    limits.max_alloc = Some(MAX_BYTES);
    let broken = |error| broken(format, error);
    let mut reader = ImageReader::with_format(Cursor::new(bytes), format);
    reader.limits(limits);
    let mut decoder = reader.into_decoder().map_err(broken)?;
    let (width, height) = decoder.dimensions();
    check_size([width, height], decoder.total_bytes())?;
    let orientation = decoder.orientation().map_err(broken)?;
    Ok(Opened { decoder, format, orientation })
}

/// Refuses pictures of a size, and of so many bytes, that nobody means.
pub(crate) fn check_size([width, height]: [u32; 2], bytes: u64) -> Result<(), String> {
    let pixels = u64::from(width) * u64::from(height);
    let is_large = width > MAX_SIDE || height > MAX_SIDE || pixels > MAX_PIXELS || bytes > MAX_BYTES;
    if is_large { Err(too_large(format!("{width}x{height}"))) } else { Ok(()) }
}

fn broken(format: ImageFormat, error: image::ImageError) -> String {
    match error {
        image::ImageError::Limits(_) => too_large("it".into()),
        other => format!("the {format:?} data is broken: {other}"),
    }
}

fn too_large(what: String) -> String {
    format!(
        "{what} is larger than {MAX_SIDE} pixels a side, {} megapixels or {} MiB of pixels; make it smaller",
        MAX_PIXELS / 1_000_000,
        MAX_BYTES >> 20
    )
}

/// Drops alpha, repeats grey, keeps the high byte of 16-bit samples.
fn rgb8(image: DynamicImage) -> Vec<u8> {
    let high = |sample: u16| (sample >> 8) as u8;
    match image {
        DynamicImage::ImageRgb8(image) => image.into_raw(),
        DynamicImage::ImageLuma16(image) => image.pixels().flat_map(|p| [high(p.0[0]); 3]).collect(),
        DynamicImage::ImageLumaA16(image) => image.pixels().flat_map(|p| [high(p.0[0]); 3]).collect(),
        DynamicImage::ImageRgb16(image) => image.pixels().flat_map(|p| p.0.map(high)).collect(),
        DynamicImage::ImageRgba16(image) => image.pixels().flat_map(|p| [p.0[0], p.0[1], p.0[2]].map(high)).collect(),
        DynamicImage::ImageLumaA8(image) => image.pixels().flat_map(|p| [p.0[0]; 3]).collect(),
        DynamicImage::ImageRgba8(image) => image.pixels().flat_map(|p| [p.0[0], p.0[1], p.0[2]]).collect(),
        other => other.into_rgb8().into_raw(),
    }
}

/// Whether an end marker follows the first scan. The decoder fills what is missing with grey and says nothing.
fn jpeg_is_complete(bytes: &[u8]) -> bool {
    // Segments before the first scan carry their length; a thumbnail inside one has its own end marker.
    let mut at = 2;
    while let Some(&[0xFF, kind, high, low]) = bytes.get(at..at + 4) {
        if kind == 0xDA {
            return bytes[at..].windows(2).any(|pair| pair == [0xFF, 0xD9]);
        }
        // A marker may be preceded by any number of fill bytes.
        at += if kind == 0xFF { 1 } else { 2 + usize::from(u16::from_be_bytes([high, low])) };
    }
    false
}

#[cfg(test)]
mod tests {
    use image::codecs::jpeg::JpegEncoder;
    use image::{ColorType, ImageEncoder, codecs::png::PngEncoder, codecs::webp::WebPEncoder};

    use super::*;

    fn png(data: &[u8], width: u32, height: u32, colour: ColorType) -> Vec<u8> {
        let mut bytes = Vec::new();
        PngEncoder::new(&mut bytes).write_image(data, width, height, colour.into()).unwrap();
        bytes
    }

    /// An EXIF block that holds nothing but an orientation.
    fn exif(orientation: u8) -> Vec<u8> {
        let mut block = b"MM\0\x2a\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0".to_vec();
        block.extend([orientation, 0, 0, 0, 0, 0, 0]);
        block
    }

    fn jpeg(data: &[u8], width: u32, height: u32, orientation: Option<u8>) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut encoder = JpegEncoder::new_with_quality(&mut bytes, 100);
        if let Some(orientation) = orientation {
            encoder.set_exif_metadata(exif(orientation)).unwrap();
        }
        encoder.write_image(data, width, height, ColorType::Rgb8.into()).unwrap();
        bytes
    }

    fn why(bytes: &[u8]) -> String {
        let error = load_image("shots/first.png", bytes).unwrap_err().to_string();
        assert!(error.contains("shots/first.png"), "{error}");
        error
    }

    #[test]
    fn every_kind_of_sample_becomes_rgb8() {
        let load = |bytes: &[u8]| load_image("x", bytes).unwrap().data().to_vec();
        assert_eq!(load(&png(&[7], 1, 1, ColorType::L8)), [7, 7, 7]);
        assert_eq!(load(&png(&[1, 2, 3, 0], 1, 1, ColorType::Rgba8)), [1, 2, 3], "alpha is dropped, not blended");
        assert_eq!(load(&png(&[9, 0], 1, 1, ColorType::La8)), [9, 9, 9]);
        let sixteen: Vec<u8> = [0x12FFu16, 0x80FF, 0xFF00].iter().flat_map(|v| v.to_ne_bytes()).collect();
        assert_eq!(load(&png(&sixteen, 1, 1, ColorType::Rgb16)), [0x12, 0x80, 0xFF]);
        assert_eq!(load(&png(&sixteen[..2], 1, 1, ColorType::L16)), [0x12; 3]);
        let mut webp = Vec::new();
        WebPEncoder::new_lossless(&mut webp).write_image(&[5, 6, 7, 1], 1, 1, ColorType::Rgba8.into()).unwrap();
        assert_eq!(load(&webp), [5, 6, 7]);
    }

    #[test]
    fn pictures_are_turned_upright() {
        // Left half dark, right half bright, 16 wide and 8 high. 6 = turn clockwise, 3 = upside down.
        let data: Vec<u8> = (0..128).flat_map(|i| [if i % 16 < 8 { 20 } else { 220 }; 3]).collect();
        let at = |image: &RgbImage, x: usize, y: usize| image.pixel(x, y)[0];
        let plain = load_image("x", &jpeg(&data, 16, 8, None)).unwrap();
        assert_eq!((plain.width(), plain.height()), (16, 8));
        assert!(at(&plain, 1, 1) < 60 && at(&plain, 14, 1) > 180);
        let turned = load_image("x", &jpeg(&data, 16, 8, Some(6))).unwrap();
        assert_eq!((turned.width(), turned.height()), (8, 16));
        assert!(at(&turned, 1, 1) < 60 && at(&turned, 1, 14) > 180);
        let flipped = load_image("x", &jpeg(&data, 16, 8, Some(3))).unwrap();
        assert!(at(&flipped, 1, 1) > 180 && at(&flipped, 14, 1) < 60);
    }

    #[test]
    fn broken_files_say_so() {
        assert!(why(b"").contains("empty"));
        assert!(why(b"hello, I am not an image").contains("not a PNG"));
        assert!(why(b"GIF89a\x01\0\x01\0\0\0\0").contains("convert"));
        let data = vec![128; 64 * 64 * 3];
        let whole = png(&data, 64, 64, ColorType::Rgb8);
        assert!(why(&whole[..whole.len() / 2]).contains("broken"));
        let whole = jpeg(&data, 64, 64, Some(1));
        assert!(why(&whole[..whole.len() - 2]).contains("cut off"));
        assert!(why(&whole[..40]).contains("cut off"));
        let mut webp = Vec::new();
        WebPEncoder::new_lossless(&mut webp).write_image(&data, 64, 64, ColorType::Rgb8.into()).unwrap();
        assert!(why(&webp[..webp.len() / 2]).contains("broken"));
    }

    #[test]
    fn bombs_are_refused_before_they_unfold() {
        for (width, height, bits, colour) in
            [(60_000u32, 60_000u32, 8, 2), (16_384, 16_384, 8, 2), (1, 20_000, 8, 2), (16_384, 8192, 16, 6)]
        {
            let bytes = header_of_png(width, height, bits, colour);
            assert!(why(&bytes).contains("larger than"), "{}", why(&bytes));
            assert!(image_size("x", &bytes).unwrap_err().to_string().contains("larger than"));
        }
    }

    #[test]
    fn a_size_is_the_header_s_and_costs_no_pixels() {
        // As large as is read, with nothing behind the header.
        let header = header_of_png(16_384, 8192, 8, 6);
        assert_eq!(image_size("x", &header).unwrap(), [16_384, 8192]);
        assert!(why(&header).contains("broken"));
        let data = vec![0; 16 * 8 * 3];
        for turned in 1..=8 {
            let file = jpeg(&data, 16, 8, Some(turned));
            let whole = load_image("x", &file).unwrap();
            let [width, height] = image_size("x", &file).unwrap();
            assert_eq!((width as usize, height as usize), (whole.width(), whole.height()), "orientation {turned}");
        }
    }

    /// A PNG with nothing behind its header.
    fn header_of_png(width: u32, height: u32, bits: u8, colour: u8) -> Vec<u8> {
        let mut header = b"IHDR".to_vec();
        header.extend(width.to_be_bytes());
        header.extend(height.to_be_bytes());
        header.extend([bits, colour, 0, 0, 0]);
        let mut bytes = b"\x89PNG\r\n\x1a\n\0\0\0\x0d".to_vec();
        bytes.extend(&header);
        bytes.extend(crc32(&header).to_be_bytes());
        bytes.extend(b"\0\0\0\0IDAT\x35\xaf\x06\x1e");
        bytes
    }

    fn crc32(bytes: &[u8]) -> u32 {
        !bytes.iter().fold(!0u32, |crc, &byte| {
            (0..8).fold(crc ^ u32::from(byte), |crc, _| if crc & 1 == 1 { crc >> 1 ^ 0xEDB8_8320 } else { crc >> 1 })
        })
    }
}
