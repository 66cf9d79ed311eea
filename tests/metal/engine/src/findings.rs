//! What was wrong: mistakes that a GPU would not tell of, or not every time.
//!
//! A process that ends with findings ends with failure, whatever its tests say. A test that plants a mistake takes the
//! finding that shows it; those that contain a line of `METAL_ON_CPU_KNOWN` are said and do not count.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, Once};

use crate::options::options;

/// The exit status of a process with findings that nobody took.
const STATUS: i32 = 86;

/// Each finding and how often.
static FINDINGS: Mutex<BTreeMap<String, u64>> = Mutex::new(BTreeMap::new());

fn findings() -> MutexGuard<'static, BTreeMap<String, u64>> {
    FINDINGS.lock().unwrap_or_else(|e| e.into_inner())
}

/// Notes something wrong; says it at its first time.
pub fn finding(text: String) {
    static AT_EXIT: Once = Once::new();
    AT_EXIT.call_once(|| {
        // SAFETY: registers a function of ours.
        unsafe { libc::atexit(judge) };
    });
    let mut findings = findings();
    let count = findings.entry(text.clone()).or_insert(0);
    *count += 1;
    if *count == 1 {
        eprintln!("metal-on-cpu: {text}");
    }
}

fn is_known(text: &str) -> bool {
    options().known.iter().any(|known| text.contains(known))
}

/// All findings so far that nobody took, and how often each was made.
pub fn all() -> BTreeMap<String, u64> {
    findings().clone()
}

/// Takes the findings that contain a text, because they were provoked; whether there were any.
pub fn take(text: &str) -> bool {
    let mut findings = findings();
    let before = findings.len();
    findings.retain(|finding, _| !finding.contains(text));
    findings.len() < before
}

extern "C" fn judge() {
    let left = findings().keys().filter(|text| !is_known(text)).count();
    if left > 0 && !options().forgiving {
        eprintln!("metal-on-cpu: {left} findings, see above; METAL_ON_CPU_FORGIVE=1 lets the process succeed");
        // SAFETY: nothing of ours is under way; what was printed is unbuffered.
        unsafe { libc::_exit(STATUS) };
    }
}
