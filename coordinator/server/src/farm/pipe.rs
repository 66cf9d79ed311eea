//! A way from who writes, on a thread, to who takes chunks as they come: at the speed of the slower, and given up when nothing
//! is taken for a while.

use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio::time::timeout;

use crate::limits::UNREAD_TIMEOUT;

/// Bytes of one chunk.
pub(super) const CHUNK_BYTES: usize = 256 << 10;

/// Hands on what is written, in chunks. Once broken it swallows everything: an archive that is given up still writes its end.
pub(super) struct Pipe {
    pub(super) runtime: Handle,
    pub(super) chunks: mpsc::Sender<io::Result<Bytes>>,
    gathered: Vec<u8>,
    pub(super) broken: Arc<AtomicBool>,
}

impl Pipe {
    pub(super) fn new(runtime: Handle, chunks: mpsc::Sender<io::Result<Bytes>>) -> Self {
        Self { runtime, chunks, gathered: Vec::new(), broken: Arc::default() }
    }

    fn is_broken(&self) -> bool {
        self.broken.load(Ordering::Relaxed)
    }

    fn hand_on(&mut self) -> io::Result<()> {
        if self.gathered.is_empty() || self.is_broken() {
            return Ok(());
        }
        let chunk = std::mem::take(&mut self.gathered).into();
        if take(&self.runtime, &self.chunks, Ok(chunk), UNREAD_TIMEOUT) {
            return Ok(());
        }
        self.broken.store(true, Ordering::Relaxed);
        Err(io::ErrorKind::BrokenPipe.into())
    }
}

/// Waits on a thread until the receiver takes it; false when it has gone.
pub(super) fn take<T>(runtime: &Handle, chunks: &mpsc::Sender<T>, chunk: T, patience: Duration) -> bool {
    runtime.block_on(async { matches!(timeout(patience, chunks.send(chunk)).await, Ok(Ok(()))) })
}

impl Write for Pipe {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if !self.is_broken() {
            self.gathered.extend_from_slice(bytes);
        }
        if self.gathered.len() >= CHUNK_BYTES {
            self.hand_on()?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.hand_on()
    }
}
