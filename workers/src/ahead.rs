//! Weights that the next item needs and that are not in memory, read from the disk while the device computes the last
//! steps of the item before: into the system's cache of files, which it empties first when memory is wanted, so that no
//! budget knows of it. Loading them is then a copy.

use std::fs::File;
use std::io::Read;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use sysinfo::{MemoryRefreshKind, RefreshKind, System};
use tracing::debug;
use wanfarm_types::{ModelRole, Size};

use crate::budget::container;
use crate::models::Catalog;

/// Bytes read at once.
const BLOCK: usize = 8 << 20;

/// Reads files of weights ahead, one role at a time.
#[derive(Debug, Default)]
pub(crate) struct Ahead {
    /// `None` of a worker that holds all its weights.
    catalog: Option<Arc<Catalog>>,
    /// Ends the reading when it is set.
    over: Arc<AtomicBool>,
}

impl Ahead {
    /// For a worker that loads weights when an item needs them.
    pub(crate) fn of(catalog: Arc<Catalog>) -> Self {
        Self { catalog: Some(catalog), over: Arc::default() }
    }

    /// Begins to read the files of a role, as far as half of the free memory goes; what was being read before is over.
    pub(crate) fn begin(&mut self, wanted: &ModelRole) {
        self.end();
        let model = self.catalog.as_ref().and_then(|catalog| catalog.find(&wanted.model));
        let Some(files) = model.map(|model| model.folder.files(wanted.role)).filter(|files| !files.is_empty()) else {
            return;
        };
        self.over = Arc::default();
        let (over, wanted) = (self.over.clone(), wanted.clone());
        let read = move || {
            let (mut reader, most) = (Reader::new(files), free() / 2);
            while !over.load(Ordering::Relaxed) && reader.bytes() < most && reader.next() {}
            debug!(role = %wanted, bytes = %Size(reader.bytes()), "weights read ahead");
        };
        // Without a thread nothing is lost but time.
        let _ = thread::Builder::new().name("weights ahead".to_owned()).spawn(read);
    }

    /// Ends the reading: the weights are loaded now, or not needed.
    pub(crate) fn end(&self) {
        self.over.store(true, Ordering::Relaxed);
    }
}

impl Drop for Ahead {
    fn drop(&mut self) {
        self.end();
    }
}

/// Bytes of memory that nobody uses, or that the system can take back at once; within a container, of its own.
fn free() -> u64 {
    let memory = RefreshKind::nothing().with_memory(MemoryRefreshKind::nothing().with_ram());
    let system = System::new_with_specifics(memory);
    let own = container(&system).map_or(u64::MAX, |limits| limits.free_memory);
    system.available_memory().min(own)
}

/// Reads files one after another in large pieces, for what that leaves in the system's cache.
pub(crate) struct Reader {
    files: std::vec::IntoIter<PathBuf>,
    file: Option<File>,
    bytes: u64,
    block: Vec<u8>,
}

impl Reader {
    pub(crate) fn new(files: Vec<PathBuf>) -> Self {
        Self { files: files.into_iter(), file: None, bytes: 0, block: vec![0; BLOCK] }
    }

    /// Bytes read so far.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Reads a piece; false when there is none left. What cannot be read is for the network to say.
    pub(crate) fn next(&mut self) -> bool {
        loop {
            if let Some(file) = &mut self.file
                && let Ok(bytes @ 1..) = file.read(&mut self.block)
            {
                self.bytes += bytes as u64;
                return true;
            }
            let Some(next) = self.files.next() else { return false };
            self.file = File::open(next).ok();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_read_one_after_another() {
        let folder = tempfile::tempdir().unwrap();
        let files = ["a", "missing", "b"].map(|name| folder.path().join(name));
        std::fs::write(&files[0], vec![1; BLOCK + 7]).unwrap();
        std::fs::write(&files[2], vec![1; 5]).unwrap();
        let mut reader = Reader::new(files.into());
        while reader.next() {}
        assert_eq!(reader.bytes(), BLOCK as u64 + 12);
    }

    #[test]
    fn some_memory_is_free() {
        assert!(free() > 1 << 20);
    }
}
