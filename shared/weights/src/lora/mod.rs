//! LoRA files: adapters of a transformer, which are differences to its weights. What they change is told by their headers.

mod contents;
mod fit;
mod names;
mod outline;
#[cfg(test)]
mod tests;

pub use contents::{Change, LoraContents};
pub use fit::Fit;
pub use outline::Outline;
