//! Identifiers. Who draws them is elsewhere; here they only have form and order.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// A submitted manifest. Numbered by the coordinator's store, from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(transparent)]
pub struct JobId(pub u64);

/// One video of a job; `index` counts from 0 in manifest order. Prints as `JOB/INDEX`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct VideoId {
    /// The job it belongs to.
    pub job: JobId,
    /// Its place in the expanded manifest.
    pub index: u32,
}

/// One try of a work item on one worker. A fencing number: each is greater than every one before it,
/// across restarts of the coordinator, so a late result of an older attempt can be told and refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct AttemptId(pub u64);

/// A worker's persistent identity; it survives restarts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(transparent)]
pub struct WorkerId(pub Uuid);

/// By their bytes, compared as one number: the scheduler looks workers up a hundred times for one decision.
impl Ord for WorkerId {
    #[inline]
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.0.as_u128().cmp(&other.0.as_u128())
    }
}

impl PartialOrd for WorkerId {
    #[inline]
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

/// One boot of a worker process. Two incarnations of one worker never hold the same memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Incarnation(pub Uuid);

/// A target of webhooks. Drawn by the coordinator that is asked to tell it of things.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(transparent)]
pub struct WebhookId(pub Uuid);

/// An id in JSON as it prints.
pub(crate) mod as_text {
    use std::fmt::Display;
    use std::str::FromStr;

    use serde::{Deserialize, Deserializer, Serializer};

    pub(crate) fn serialize<T: Display, S: Serializer>(id: &T, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(id)
    }

    pub(crate) fn deserialize<'de, T: FromStr<Err: Display>, D: Deserializer<'de>>(from: D) -> Result<T, D::Error> {
        String::deserialize(from)?.parse().map_err(serde::de::Error::custom)
    }
}

/// The text names no video.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a video is named JOB/INDEX, for example 17/3, not {0:?}")]
pub struct BadVideoId(String);

macro_rules! print_as_what_they_hold {
    ($($id:ty),*) => {
        $(impl fmt::Display for $id {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        })*
    };
}

print_as_what_they_hold!(JobId, AttemptId, WorkerId, Incarnation, WebhookId);

impl fmt::Display for VideoId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.job, self.index)
    }
}

impl FromStr for VideoId {
    type Err = BadVideoId;

    fn from_str(text: &str) -> Result<Self, BadVideoId> {
        text.split_once('/')
            .and_then(|(job, index)| Some(Self { job: JobId(job.parse().ok()?), index: index.parse().ok()? }))
            .ok_or_else(|| BadVideoId(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_video_id_reads_as_it_prints() {
        let id = VideoId { job: JobId(17), index: 3 };
        assert_eq!(id.to_string().parse(), Ok(id));
        assert!("17".parse::<VideoId>().is_err());
    }

    #[test]
    fn workers_stand_in_the_order_of_their_bytes() {
        let of = |n: u8| std::array::from_fn(|at| n.wrapping_mul(37).wrapping_add(n.wrapping_mul(11 * at as u8)));
        let mut bytes: Vec<[u8; 16]> = (0..64).map(of).collect();
        let mut workers: Vec<WorkerId> = bytes.iter().map(|bytes| WorkerId(Uuid::from_bytes(*bytes))).collect();
        bytes.sort_unstable();
        workers.sort_unstable();
        assert_eq!(workers.iter().map(|worker| *worker.0.as_bytes()).collect::<Vec<_>>(), bytes);
    }
}
