//! Results on their way to the coordinator, for those who cannot reach this worker's tensor service: over a connection
//! that this worker dials, which a firewall lets pass. Not who wants them, nor the service itself (`wanfarm-proto`).

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures::{Stream, StreamExt};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Channel;
use tracing::debug;
use wanfarm_proto::tensors::{ChunkSource, Chunks};
use wanfarm_proto::v1::Delivery;
use wanfarm_proto::v1::dispatch_client::DispatchClient;
use wanfarm_types::Errand;

use crate::holdings::Holdings;

/// Tensors on their way at the same time. Few, so that each gets on.
const AT_ONCE: usize = 4;
/// Errands that may wait. The coordinator repeats one that is not begun in time, if it is still needed.
const WAITING: usize = 64;

/// Runs errands, as many at once as may be, for as long as it lives.
#[derive(Debug)]
pub(crate) struct Deliveries {
    errands: mpsc::Sender<Errand>,
}

impl Deliveries {
    /// Over a connection of its own: heartbeats and reports do not queue behind tensors.
    pub(crate) fn new(coordinator: Channel, holdings: Holdings) -> Self {
        let (errands, waiting) = mpsc::channel(WAITING);
        let client = DispatchClient::new(coordinator);
        let run = move |errand| deliver(client.clone(), holdings.clone(), errand);
        tokio::spawn(ReceiverStream::new(waiting).for_each_concurrent(AT_ONCE, run));
        Self { errands }
    }

    pub(crate) fn begin(&self, errand: Errand) {
        if self.errands.try_send(errand).is_err() {
            debug!(?errand, "too many tensors are wanted at once");
        }
    }
}

async fn deliver(mut client: DispatchClient<Channel>, holdings: Holdings, errand: Errand) {
    let chunks = holdings.chunks(errand.digest, errand.offset).await.ok();
    let first = Delivery { errand: errand.number, missing: chunks.is_none(), data: Bytes::new() };
    if let Err(status) = client.deliver(Messages { first: Some(first), chunks }).await {
        // Usual when the reader has gone; it asks again if it still needs the tensor.
        debug!(digest = %errand.digest, %status, "a tensor was not delivered");
    }
}

/// Messages of one delivery.
struct Messages {
    first: Option<Delivery>,
    chunks: Option<Chunks>,
}

impl Stream for Messages {
    type Item = Delivery;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Delivery>> {
        if let Some(first) = self.first.take() {
            return Poll::Ready(Some(first));
        }
        let Some(chunks) = self.chunks.as_mut() else { return Poll::Ready(None) };
        // They come from memory, and never fail.
        let chunk = ready!(chunks.poll_next_unpin(cx)).and_then(Result::ok);
        Poll::Ready(chunk.map(|data| Delivery { data, ..Delivery::default() }))
    }
}
