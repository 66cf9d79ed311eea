//! A job as it is submitted.

use serde::{Deserialize, Serialize, Serializer};
use wanfarm_types::{Digest, Swept, VideoRequest};

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

/// A job to be queued. As JSON it is what decides whether a repeated one is the same.
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
    #[serde(serialize_with = "without_swept")]
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

/// What people tell videos by is no part of what is asked for: clients of earlier versions do not send it.
fn without_swept<S: Serializer>(videos: &[VideoRequest], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(videos.iter().map(|video| VideoRequest {
        name: None,
        swept: Swept::default(),
        ..video.clone()
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use wanfarm_types::fixtures::request;

    #[test]
    fn only_what_is_asked_for_makes_another_job() {
        let submission = |video| Submission {
            client_key: "k".into(),
            name: "night".into(),
            model: "m".into(),
            priority: 50,
            early_look: false,
            taken: Taken::Refuse,
            videos: vec![video],
        };
        let plain = submission(request()).digest();
        let swept = [("animal", "cat")].into_iter().collect();
        assert_eq!(submission(VideoRequest { swept, ..request() }).digest(), plain);
        assert_ne!(submission(VideoRequest { seed: 8, ..request() }).digest(), plain);
        let asked = serde_json::to_string(&submission(request())).unwrap();
        assert!(!asked.contains("swept"), "as earlier versions have it: {asked}");
    }
}
