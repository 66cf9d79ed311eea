//! Files of weights, read ahead of the network that is made of them, and how far that is.
//!
//! Networks read tensors from mapped files, where each small page that is missing costs a wait of its own: a hundredth of
//! what a disk gives. So another thread reads the files in large pieces, in order, and the pages are there. It does not
//! run far ahead: what it has read must still be in memory when the network comes for it.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use wanfarm_types::LoadProgress;

use crate::ahead::Reader;
use crate::runner::Loading;

/// Bytes that may have been read and not been taken.
const AHEAD: u64 = 1 << 30;
/// Between two reports.
const PAUSE: Duration = Duration::from_secs(1);
/// Between two looks at how much was taken.
const TICK: Duration = Duration::from_millis(5);

/// The reading of one network's files.
pub(super) struct ReadAhead {
    begun: Instant,
    /// Bytes to be taken.
    of: u64,
    over: Arc<AtomicBool>,
    /// Gives back where reports go.
    thread: Option<JoinHandle<Loading>>,
}

impl ReadAhead {
    /// Begins: `of` bytes of these files will be taken, and `taken` tells how many were. Without a thread there is none
    /// that reads ahead, and nothing is lost but time.
    pub(super) fn begin(files: Vec<PathBuf>, of: u64, taken: Arc<AtomicU64>, report: Loading) -> Self {
        let (begun, over) = (Instant::now(), Arc::new(AtomicBool::new(false)));
        let told = over.clone();
        let read = move || {
            let mut reader = Reader::new(files);
            let mut reported = None;
            while !told.load(Ordering::Relaxed) {
                let taken = taken.load(Ordering::Relaxed);
                // That it has begun is told at once; where nothing is to be read it is over by then.
                if of > 0 && reported.is_none_or(|at: Instant| at.elapsed() >= PAUSE) {
                    reported = Some(Instant::now());
                    // All are read only when the network is there.
                    let read = taken.min(of.saturating_sub(1));
                    report(LoadProgress { read, of, seconds: begun.elapsed().as_secs_f64() });
                }
                if reader.bytes() > taken.saturating_add(AHEAD) || !reader.next() {
                    thread::park_timeout(TICK);
                }
            }
            report
        };
        let thread = thread::Builder::new().name("read ahead".to_owned()).spawn(read).ok();
        Self { begun, of, over, thread }
    }

    /// Ends; when the network stands, the last report is that all is read.
    pub(super) fn end(self, done: bool) -> LoadProgress {
        self.over.store(true, Ordering::Relaxed);
        let progress = LoadProgress { read: self.of, of: self.of, seconds: self.begun.elapsed().as_secs_f64() };
        let thread = self.thread.inspect(|thread| thread.thread().unpark());
        if let Some(report) = thread.and_then(|thread| thread.join().ok()).filter(|_| done) {
            report(progress);
        }
        progress
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    #[test]
    fn the_last_report_tells_that_all_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("weights");
        std::fs::write(&path, vec![1; 9 << 20]).unwrap();
        let all = |done| {
            let reports = Arc::new(Mutex::new(Vec::new()));
            let kept = reports.clone();
            let report: Loading = Box::new(move |progress| kept.lock().unwrap().push(progress));
            let files = vec![folder.path().join("missing"), path.clone()];
            ReadAhead::begin(files, 99, Arc::default(), report).end(done);
            reports.lock().unwrap().clone()
        };
        assert!(all(true).last().is_some_and(LoadProgress::is_done));
        assert!(!all(false).iter().any(LoadProgress::is_done), "a failed load is never done");
    }
}
