//! Memory of the device: each buffer between two pages that no one may touch.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

pub const PAGE: usize = 4096;
/// Overruns are caught to this many bytes.
const GRAIN: usize = 16;

/// All bytes of new memory: NaN in every float format, far out of range as an index.
pub const CANARY: u8 = 0xFF;

static ALLOCATED: AtomicUsize = AtomicUsize::new(0);
static IDS: AtomicU64 = AtomicU64::new(1);

#[derive(Debug)]
pub struct Memory {
    pub id: u64,
    mapping: *mut u8,
    mapped: usize,
    data: *mut u8,
    length: usize,
    /// Whether the host may see it.
    pub shared: bool,
    /// Whether Metal itself orders accesses.
    pub tracked: bool,
}

// SAFETY: plain memory; who may touch it when is the caller's matter, as on a GPU.
unsafe impl Send for Memory {}
// SAFETY: as above.
unsafe impl Sync for Memory {}

impl Memory {
    /// `None` for no bytes, as from Metal, or if there is no memory.
    pub fn new(length: usize, shared: bool, tracked: bool) -> Option<Self> {
        if length == 0 {
            return None;
        }
        let whole = length.next_multiple_of(GRAIN).next_multiple_of(PAGE);
        let mapped = whole + 2 * PAGE;
        // SAFETY: a new private mapping, of which only the middle is opened.
        unsafe {
            let mapping = libc::mmap(
                std::ptr::null_mut(),
                mapped,
                libc::PROT_NONE,
                libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
                -1,
                0,
            );
            if mapping == libc::MAP_FAILED {
                return None;
            }
            let inner = mapping.cast::<u8>().add(PAGE);
            if libc::mprotect(inner.cast(), whole, libc::PROT_READ | libc::PROT_WRITE) != 0 {
                return None;
            }
            std::ptr::write_bytes(inner, CANARY, whole);
            let data = inner.add(whole - length.next_multiple_of(GRAIN));
            ALLOCATED.fetch_add(length, Ordering::Relaxed);
            let mut stats = crate::stats::stats();
            stats.totals.buffers += 1;
            stats.totals.buffer_bytes += length as u64;
            drop(stats);
            let id = IDS.fetch_add(1, Ordering::Relaxed);
            Some(Self { id, mapping: mapping.cast(), mapped, data, length, shared, tracked })
        }
    }

    pub fn data(&self) -> *mut u8 {
        self.data
    }

    pub fn length(&self) -> usize {
        self.length
    }

    /// Bytes of all buffers alive.
    pub fn allocated() -> usize {
        ALLOCATED.load(Ordering::Relaxed)
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        ALLOCATED.fetch_sub(self.length, Ordering::Relaxed);
        crate::hazard::hazards().forget(self.id);
        // SAFETY: our mapping, and the last owner goes.
        unsafe { libc::munmap(self.mapping.cast(), self.mapped) };
    }
}
