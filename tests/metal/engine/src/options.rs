//! Settings, all from the environment (`METAL_ON_CPU_…`), read once.

use std::sync::OnceLock;

/// When a committed command buffer runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Schedule {
    /// Not before the host waits for it (or 64 are in flight): shows results read too early.
    Late,
    /// At once, inside `commit`.
    Commit,
}

#[derive(Debug)]
pub struct Options {
    pub schedule: Schedule,
    /// Dispatches between two barriers run in reverse order: shows a missing barrier as a wrong result.
    pub reverse: bool,
    /// A hazard is noted and does not fail its command buffer, and a process with findings may succeed.
    pub forgiving: bool,
    /// Parts of findings that do not count: the lines of a file, but for comments.
    pub known: Vec<String>,
    /// OS threads per dispatch. Tests run beside one another as it is; each has a queue of its own.
    pub threads: usize,
    /// Kernels compiled as `MTLMathMode::Fast` asks get `-ffast-math`.
    pub fast_math: bool,
    /// Last character of the architecture's name: p, g, s or d decide candle's tile sizes.
    pub architecture: String,
    /// Where the report goes when the process ends.
    pub report: Option<String>,
}

pub fn options() -> &'static Options {
    static OPTIONS: OnceLock<Options> = OnceLock::new();
    OPTIONS.get_or_init(|| {
        let get = |name: &str| std::env::var(format!("METAL_ON_CPU_{name}")).ok().filter(|v| !v.is_empty());
        let on = |name: &str| get(name).is_some_and(|v| v != "0");
        Options {
            schedule: if get("SCHEDULE").as_deref() == Some("commit") { Schedule::Commit } else { Schedule::Late },
            reverse: on("REVERSE"),
            forgiving: on("FORGIVE"),
            known: get("KNOWN").map_or_else(Vec::new, |path| lines(&path)),
            threads: get("THREADS").and_then(|v| v.parse().ok()).unwrap_or(1),
            fast_math: on("FAST_MATH"),
            architecture: get("ARCHITECTURE").unwrap_or_else(|| "applegpu_g15d".into()),
            report: get("REPORT"),
        }
    })
}

/// The lines of a file that are no comments.
fn lines(path: &str) -> Vec<String> {
    let text = std::fs::read_to_string(path).unwrap_or_else(|e| panic!("METAL_ON_CPU_KNOWN: {path}: {e}"));
    text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')).map(str::to_owned).collect()
}
