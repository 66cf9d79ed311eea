//! Files of weights: which tensors they hold under which official names, how their numbers are stored, and what a LoRA
//! file changes. Headers are read whole and checked; numbers only on demand.
//!
//! Deliberately not here: networks, devices and arithmetic on tensors (`wanfarm-model`). So a
//! client, which only names files, needs none of those.

mod affine;
mod config_file;
pub mod decode;
mod digest;
pub mod encoding;
mod entry;
mod error;
mod factors;
mod gguf;
mod gone;
pub mod kernels;
pub mod listing;
pub mod lora;
mod mapped;
mod mistaken;
mod names;
mod param;
mod pickle;
mod prefix;
mod pth;
mod safetensors;
pub mod scales;
pub mod shards;
pub mod transformer;
mod weight_files;

pub use config_file::ConfigFile;
pub use digest::digest_files;
pub use encoding::Encoding;
pub use entry::Entry;
pub use error::{BadTensors, FileError, listed};
pub use factors::{Factors, Groups};
pub use listing::model_name;
pub use mapped::{MappedFile, Piece};
pub use mistaken::mistaken;
pub use names::Naming;
pub use param::Param;
pub use weight_files::{Share, WeightFiles};
