//! What happens to a video, as the display needs it. Where it comes from is the client's.

use unicode_width::UnicodeWidthStr;
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

/// How many columns of a terminal a text takes.
pub(crate) fn columns(text: &str) -> usize {
    text.width()
}

/// A number of things: `1 video`, `2 videos`.
pub(crate) fn counted(count: impl Into<u64>, what: &str) -> String {
    match count.into() {
        1 => format!("1 {what}"),
        count => format!("{count} {what}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_thing_is_not_many() {
        assert_eq!(
            [counted(0u32, "video"), counted(1u32, "video"), counted(2u32, "video")],
            ["0 videos", "1 video", "2 videos"]
        );
    }
}
