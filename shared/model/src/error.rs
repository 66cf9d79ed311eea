//! Everything that can go wrong between a folder of model files and a result, said so that a person can act on it.
//!
//! Not here: whether another try makes sense. The caller decides that.

use wanfarm_image::ImageError;
use wanfarm_weights::FileError;

/// A fault of model files, of a network's input, or of the device.
#[derive(Debug, thiserror::Error)]
pub enum ModelError {
    /// Files are missing, damaged, or of another model.
    #[error(transparent)]
    File(#[from] FileError),
    /// The input of a network has a wrong shape or value.
    #[error("{what}: {why}")]
    Input {
        /// Name of the input.
        what: &'static str,
        /// What was expected, and what came.
        why: String,
    },
    /// A picture that is none.
    #[error(transparent)]
    Image(#[from] ImageError),
    /// The device cannot be had.
    #[error("device {device}: {why}")]
    Device {
        /// `cpu`, `metal` or `cuda`.
        device: &'static str,
        /// Why not, and what to do.
        why: String,
    },
    /// A computation failed on its device.
    #[error("tensor computation failed: {0}")]
    Candle(#[from] candle_core::Error),
}

impl ModelError {
    /// An input of a network that it cannot take.
    pub fn input(what: &'static str, why: impl Into<String>) -> Self {
        Self::Input { what, why: why.into() }
    }

    /// What is wrong, without the file's path: for messages that name the file in their own words.
    pub fn why(&self) -> String {
        match self {
            Self::File(fault) => fault.why(),
            other => other.to_string(),
        }
    }
}
