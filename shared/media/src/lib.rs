//! Frames to files and back: mp4, PNG folders, GIFs and contact sheets out, first frames in, and what the numbers
//! say about a rendered clip.
//!
//! Deliberately not here: where outputs go, temporary names and atomic renames (the caller's), tensors, and the
//! resizing an image model wants of its first frame (the model's own rule, to the bit).

mod colour;
mod compare;
mod contact;
mod error;
mod file;
mod frames;
mod gif;
mod grid;
mod image_in;
mod mp4;
mod png;
mod quality;
mod statistics;

pub use compare::{Psnr, psnr};
pub use contact::{ContactSheet, write_contact};
pub use error::MediaError;
pub use frames::Frames;
pub use gif::write_gif;
pub use image_in::{RgbImage, load_image};
pub use mp4::write_mp4;
pub use png::write_png_folder;
pub use quality::{Checkerboard, Exposure, Flat, Frozen, Noise, Quality, Verdict, assess};
