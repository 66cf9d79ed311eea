//! The layers with weights that the networks share.

pub mod conv;
mod linear;

pub use linear::Linear;
