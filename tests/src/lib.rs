//! What several tests share: whole renders in one process, without any of the farm around them.
//!
//! Deliberately not here: expectations of any kind.

pub mod files;
pub mod render;
