//! The diffusion transformer: latents, timestep and text → velocity.
//!
//! Not here: schedules, guidance and the choice of the expert.

mod attention;
mod block;
mod config;
mod embedding;
mod head;
mod model;
mod text;

pub use config::Config;
pub(crate) use config::PATCH;
pub use embedding::Timesteps;
pub use model::{Blocks, Residual, WanModel, parameters};
pub use text::TextContext;
