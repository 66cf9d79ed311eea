//! The scalar mathematics of sampling: which noise levels to visit, how a solver steps between them, and the
//! noise to start from.
//!
//! Everything is a pure function of its arguments, computed in f64 and rounded to f32 once. Deliberately not here:
//! tensors on devices, networks, clocks, randomness other than the seeded generator, files.

pub mod cache;
pub mod forms;
mod guidance;
mod mt19937;
mod multistep;
mod noise;
mod schedule;
mod solver;
mod spread;
mod update;
pub mod values;

pub use guidance::guide;
pub use noise::{Generator, randn, randn_of_step};
pub use schedule::{Schedule, ScheduleError};
pub use solver::{Solver, SolverError, SolverState, estimate_at, history_len};
pub use spread::Spread;
