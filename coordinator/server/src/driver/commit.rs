//! Rows before deeds: a batch is on disk before any action or answer that follows from it leaves.
//!
//! Everything that has arrived while a batch was being written makes the next one, so that the disk is waited for once
//! per turn and not once per report. When there is no room for a batch, or another program has the database locked,
//! nothing leaves until that has passed: the farm's workers finish what they have and wait, and the batch grows by what
//! they say.

use std::time::Instant;

use tokio::sync::oneshot;

use super::Driver;
use crate::store::{Store, StoreError};

/// An answer that waits until what it says is on disk.
pub(super) type Answer = Box<dyn FnOnce() + Send>;

impl Driver {
    /// Sends an answer once everything decided so far is on disk; the asker may have left.
    pub(super) fn answer_when_recorded<T: Send + 'static>(&mut self, reply: oneshot::Sender<T>, value: T) {
        self.answers.push(Box::new(move || drop(reply.send(value))));
    }

    /// Writes what there is to write and acts on it, until nothing is left of either.
    pub(super) async fn settle(&mut self) -> Result<(), StoreError> {
        loop {
            if !self.rows.is_empty() && !self.write().await? {
                return Ok(());
            }
            self.answers.drain(..).for_each(|answer| answer());
            for file in std::mem::take(&mut self.unneeded) {
                self.copies.let_go(file);
            }
            if self.actions.is_empty() {
                return Ok(());
            }
            while let Some(action) = self.actions.pop_front() {
                self.act(action);
            }
        }
    }

    /// Writes the rows; false when that cannot be done now.
    async fn write(&mut self) -> Result<bool, StoreError> {
        if !self.obstacles.store_may_try() {
            return Ok(false);
        }
        let Some(mut store) = self.store.take() else { return Ok(false) };
        let rows = std::mem::take(&mut self.rows);
        let meters = self.meters.clone();
        let write = move || -> (Box<dyn Store>, _, _) {
            let begun = Instant::now();
            let written = store.commit(&rows);
            if written.is_ok() {
                meters.committed(begun.elapsed());
            }
            (store, rows, written)
        };
        // Propagate a panic of the store to the join handle of the driver.
        let (store, rows, written) = tokio::task::spawn_blocking(write)
            .await
            .unwrap_or_else(|panic| std::panic::resume_unwind(panic.into_panic()));
        self.store = Some(store);
        match written {
            Ok(()) => {
                self.obstacles.store_takes_rows();
                self.history.tell(&rows);
                Ok(true)
            }
            Err(error) if error.may_pass() => {
                self.obstacles.store_waits(&error);
                self.rows = rows;
                Ok(false)
            }
            Err(error) => Err(error),
        }
    }
}
