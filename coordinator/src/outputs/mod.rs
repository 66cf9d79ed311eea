//! Finished videos on disk: media files, sidecars and the job's report, each appearing whole or not at all.

mod place;
mod sidecar;
mod task;
mod volume;

pub use place::{PlaceError, Placing};
pub use sidecar::Sidecar;
pub use task::{Finished, Outputs, Task, Unwritten};
pub use volume::Volume;
