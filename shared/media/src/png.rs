//! A folder of PNG files, one per frame: the lossless output, each with what is said of the video. No animation.

use std::fs;
use std::io;
use std::path::Path;

use wanfarm_image::PNG_SETTINGS;
use wanfarm_types::{Format, frame_name};

use crate::file::write_file;
use crate::{Frames, MediaError};

/// Writes `00000.png`, `00001.png` … into `folder`, which is created if it is not there.
///
/// # Errors
/// [`MediaError::Size`], [`MediaError::DiskFull`] or [`MediaError::Write`], naming the file.
pub fn write_png_folder(frames: &Frames<'_>, folder: &Path) -> Result<(), MediaError> {
    fs::create_dir_all(folder).map_err(|error| MediaError::io(folder, error))?;
    let (width, height) = frames.size_in(Format::Png, folder)?;
    for (index, frame) in frames.iter().enumerate() {
        write_png(frame, width, height, frames.remark(), &folder.join(frame_name(index)))?;
    }
    wanfarm_durable::sync_folder(folder).map_err(|error| MediaError::io(folder, error))
}

/// A frame as the bytes of a PNG file: those of the file that [`write_png_folder`] makes of it.
///
/// # Errors
/// [`MediaError::Size`], or that there is no such frame; `path` names it.
pub fn png(frames: &Frames<'_>, index: usize, path: &Path) -> Result<Vec<u8>, MediaError> {
    if index >= frames.count() {
        return Err(MediaError::io(path, io::Error::other(format!("there are {} frames", frames.count()))));
    }
    let (width, height) = frames.size_in(Format::Png, path)?;
    let mut bytes = Vec::new();
    encode(frames.frame(index), width, height, frames.remark(), &mut bytes)
        .map_err(|error| MediaError::io(path, error))?;
    Ok(bytes)
}

/// Writes one RGB picture, with a remark if there is one.
pub(crate) fn write_png(
    rgb: &[u8],
    width: u32,
    height: u32,
    remark: Option<&str>,
    path: &Path,
) -> Result<(), MediaError> {
    write_file(path, |writer| encode(rgb, width, height, remark, writer).map_err(|error| MediaError::io(path, error)))
}

fn encode(rgb: &[u8], width: u32, height: u32, remark: Option<&str>, out: impl io::Write) -> io::Result<()> {
    let mut encoder = ::png::Encoder::new(out, width, height);
    encoder.set_color(::png::ColorType::Rgb);
    encoder.set_depth(::png::BitDepth::Eight);
    encoder.set_compression(::png::Compression::Fast);
    remark
        .map_or(Ok(()), |remark| encoder.add_itxt_chunk(PNG_SETTINGS.to_owned(), remark.to_owned()))
        .and_then(|()| encoder.write_header())
        .and_then(|mut writer| writer.write_image_data(rgb).and_then(|()| writer.finish()))
        .map_err(into_io)
}

fn into_io(error: ::png::EncodingError) -> io::Error {
    match error {
        ::png::EncodingError::IoError(error) => error,
        other => io::Error::other(other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_frame_comes_back_bit_for_bit() {
        let folder = tempfile::tempdir().unwrap();
        let data: Vec<u8> = (0..3 * 5 * 7 * 3).map(|i| (i * 37 % 256) as u8).collect();
        let clip = Frames::new(&data, 3, 5, 7).unwrap();
        let out = folder.path().join("clip");
        write_png_folder(&clip, &out).unwrap();
        let mut names: Vec<_> = fs::read_dir(&out).unwrap().map(|e| e.unwrap().file_name()).collect();
        names.sort();
        assert_eq!(names, ["00000.png", "00001.png", "00002.png"]);
        assert!(png(&clip, 3, &out).unwrap_err().to_string().contains("3 frames"));
        for (index, frame) in clip.iter().enumerate() {
            let image = wanfarm_image::load_image("frame", &fs::read(out.join(&names[index])).unwrap()).unwrap();
            assert_eq!((image.width(), image.height()), (7, 5));
            assert_eq!(image.data(), frame);
            assert_eq!(png(&clip, index, &out).unwrap(), fs::read(out.join(&names[index])).unwrap());
        }
    }

    #[test]
    fn errors_name_the_file() {
        let clip = Frames::new(&[0; 12], 1, 2, 2).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("taken");
        fs::write(&file, b"").unwrap();
        let error = write_png_folder(&clip, &file).unwrap_err();
        assert!(error.to_string().contains("taken"), "{error}");
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_full_disk_is_told_apart() {
        let error = write_png(&[0; 12], 2, 2, None, Path::new("/dev/full")).unwrap_err();
        assert!(matches!(error, MediaError::DiskFull { .. }), "{error:?}");
        assert!(error.is_transient());
    }
}
