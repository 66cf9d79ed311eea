//! Pictures that people give: PNG, JPEG and WebP files as 8-bit RGB. And what the files of clips say of themselves.
//!
//! Deliberately not here: the pictures of clips and what the farm writes (`wanfarm-media`), and the resizing that a model
//! wants of its first frame (`wanfarm-model`).

mod clip;
mod mp4;
mod mp4_boxes;
mod pictures;
mod read;
mod rgb;

pub use clip::{ClipAbout, ClipKind, gif_times};
pub use mp4::{Mp4Colour, Mp4Sample, Mp4Track, mp4_index};
pub use pictures::{Pictures, pack, pack_all, pictures_of};
pub use read::{image_size, load_image};
pub use rgb::RgbImage;

/// The keyword under which a PNG file that the farm wrote holds the settings that make it again.
pub const PNG_SETTINGS: &str = "Description";

/// An image file that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("cannot use image {name}: {why}")]
pub struct ImageError {
    /// The file, or what else it is called.
    pub name: String,
    /// What is wrong with it.
    pub why: String,
}
