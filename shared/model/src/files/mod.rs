//! Model files on disk: which folder layout it is, which file holds what, and their names made official.

pub mod config;
pub(crate) mod mapped;
pub(crate) mod names;
pub(crate) mod pickle;
pub(crate) mod pth;
pub(crate) mod safetensors;
