//! Small files of the data folder, replaced whole or not at all, also when the power fails. Not for results.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;

/// Writes a file under another name, brings it to the disk, and puts it in its place. `path` must lie in a folder.
pub(crate) fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let draft = path.with_extension("new");
    let mut file = File::create(&draft)?;
    file.write_all(bytes)?;
    sync(&file)?;
    drop(file);
    fs::rename(&draft, path)?;
    match path.parent() {
        #[cfg(unix)]
        Some(folder) => sync(&File::open(folder)?),
        _ => Ok(()),
    }
}

/// A file system that cannot synchronise must not keep a worker from starting: what is here can be made anew.
fn sync(file: &File) -> io::Result<()> {
    match file.sync_all() {
        Err(error) if matches!(error.kind(), io::ErrorKind::Unsupported | io::ErrorKind::InvalidInput) => Ok(()),
        synced => synced,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_replaced_whole_or_stays() {
        let data = tempfile::tempdir().unwrap();
        let path = data.path().join("state.json");
        replace(&path, b"one").unwrap();
        replace(&path, b"two").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"two");
        assert_eq!(fs::read_dir(data.path()).unwrap().count(), 1, "no draft is left");
        fs::create_dir(data.path().join("state.new")).unwrap();
        assert!(replace(&path, b"three").is_err());
        assert_eq!(fs::read(&path).unwrap(), b"two");
    }
}
