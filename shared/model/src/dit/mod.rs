//! The diffusion transformer: latents, timestep and text → velocity.
//!
//! Not here: schedules, guidance and the choice of the expert.

mod attention;
mod block;
mod embedding;
mod head;
mod memory;
mod model;
mod text;

pub use embedding::Timesteps;
pub(crate) use memory::item;
pub use model::{Blocks, Residual, WanModel};
pub use text::TextContext;
