//! How long work will take, and where it will wait: from what there is to do and from measured speeds, or where nothing was measured yet from
//! what is known of the chips. Pure.
//!
//! `workload` counts the work, `workforce` knows the speeds, `makespan` puts both together, `balance` divides workers
//! between the experts; `space` counts bytes on disks, `room` those in memory. Deliberately not here: placing work, which is the scheduler's, and
//! showing anything.

mod balance;
mod makespan;
mod room;
mod space;
mod stage;
mod workforce;
mod workload;

pub use balance::Balance;
pub use makespan::Estimate;
pub use room::{lack, needs, room_words};
pub use space::{Footprint, Space};
pub use stage::StageEstimate;
pub use workforce::{Basis, Workforce};
pub use workload::{Workload, stages_left};
