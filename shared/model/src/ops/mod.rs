//! The operations that the networks share, one per file, right on CPU, Metal and CUDA.

pub mod activation;
pub(crate) mod affine;
pub mod attention;
pub(crate) mod bands;
pub mod chunks;
pub mod compact;
pub(crate) mod conv;
pub(crate) mod decode;
pub mod device;
pub mod heads;
#[cfg(any(target_os = "macos", feature = "metal"))]
mod metal;
pub mod nag;
pub mod norm;
pub mod packed;
pub mod product;
pub mod residual;
pub mod rope;
mod rows;
pub(crate) mod window;
