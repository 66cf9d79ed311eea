//! The tensors this worker made, kept in memory for their readers: by digest, owned by attempts. Not the service
//! that streams them (`wanfarm-proto`), nor the decision who may keep what (`assignments`).

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use wanfarm_proto::tensors::{TensorSource, mark};
use wanfarm_types::{AttemptId, Digest, Incarnation};

use crate::runner::HostTensor;

/// Results of one attempt that are kept: the newest, and the one before it for those who are still reading it.
const GENERATIONS: usize = 2;

/// What attempts hold. Its size is that of the last two states of every attempt not yet dropped by the coordinator.
#[derive(Debug)]
pub(crate) struct TensorStore {
    inner: Mutex<Inner>,
    /// Read by peers that dial back, to verify whom they have reached.
    mark: (Digest, Bytes),
}

#[derive(Debug, Default)]
struct Inner {
    /// Bytes, and in how many generations they occur.
    tensors: HashMap<Digest, (Bytes, usize)>,
    attempts: BTreeMap<AttemptId, VecDeque<Vec<Digest>>>,
}

impl TensorStore {
    /// An empty one, of this boot of a worker.
    pub(crate) fn new(incarnation: Incarnation) -> Self {
        let (name, bytes) = mark(incarnation);
        Self { inner: Mutex::default(), mark: (name.digest, bytes) }
    }

    /// Adds the newest result of an attempt.
    pub(crate) fn keep(&self, attempt: AttemptId, result: &[HostTensor]) {
        let digests: Vec<Digest> = result.iter().map(|tensor| tensor.name.digest).collect();
        let mut inner = self.lock();
        let generations = inner.attempts.entry(attempt).or_default();
        if generations.back() == Some(&digests) {
            return;
        }
        generations.push_back(digests);
        let outdated = if generations.len() > GENERATIONS { generations.pop_front() } else { None };
        for tensor in result {
            inner.tensors.entry(tensor.name.digest).or_insert_with(|| (tensor.bytes.clone(), 0)).1 += 1;
        }
        inner.release(outdated.unwrap_or_default());
    }

    /// Forgets everything of an attempt.
    pub(crate) fn free(&self, attempt: AttemptId) {
        let mut inner = self.lock();
        for generation in inner.attempts.remove(&attempt).unwrap_or_default() {
            inner.release(generation);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn release(&mut self, digests: Vec<Digest>) {
        for digest in digests {
            if let Some((_, uses)) = self.tensors.get_mut(&digest) {
                *uses -= 1;
                if *uses == 0 {
                    self.tensors.remove(&digest);
                }
            }
        }
    }
}

impl TensorSource for TensorStore {
    fn tensor(&self, digest: &Digest) -> Option<Bytes> {
        let (mark, bytes) = &self.mark;
        if digest == mark {
            return Some(bytes.clone());
        }
        self.lock().tensors.get(digest).map(|(bytes, _)| bytes.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tensor(value: f32) -> HostTensor {
        HostTensor::from_f32(&[1], &[value])
    }

    fn store() -> TensorStore {
        TensorStore::new(Incarnation(uuid::Uuid::from_u128(1)))
    }

    fn held(store: &TensorStore, values: &[f32]) -> Vec<bool> {
        values.iter().map(|&value| store.tensor(&tensor(value).name.digest).is_some()).collect()
    }

    #[test]
    fn two_generations_are_kept() {
        let store = store();
        let attempt = AttemptId(1);
        store.keep(attempt, &[tensor(1.0), tensor(10.0)]);
        store.keep(attempt, &[tensor(2.0), tensor(10.0)]);
        store.keep(attempt, &[tensor(2.0), tensor(10.0)]);
        assert_eq!(held(&store, &[1.0, 2.0, 10.0]), [true, true, true]);
        store.keep(attempt, &[tensor(3.0)]);
        assert_eq!(held(&store, &[1.0, 2.0, 3.0, 10.0]), [false, true, true, true]);
        store.keep(attempt, &[tensor(4.0)]);
        assert_eq!(held(&store, &[2.0, 3.0, 4.0, 10.0]), [false, true, true, false]);
        store.free(attempt);
        assert!(store.lock().tensors.is_empty() && store.lock().attempts.is_empty());
    }

    #[test]
    fn equal_tensors_of_two_attempts_live_until_both_are_freed() {
        let store = store();
        store.keep(AttemptId(1), &[tensor(1.0), tensor(1.0)]);
        store.keep(AttemptId(2), &[tensor(1.0)]);
        store.free(AttemptId(1));
        assert_eq!(held(&store, &[1.0]), [true]);
        store.free(AttemptId(2));
        store.free(AttemptId(2));
        assert_eq!(held(&store, &[1.0]), [false]);
        let (mark, bytes) = mark(Incarnation(uuid::Uuid::from_u128(1)));
        assert_eq!(store.tensor(&mark.digest), Some(bytes), "the mark stays");
    }
}
