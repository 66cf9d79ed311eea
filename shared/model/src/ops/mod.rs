//! The operations that the networks share, one per file, right on CPU, Metal and CUDA.

pub mod activation;
pub mod attention;
pub mod bands;
pub mod chunks;
pub mod compact;
pub mod conv;
pub(crate) mod decode;
pub mod device;
pub mod linear;
pub mod norm;
pub mod rope;
mod rows;

pub use linear::Linear;
