//! A job as it is submitted.

use serde::{Deserialize, Serialize};
use wanfarm_types::{Digest, VideoRequest};

/// What becomes of videos whose names are taken, by files or by other jobs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum Taken {
    /// The job is refused.
    #[default]
    Refuse,
    /// They replace what stands there: files, and folders that hold nothing but frames.
    Overwrite,
    /// They get a name that is free.
    NewName,
    /// Those that stand there whole are left out.
    Skip,
}

/// A job to be queued.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Submission {
    /// Chosen by the client; a repeated one names the job made the first time.
    pub client_key: String,
    /// Name of the job.
    pub name: String,
    /// Name of the model.
    pub model: String,
    /// Higher goes first.
    pub priority: u32,
    /// The first, the last and the middle video go first.
    pub early_look: bool,
    /// What becomes of videos whose names are taken.
    pub taken: Taken,
    /// The videos.
    pub videos: Vec<VideoRequest>,
}

impl Submission {
    /// Digest of everything that is asked for: two submissions with one key are the same job if this is equal.
    pub fn digest(&self) -> Digest {
        let mut hasher = blake3::Hasher::new();
        // Writing to a hasher fails only where a value cannot be JSON; then both are told apart by what came before.
        let _ = serde_json::to_writer(&mut hasher, self);
        Digest(*hasher.finalize().as_bytes())
    }
}
