//! Streams that a thread reads for: a few at a time, each for as long as its receiver takes something. Whoever asks and then
//! reads nothing holds up nobody for long.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures::Stream;
use tokio::runtime::Handle;
use tokio::sync::{Semaphore, mpsc};
use tokio::time::timeout;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;

use super::AHEAD;
use super::pipe::take;

use crate::limits::{FILES_SENT, TURN_TIMEOUT, UNREAD_TIMEOUT};

/// Limits them.
#[derive(Debug, Clone)]
pub(super) struct Sending {
    turns: Arc<Semaphore>,
    /// How long one waits for its turn.
    wait: Duration,
    /// How long a receiver may take nothing.
    patience: Duration,
}

/// As the gRPC service returns it.
pub(super) type Sent<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

impl Sending {
    pub(super) fn new() -> Self {
        Self { turns: Arc::new(Semaphore::new(FILES_SENT)), wait: TURN_TIMEOUT, patience: UNREAD_TIMEOUT }
    }

    /// What `read` hands on, on a thread; it is told when the receiver has gone.
    ///
    /// # Errors
    /// As many as may be are being sent, and none of them ends.
    pub(super) async fn stream<T: Send + 'static>(
        &self,
        read: impl FnOnce(&dyn Fn(Result<T, Status>) -> bool) + Send + 'static,
    ) -> Result<Sent<T>, Status> {
        let busy = || {
            let why = format!("{FILES_SENT} files and lists of files are being sent already");
            Status::resource_exhausted(format!("{why}; ask again in a while"))
        };
        let turn =
            timeout(self.wait, self.turns.clone().acquire_owned()).await.map_err(|_| busy())?.map_err(|_| busy())?;
        let (items, outgoing) = mpsc::channel(AHEAD);
        let (runtime, patience) = (Handle::current(), self.patience);
        tokio::task::spawn_blocking(move || {
            let _turn = turn;
            read(&|item| take(&runtime, &items, item, patience));
        });
        Ok(Box::pin(ReceiverStream::new(outgoing)))
    }
}

#[cfg(test)]
mod tests {
    use tokio_stream::StreamExt;

    use super::*;

    #[tokio::test]
    async fn those_who_read_nothing_are_given_up_and_others_get_their_turn() {
        const MOMENT: Duration = Duration::from_millis(50);
        let patient = Sending { wait: MOMENT, ..Sending::new() };
        let endless = |send: &dyn Fn(Result<u32, Status>) -> bool| while send(Ok(7)) {};
        let mut unread = Vec::new();
        for _ in 0..FILES_SENT {
            unread.push(patient.stream(endless).await.unwrap());
        }
        let refused = patient.stream(endless).await.err().map(|status| status.code());
        assert_eq!(refused, Some(tonic::Code::ResourceExhausted));
        drop(unread);

        let sending = Sending { patience: MOMENT, ..Sending::new() };
        let mut unread = Vec::new();
        // Each turn comes when one of those before is given up.
        for _ in 0..2 * FILES_SENT {
            unread.push(sending.stream(endless).await.unwrap());
        }
        let read: Vec<_> = sending.stream(|send| _ = send(Ok(7))).await.unwrap().collect().await;
        assert!(matches!(read[..], [Ok(7)]), "{read:?}");
    }
}
