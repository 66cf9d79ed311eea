//! The Wan networks on candle: text encoder, DiT and VAE, and the model files they load.
//!
//! Deliberately not here: jobs, videos, processes and wire formats. A network is written once: file layouts rename
//! their tensors into the official names, quantisation is a variant of [`layers::Linear`], and the choice of an attention
//! kernel is a branch inside [`ops::attention`].

pub mod conditioning;
pub mod dit;
mod error;
pub mod folder;
pub mod layers;
pub mod lora;
pub mod ops;
pub mod step_cache;
pub mod text;
pub mod tiny_vae;
pub mod umt5;
pub mod vae;
mod weights;

pub use error::ModelError;
pub use weights::Weights;
