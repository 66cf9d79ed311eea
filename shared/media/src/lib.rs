//! Frames to files and back: mp4, PNG folders, GIFs and contact sheets out, clips and stills of them in, and
//! what the numbers say about a rendered clip and about how like another it is.
//!
//! Deliberately not here: where outputs go, temporary names and atomic renames (the caller's), first frames
//! (`wanfarm-image`), and tensors.

mod clip;
mod colour;
mod compare;
mod contact;
mod error;
mod file;
mod film;
mod frames;
mod gif;
mod grid;
mod mp4;
mod mp4_in;
mod png;
mod quality;
mod similarity;
mod ssim;
mod statistics;
mod still;

pub use clip::{AtRate, Clip};
pub use compare::{Psnr, psnr};
pub use contact::{ContactSheet, write_contact};
pub use error::MediaError;
pub use film::{Part, write_film};
pub use frames::Frames;
pub use gif::{gif, write_gif};
pub use mp4::{QUANTISER, write_mp4};
pub use png::{png, write_png_folder};
pub use quality::{Checkerboard, Exposure, Flat, Frozen, Noise, Quality, Verdict, assess};
pub use similarity::{FrameSimilarity, Similarity};
pub use still::{poster, still};
