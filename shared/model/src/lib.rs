//! The Wan networks on candle: text encoder, DiT and VAE, and the model files they load.
//!
//! Deliberately not here: jobs, videos, processes and wire formats. A network is written once: file layouts rename
//! their tensors into the official names, quantisation is a variant of [`ops::Linear`], and the choice of an attention
//! kernel is a branch inside [`ops::attention`].

pub mod calibrate;
pub mod conditioning;
pub mod dit;
pub mod doctor;
pub mod error;
pub mod files;
pub mod inspect;
pub mod lora;
pub mod ops;
pub mod step_cache;
pub mod text;
pub mod umt5;
pub mod vae;
pub mod weights;

pub use error::{BadTensors, ModelError};
pub use weights::{Param, Weights};
