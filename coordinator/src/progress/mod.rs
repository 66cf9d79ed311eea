//! What a following client shows: how far every video is, when the job will be done, and what came of it.
//!
//! Plain events in, text out; the time is an argument. Deliberately not here: asking the coordinator for the events.

mod bars;
mod eta;
mod event;
mod lines;
mod show;
mod summary;
mod tally;

pub use eta::Pace;
pub use event::{VideoProgress, VideoState};
pub(crate) use event::{columns, counted};
pub use show::Progress;
pub use summary::{Outcome, Summary, VideoOutcome};
pub(crate) use summary::{list, together};
