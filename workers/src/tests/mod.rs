//! A whole worker in one process, against a coordinator and networks that do what the test says.
//! Not with real networks (those are in `roles`), and not with real processes.

pub(crate) mod fixtures;
mod harness;

mod attaching;
mod inputs;
mod working;
