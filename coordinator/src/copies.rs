//! Durable copies being made: tensors pulled from workers into the artifact directory.
//!
//! Also counts which artifact lists which tensor, because consecutive checkpoints share solver history.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::sync::{Semaphore, mpsc};
use wanfarm_proto::tensors::Puller;
use wanfarm_scheduler::ArtifactId;
use wanfarm_types::{Digest, TensorRef};

use crate::artifacts::Artifacts;
use crate::driver::Event;

/// Copies made at the same time: enough to fill a network, few enough to bound memory.
const AT_ONCE: usize = 8;

/// The copier and its ledger of references.
#[derive(Debug)]
pub struct Copies {
    artifacts: Arc<Artifacts>,
    puller: Puller,
    events: mpsc::Sender<Event>,
    slots: Arc<Semaphore>,
    listed: BTreeMap<ArtifactId, Vec<Digest>>,
    references: BTreeMap<Digest, usize>,
}

impl Copies {
    /// A copier into `artifacts` that reports to the driver.
    pub fn new(artifacts: Arc<Artifacts>, puller: Puller, events: mpsc::Sender<Event>) -> Self {
        let slots = Arc::new(Semaphore::new(AT_ONCE));
        Self { artifacts, puller, events, slots, listed: BTreeMap::new(), references: BTreeMap::new() }
    }

    /// Starts a copy; [`Event::Copied`] tells how it ended.
    pub fn start(&mut self, artifact: ArtifactId, tensors: Vec<TensorRef>, source: String) {
        self.list(artifact, &tensors);
        let (artifacts, puller) = (self.artifacts.clone(), self.puller.clone());
        let (events, slots) = (self.events.clone(), self.slots.clone());
        tokio::spawn(async move {
            let made = match slots.acquire().await {
                Ok(_slot) => copy(&artifacts, &puller, &tensors, source).await,
                Err(_closed) => false,
            };
            // A driver that is gone does not need the answer.
            let _ = events.send(Event::Copied { artifact, made }).await;
        });
    }

    fn list(&mut self, artifact: ArtifactId, tensors: &[TensorRef]) {
        let digests: Vec<Digest> = tensors.iter().map(|tensor| tensor.digest).collect();
        for digest in &digests {
            *self.references.entry(*digest).or_default() += 1;
        }
        // The same artifact again (a copy that failed, a step computed anew) replaces what it listed.
        if let Some(old) = self.listed.insert(artifact, digests) {
            self.release(old);
        }
    }

    /// Keeps a tensor that did not come from a worker, whatever artifacts come and go.
    pub fn keep(&mut self, digest: Digest) {
        *self.references.entry(digest).or_default() += 1;
    }

    /// Forgets an artifact and deletes the tensors that no other lists.
    pub fn forget(&mut self, artifact: ArtifactId) {
        if let Some(digests) = self.listed.remove(&artifact) {
            self.release(digests);
        }
    }

    fn release(&mut self, digests: Vec<Digest>) {
        for digest in digests {
            let Some(count) = self.references.get_mut(&digest) else { continue };
            *count -= 1;
            if *count == 0 {
                self.references.remove(&digest);
                if let Err(error) = self.artifacts.remove(&digest) {
                    tracing::warn!(%error, "an artifact stays on disk");
                }
            }
        }
    }

    /// True when the durable copy of a tensor is there.
    pub fn holds(&self, digest: &Digest) -> bool {
        self.artifacts.contains(digest)
    }
}

/// True when every tensor is in the store.
async fn copy(artifacts: &Arc<Artifacts>, puller: &Puller, tensors: &[TensorRef], source: String) -> bool {
    let locations = [source];
    for tensor in tensors.iter().filter(|tensor| !artifacts.contains(&tensor.digest)) {
        let bytes = match puller.pull(tensor, &locations).await {
            Ok(bytes) => bytes,
            Err(error) => {
                // Usual for a fast worker: it has gone on and keeps only its newest states.
                tracing::debug!(%error, "no durable copy: the tensor is no longer there");
                return false;
            }
        };
        let (artifacts, digest) = (artifacts.clone(), tensor.digest);
        match tokio::task::spawn_blocking(move || artifacts.put(&digest, &bytes)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                tracing::warn!(%error, "no durable copy; trying again later");
                return false;
            }
            Err(error) => {
                tracing::error!(%error, "no durable copy");
                return false;
            }
        }
    }
    true
}
