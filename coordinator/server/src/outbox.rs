//! The way to a worker: the queue of messages that its connection sends.

use tokio::sync::mpsc;
use wanfarm_types::CoordinatorMessage;

/// Messages to one worker. Dropping it closes the connection.
pub(crate) type Outbox = mpsc::Sender<CoordinatorMessage>;

/// An [`Outbox`] that does not keep the connection open.
pub(crate) type WeakOutbox = mpsc::WeakSender<CoordinatorMessage>;
