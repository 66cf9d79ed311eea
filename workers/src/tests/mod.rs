//! A whole worker in one process, against a coordinator and networks that do what the test says.
//! Networks are real in `starting` only (and in `roles`); processes never are.

pub(crate) mod fixtures;
mod harness;

mod attaching;
mod inputs;
mod loras;
mod starting;
mod working;
