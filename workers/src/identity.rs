//! Who this worker is: an id that survives restarts, and an incarnation that does not. The data folder that holds the
//! id is locked for as long as the process lives, so two processes never claim to be one worker.

use std::fs::{self, File, TryLockError};
use std::io;
use std::path::Path;

use uuid::Uuid;
use wanfarm_types::{Incarnation, WorkerId};

use crate::WorkerError;

/// This worker, this boot. The lock goes when it is dropped.
#[derive(Debug)]
pub(crate) struct Identity {
    pub(crate) worker: WorkerId,
    pub(crate) incarnation: Incarnation,
    _lock: File,
}

impl Identity {
    /// Locks the data folder, making it if need be, and reads or draws the worker's id.
    pub(crate) fn claim(data: &Path) -> Result<Self, WorkerError> {
        let failed = |source| WorkerError::Data { path: data.to_owned(), source };
        fs::create_dir_all(data).map_err(failed)?;
        let lock = File::create(data.join("worker.lock")).map_err(failed)?;
        lock.try_lock().map_err(|error| match error {
            TryLockError::WouldBlock => WorkerError::InUse { path: data.to_owned() },
            TryLockError::Error(source) => failed(source),
        })?;
        let worker = WorkerId(persistent_id(data).map_err(failed)?);
        Ok(Self { worker, incarnation: Incarnation(draw()), _lock: lock })
    }
}

fn persistent_id(data: &Path) -> io::Result<Uuid> {
    let path = data.join("worker-id");
    match fs::read_to_string(&path) {
        Ok(text) => Uuid::parse_str(text.trim()).map_err(|_| {
            io::Error::other(format!(
                "{} holds {text:?}, which is no id; delete the file for a new one",
                path.display()
            ))
        }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let id = draw();
            // By rename, so that a crash leaves no half-written id behind.
            let draft = data.join("worker-id.new");
            fs::write(&draft, format!("{id}\n"))?;
            fs::rename(draft, path)?;
            Ok(id)
        }
        Err(error) => Err(error),
    }
}

fn draw() -> Uuid {
    uuid::Builder::from_random_bytes(rand::random()).into_uuid()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_id_stays_and_the_incarnation_changes() {
        let data = tempfile::tempdir().unwrap();
        let first = Identity::claim(data.path()).unwrap();
        let (worker, incarnation) = (first.worker, first.incarnation);
        drop(first);
        let second = Identity::claim(data.path()).unwrap();
        assert_eq!(second.worker, worker);
        assert_ne!(second.incarnation, incarnation);
    }

    #[test]
    fn two_workers_cannot_share_a_data_folder() {
        let data = tempfile::tempdir().unwrap();
        let _first = Identity::claim(data.path()).unwrap();
        assert!(matches!(Identity::claim(data.path()), Err(WorkerError::InUse { .. })));
    }

    #[test]
    fn a_damaged_id_is_not_silently_replaced() {
        let data = tempfile::tempdir().unwrap();
        fs::write(data.path().join("worker-id"), "half-writ").unwrap();
        let error = Identity::claim(data.path()).unwrap_err().to_string();
        assert!(error.contains("half-writ"), "{error}");
    }
}
