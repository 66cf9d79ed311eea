//! What happens to a video, as the display needs it. Where it comes from is the client's.

use std::borrow::Cow;

use wanfarm_types::{Stage, VideoId};

/// Where a video stands now.
#[derive(Debug, Clone, PartialEq)]
pub struct VideoProgress {
    /// Which video.
    pub id: VideoId,
    /// What people call it: its prompt or output.
    pub label: String,
    /// The stage it is in; absent before the first and after the last.
    pub stage: Option<Stage>,
    /// Denoising steps that have run.
    pub step: u32,
    /// Denoising steps in all; 0 while unknown.
    pub steps: u32,
    /// Seconds of the last steps; absent before the first.
    pub seconds_per_step: Option<f64>,
    /// What it does.
    pub state: VideoState,
}

/// What a video does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum VideoState {
    /// Nothing of it runs now.
    Waiting,
    /// A worker computes it.
    Running,
    /// Its files are being written.
    Writing,
    /// Its files are in place.
    Done,
    /// Given up with this error.
    Failed(String),
    /// Given up by an operator.
    Cancelled,
}

impl VideoState {
    /// Its name in lines and tables.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Running => "running",
            Self::Writing => "writing",
            Self::Done => "done",
            Self::Failed(_) => "failed",
            Self::Cancelled => "cancelled",
        }
    }

    /// Whether nothing more will happen to it.
    pub fn is_end(&self) -> bool {
        matches!(self, Self::Done | Self::Failed(_) | Self::Cancelled)
    }
}

/// A text from elsewhere on one line, without control characters, at most `longest` characters.
pub(crate) fn tame(text: &str, longest: usize) -> Cow<'_, str> {
    if text.chars().count() <= longest && !text.chars().any(char::is_control) {
        return text.into();
    }
    let flat = |c: char| if c.is_control() { ' ' } else { c };
    if text.chars().count() <= longest {
        return text.chars().map(flat).collect();
    }
    text.chars().map(flat).take(longest.saturating_sub(1)).chain(['…']).collect()
}
