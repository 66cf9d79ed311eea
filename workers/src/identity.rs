//! Who this worker is: an id that survives restarts, and an incarnation that does not. The data folder that holds the
//! id is locked for as long as the process lives, so two processes never claim to be one worker; and beside the id
//! stands the place it was drawn at, so that a data folder copied to another machine gets an id of its own. Where even
//! the place is the same, as in two containers of one image, the coordinator notices, and one of them draws anew.

use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

use uuid::Uuid;
use wanfarm_types::{Incarnation, WorkerId};

use crate::WorkerError;

/// This worker, this boot. The lock goes when it is dropped.
#[derive(Debug)]
pub(crate) struct Identity {
    pub(crate) worker: WorkerId,
    pub(crate) incarnation: Incarnation,
    data: PathBuf,
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
        Ok(Self { worker, incarnation: Incarnation(draw()), data: data.to_owned(), _lock: lock })
    }

    /// Draws another id, for now and for later boots: this one is held by another process that lives.
    pub(crate) fn renew(&mut self) -> Result<(), WorkerError> {
        let renewed = place(&self.data).and_then(|place| keep(&id_file(&self.data), draw(), &place));
        self.worker = WorkerId(renewed.map_err(|source| WorkerError::Data { path: self.data.clone(), source })?);
        Ok(())
    }
}

/// The id in the data folder, if it was drawn for this folder of this machine; a new one otherwise.
fn persistent_id(data: &Path) -> io::Result<Uuid> {
    let path = id_file(data);
    let place = place(data)?;
    match fs::read_to_string(&path) {
        Ok(text) => {
            let (id, drawn_at) = text.trim().split_once('\n').unwrap_or((text.trim(), ""));
            let id = Uuid::parse_str(id).map_err(|_| {
                io::Error::other(format!(
                    "{} holds {text:?}, which is no id; delete the file for a new one",
                    path.display()
                ))
            })?;
            if drawn_at == place {
                return Ok(id);
            }
            // An id without a place is of an earlier version.
            let id = if drawn_at.is_empty() { id } else { draw() };
            if !drawn_at.is_empty() {
                tracing::warn!(%id, %drawn_at, "this data folder was copied or moved: the worker takes a new id");
            }
            keep(&path, id, &place)
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => keep(&path, draw(), &place),
        Err(error) => Err(error),
    }
}

fn id_file(data: &Path) -> PathBuf {
    data.join("worker-id")
}

/// Writes the id by rename, so that a crash leaves no half-written one behind.
fn keep(path: &Path, id: Uuid, place: &str) -> io::Result<Uuid> {
    let draft = path.with_extension("new");
    fs::write(&draft, format!("{id}\n{place}\n"))?;
    fs::rename(draft, path)?;
    Ok(id)
}

/// This folder of this machine, in one line.
fn place(data: &Path) -> io::Result<String> {
    let host = sysinfo::System::host_name().unwrap_or_default();
    let place = format!("{host}:{}", fs::canonicalize(data)?.display());
    Ok(place.replace(['\n', '\r'], " "))
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
    fn a_new_id_stays_and_a_disk_that_refuses_it_is_named() {
        let data = tempfile::tempdir().unwrap();
        let mut identity = Identity::claim(data.path()).unwrap();
        let old = identity.worker;
        identity.renew().unwrap();
        let new = identity.worker;
        assert_ne!(new, old);
        drop(identity);
        let mut identity = Identity::claim(data.path()).unwrap();
        assert_eq!(identity.worker, new);
        fs::create_dir(data.path().join("worker-id.new")).unwrap();
        assert!(matches!(identity.renew(), Err(WorkerError::Data { .. })));
        assert_eq!(identity.worker, new);
    }

    /// The id that a data folder with this content gets.
    fn id_of(content: &str) -> (WorkerId, String) {
        let data = tempfile::tempdir().unwrap();
        fs::write(data.path().join("worker-id"), content).unwrap();
        let worker = Identity::claim(data.path()).unwrap().worker;
        assert_eq!(Identity::claim(data.path()).unwrap().worker, worker, "from now on it stays");
        (worker, fs::read_to_string(data.path().join("worker-id")).unwrap())
    }

    #[test]
    fn a_copied_data_folder_gets_an_id_of_its_own() {
        let data = tempfile::tempdir().unwrap();
        let first = Identity::claim(data.path()).unwrap().worker;
        let content = fs::read_to_string(data.path().join("worker-id")).unwrap();
        let (copy, kept) = id_of(&content);
        assert_ne!(copy, first, "of another folder of this machine");
        assert!(kept.starts_with(&copy.to_string()));
        let elsewhere = content.replacen('\n', "\nelsewhere-", 1);
        fs::write(data.path().join("worker-id"), elsewhere).unwrap();
        assert_ne!(Identity::claim(data.path()).unwrap().worker, first, "of this folder of another machine");
    }

    #[test]
    fn an_id_of_an_earlier_version_stays() {
        let id = "6f8f6b2e-2a70-4a57-9e8d-0d7a4a1c2b3d";
        let (worker, kept) = id_of(&format!("{id}\n"));
        assert_eq!(worker.to_string(), id);
        assert!(kept.lines().count() == 2, "{kept:?}");
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
