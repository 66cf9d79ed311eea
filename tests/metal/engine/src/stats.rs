//! What ran: by kernel, and in all, so that a test can say what a piece of work costs.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::{Mutex, MutexGuard, Once};

use crate::findings;
use crate::options::options;

/// Sums over the dispatches of one kernel.
#[derive(Clone, Debug, Default)]
pub struct Kernel {
    pub dispatches: u64,
    pub threads: u64,
    pub groups: u64,
    /// Bytes of the buffers bound, from their offsets on: the most that a dispatch can touch.
    pub bytes_in: u64,
    pub bytes_out: u64,
    pub nanoseconds: u64,
    pub threadgroup_memory: u32,
}

/// Sums over everything.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    pub dispatches: u64,
    /// Bytes of the buffers bound, as of a kernel.
    pub bytes_in: u64,
    pub bytes_out: u64,
    pub copies: u64,
    pub copied_bytes: u64,
    pub barriers: u64,
    pub encoders: u64,
    pub command_buffers: u64,
    /// Times that the host waited for a command buffer.
    pub waits: u64,
    /// Buffers made, and their bytes.
    pub buffers: u64,
    pub buffer_bytes: u64,
}

impl Totals {
    /// What came since an earlier reading.
    #[must_use]
    pub fn since(self, earlier: Self) -> Self {
        Self {
            dispatches: self.dispatches - earlier.dispatches,
            bytes_in: self.bytes_in - earlier.bytes_in,
            bytes_out: self.bytes_out - earlier.bytes_out,
            copies: self.copies - earlier.copies,
            copied_bytes: self.copied_bytes - earlier.copied_bytes,
            barriers: self.barriers - earlier.barriers,
            encoders: self.encoders - earlier.encoders,
            command_buffers: self.command_buffers - earlier.command_buffers,
            waits: self.waits - earlier.waits,
            buffers: self.buffers - earlier.buffers,
            buffer_bytes: self.buffer_bytes - earlier.buffer_bytes,
        }
    }
}

#[derive(Debug, Default)]
pub struct Stats {
    pub kernels: BTreeMap<String, Kernel>,
    pub totals: Totals,
    /// The most dispatches that one command buffer had.
    pub longest_command_buffer: u64,
}

/// The totals so far, of all devices and threads of this process.
pub fn totals() -> Totals {
    stats().totals
}

static STATS: Mutex<Option<Stats>> = Mutex::new(None);

pub struct Guard(MutexGuard<'static, Option<Stats>>);

impl std::ops::Deref for Guard {
    type Target = Stats;
    fn deref(&self) -> &Stats {
        self.0.as_ref().unwrap_or_else(|| unreachable!())
    }
}

impl std::ops::DerefMut for Guard {
    fn deref_mut(&mut self) -> &mut Stats {
        self.0.get_or_insert_default()
    }
}

pub fn stats() -> Guard {
    static AT_EXIT: Once = Once::new();
    AT_EXIT.call_once(|| {
        if options().report.is_some() {
            // SAFETY: registers a function of ours.
            unsafe { libc::atexit(write_report) };
        }
    });
    let mut guard = STATS.lock().unwrap_or_else(|e| e.into_inner());
    guard.get_or_insert_default();
    Guard(guard)
}

/// All of it as text.
pub fn report() -> String {
    let stats = stats();
    let mut text = format!("{:?}\nlongest command buffer: {} dispatches\n", stats.totals, stats.longest_command_buffer);
    let mut kernels: Vec<_> = stats.kernels.iter().collect();
    kernels.sort_by_key(|(_, k)| std::cmp::Reverse(k.nanoseconds));
    let _ = writeln!(
        text,
        "{:>9} {:>12} {:>14} {:>14} {:>9} {:>8} {:>6}  kernel",
        "dispatches", "threads", "bytes in", "bytes out", "ms", "ns/thr", "tg mem"
    );
    for (name, k) in kernels {
        let each = k.nanoseconds as f64 / k.threads.max(1) as f64;
        let ms = k.nanoseconds as f64 / 1e6;
        let _ = writeln!(
            text,
            "{:>9} {:>12} {:>14} {:>14} {ms:>9.2} {each:>8.1} {:>6}  {name}",
            k.dispatches, k.threads, k.bytes_in, k.bytes_out, k.threadgroup_memory
        );
    }
    let findings = findings::all();
    let _ = writeln!(text, "findings: {}", findings.len());
    for (finding, count) in &findings {
        let _ = writeln!(text, "{count:>9} × {finding}");
    }
    text
}

extern "C" fn write_report() {
    if let Some(path) = &options().report {
        let text = report();
        let written = std::fs::OpenOptions::new().append(true).create(true).open(path).and_then(|mut f| {
            use std::io::Write as _;
            let name = std::env::args().next().unwrap_or_default();
            f.write_all(format!("==== {name}\n{text}").as_bytes())
        });
        if let Err(e) = written {
            eprintln!("metal-on-cpu: {path}: {e}");
        }
    }
}
