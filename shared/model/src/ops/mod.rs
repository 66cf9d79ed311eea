//! The operations that the networks share, one per file, right on CPU, Metal and CUDA.

pub mod activation;
pub mod attention;
pub(crate) mod bands;
pub mod chunks;
pub mod compact;
pub(crate) mod decode;
pub mod device;
pub mod norm;
pub mod rope;
mod rows;
