//! Step caches: which steps are skipped, and what replaces them. Pure decisions; what networks compute and keep is not
//! here.
//!
//! MagCache's and TeaCache's decisions follow from the schedule alone, so they are made for all steps at once, as a
//! [`Plan`], the same on every machine that takes the video on. The CFG cache's follow from the step's number. Those of
//! SenCache follow from the latents, one step after the other.

mod curves;
mod guidance;
mod magcache;
mod plan;
mod sencache;
mod teacache;

pub use guidance::{computes_both, weighted_difference};
pub use magcache::{Phases, mag_plan};
pub use plan::{Branch, Plan};
pub use sencache::{Drift, may_reuse, root_mean_square_distance};
pub use teacache::{TeaZones, tea_plan};
