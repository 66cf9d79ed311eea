//! The tiny autoencoders of drafts: latents → frames by a small network that was trained to look like the large one. Of a
//! first latent frame comes one frame, of each later one come four, as with the large one.
//!
//! Only the decoder is here: what conditions a video on known frames is encoded by the model's own autoencoder. Not here
//! either: where its file lies (`folder`).

mod config;
mod memory;
mod network;

pub use config::TinyConfig;
pub use network::{TinyDecoder, TinyVae};
