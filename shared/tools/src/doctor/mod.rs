//! Checks of a port: does this device, with these model files, compute what the networks mean?
//!
//! What has gone wrong in ports before, in the order in which faults hide each other: model files, single operations,
//! the autoencoder, the transformers, a small render. Each check gives a figure and the limit it must keep, and takes
//! what it checks as a function, so that its test can hand it the fault.
//!
//! Not here: judging the frames of the render, and showing what was found.

mod clip;
mod compact;
#[cfg(test)]
pub(crate) mod demo;
mod dit;
mod examination;
mod experts;
pub mod finding;
mod numbers;
mod ops;
mod trial;
mod vae;

pub use examination::Examination;
pub use finding::{Finding, Limit, Measure, Outcome, Section};
pub use trial::Rendered;
