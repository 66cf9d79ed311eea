//! Durable copies being made: tensors pulled from workers into the artifact directory.
//!
//! Also counts which artifact lists which tensor, because consecutive checkpoints share solver history.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Instant;

use futures::future::join_all;
use tokio::sync::{Semaphore, mpsc};
use wanfarm_sampling::values::Examination;
use wanfarm_scheduler::ArtifactId;
use wanfarm_types::{Digest, TensorRef, VideoId, WorkerId};

use crate::artifacts::{ArtifactError, Artifacts};
use crate::disk_space::RESERVE;
use crate::event::{Copied, Event};
use crate::limits::TENSORS_COPIED;
use crate::obstacle::Obstacle;
use crate::source::{Reader, Source};

/// The copier and its ledger of references.
#[derive(Debug)]
pub struct Copies {
    artifacts: Artifacts,
    reader: Reader,
    events: mpsc::Sender<Event>,
    slots: Arc<Semaphore>,
    listed: BTreeMap<ArtifactId, Vec<Digest>>,
    references: BTreeMap<Digest, usize>,
    /// When each checkpoint that is being copied was asked for.
    asked: BTreeMap<ArtifactId, Instant>,
    /// Objects that are on disk.
    whole: BTreeSet<Digest>,
    /// Objects being removed: a copy that wants one of them again has to come later.
    leaving: BTreeSet<Digest>,
}

impl Copies {
    /// A copier into `artifacts` that reports to the driver.
    pub fn new(artifacts: Artifacts, reader: Reader, events: mpsc::Sender<Event>) -> Self {
        Self {
            artifacts,
            reader,
            events,
            slots: Arc::new(Semaphore::new(TENSORS_COPIED)),
            listed: BTreeMap::new(),
            references: BTreeMap::new(),
            asked: BTreeMap::new(),
            whole: BTreeSet::new(),
            leaving: BTreeSet::new(),
        }
    }

    /// Starts a copy; [`Event::Copied`] tells how it ended.
    pub fn start(&mut self, artifact: ArtifactId, tensors: Vec<TensorRef>, maker: WorkerId, source: Source) {
        let leaving = tensors.iter().any(|tensor| self.leaving.contains(&tensor.digest));
        self.list(artifact, &tensors);
        if let ArtifactId::Checkpoint { .. } = artifact {
            self.asked.insert(artifact, Instant::now());
        }
        let (artifacts, reader) = (self.artifacts.clone(), self.reader.clone());
        let (events, slots) = (self.events.clone(), self.slots.clone());
        tokio::spawn(async move {
            let copied = match leaving {
                false => copy(&artifacts, &reader, &slots, &tensors, &source).await,
                true => Copied::Missed,
            };
            // A driver that is gone does not need the answer.
            let _ = events.send(Event::Copied { artifact, maker, copied }).await;
        });
    }

    /// Records that a copy was made. When it was asked for, if it is of a checkpoint.
    pub fn made(&mut self, artifact: ArtifactId) -> Option<Instant> {
        self.whole.extend(self.listed.get(&artifact).into_iter().flatten());
        self.asked.remove(&artifact)
    }

    /// Counts an artifact's tensors as referred to.
    fn list(&mut self, artifact: ArtifactId, tensors: &[TensorRef]) {
        let digests: Vec<Digest> = tensors.iter().map(|tensor| tensor.digest).collect();
        for digest in &digests {
            *self.references.entry(*digest).or_default() += 1;
        }
        // The same artifact again (a step computed anew) replaces what it listed.
        if let Some(old) = self.listed.insert(artifact, digests) {
            self.release(old);
        }
    }

    /// Keeps an object that did not come from a worker, whatever artifacts come and go.
    pub fn keep(&mut self, digest: Digest) {
        *self.references.entry(digest).or_default() += 1;
        self.whole.insert(digest);
    }

    /// Undoes [`Self::keep`].
    pub fn let_go(&mut self, digest: Digest) {
        self.release(vec![digest]);
    }

    /// True for an object that is just being removed.
    pub fn is_leaving(&self, digest: &Digest) -> bool {
        self.leaving.contains(digest)
    }

    /// The newest state of a video of which all tensors are here.
    pub fn newest_state(&self, video: VideoId) -> Option<&[Digest]> {
        let [first, last] = [0, u32::MAX].map(|steps_done| ArtifactId::Checkpoint { video, steps_done });
        let here = |digests: &&Vec<Digest>| digests.iter().all(|digest| self.whole.contains(digest));
        self.listed.range(first..=last).rev().map(|(_, digests)| digests).find(here).map(Vec::as_slice)
    }

    /// An artifact that was made before a restart.
    pub fn recall(&mut self, artifact: ArtifactId, tensors: &[TensorRef]) {
        self.list(artifact, tensors);
        self.made(artifact);
    }

    /// Forgets an artifact and deletes the tensors that no other lists.
    pub fn forget(&mut self, artifact: ArtifactId) {
        self.asked.remove(&artifact);
        if let Some(digests) = self.listed.remove(&artifact) {
            self.release(digests);
        }
    }

    fn release(&mut self, mut digests: Vec<Digest>) {
        digests.retain(|digest| {
            let Some(count) = self.references.get_mut(digest) else { return false };
            *count -= 1;
            *count == 0
        });
        if digests.is_empty() {
            return;
        }
        for digest in &digests {
            self.references.remove(digest);
            self.whole.remove(digest);
            self.leaving.insert(*digest);
        }
        let (artifacts, events) = (self.artifacts.clone(), self.events.clone());
        tokio::spawn(async move {
            if let Err(error) = artifacts.remove(&digests).await {
                tracing::warn!(%error, "an artifact stays on disk until the next start");
            }
            let _ = events.send(Event::Deleted(digests)).await;
        });
    }

