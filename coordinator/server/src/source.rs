//! A worker's results, read by this coordinator: straight from the worker where that can be, else over the connection
//! that the worker dialled. And what the coordinator serves to others: its durable copies, else what a worker holds that
//! they cannot reach.

use std::sync::Arc;

use bytes::Bytes;
use futures::future::BoxFuture;
use futures::{FutureExt, StreamExt};
use tokio::sync::{Notify, Semaphore, mpsc, oneshot};
use tonic::{Code, Status};
use wanfarm_proto::Location;
use wanfarm_proto::dial::Way;
use wanfarm_proto::tensors::{ChunkSource, Chunks, PullError, Puller, Pulling, not_held};
use wanfarm_types::{Digest, TensorRef};

use crate::artifacts::Artifacts;
use crate::event::Event;
use crate::limits::TENSORS_HANDED_ON;
use crate::models::ModelStore;
use crate::outbox::WeakOutbox;
use crate::relay::Relay;

/// The ways to a worker's results.
#[derive(Debug, Clone)]
pub struct Source {
    /// The name shown in messages.
    pub name: String,
    /// Its address; `None` when it is known that nobody answers there.
    pub location: Option<Location>,
    /// The worker's connection.
    pub outbox: WeakOutbox,
    /// Told when its address fails.
    pub doubt: Arc<Notify>,
}

impl Source {
    /// A worker that is not there.
    pub fn nowhere(name: String) -> Self {
        Self { name, location: None, outbox: mpsc::channel(1).0.downgrade(), doubt: Arc::default() }
    }
}

/// Reads from sources. Clones share connections and errands.
#[derive(Debug, Clone, Default)]
pub struct Reader {
    /// Reads over connections dialled here.
    pub puller: Puller,
    /// Reads over connections dialled there.
    pub relay: Relay,
}

impl Reader {
    /// One that dials workers so.
    pub fn new(way: Way) -> Self {
        Self { puller: Puller::new(way), relay: Relay::default() }
    }

    /// Opens a tensor, to be read in chunks.
    ///
    /// # Errors
    /// When the worker does not have it, or cannot be heard.
    pub async fn open(&self, tensor: &TensorRef, source: &Source) -> Result<Pulling, PullError> {
        if let Some(location) = &source.location {
            match self.puller.open(tensor, &location.to_string()).await {
                Err(error) if error.is_unreachable() => source.doubt.notify_one(),
                opened => return opened,
            }
        }
        self.relay(tensor, source)
    }

    /// Reads a tensor whole.
    ///
    /// # Errors
    /// As for [`Reader::open`].
    pub async fn read(&self, tensor: &TensorRef, source: &Source) -> Result<Bytes, PullError> {
        if let Some(location) = &source.location {
            match self.puller.pull(tensor, &[location.to_string()]).await {
                Err(error) if error.is_unreachable() => source.doubt.notify_one(),
                read => return read,
            }
        }
        self.relay(tensor, source)?.whole().await
    }

    fn relay(&self, tensor: &TensorRef, source: &Source) -> Result<Pulling, PullError> {
        let chunks = self.relay.fetch(&source.outbox, tensor.digest, 0);
        let chunks = chunks.map_err(|status| PullError::of(tensor.digest, &source.name, status))?;
        Pulling::new(tensor, &source.name, chunks)
    }
}

/// The tensors that the coordinator serves.
#[derive(Debug, Clone)]
pub struct Shelf {
    artifacts: Artifacts,
    models: ModelStore,
    relay: Relay,
    events: mpsc::Sender<Event>,
    slots: Arc<Semaphore>,
}

impl Shelf {
    /// Durable copies, files of models that are kept, and what the driver knows a worker to hold.
    pub fn new(artifacts: Artifacts, models: ModelStore, relay: Relay, events: mpsc::Sender<Event>) -> Self {
        Self { artifacts, models, relay, events, slots: Arc::new(Semaphore::new(TENSORS_HANDED_ON)) }
    }

    async fn find(self, digest: Digest, offset: u64) -> Result<Chunks, Status> {
        match self.artifacts.chunks(digest, offset).await {
            Err(status) if status.code() == Code::NotFound => {}
            found => return found,
        }
        if let Some(found) = self.models.chunks(&digest, offset).await {
            return found;
        }
        let busy = |_| Status::resource_exhausted("many others read here; ask again");
        let slot = self.slots.try_acquire_owned().map_err(busy)?;
        let (reply, answer) = oneshot::channel();
        let closing = || Status::unavailable("the coordinator is shutting down");
        self.events.send(Event::Wanted { digest, reply }).await.map_err(|_| closing())?;
        let outbox = answer.await.map_err(|_| closing())?.ok_or_else(|| not_held(&digest))?;
        let chunks = self.relay.fetch(&outbox, digest, offset)?;
        // The place is taken until the reader has gone.
        Ok(chunks.map(move |chunk| (chunk, &slot).0).boxed())
    }
}

impl ChunkSource for Shelf {
    fn chunks(&self, digest: Digest, offset: u64) -> BoxFuture<'static, Result<Chunks, Status>> {
        self.clone().find(digest, offset).boxed()
    }
}
