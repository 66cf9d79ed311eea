//! The video autoencoders of Wan2.1 and Wan2.2: frames ↔ latents, one frame in and some frames out.
//!
//! The reference cuts a video in chunks of 1, 4, 4, … frames and carries a feature cache from chunk to chunk. Every
//! layer is causal, so that is one stream, and here it is computed as one: a frame goes through all layers before the
//! next one starts, and what a layer needs of the past lies in a [`FeatureCache`]. Memory depends on the size of a
//! frame, not on their number.
//!
//! Not here: reading or writing videos, and the conditioning that a first frame becomes.

mod blueprint;
mod cache;
mod config;
mod layers;
mod memory;
mod network;
mod patch;
mod resample;
mod shortcut;
mod wan_vae;

pub use blueprint::parameters;
pub use cache::FeatureCache;
pub use config::{LatentStatistics, VaeConfig};
pub(crate) use memory::item;
pub use wan_vae::{Decoder, Encoder, WanVae, rgb8};
