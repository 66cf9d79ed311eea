//! Who this worker is: an id that survives restarts, and an incarnation that does not. The data folder that holds the
//! id is locked for as long as the process lives, so two processes never claim to be one worker; and beside the id
//! stands the place it was drawn at, so that a data folder copied to another machine gets an id of its own. Machines are
//! told apart by what the system calls them, not by host names, which change with the network. Where even the place is
//! the same, as in two containers of one image, the coordinator notices, and one of them draws anew.

use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

use uuid::Uuid;
use wanfarm_types::{Incarnation, WorkerId};

use crate::{WorkerError, machine};

/// This worker, this boot. The lock goes when it is dropped.
#[derive(Debug)]
pub(crate) struct Identity {
    pub(crate) worker: WorkerId,
    pub(crate) incarnation: Incarnation,
    data: PathBuf,
    _lock: File,
}

/// Where an id was drawn.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Place {
    /// The machine, if the system has a name for it that stays.
    machine: Option<String>,
    folder: String,
}

/// What stands in the file.
#[derive(Debug, PartialEq, Eq)]
enum Kept {
    Nothing,
    /// Bytes that hold no id.
    Damaged(String),
    /// An id, with the place it was drawn at unless a person has put it there.
    Id(Uuid, Option<Place>),
}

impl Identity {
    /// Locks the data folder, making it if need be, and reads or draws the worker's id.
    pub(crate) fn claim(data: &Path) -> Result<Self, WorkerError> {
        Self::claim_on(data, machine::id())
    }

    fn claim_on(data: &Path, machine: Option<String>) -> Result<Self, WorkerError> {
        let failed = |source| WorkerError::Data { path: data.to_owned(), source };
        wanfarm_durable::private_folder(data).map_err(failed)?;
        let lock = File::create(data.join("worker.lock")).map_err(failed)?;
        lock.try_lock().map_err(|error| match error {
            TryLockError::WouldBlock => WorkerError::InUse { path: data.to_owned() },
            TryLockError::Error(source) => failed(source),
        })?;
        let worker = WorkerId(persistent_id(data, machine).map_err(failed)?);
        Ok(Self { worker, incarnation: Incarnation(draw()), data: data.to_owned(), _lock: lock })
    }

    /// Draws another id, for now and for later boots: this one is held by another process that lives.
    pub(crate) fn renew(&mut self) -> Result<(), WorkerError> {
        let place = Place::of(&self.data, machine::id());
        let renewed = place.and_then(|place| keep(&id_file(&self.data), draw(), &place));
        self.worker = WorkerId(renewed.map_err(|source| WorkerError::Data { path: self.data.clone(), source })?);
        Ok(())
    }
}

impl Place {
    fn of(data: &Path, machine: Option<String>) -> io::Result<Self> {
        let folder = fs::canonicalize(data)?.display().to_string();
        Ok(Self { machine, folder: folder.replace(['\n', '\r'], " ") })
    }

    /// True unless it is certain that these are two places: a machine without a name may be any.
    fn may_be(&self, other: &Self) -> bool {
        let machines = self.machine.as_ref().zip(other.machine.as_ref());
        self.folder == other.folder && machines.is_none_or(|(one, other)| one == other)
    }
}

/// The id in the data folder, if it was drawn for this folder of this machine; a new one otherwise.
fn persistent_id(data: &Path, machine: Option<String>) -> io::Result<Uuid> {
    let path = id_file(data);
    let place = Place::of(data, machine)?;
    match read(&path)? {
        Kept::Nothing => keep(&path, draw(), &place),
        Kept::Damaged(text) => {
            let id = draw();
            tracing::warn!(%id, "{} holds {text:?}, which is no id: the worker takes a new one", path.display());
            keep(&path, id, &place)
        }
        Kept::Id(id, Some(drawn_at)) if drawn_at == place => Ok(id),
        Kept::Id(id, drawn_at) if drawn_at.as_ref().is_none_or(|drawn_at| drawn_at.may_be(&place)) => {
            keep(&path, id, &place)
        }
        Kept::Id(..) => {
            let id = draw();
            tracing::warn!(%id, "this data folder was copied or moved: the worker takes a new id");
            keep(&path, id, &place)
        }
    }
}

