//! UMT5, the text encoder: ids to one row of features per token.
//!
//! Not here: the tokenizer (`text`), the decoder half of T5, which no Wan model uses, and the padding with zero rows,
//! which is the DiT's.

mod bias;
mod config;
mod encoder;
mod memory;

pub use config::Config;
pub use encoder::Umt5;
pub(crate) use memory::item;
