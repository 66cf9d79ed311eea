//! Tensors that come over connections their makers dial: errands that are out, and who waits for each. Bounded: a few
//! chunks of each tensor are under way, and the maker waits for the reader. Not the service (`dispatch`).

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use futures::StreamExt;
use tokio::sync::mpsc;
use tonic::Status;
use wanfarm_proto::tensors::{Chunks, not_held};
use wanfarm_types::{CoordinatorMessage, Digest, Errand};

use crate::outbox::WeakOutbox;

/// Chunks of a tensor that may wait for its reader.
const MAX_CHUNKS: usize = 8;

/// One part of a tensor: the end is said, so that a maker that breaks off is not taken for one that has finished.
enum Relayed {
    Chunk(Bytes),
    End,
}

type Sink = mpsc::Sender<Result<Relayed, Status>>;

/// The errands that are out. Clones share them.
#[derive(Debug, Clone, Default)]
pub struct Relay {
    waiting: Arc<Mutex<BTreeMap<u64, (Digest, Sink)>>>,
}

/// The reader's end of an errand.
#[derive(Debug)]
pub struct Delivery {
    digest: Digest,
    sink: Sink,
}

/// Takes an errand back when its reader goes.
struct ErrandGuard {
    relay: Relay,
    number: u64,
}

impl Relay {
    /// Asks the worker at the other end for a tensor from `offset` on; its chunks, as they come.
    ///
    /// # Errors
    /// `unavailable` when it cannot be asked now.
    pub fn fetch(&self, outbox: &WeakOutbox, digest: Digest, offset: u64) -> Result<Chunks, Status> {
        let outbox = outbox.upgrade().ok_or_else(|| Status::unavailable("its connection is broken"))?;
        // Of a coordinator that ran before this one a delivery may still be under way.
        let number = rand::random();
        let (sink, parts) = mpsc::channel(MAX_CHUNKS);
        let reader = ErrandGuard { relay: self.clone(), number };
        self.lock().insert(number, (digest, sink));
        let sent = outbox.try_send(CoordinatorMessage::Send(Errand { number, digest, offset }));
        sent.map_err(|_| Status::unavailable("it is behind with what it was told before"))?;
        let chunks = futures::stream::unfold(Some((parts, reader)), |going| async {
            let (mut parts, reader) = going?;
            match parts.recv().await {
                Some(Ok(Relayed::Chunk(bytes))) => Some((Ok(bytes), Some((parts, reader)))),
                Some(Ok(Relayed::End)) => None,
                Some(Err(status)) => Some((Err(status), None)),
                None => Some((Err(Status::unavailable("its connection broke")), None)),
            }
        });
        Ok(chunks.boxed())
    }

    /// The reader that an errand is for; once.
    pub fn deliver(&self, errand: u64) -> Option<Delivery> {
        self.lock().remove(&errand).map(|(digest, sink)| Delivery { digest, sink })
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<u64, (Digest, Sink)>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for ErrandGuard {
    fn drop(&mut self) {
        self.relay.lock().remove(&self.number);
    }
}

impl Delivery {
    /// Hands on a chunk; returns when there is room for the next. False when the reader has gone.
    pub async fn chunk(&self, bytes: Bytes) -> bool {
        self.sink.send(Ok(Relayed::Chunk(bytes))).await.is_ok()
    }

    /// The tensor is complete.
    pub async fn end(self) {
        let _ = self.sink.send(Ok(Relayed::End)).await;
    }

    /// The maker does not have it.
    pub async fn missing(self) {
        let _ = self.sink.send(Err(not_held(&self.digest))).await;
    }

    /// Resolves when the reader has gone.
    pub async fn abandoned(&self) {
        self.sink.closed().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use wanfarm_proto::tensors::Pulling;
    use wanfarm_types::{DType, TensorRef};

    fn tensor(bytes: &[u8]) -> TensorRef {
        let digest = Digest(*blake3::hash(bytes).as_bytes());
        TensorRef { digest, dtype: DType::U8, shape: vec![bytes.len() as u64] }
    }

    /// A read that is waited for, and the errand its maker got.
    fn fetch(relay: &Relay, bytes: &[u8]) -> (Pulling, u64) {
        let (outbox, mut orders) = mpsc::channel(1);
        let tensor = tensor(bytes);
        let chunks = relay.fetch(&outbox.downgrade(), tensor.digest, 0).unwrap();
        let CoordinatorMessage::Send(errand) = orders.try_recv().unwrap() else { panic!("another order") };
        assert_eq!(errand.digest, tensor.digest);
        (Pulling::new(&tensor, "maker", chunks).unwrap(), errand.number)
    }

    #[tokio::test]
    async fn a_delivery_reaches_the_reader_that_waits_for_it_and_no_other() {
        let relay = Relay::default();
        let (reading, errand) = fetch(&relay, b"latents");
        assert!(relay.deliver(errand.wrapping_add(1)).is_none());
        let delivery = relay.deliver(errand).unwrap();
        assert!(relay.deliver(errand).is_none(), "once");
        assert!(delivery.chunk(Bytes::from_static(b"late")).await && delivery.chunk(Bytes::from_static(b"nts")).await);
        delivery.end().await;
        assert_eq!(reading.whole().await.unwrap(), &b"latents"[..]);
    }

    #[tokio::test]
    async fn a_maker_without_it_has_answered_and_one_that_breaks_off_has_not() {
        let relay = Relay::default();
        let (reading, errand) = fetch(&relay, b"latents");
        relay.deliver(errand).unwrap().missing().await;
        assert!(!reading.whole().await.unwrap_err().is_unreachable());

        let (reading, errand) = fetch(&relay, b"latents");
        let delivery = relay.deliver(errand).unwrap();
        assert!(delivery.chunk(Bytes::from_static(b"late")).await);
        drop(delivery);
        assert!(reading.whole().await.unwrap_err().is_unreachable());
    }

    #[tokio::test]
    async fn other_bytes_are_an_answer_and_thrown_away() {
        let relay = Relay::default();
        let (reading, errand) = fetch(&relay, b"latents");
        let delivery = relay.deliver(errand).unwrap();
        assert!(delivery.chunk(Bytes::from_static(b"LATENTS")).await);
        delivery.end().await;
        let error = reading.whole().await.unwrap_err();
        assert!(!error.is_unreachable() && error.to_string().contains("other bytes"), "{error}");
    }

    #[tokio::test]
    async fn a_reader_that_goes_takes_its_errand_with_it() {
        let relay = Relay::default();
        let (reading, errand) = fetch(&relay, b"latents");
        drop(reading);
        assert!(relay.deliver(errand).is_none());

        let (reading, errand) = fetch(&relay, b"latents");
        let delivery = relay.deliver(errand).unwrap();
        drop(reading);
        delivery.abandoned().await;
        assert!(!delivery.chunk(Bytes::from_static(b"late")).await);
        assert!(relay.lock().is_empty());
    }

    #[test]
    fn a_worker_that_is_away_or_behind_cannot_be_asked() {
        let relay = Relay::default();
        let (outbox, _orders) = mpsc::channel(1);
        let away = mpsc::channel(1).0.downgrade();
        let weak = outbox.downgrade();
        assert!(relay.fetch(&away, tensor(b"x").digest, 0).is_err());
        let _first = relay.fetch(&weak, tensor(b"x").digest, 0).unwrap();
        let status = relay.fetch(&weak, tensor(b"x").digest, 0).err().unwrap();
        assert_eq!(status.code(), tonic::Code::Unavailable);
        assert_eq!(relay.lock().len(), 1);
    }
}
