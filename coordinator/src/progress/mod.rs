//! Shows the progress of a followed job, its estimated end, and its results.
//!
//! Lines of videos in, text out; the time is an argument. Deliberately not here: asking the coordinator for them.

mod bars;
mod eta;
mod lines;
mod show;
mod summary;
mod tally;
mod words;

pub use eta::Pace;
pub(crate) use eta::steps_left;
pub use show::Progress;
pub use summary::Summary;
pub(crate) use summary::{list, together};
pub(crate) use words::{columns, counted, loading};