fn id_file(data: &Path) -> PathBuf {
    data.join("worker-id")
}

/// The id, the machine and the folder, a line each.
fn read(path: &Path) -> io::Result<Kept> {
    let bytes = match fs::read(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Kept::Nothing),
        read => read?,
    };
    let text = String::from_utf8_lossy(&bytes);
    let mut lines = text.lines();
    let Ok(id) = Uuid::parse_str(lines.next().unwrap_or_default().trim()) else {
        return Ok(Kept::Damaged(text.chars().take(80).collect()));
    };
    let place = lines.next().zip(lines.next()).map(|(machine, folder)| Place {
        machine: (!machine.is_empty()).then(|| machine.to_owned()),
        folder: folder.to_owned(),
    });
    Ok(Kept::Id(id, place))
}

fn keep(path: &Path, id: Uuid, place: &Place) -> io::Result<Uuid> {
    let machine = place.machine.as_deref().unwrap_or_default();
    let text = format!("{id}\n{machine}\n{}\n", place.folder);
    wanfarm_durable::write(path, &path.with_extension("new"), text.as_bytes())?;
    Ok(id)
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

    /// The id that this folder gives on this machine.
    fn id_on(data: &Path, machine: Option<&str>) -> WorkerId {
        Identity::claim_on(data, machine.map(str::to_owned)).unwrap().worker
    }

    fn copy(from: &Path) -> tempfile::TempDir {
        let copy = tempfile::tempdir().unwrap();
        fs::copy(id_file(from), id_file(copy.path())).unwrap();
        copy
    }

    #[test]
    fn a_copied_data_folder_gets_an_id_of_its_own_once() {
        let data = tempfile::tempdir().unwrap();
        let first = id_on(data.path(), Some("a"));
        let elsewhere = copy(data.path());
        let other = id_on(elsewhere.path(), Some("a"));
        assert_ne!(other, first, "of another folder of this machine");
        assert_eq!(id_on(elsewhere.path(), Some("a")), other, "from now on it stays");
        assert_eq!(id_on(data.path(), Some("a")), first);
        assert_ne!(id_on(data.path(), Some("b")), first, "of this folder of another machine");
    }

    #[test]
    fn a_machine_without_a_name_of_its_own_keeps_the_id_of_a_folder() {
        let data = tempfile::tempdir().unwrap();
        let first = id_on(data.path(), None);
        assert_eq!(id_on(data.path(), None), first);
        // A container that is given its host's name later, or loses it.
        for machine in [Some("a"), None, Some("a")] {
            assert_eq!(id_on(data.path(), machine), first);
        }
        assert_ne!(id_on(copy(data.path()).path(), None), first);
    }

    #[test]
    fn an_id_that_a_person_has_put_there_is_taken() {
        let data = tempfile::tempdir().unwrap();
        let id = "6f8f6b2e-2a70-4a57-9e8d-0d7a4a1c2b3d";
        fs::write(id_file(data.path()), format!("{id}\n")).unwrap();
        assert_eq!(id_on(data.path(), Some("a")).to_string(), id);
        assert_ne!(id_on(copy(data.path()).path(), Some("a")).to_string(), id, "a copy of it is none of theirs");
    }

    #[test]
    fn two_workers_cannot_share_a_data_folder() {
        let data = tempfile::tempdir().unwrap();
        let _first = Identity::claim(data.path()).unwrap();
        assert!(matches!(Identity::claim(data.path()), Err(WorkerError::InUse { .. })));
    }

    #[test]
    fn what_a_power_cut_left_of_an_id_is_replaced_by_a_new_one() {
        for left in [&b""[..], b"half-writ", b"\0\0\0\0", b"\xff\xfe"] {
            let data = tempfile::tempdir().unwrap();
            fs::write(id_file(data.path()), left).unwrap();
            let worker = id_on(data.path(), Some("a"));
            assert_eq!(id_on(data.path(), Some("a")), worker, "from now on it stays");
        }
    }
}
