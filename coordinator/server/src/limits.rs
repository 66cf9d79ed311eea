//! What others may take of a coordinator at a time: its numbers, in one place. What the wire bounds by itself, connections, their
//! beginnings and the sizes of messages and tensors, is in `wanfarm_proto`; what stands in a message, in `wanfarm_types::bounds`.

use std::time::Duration;

/// Requests at a time on one connection, more of which wait at their sender. As HTTP/2 recommends, and as hyper has it by itself:
/// tonic takes that limit off where none is named.
pub(crate) const STREAMS: u32 = 200;
/// Requests at a time of those at one address whom somebody knows: more than the workers and browsers of a machine have, with all
/// their streams.
pub(crate) const REQUESTS: usize = 2000;
/// The same of all others at that address, which take no place from those.
pub(crate) const STRANGERS_REQUESTS: usize = 200;
/// Messages of services whose requests are short.
pub(crate) const SHORT_MESSAGE: usize = 16 << 10;
/// How long a request of somebody unknown may take: all of them are short, and the rest of one may never come.
pub(crate) const STRANGERS_PATIENCE: Duration = Duration::from_secs(30);
/// How long a new connection may take to say hello.
pub(crate) const HELLO_TIMEOUT: Duration = Duration::from_secs(20);
/// Messages that may wait for a worker that reads slowly; a worker further behind is disconnected and catches up
/// by re-attaching.
pub(crate) const OUTBOX_CAPACITY: usize = 256;
/// A receiver that takes nothing for so long has gone.
pub(crate) const UNREAD_TIMEOUT: Duration = Duration::from_secs(60);
/// Files that arrive at the same time: each is an open one, of which the coordinator needs some to write what was rendered.
pub(crate) const FILES_ARRIVING: usize = 256;
/// How long the next piece of one may take to come, and before that its turn.
pub(crate) const SILENCE_TIMEOUT: Duration = Duration::from_secs(60);
/// Files and lists of files sent at a time: far fewer than there are threads for work that blocks, of which commits need one.
pub(crate) const FILES_SENT: usize = 32;
/// How long a reader waits for its turn among them.
pub(crate) const TURN_TIMEOUT: Duration = Duration::from_secs(30);
/// Archives sent at a time; each holds a thread.
pub(crate) const ARCHIVES_SENT: usize = 4;
/// Callers that watch at the same time: each asks the driver for itself.
pub(crate) const WATCHERS: usize = 32;
/// Submissions checked at the same time.
pub(crate) const SUBMISSIONS_CHECKED: usize = 2;
/// Output folders looked into at the same time.
pub(crate) const FOLDERS_LOOKED_AT: usize = 4;
/// Tensors handed on to other workers at the same time; who comes then asks again.
pub(crate) const TENSORS_HANDED_ON: usize = 64;
/// Tensors copied at the same time: enough to fill a network, few enough to bound memory. Those of one checkpoint are
/// among them, so that while one is made durable the next is read and hashed.
pub(crate) const TENSORS_COPIED: usize = 8;
/// Files of models read at the same time, for whoever pulls one.
pub(crate) const MODEL_FILES_READ: usize = 8;
/// Videos written at the same time; each holds its frames in memory.
pub(crate) const VIDEOS_WRITTEN: usize = 2;
