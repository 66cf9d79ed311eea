//! One suite for every engine, and an engine without a disk that says what the suite means.

mod conformance;
mod damage;
mod history;
mod memory;
mod sample;
mod sqlite;

pub(crate) use memory::MemoryStore;

/// What is to become of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    Write,
    Full,
    Locked,
    Fail,
}
