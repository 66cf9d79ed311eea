//! Examining a device and a model before a night is spent on them: the checks of `wanfarm_model::doctor`, then the
//! quality gate on the frames of their small render.

mod quality;
mod report;

pub use quality::judge;
pub use report::{Report, line};
