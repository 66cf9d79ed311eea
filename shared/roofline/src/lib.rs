//! What the networks cost, and how long a known chip should take for them: dispatches with their bytes and operations,
//! public figures of chips, and the roofline over both. Everything here is calculated; nothing is measured.
//!
//! Not here: how fast a machine really is, which `coordinator bench` and the first steps of a render tell.

pub mod chip;
pub mod dit;
pub mod expected;
pub mod forecast;
pub mod ledger;
pub mod models;
pub mod umt5;
pub mod vae;

pub use chip::Chip;
pub use forecast::{Forecast, Units};
pub use ledger::{Dispatch, Elements, Kernels, Kind, Ledger};
