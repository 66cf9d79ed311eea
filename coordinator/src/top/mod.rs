//! `coordinator top`: the night in a terminal, live.
//!
//! `night` is what is known and what follows from it, `screen` what a person has chosen of it and what a key changes,
//! `view` a picture of both: pure, all three. `source` asks the coordinator, `terminal` owns the terminal; who brings them
//! together is `cli::top`.

mod alerts;
mod night;
mod screen;
mod source;
mod stages;
mod terminal;
mod view;

pub(crate) use screen::{News, Screen, Wish};
pub(crate) use source::Source;
pub(crate) use terminal::Terminal;
pub(crate) use view::draw;
