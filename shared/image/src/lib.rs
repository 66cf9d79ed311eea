//! Pictures that people give: PNG, JPEG and WebP files as 8-bit RGB.
//!
//! Deliberately not here: videos and what the farm writes (`wanfarm-media`), and the resizing that a model wants of its
//! first frame (`wanfarm-model`).

mod read;
mod rgb;

pub use read::{image_size, load_image};
pub use rgb::RgbImage;

/// An image file that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("cannot use image {name}: {why}")]
pub struct ImageError {
    /// The file, or what else it is called.
    pub name: String,
    /// What is wrong with it.
    pub why: String,
}
