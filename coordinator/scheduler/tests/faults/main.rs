//! One test per fault the scheduler survives, named after it. See `tests/night` for all of them at once.

mod assigned;
mod chains;
mod checkpoints;
mod deaths;
mod desk;
mod drain;
mod failures;
mod kept;
mod operators;
mod placement;
mod residency;
mod restarts;
mod speeds;
mod stalls;
mod weights;
mod writing;
