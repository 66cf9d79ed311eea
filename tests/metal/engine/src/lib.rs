//! A Metal device on the CPU.
//!
//! `objc2-metal`'s stub gives this device the face of Metal; nothing here knows Objective-C.

mod command;
pub mod encoder;
pub mod fault;
pub mod findings;
pub mod hazard;
pub mod launch;
pub mod library;
pub mod memory;
pub mod msl;
pub mod options;
pub mod queue;
pub mod stats;
pub mod worker;
