//! Model files on disk: which folder layout it is, which file holds what, and their names made official.
//!
//! Not here: the networks, and what their tensors mean.

mod calibration;
mod card;
pub mod config;
pub(crate) mod decode;
mod digest;
pub(crate) mod encoding;
pub(crate) mod experts;
mod find;
mod fit;
pub(crate) mod folder;
pub(crate) mod gguf;
pub(crate) mod kernels;
pub(crate) mod layout;
mod listing;
mod loose;
mod loras;
pub(crate) mod mapped;
mod mistaken;
pub(crate) mod names;
pub(crate) mod parts;
mod pickle;
pub(crate) mod prefix;
pub(crate) mod presets;
pub(crate) mod pth;
pub(crate) mod safetensors;
pub(crate) mod scales;
mod shards;

pub use calibration::{calibration_file, write_calibration};
pub use config::ConfigFile;
pub use digest::digest_files;
pub use find::{find, is_model, model_name};
pub use folder::{ModelFolder, open};
pub use mistaken::mistaken;
pub use presets::NEGATIVE_PROMPT;
