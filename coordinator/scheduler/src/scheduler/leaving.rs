//! How a drained worker leaves: it finishes its item, what only it holds is copied, then it is told to go. Only the
//! boot that was there when it was drained goes; a later one stays, idle, until it is enabled, so that whatever starts
//! workers again has no loop to run in.

use wanfarm_types::WorkerId;

use super::{Dirty, Scheduler};
use crate::attempts::Work;
use crate::stage_result::{Holder, StageResult};
use crate::worker::Worker;
use crate::{Action, Instant};

impl Scheduler {
    /// Drains a worker. One that stays because it booted later is sent away by being drained again.
    pub(super) fn drain(&mut self, id: WorkerId) {
        let Some(worker) = self.workers.get_mut(&id) else { return };
        worker.leaves = true;
        self.leaving.insert(id);
        if !std::mem::replace(&mut worker.draining, true) {
            self.record_worker(id);
        }
        self.dirty.insert(Dirty::Worker(id));
    }

    /// A drained worker said hello: the boot that was drained leaves, also if it has not heard so yet. After a restart
    /// of the coordinator that is one with anything in its hands, as a later boot was given nothing.
    pub(super) fn leave_after_hello(&mut self, id: WorkerId, rebooted: bool, at_work: bool) {
        let Some(worker) = self.workers.get_mut(&id).filter(|worker| worker.draining) else { return };
        worker.leaves = at_work || (worker.leaves && !rebooted);
        worker.leave_by = worker.leave_by.filter(|_| worker.leaves);
        if worker.leaves {
            self.leaving.insert(id);
        } else {
            self.leaving.remove(&id);
        }
    }

    /// Tells drained workers to leave that have finished, when their results are copied or `drain_timeout` has passed.
    pub(super) fn finish_drains(&mut self) {
        let timeout = self.config.drain_timeout;
        for id in self.leaving.clone() {
            let Some(worker) = self.workers.get_mut(&id).filter(|worker| worker.is_free_to_leave()) else { continue };
            let by = *worker.leave_by.get_or_insert(self.now + timeout);
            let incarnation = worker.incarnation;
            if by <= self.now || !self.is_needed(id) {
                self.leaving.remove(&id);
                self.act(Action::Leave { worker: id, incarnation });
            }
        }
    }

    /// When the next `drain_timeout` ends.
    pub(super) fn next_to_leave(&self) -> Option<Instant> {
        let workers = self.leaving.iter().filter_map(|id| self.workers.get(id));
        workers.filter(|worker| worker.is_free_to_leave()).filter_map(|worker| worker.leave_by).min()
    }

    /// True when a result that only this worker has would have to be computed again without it.
    fn is_needed(&self, id: WorkerId) -> bool {
        let held = self.workers.get(&id).into_iter().flat_map(|worker| &worker.held);
        held.into_iter().any(|(&attempt, &work)| self.is_unsaved(work, Holder { worker: id, attempt }))
    }

    fn is_unsaved(&self, work: Work, holder: Holder) -> bool {
        let only_there = |result: &StageResult| result.holder == Some(holder) && !result.is_durable();
        match work {
            Work::Text(key) => self.texts.get(&key).and_then(|text| text.result.as_ref()).is_some_and(only_there),
            Work::Image(video) | Work::Video(video) => self.videos.get(&video).is_some_and(|video| {
                video.image.as_ref().is_some_and(only_there)
                    || video.checkpoints.newest().is_some_and(|(_, newest)| only_there(newest))
                    || video.frames.as_ref().is_some_and(|frames| frames.holder == holder)
            }),
        }
    }
}

impl Worker {
    fn is_free_to_leave(&self) -> bool {
        self.is_connected() && self.running.is_none() && self.next.is_none()
    }
}
