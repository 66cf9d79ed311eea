//! Runs a launch on OS threads.

use std::cell::Cell;
use std::ffi::c_void;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::fault::{Fault, Running, guarded};
use crate::launch::{FLAG_FAULT, Launch, MAX_THREADS, STACK, Worker};
use crate::msl::compile::Code;
use crate::options::options;

const ARENA: usize = 1 << 20;
/// Fewer threads than this are not worth a second OS thread.
const WORTH_SHARING: u64 = 8192;

/// A worker's memory, used by one OS thread at a time.
struct Owned(Worker);
// SAFETY: its pointers are its own.
unsafe impl Send for Owned {}

static IDLE: Mutex<Vec<Owned>> = Mutex::new(Vec::new());

/// What a launch did besides writing to buffers.
#[derive(Debug, Default)]
pub struct Outcome {
    pub flags: u32,
    pub fault: Option<Fault>,
    pub threadgroup_used: u32,
}

/// Runs all groups of a launch.
pub fn run(code: &Code, launch: &Launch) -> Outcome {
    let groups: u64 = launch.groups.iter().map(|&n| u64::from(n)).product();
    let threads: u64 = launch.grid.iter().map(|&n| u64::from(n)).product();
    let share = options().threads.min(usize::try_from(groups).unwrap_or(usize::MAX));
    let share = if threads < WORTH_SHARING { 1 } else { share.max(1) };
    let next = AtomicU64::new(0);
    let chunk = (groups / (share as u64 * 8)).max(1);
    let work = || {
        let mut owned =
            IDLE.lock().unwrap_or_else(|e| e.into_inner()).pop().unwrap_or_else(|| new_worker(code.group_size));
        owned.0.flags = 0;
        owned.0.fault_exit = 0;
        let running = Running { worker: &raw mut owned.0, launch, fault: Cell::new(None) };
        guarded(&running, || {
            loop {
                let first = next.fetch_add(chunk, Ordering::Relaxed);
                // SAFETY: the launch's buffers are alive, the worker is ours.
                let flags = unsafe { (*running.worker).flags };
                if first >= groups || flags & FLAG_FAULT != 0 {
                    break;
                }
                // SAFETY: as above.
                unsafe { (code.run)(launch, running.worker, first, groups.min(first + chunk)) };
            }
        });
        let outcome =
            Outcome { flags: owned.0.flags, fault: running.fault.get(), threadgroup_used: owned.0.threadgroup_used };
        if outcome.fault.is_some() {
            next.store(groups, Ordering::Relaxed);
        }
        IDLE.lock().unwrap_or_else(|e| e.into_inner()).push(owned);
        outcome
    };
    if share == 1 {
        return work();
    }
    let outcomes: Vec<Outcome> = std::thread::scope(|scope| {
        let others: Vec<_> = (1..share).map(|_| scope.spawn(work)).collect();
        let mine = work();
        others.into_iter().filter_map(|o| o.join().ok()).chain([mine]).collect()
    });
    outcomes.into_iter().fold(Outcome::default(), |a, b| Outcome {
        flags: a.flags | b.flags,
        fault: a.fault.or(b.fault),
        threadgroup_used: a.threadgroup_used.max(b.threadgroup_used),
    })
}

fn new_worker(group_size: usize) -> Owned {
    // SAFETY: new mappings; the lowest page of each stack is closed, so that an overflow is a fault.
    unsafe {
        let map = |length: usize| {
            let at = libc::mmap(
                std::ptr::null_mut(),
                length,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE,
                -1,
                0,
            );
            assert_ne!(at, libc::MAP_FAILED, "no memory for a worker");
            at.cast::<u8>()
        };
        let unaligned = map(STACK * (MAX_THREADS + 1));
        let stacks = unaligned.add(unaligned.align_offset(STACK));
        for i in 0..MAX_THREADS {
            libc::mprotect(stacks.add(i * STACK).cast::<c_void>(), crate::memory::PAGE, libc::PROT_NONE);
        }
        Owned(Worker {
            stacks,
            arena: map(ARENA),
            arena_size: ARENA,
            group: map(group_size).cast(),
            main_sp: std::ptr::null_mut(),
            fault_exit: 0,
            flags: 0,
            threadgroup_used: 0,
        })
    }
}
