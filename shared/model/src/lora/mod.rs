//! Adapters of a transformer (LoRA and what goes by that name): differences to its weights, in files of their own.
//!
//! Those that are part of a model (`folder::loras`) are merged into its weights when these are loaded, as others can be
//! ([`Weights::adapt`](crate::Weights::adapt) before
//! [`WanModel::load`](crate::dit::WanModel::load)), or stand beside a network that stays in memory
//! ([`WanModel::adapt`](crate::dit::WanModel::adapt)). Matrices that are kept compact are never merged: there the
//! adapters stand beside them either way.

mod adapters;
mod file;

pub use adapters::Adapters;
pub(crate) use adapters::Side;
pub use file::Lora;
