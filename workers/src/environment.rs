//! What the compute libraries read from the environment: how many threads to use, and on Metal how to feed the GPU.
//! Must be settled for the whole process before the first computation.
//!
//! candle asks on every matrix product (`RAYON_NUM_THREADS`, for GEMM, convolutions and the rayon pools) and once for
//! its own barrier pool (`CANDLE_NUM_THREADS`); sizing rayon's global pool alone would leave GEMM cutting its work for
//! every core of the machine. Changing the environment of a running process is unsound once it has threads, so the
//! program starts over with the right one.

use std::io;
use std::num::NonZeroUsize;
use std::process::Command;

/// Compute threads.
const THREADS: [&str; 2] = ["RAYON_NUM_THREADS", "CANDLE_NUM_THREADS"];

/// Small command buffers, so that none runs into the GPU's watchdog, and exact arithmetic. A value that is set already
/// is respected.
const METAL: [(&str, &str); 2] = [("CANDLE_METAL_COMPUTE_PER_BUFFER", "2"), ("CANDLE_METAL_ENABLE_FAST_MATH", "0")];

/// Makes sure that this process computes with `threads` threads. Returns at once if its environment says so already;
/// otherwise the process image is replaced by the same program with the same arguments (same process id, same open
/// streams) and an environment that does. Call it first of all, before files are opened and threads started.
///
/// # Errors
/// The program cannot be started again.
pub fn limit_threads(threads: NonZeroUsize) -> io::Result<()> {
    let missing = missing(threads, |name| std::env::var(name).ok());
    if missing.is_empty() {
        return Ok(());
    }
    let mut again = Command::new(std::env::current_exe()?);
    again.args(std::env::args_os().skip(1)).envs(missing);
    replace_process(again)
}

fn missing(threads: NonZeroUsize, get: impl Fn(&str) -> Option<String>) -> Vec<(&'static str, String)> {
    let threads = threads.to_string();
    let metal = METAL
        .into_iter()
        .filter(|_| cfg!(any(target_os = "macos", feature = "metal")))
        .filter(|(name, _)| get(name).is_none());
    let wrong = THREADS.into_iter().filter(|name| get(name).as_ref() != Some(&threads));
    wrong.map(|name| (name, threads.clone())).chain(metal.map(|(name, value)| (name, value.to_owned()))).collect()
}

#[cfg(unix)]
fn replace_process(mut again: Command) -> io::Result<()> {
    Err(std::os::unix::process::CommandExt::exec(&mut again))
}

#[cfg(not(unix))]
fn replace_process(mut again: Command) -> io::Result<()> {
    std::process::exit(again.status()?.code().unwrap_or(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_differs_is_set_and_nothing_is_set_twice() {
        let three = NonZeroUsize::new(3).unwrap();
        let mut environment: Vec<(&str, String)> = vec![("RAYON_NUM_THREADS", "8".into())];
        let get = |environment: &[(&str, String)], name: &str| {
            environment.iter().rev().find(|(key, _)| *key == name).map(|(_, value)| value.clone())
        };
        let first = missing(three, |name| get(&environment, name));
        assert!(
            first.contains(&("RAYON_NUM_THREADS", "3".into())) && first.contains(&("CANDLE_NUM_THREADS", "3".into()))
        );
        environment.extend(first);
        assert!(missing(three, |name| get(&environment, name)).is_empty(), "the program would start over for ever");
    }
}
