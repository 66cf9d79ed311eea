//! What a machine keeps of the farm it has joined: its own key, where the coordinator is, and by which authority to know it.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use wanfarm_types::KeyId;

use crate::credentials::{Credentials, Farm};
use crate::key::{Key, KeyError};

/// The names of its files.
const KEY: &str = "key.pem";
const FARM: &str = "farm.json";
const AUTHORITY: &str = "authority.pem";

/// A folder with a key, and with a farm once that has taken it in.
#[derive(Debug)]
pub struct Membership {
    folder: PathBuf,
    key: Key,
    joined: Option<Joined>,
}

/// The farm that was joined.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Joined {
    /// Host and port of its coordinator.
    pub coordinator: String,
    /// By which it is known.
    pub authority: KeyId,
    /// What this machine is called there.
    pub name: String,
}

/// The folder cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("what this machine keeps of its farm, in {}: {why}", folder.display())]
pub struct MembershipError {
    folder: PathBuf,
    why: String,
}

impl Membership {
    /// What lies in a folder; `None` when there is no key in it.
    ///
    /// # Errors
    /// When its files cannot be read.
    pub fn open(folder: &Path) -> Result<Option<Self>, MembershipError> {
        let failed = |why: String| MembershipError { folder: folder.to_owned(), why };
        let Some(key) = Key::read(&folder.join(KEY)).map_err(|error| failed(format!("{KEY}: {error}")))? else {
            return Ok(None);
        };
        let joined = match std::fs::read(folder.join(FARM)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(failed(format!("{FARM}: {error}"))),
            Ok(text) => Some(serde_json::from_slice(&text).map_err(|error| failed(format!("{FARM}: {error}")))?),
        };
        Ok(Some(Self { folder: folder.to_owned(), key, joined }))
    }

    /// The same; without a key in it one is drawn.
    ///
    /// # Errors
    /// When its files cannot be read or written.
    pub fn open_or_draw(folder: &Path) -> Result<Self, MembershipError> {
        if let Some(membership) = Self::open(folder)? {
            return Ok(membership);
        }
        let drawn = || -> Result<Key, KeyError> {
            wanfarm_durable::private_folder(folder)?;
            let key = Key::draw()?;
            key.write(&folder.join(KEY))?;
            Ok(key)
        };
        let failed = |error: KeyError| MembershipError { folder: folder.to_owned(), why: error.to_string() };
        Ok(Self { folder: folder.to_owned(), key: drawn().map_err(failed)?, joined: None })
    }

    /// Records that the farm has taken this key in. `authority`: its certificate as PEM, for programs that trust in no other way.
    ///
    /// # Errors
    /// When the files cannot be written.
    pub fn join(&mut self, joined: Joined, authority: &str) -> Result<(), MembershipError> {
        let text = serde_json::to_vec_pretty(&joined).map_err(io::Error::from);
        let written = self.write(AUTHORITY, authority.as_bytes()).and(text).and_then(|text| self.write(FARM, &text));
        written.map_err(|error| MembershipError { folder: self.folder.clone(), why: error.to_string() })?;
        self.joined = Some(joined);
        Ok(())
    }

    /// Records where the coordinator is now.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn moved(&self, coordinator: &str) -> Result<(), MembershipError> {
        let Some(joined) = &self.joined else { return Ok(()) };
        let joined = Joined { coordinator: coordinator.to_owned(), ..joined.clone() };
        let written =
            serde_json::to_vec_pretty(&joined).map_err(io::Error::from).and_then(|text| self.write(FARM, &text));
        written.map_err(|error| MembershipError { folder: self.folder.clone(), why: error.to_string() })
    }

    fn write(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        let path = self.folder.join(name);
        wanfarm_durable::write(&path, &path.with_extension("new"), bytes)
    }

    /// The farm, if one has taken it in.
    pub fn joined(&self) -> Option<&Joined> {
        self.joined.as_ref()
    }

    /// Its key.
    pub fn key(&self) -> &Key {
        &self.key
    }

    /// Where the certificate of the farm's authority lies.
    pub fn authority_file(&self) -> PathBuf {
        self.folder.join(AUTHORITY)
    }

    /// What this machine shows to a farm of that authority.
    ///
    /// # Errors
    /// When TLS cannot use the key.
    pub fn at(&self, authority: KeyId) -> Result<Farm, MembershipError> {
        let credentials = Credentials::new(&self.key);
        let failed = |error: KeyError| MembershipError { folder: self.folder.clone(), why: error.to_string() };
        Ok(Farm { credentials: Arc::new(credentials.map_err(failed)?), authority })
    }
}

#[cfg(test)]
mod tests {
    use wanfarm_types::Digest;

    use super::*;

    #[test]
    fn a_machine_keeps_its_key_and_its_farm() {
        let data = tempfile::tempdir().unwrap();
        let folder = data.path().join("membership");
        assert!(Membership::open(&folder).unwrap().is_none());
        let mut first = Membership::open_or_draw(&folder).unwrap();
        assert_eq!(first.joined(), None);
        let joined = Joined {
            coordinator: "studio-1:7700".to_owned(),
            authority: KeyId(Digest([1; 32])),
            name: "mac-3".to_owned(),
        };
        first.join(joined.clone(), "pem").unwrap();
        let second = Membership::open(&folder).unwrap().unwrap();
        assert_eq!(second.joined(), Some(&joined));
        assert_eq!(second.key().id(), first.key().id());
        assert_eq!(std::fs::read_to_string(second.authority_file()).unwrap(), "pem");
        second.moved("10.0.0.9:7701").unwrap();
        let third = Membership::open(&folder).unwrap().unwrap();
        assert_eq!(third.joined().unwrap().coordinator, "10.0.0.9:7701");
        std::fs::write(folder.join(FARM), "{}").unwrap();
        assert!(Membership::open(&folder).unwrap_err().to_string().contains(FARM));
    }
}
