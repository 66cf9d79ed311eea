//! Which accesses of untracked memory nothing orders.
//!
//! Within one concurrent encoder only a barrier orders dispatches; between encoders only a fence or the host's waiting.
//! What a dispatch writes is told by its kernel's signature (`device T *` may be written, `device const T *` and
//! `constant` are not), not by what it happens to do.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock};

/// An encoder as far as ordering goes.
#[derive(Debug)]
pub struct Order {
    pub id: u64,
    /// Whether its commands have run and the host knows.
    pub done: AtomicBool,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Barriers so far.
    phase: u64,
    /// Encoders that fences put before this one.
    before: HashSet<u64>,
}

impl Order {
    pub fn new() -> Arc<Self> {
        static IDS: AtomicU64 = AtomicU64::new(1);
        Arc::new(Self {
            id: IDS.fetch_add(1, Ordering::Relaxed),
            done: AtomicBool::new(false),
            state: Mutex::default(),
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(|e| e.into_inner())
    }

    pub fn barrier(&self) {
        self.state().phase += 1;
    }

    pub fn phase(&self) -> u64 {
        self.state().phase
    }

    pub fn wait(&self, fence: &Fence) {
        let passed = fence.passed.lock().unwrap_or_else(|e| e.into_inner()).clone();
        self.state().before.extend(passed);
    }

    pub fn update(&self, fence: &Fence) {
        let mut before = self.state().before.clone();
        before.insert(self.id);
        *fence.passed.lock().unwrap_or_else(|e| e.into_inner()) = before;
    }
}

/// What a fence lets through: the encoders that ended before its last update.
#[derive(Debug, Default)]
pub struct Fence {
    passed: Mutex<HashSet<u64>>,
}

/// An access by a command.
#[derive(Clone, Debug)]
struct Access {
    by: Arc<Order>,
    phase: u64,
    what: Arc<str>,
    from: usize,
    to: usize,
}

#[derive(Debug, Default)]
struct Accesses {
    writes: Vec<Access>,
    reads: Vec<Access>,
}

/// The accesses not yet known to be over, by memory.
#[derive(Debug, Default)]
pub struct Hazards(Mutex<HashMap<u64, Accesses>>);

/// Of all devices: ids of memory and encoders are global.
pub fn hazards() -> &'static Hazards {
    static HAZARDS: OnceLock<Hazards> = OnceLock::new();
    HAZARDS.get_or_init(Hazards::default)
}

impl Hazards {
    /// Notes an access to `memory`'s bytes from `from` to `to`; says what it conflicts with.
    pub fn access(
        &self,
        memory: u64,
        from: usize,
        to: usize,
        write: bool,
        by: &Arc<Order>,
        what: &Arc<str>,
    ) -> Vec<String> {
        let mut all = self.0.lock().unwrap_or_else(|e| e.into_inner());
        let accesses = all.entry(memory).or_default();
        let state = by.state();
        let mut conflicts = Vec::new();
        let mut check = |earlier: &Access, word: &str| {
            if earlier.by.done.load(Ordering::Acquire) || earlier.from >= to || from >= earlier.to {
                return;
            }
            let missing = if earlier.by.id == by.id {
                (earlier.phase == state.phase).then_some("barrier")
            } else {
                (!state.before.contains(&earlier.by.id)).then_some("fence")
            };
            if let Some(missing) = missing {
                conflicts.push(format!("no {missing} between {} and {what}: {word}", earlier.what));
            }
        };
        for earlier in &accesses.writes {
            check(earlier, if write { "write after write" } else { "read after write" });
        }
        if write {
            for earlier in &accesses.reads {
                check(earlier, "write after read");
            }
        }
        let access = Access { by: Arc::clone(by), phase: state.phase, what: Arc::clone(what), from, to };
        drop(state);
        let list = if write { &mut accesses.writes } else { &mut accesses.reads };
        list.retain(|a| !a.by.done.load(Ordering::Acquire));
        // One entry per command kind and phase is enough.
        if !list.iter().any(|a| {
            a.by.id == by.id && a.phase == access.phase && a.what == access.what && a.from <= from && a.to >= to
        }) {
            list.push(access);
        }
        conflicts
    }

    pub fn forget(&self, memory: u64) {
        self.0.lock().unwrap_or_else(|e| e.into_inner()).remove(&memory);
    }
}
