//! Videos that come after others: they wait until those are done, are given up with them, and tried again with them.

use std::collections::BTreeSet;

use wanfarm_types::{Failure, VideoId};

use super::Scheduler;
use crate::video::Video;
use crate::{Action, VideoPhase};

impl Scheduler {
    /// True while a video that this one comes after is not done.
    pub(super) fn waits(&self, id: VideoId, video: &Video) -> bool {
        let is_done = |index: &u32| {
            let before = self.videos.get(&VideoId { index: *index, ..id });
            before.is_some_and(|before| before.state == VideoPhase::Done)
        };
        !video.plan.after.iter().all(is_done)
    }

    /// Videos that come right after this one.
    pub(super) fn followers(&self, id: VideoId) -> impl Iterator<Item = VideoId> + use<> {
        let followers = self.videos.get(&id).map(|video| video.link.followers.clone()).unwrap_or_default();
        followers.into_iter().map(move |index| VideoId { index, ..id })
    }

    /// Gives up those of these videos that are open, and then whatever comes after them.
    pub(super) fn close_all(&mut self, videos: impl Iterator<Item = VideoId>, state: &VideoPhase) {
        let open: Vec<VideoId> = videos.filter(|id| self.is_open(*id)).collect();
        for &video in &open {
            self.close(video, state.clone());
            if let VideoPhase::Failed(failure) = state {
                self.act(Action::VideoFailed { video, failure: failure.clone() });
            }
        }
        open.into_iter().for_each(|video| self.close_followers(video));
    }

    /// Fails the open videos that come after one that was given up, directly or through one another.
    fn close_followers(&mut self, cause: VideoId) {
        let Some(video) = self.videos.get(&cause) else { return };
        let name = match &*video.plan.name {
            "" => format!("video {}", cause.index),
            name => name.to_owned(),
        };
        let failure = Failure::deterministic(match &video.state {
            VideoPhase::Failed(failure) => format!("{name} failed: {failure}"),
            VideoPhase::Cancelled => format!("{name} was cancelled"),
            VideoPhase::Open | VideoPhase::Done => return,
        });
        let mut next: Vec<VideoId> = self.followers(cause).collect();
        while let Some(video) = next.pop() {
            if self.is_open(video) {
                self.close(video, VideoPhase::Failed(failure.clone()));
                self.act(Action::VideoFailed { video, failure: failure.clone() });
                next.extend(self.followers(video));
            }
        }
    }

    /// These videos, with those that they come after as far as these were given up, and with those that failed because
    /// they come after one of them. In order.
    pub(super) fn with_chains(&self, videos: impl Iterator<Item = VideoId>) -> BTreeSet<VideoId> {
        let (mut all, mut next) = (BTreeSet::new(), videos.collect::<Vec<_>>());
        while let Some(id) = next.pop() {
            let Some(video) = self.videos.get(&id).filter(|_| all.insert(id)) else { continue };
            let before = video.plan.after.iter().map(|&index| VideoId { index, ..id });
            next.extend(before.filter(|before| self.is_retriable(*before)));
            // What an operator gave up stays so.
            let has_failed = |id: &VideoId| {
                let follower = self.videos.get(id);
                follower.is_some_and(|follower| matches!(follower.state, VideoPhase::Failed(_)))
            };
            next.extend(self.followers(id).filter(has_failed));
        }
        all
    }

    /// Rows that were cut short may leave a video open that comes after one that was given up.
    pub(super) fn restore_chains(&mut self) {
        let closed = self.videos.iter().filter(|(_, video)| !video.link.followers.is_empty());
        let closed: Vec<VideoId> = closed.map(|(&id, _)| id).collect();
        closed.into_iter().for_each(|id| self.close_followers(id));
    }

    fn is_open(&self, id: VideoId) -> bool {
        self.videos.get(&id).is_some_and(|video| video.state.is_open())
    }
}
