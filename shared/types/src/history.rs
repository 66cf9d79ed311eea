//! What has happened on a farm, as people and programs are told: one line for each thing, kept for a while. As in
//! [`crate::status`], fields are only ever added.

use serde::{Deserialize, Serialize};

use crate::{JobId, WorkerId};

/// One thing that happened.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct FarmEvent {
    /// Greater than that of every event before it.
    pub id: u64,
    /// When, in UTC as RFC 3339 has it.
    pub at: Option<String>,
    /// What.
    #[serde(rename = "type")]
    pub kind: EventKind,
    /// Of which job, or of whose video.
    pub job: Option<JobId>,
    /// Of which video, by its place in the manifest.
    pub video: Option<u32>,
    /// Of which worker, or by which one.
    pub worker: Option<WorkerId>,
    /// What the worker is called, and else the job.
    pub name: Option<String>,
    /// Who asked for it; absent: nobody did.
    pub by: Option<String>,
    /// What was before, in the words of states.
    pub before: Option<String>,
    /// What has been since.
    pub after: Option<String>,
    /// Why, or what else there is to say.
    pub detail: Option<String>,
}

macro_rules! kinds {
    ($($(#[$doc:meta])* $kind:ident = $name:tt,)*) => {
        /// What can happen.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
        #[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
        pub enum EventKind {
            $($(#[$doc])* #[serde(rename = $name)] $kind,)*
            /// Something that a later version knows.
            #[default]
            #[serde(other, rename = "unknown")]
            Unknown,
        }

        impl EventKind {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$kind,)*];

            /// Its name in JSON.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$kind => $name,)*
                    Self::Unknown => "unknown",
                }
            }
        }
    };
}

kinds! {
    /// A job was queued.
    JobSubmitted = "job.submitted",
    /// A job's model is known, and so what has to be done for it.
    JobPlanned = "job.planned",
    /// Somebody has paused a job.
    JobPaused = "job.paused",
    /// A job goes before others, or behind them, from now on.
    JobPrioritised = "job.prioritised",
    /// A job goes on.
    JobResumed = "job.resumed",
    /// The coordinator has paused a job, because its files cannot be written.
    JobSuspended = "job.suspended",
    /// A job that had ended is taken up again.
    JobRetried = "job.retried",
    /// Every video of a job has ended.
    JobEnded = "job.ended",
    /// Something else is said of a job: its owner, its note, its labels.
    JobDescribed = "job.described",
    /// Nothing is kept of a job but its files.
    JobForgotten = "job.forgotten",
    /// The files of a video are in place.
    VideoDone = "video.done",
    /// The files of a video are in place, and do not look like a video that anybody wants.
    VideoSuspect = "video.suspect",
    /// A video was given up with an error.
    VideoFailed = "video.failed",
    /// Somebody has given a video up.
    VideoCancelled = "video.cancelled",
    /// A video that had ended is taken up again.
    VideoRetried = "video.retried",
    /// A worker could not compute what it was given.
    AttemptFailed = "attempt.failed",
    /// What a worker was computing went with it.
    AttemptLost = "attempt.lost",
    /// A worker has connected.
    WorkerJoined = "worker.joined",
    /// The connection of a worker has ended.
    WorkerLost = "worker.lost",
    /// A worker has said that it leaves.
    WorkerLeft = "worker.left",
    /// A worker gets nothing more.
    WorkerDrained = "worker.drained",
    /// A worker gets work again.
    WorkerEnabled = "worker.enabled",
    /// A worker that failed too often gets nothing more.
    WorkerSetAside = "worker.set_aside",
    /// A worker gets work of other roles than before.
    WorkerAssigned = "worker.assigned",
    /// Something else is said of a worker.
    WorkerDescribed = "worker.described",
    /// Nothing is kept of a worker.
    WorkerForgotten = "worker.forgotten",
    /// A disk is full, and jobs wait for room.
    DiskFull = "disk.full",
    /// Jobs are active, and for a while nothing was computed for any of them.
    FarmStalled = "farm.stalled",
    /// Somebody has the farm tell a webhook of what happens.
    WebhookAdded = "webhook.added",
    /// A webhook is told of nothing more.
    WebhookRemoved = "webhook.removed",
    /// Somebody may do something from now on, known by a key.
    AccessJoined = "access.joined",
    /// A token was made, to join with or to show.
    AccessGranted = "access.granted",
    /// A key or a token is known no more.
    AccessRevoked = "access.revoked",
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kind_is_called_alike_everywhere_and_a_new_one_is_unknown() {
        for kind in EventKind::ALL {
            assert_eq!(serde_json::to_value(kind).unwrap(), kind.name());
            assert_eq!(serde_json::from_value::<EventKind>(kind.name().into()).unwrap(), *kind);
        }
        assert_eq!(serde_json::from_str::<EventKind>("\"moon.risen\"").unwrap(), EventKind::Unknown);
    }
}