    /// Records that objects were removed.
    pub fn deleted(&mut self, digests: &[Digest]) {
        self.leaving.retain(|digest| !digests.contains(digest));
    }

    /// True for an object that is on disk to stay.
    pub fn holds(&self, digest: &Digest) -> bool {
        self.whole.contains(digest)
    }
}

async fn copy(
    artifacts: &Artifacts,
    reader: &Reader,
    slots: &Semaphore,
    tensors: &[TensorRef],
    source: &Source,
) -> Copied {
    let bytes = tensors.iter().filter_map(TensorRef::byte_len).fold(0, u64::saturating_add);
    let needed = bytes.saturating_add(RESERVE);
    let full = || Copied::Full(Obstacle::Full { path: artifacts.root().to_owned(), bytes: needed });
    if artifacts.check_room(bytes).await.is_err() {
        return full();
    }
    let copies = tensors.iter().map(|tensor| async {
        let Ok(_slot) = slots.acquire().await else { return Err(Copied::Missed) };
        match copy_tensor(artifacts, reader, tensor, source).await {
            Ok(Copied::Made) => Ok(()),
            Ok(other) => Err(other),
            Err(error) if error.is_full() => {
                tracing::warn!(%error, "no durable copy");
                Err(full())
            }
            Err(error) => {
                tracing::warn!(%error, "no durable copy; trying again later");
                Err(Copied::Missed)
            }
        }
    });
    // All are waited for: one that is being put in its place cannot be called back, and is removed after it.
    let ended: Result<(), Copied> = join_all(copies).await.into_iter().collect();
    ended.err().unwrap_or(Copied::Made)
}

/// Brings a tensor from the network to the disk, never whole in memory.
async fn copy_tensor(
    artifacts: &Artifacts,
    reader: &Reader,
    tensor: &TensorRef,
    source: &Source,
) -> Result<Copied, ArtifactError> {
    if artifacts.holds(tensor).await {
        return Ok(Copied::Made);
    }
    let missed = |error| {
        // Usual for a fast worker: it has gone on and keeps only its newest states.
        tracing::debug!(%error, "no durable copy: the tensor is no longer there");
        Ok(Copied::Missed)
    };
    let mut pulling = match reader.open(tensor, source).await {
        Ok(pulling) => pulling,
        Err(error) => return missed(error),
    };
    let mut storing = artifacts.begin(&tensor.digest).await?;
    let (mut examination, mut unsound) = (Examination::of(tensor.dtype), None);
    loop {
        match pulling.next().await {
            // Read to its end all the same: only the digest proves that the bytes are those that its maker spoke of.
            Ok(Some(chunk)) if unsound.is_none() => match examination.read(&chunk) {
                Ok(()) => storing.write(chunk).await?,
                Err(found) => unsound = Some(found),
            },
            Ok(Some(_)) => {}
            Ok(None) => match unsound {
                None => return storing.finish().await.map(|()| Copied::Made),
                Some(found) => return Ok(Copied::Unsound(found.to_string())),
            },
            Err(error) => return missed(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use wanfarm_scheduler::TextKey;
    use wanfarm_types::{CoordinatorMessage, DType};

    /// How a copy ends of which a worker says that it holds `claimed`, and delivers `bytes`; and what is on disk then.
    async fn copied(claimed: &[f32], delivered: &[f32]) -> (Copied, usize) {
        let bytes = |values: &[f32]| values.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<u8>>();
        let dir = tempfile::tempdir().unwrap();
        let artifacts = Artifacts::open(dir.path()).unwrap();
        let (reader, (events, mut told)) = (Reader::default(), mpsc::channel(1));
        let relay = reader.relay.clone();
        let (outbox, mut orders) = mpsc::channel(1);
        let digest = Digest(*blake3::hash(&bytes(claimed)).as_bytes());
        let tensor = TensorRef { digest, dtype: DType::F32, shape: vec![claimed.len() as u64] };
        let source = Source { outbox: outbox.downgrade(), ..Source::nowhere("mac".to_owned()) };
        let maker = WorkerId(uuid::Uuid::from_u128(7));
        Copies::new(artifacts.clone(), reader, events).start(
            ArtifactId::Text(TextKey(digest)),
            vec![tensor],
            maker,
            source,
        );
        let Some(CoordinatorMessage::Send(errand)) = orders.recv().await else { panic!("it is not asked") };
        let delivery = relay.deliver(errand.number).unwrap();
        // Cut in the middle of a number.
        for piece in bytes(delivered).chunks(5) {
            delivery.chunk(Bytes::copy_from_slice(piece)).await;
        }
        delivery.end().await;
        let Some(Event::Copied { maker: told_of, copied, .. }) = told.recv().await else { panic!("nothing is told") };
        assert_eq!(told_of, maker);
        (copied, artifacts.list().await.unwrap().len())
    }

    #[tokio::test]
    async fn what_nothing_can_be_computed_with_is_no_copy_and_told_with_its_maker() {
        assert_eq!(copied(&[1.0, 2.0, 3.0], &[1.0, 2.0, 3.0]).await, (Copied::Made, 1));
        for bad in [f32::NAN, f32::INFINITY, 3e30] {
            let (copied, on_disk) = copied(&[1.0, bad, 3.0], &[1.0, bad, 3.0]).await;
            assert!(matches!(&copied, Copied::Unsound(why) if why.contains("its number 1 is")), "{copied:?}");
            assert_eq!(on_disk, 0);
        }
        // Bytes that it never spoke of, as a bad network delivers, are no proof of anything.
        assert_eq!(copied(&[1.0, 2.0, 3.0], &[1.0, f32::NAN, 3.0]).await, (Copied::Missed, 0));
    }
}
