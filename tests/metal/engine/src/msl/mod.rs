//! Metal Shading Language to C++, and C++ to code.

pub mod compile;
mod kernels;
pub mod tokens;
pub mod translate;
mod waits;
