//! Mapped files whose bytes go away while they are in use: cut short, or on a disk that is no longer there. The kernel tells so
//! by a signal, at the very read; nothing can go on without those bytes, so the process says which file it was, and ends.

use std::path::Path;
use std::ptr::null_mut;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicPtr, AtomicUsize, Ordering};

use libc::siginfo_t;

/// The exit code of a process with bad model files.
const EXIT: i32 = 4;
/// Files that are watched at a time: more than any process maps.
const MOST: usize = 4096;

/// Where a file is mapped, and what is to be said when a part of it is gone. Free while `start` is 0.
struct Place {
    start: AtomicUsize,
    /// 0 while there is no message.
    end: AtomicUsize,
    message: AtomicPtr<Vec<u8>>,
}

static PLACES: [Place; MOST] =
    [const { Place { start: AtomicUsize::new(0), end: AtomicUsize::new(0), message: AtomicPtr::new(null_mut()) } };
        MOST];

/// A mapped file that is watched as long as this lives, which must not be longer than its mapping.
#[derive(Debug)]
pub(crate) struct Watched(Option<usize>);

impl Watched {
    /// Watches the bytes of a mapped file.
    pub(crate) fn new(path: &Path, bytes: &[u8]) -> Self {
        static LISTENING: OnceLock<()> = OnceLock::new();
        LISTENING.get_or_init(listen);
        let start = bytes.as_ptr() as usize;
        let is_free = |place: &Place| {
            !bytes.is_empty() && place.start.compare_exchange(0, start, Ordering::AcqRel, Ordering::Relaxed).is_ok()
        };
        let taken = PLACES.iter().position(is_free);
        if let Some(place) = taken.and_then(|at| PLACES.get(at)) {
            place.message.store(Box::into_raw(Box::new(message(path))), Ordering::Release);
            place.end.store(start + bytes.len(), Ordering::Release);
        }
        Self(taken)
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        let Some(place) = self.0.and_then(|at| PLACES.get(at)) else { return };
        place.end.store(0, Ordering::Release);
        let message = place.message.swap(null_mut(), Ordering::AcqRel);
        #[expect(
            unsafe_code,
            reason = "it came from a box in `new`, and was swapped out here alone; who reads a message \
                                        holds the mapping that it is of, and so this"
        )]
        drop((!message.is_null()).then(|| unsafe { Box::from_raw(message) }));
        place.start.store(0, Ordering::Release);
    }
}

fn message(path: &Path) -> Vec<u8> {
    // It goes to a terminal as it is.
    let path: String = path.display().to_string().chars().map(|c| if c.is_control() { '?' } else { c }).collect();
    let why = "it was cut short or changed in place, or its disk is gone";
    format!("error: {path} cannot be read any more: {why}; put the whole file there, by renaming it, and start again\n")
        .into_bytes()
}

/// From now on a read of what is gone ends the process with a message.
#[expect(
    unsafe_code,
    reason = "what the action calls may be called in a signal handler: it allocates and locks nothing"
)]
fn listen() {
    let action = |info: &siginfo_t| unsafe { end(info.si_addr() as usize) };
    // Without it the process ends all the same, and says nothing.
    let _ = unsafe { signal_hook_registry::register_sigaction(libc::SIGBUS, action) };
}

/// # Safety
/// Only for the address of a read that failed: the mapping that it lies in lives, if there is one.
#[expect(unsafe_code, reason = "nothing else is allowed where a signal is handled")]
unsafe fn end(address: usize) {
    let holds = |place: &&Place| {
        let end = place.end.load(Ordering::Acquire);
        (place.start.load(Ordering::Acquire)..end).contains(&address)
    };
    let message = PLACES.iter().find(holds).map(|place| place.message.load(Ordering::Acquire));
    unsafe {
        match message.and_then(|message| message.as_ref()) {
            Some(message) => {
                libc::write(libc::STDERR_FILENO, message.as_ptr().cast(), message.len());
                libc::_exit(EXIT);
            }
            // Not one of these files: what happens to a program that handles nothing.
            None => {
                libc::signal(libc::SIGBUS, libc::SIG_DFL);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::process::Command;

    use crate::mapped::MappedFile;

    /// Set for the process that maps this file and loses it.
    const FILE: &str = "WANFARM_TEST_GONE";

    #[test]
    fn a_file_that_is_cut_short_ends_the_process_with_its_name() {
        const BYTES: usize = 1 << 20;
        if let Some(path) = std::env::var_os(FILE) {
            let other = MappedFile::open(path.as_ref()).unwrap();
            drop(MappedFile::open(path.as_ref()).unwrap());
            let map = MappedFile::open(path.as_ref()).unwrap();
            assert_eq!(map.bytes(BYTES - 1..BYTES).unwrap(), [7]);
            File::options().write(true).open(&path).unwrap().set_len(9).unwrap();
            drop(other);
            let sum: u32 = map.bytes(0..BYTES).unwrap().iter().copied().map(u32::from).sum();
            unreachable!("{sum}");
        }
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("high\u{1b}[2J.safetensors");
        std::fs::write(&path, vec![7; BYTES]).unwrap();
        let child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "gone::tests::a_file_that_is_cut_short_ends_the_process_with_its_name", "--nocapture"])
            .env(FILE, &path)
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&child.stderr);
        assert_eq!(child.status.code(), Some(4), "{said}");
        let line = said.lines().find(|line| line.starts_with("error: ")).unwrap();
        assert!(line.contains("high?[2J.safetensors cannot be read any more: it was cut short"), "{said}");
    }
}
