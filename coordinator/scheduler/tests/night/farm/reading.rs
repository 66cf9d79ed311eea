//! Who can read what: straight from its maker, from the durable store, or over the connection that its maker dialled.

use super::*;

/// How a question for a tensor ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Read {
    Here,
    /// Nobody who could be asked answered; it may be there all the same.
    Silent,
    /// Those who could be asked answered, and do not have it.
    Missing,
}

impl Farm {
    /// The inputs of the item that a worker is about to begin; `None` when it has begun, or runs none.
    pub(super) fn fetch(&self, reader: usize) -> Option<Read> {
        let (inputs, holders) = self.workers[reader].inputs_to_fetch()?;
        let read = |digest: &Digest| {
            let direct = self.workers.iter().enumerate().any(|(number, maker)| {
                let can_dial = !self.is_walled_off(Some(reader), number) || number == reader;
                can_dial && self.is_awake(number) && maker.holds(digest) && holders.contains(&(*digest, maker.id))
            });
            if direct { Read::Here } else { self.ask_coordinator(digest) }
        };
        // What is nowhere is nowhere, whether the others are heard or not.
        inputs.iter().map(read).max().or(Some(Read::Here))
    }

    /// True while nobody knows whether the inputs of a worker's item can be had.
    pub(super) fn must_ask_again(&self, reader: usize) -> bool {
        self.fetch(reader) == Some(Read::Silent)
    }

    fn ask_coordinator(&self, digest: &Digest) -> Read {
        let Some(scheduler) = self.scheduler.as_ref().filter(|_| self.stopped_until <= self.now) else {
            return Read::Silent;
        };
        if self.store.contains(digest) {
            return Read::Here;
        }
        match scheduler.holder_of(digest) {
            Some(holder) => self.relay(holder, std::slice::from_ref(digest)),
            None => Read::Missing,
        }
    }

    /// What the coordinator reads from a worker.
    pub(super) fn read(&self, holder: WorkerId, tensors: &[TensorRef]) -> Read {
        let digests: Vec<Digest> = tensors.iter().map(|tensor| tensor.digest).collect();
        let Some(number) = self.workers.iter().position(|worker| worker.id == holder) else { return Read::Missing };
        if !self.is_walled_off(None, number) && self.is_awake(number) {
            return self.answer(number, &digests);
        }
        self.relay(holder, &digests)
    }

    /// The same over the connection that the worker dialled.
    fn relay(&self, holder: WorkerId, digests: &[Digest]) -> Read {
        let connection =
            self.connections.iter().find(|(_, c)| c.open && c.greeted && self.workers[c.worker].id == holder);
        match connection {
            Some((id, c)) if self.is_awake(c.worker) && self.workers[c.worker].connection == Some(*id) => {
                self.answer(c.worker, digests)
            }
            _ => Read::Silent,
        }
    }

    fn answer(&self, number: usize, digests: &[Digest]) -> Read {
        let has_all = digests.iter().all(|digest| self.workers[number].holds(digest));
        if has_all { Read::Here } else { Read::Missing }
    }

    fn is_awake(&self, number: usize) -> bool {
        let worker = &self.workers[number];
        worker.up && worker.asleep_until.is_none_or(|until| until <= self.now)
    }

    fn is_walled_off(&self, reader: Option<usize>, number: usize) -> bool {
        self.walls.contains(&(None, number)) || (reader.is_some() && self.walls.contains(&(reader, number)))
    }
}
