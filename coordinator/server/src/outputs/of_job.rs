//! The files of a job, as its rows tell them.

use std::path::PathBuf;
use std::sync::Arc;

use wanfarm_types::JobId;

use super::record::Written;

/// The files of a job's finished videos.
#[derive(Debug, Clone)]
pub struct JobFiles {
    /// The output directory of the job.
    pub root: PathBuf,
    /// In order.
    pub videos: Vec<VideoFiles>,
}

/// The files of a finished video.
#[derive(Debug, Clone)]
pub struct VideoFiles {
    pub video: u32,
    /// Digests of the files as written.
    pub written: Arc<[Written]>,
    /// The later job that has written to the same places since, if one has.
    pub replaced_by: Option<JobId>,
}
