//! What a run draws its seeds by. It is kept until every video is done, so that the same command goes on with the videos
//! that it began; after that the same command draws anew.

use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use wanfarm_manifest::Draw;

/// A text of this many bytes at most is what was kept.
const MAX_BYTES: u64 = 64;

/// The draw of a run.
#[derive(Debug)]
pub(super) struct KeptDraw {
    path: PathBuf,
    text: String,
}

impl KeptDraw {
    /// That of the run which has this folder: the one that is kept there, or a new one.
    ///
    /// # Errors
    /// What is there cannot be read.
    pub(super) fn of(folder: &Path) -> io::Result<Self> {
        let path = folder.join("draw");
        let fresh = || uuid::Builder::from_random_bytes(rand::random()).into_uuid().to_string();
        let text = match fs::metadata(&path) {
            Ok(about) if about.len() <= MAX_BYTES => fs::read_to_string(&path)?,
            Ok(_) => return Err(io::Error::new(ErrorKind::InvalidData, "draw is no file of this program")),
            Err(error) if error.kind() == ErrorKind::NotFound => fresh(),
            Err(error) => return Err(error),
        };
        Ok(Self { path, text })
    }

    /// What seeds are drawn by.
    pub(super) fn draw(&self) -> Draw {
        Draw::of(&self.text)
    }

    /// Keeps it. On return it survives a power cut.
    ///
    /// # Errors
    /// The folder cannot be written to.
    pub(super) fn keep(&self) -> io::Result<()> {
        if let Some(folder) = self.path.parent() {
            wanfarm_durable::private_folder(folder)?;
        }
        wanfarm_durable::write(&self.path, &self.path.with_extension("new"), self.text.as_bytes())
    }

    /// Forgets it: everything is done.
    ///
    /// # Errors
    /// It cannot be removed.
    pub(super) fn forget(self) -> io::Result<()> {
        fs::remove_file(self.path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_the_same_until_it_is_forgotten() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path().join("not there yet");
        let first = KeptDraw::of(&folder).unwrap();
        assert_ne!(first.draw(), KeptDraw::of(&folder).unwrap().draw(), "nothing is kept yet");
        first.keep().unwrap();
        let again = KeptDraw::of(&folder).unwrap();
        assert_eq!(again.draw(), first.draw());
        again.forget().unwrap();
        assert_ne!(KeptDraw::of(&folder).unwrap().draw(), first.draw());
        fs::write(folder.join("draw"), [b'x'; 100]).unwrap();
        assert!(KeptDraw::of(&folder).is_err());
    }
}
