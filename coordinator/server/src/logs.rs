//! What workers log, as they have told it: the last lines of each, in memory alone. They come past the driver, which has
//! nothing to do with them, and stay when the worker is gone: that is when they are wanted.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use tokio::sync::watch;
use wanfarm_types::{Incarnation, LogEntry, LogLevel, LogLine, WorkerId};

use crate::times::{rfc3339, wall_clock};

/// Lines of one worker that are kept.
const MAX_LINES: usize = 1000;
/// Bytes of them.
const MAX_BYTES: usize = 64 << 10;

/// The logs of all workers that are known, of which the driver is told. With it they go, and who follows them is let go.
#[derive(Debug, Default)]
pub(crate) struct Logs(Arc<ByWorker>);

/// The same, for who hears workers and who is asked what they said.
#[derive(Debug, Clone)]
pub(crate) struct SharedLogs(Weak<ByWorker>);

type ByWorker = Mutex<BTreeMap<WorkerId, Arc<Log>>>;

/// One worker's.
#[derive(Debug, Default)]
struct Log {
    kept: Mutex<Kept>,
    /// As many lines as there ever were.
    news: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct Kept {
    /// The boot that told the last line, and the number that its next one has.
    told_by: Option<(Incarnation, u64)>,
    lines: VecDeque<Line>,
    bytes: usize,
    /// Lines that are not kept any more.
    gone: u64,
}

#[derive(Debug)]
struct Line {
    /// In seconds since 1970.
    at: f64,
    level: LogLevel,
    text: Box<str>,
}

/// Who follows a log.
#[derive(Debug)]
pub struct Follower {
    log: Weak<Log>,
    news: watch::Receiver<u64>,
    /// Lines that it has heard, or did not want to.
    heard: u64,
}

impl Logs {
    /// For others than the driver.
    pub(crate) fn shared(&self) -> SharedLogs {
        SharedLogs(Arc::downgrade(&self.0))
    }

    /// A worker is known from now on.
    pub(crate) fn open(&self, worker: WorkerId) {
        lock(&self.0).entry(worker).or_default();
    }

    /// A worker is forgotten, and what it logged with it.
    pub(crate) fn forget(&self, worker: WorkerId) {
        lock(&self.0).remove(&worker);
    }
}

impl SharedLogs {
    /// Takes lines of a boot of a worker, the first of them having the number `first`. Those of a worker that is not known
    /// are nobody's.
    pub(crate) fn hear(&self, worker: WorkerId, boot: Incarnation, first: u64, entries: Vec<LogEntry>) {
        if let Some(log) = self.of(worker) {
            let known = lock(&log.kept).hear(boot, first, entries, wall_clock());
            log.news.send_replace(known);
        }
    }

    /// The last `tail` lines of a worker; `None` when there is no such worker.
    pub(crate) fn tail(&self, worker: WorkerId, tail: usize) -> Option<Vec<LogLine>> {
        let log = self.of(worker)?;
        let kept = lock(&log.kept);
        Some(kept.since(kept.known().saturating_sub(tail as u64)))
    }

    /// The last `tail` lines of a worker, and those that come.
    pub(crate) fn follow(&self, worker: WorkerId, tail: usize) -> Option<Follower> {
        let log = self.of(worker)?;
        let kept = lock(&log.kept);
        let heard = kept.known().saturating_sub(tail as u64).max(kept.gone);
        drop(kept);
        Some(Follower { news: log.news.subscribe(), log: Arc::downgrade(&log), heard })
    }

    fn of(&self, worker: WorkerId) -> Option<Arc<Log>> {
        lock(&*self.0.upgrade()?).get(&worker).cloned()
    }
}

/// Held for moments.
fn lock<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Kept {
    /// As many lines as there ever were.
    fn known(&self) -> u64 {
        self.gone + self.lines.len() as u64
    }

    fn hear(&mut self, boot: Incarnation, first: u64, entries: Vec<LogEntry>, now: f64) -> u64 {
        let expected = self.told_by.filter(|(by, _)| *by == boot).map_or(0, |(_, next)| next);
        // After a reconnect, what has been heard is told again.
        let again = usize::try_from(expected.saturating_sub(first)).unwrap_or(usize::MAX);
        let untold = first.saturating_sub(expected);
        self.told_by = Some((boot, expected.max(first.saturating_add(entries.len() as u64))));
        if untold > 0 {
            self.push(left_out(untold, now));
        }
        for LogEntry { age_milliseconds, level, text } in entries.into_iter().skip(again) {
            self.push(Line { at: now - age_milliseconds as f64 / 1000.0, level, text: text.into() });
        }
        self.known()
    }

    fn push(&mut self, line: Line) {
        self.bytes += line.text.len();
        self.lines.push_back(line);
        while self.lines.len() > MAX_LINES || self.bytes > MAX_BYTES {
            let Some(oldest) = self.lines.pop_front() else { break };
            self.bytes -= oldest.text.len();
            self.gone += 1;
        }
    }

    /// The lines after the first `heard`, and how many of them are gone.
    fn since(&self, heard: u64) -> Vec<LogLine> {
        let kept = usize::try_from(heard.saturating_sub(self.gone)).unwrap_or(usize::MAX);
        self.lines.iter().skip(kept).map(Line::told).collect()
    }
}

impl Line {
    fn told(&self) -> LogLine {
        LogLine { at: rfc3339(self.at), level: self.level, text: self.text.to_string() }
    }
}

/// Stands for lines that are not there.
fn left_out(lines: u64, at: f64) -> Line {
    let text = format!("{lines} lines are left out here; the worker's own log has them");
    Line { at, level: LogLevel::Warn, text: text.into() }
}

impl Follower {
    /// The next lines, as soon as there are some; `None` when the worker is forgotten. A follower that is slower than its
    /// worker is told how many lines it has missed. Safe to drop and call again.
    pub async fn next(&mut self) -> Option<Vec<LogLine>> {
        loop {
            // Looked at first, so that what comes after the look is news.
            self.news.borrow_and_update();
            if let Some(lines) = self.take()? {
                return Some(lines);
            }
            self.news.changed().await.ok()?;
        }
    }

    fn take(&mut self) -> Option<Option<Vec<LogLine>>> {
        let log = self.log.upgrade()?;
        let kept = lock(&log.kept);
        let (missed, known) = (kept.gone.saturating_sub(self.heard), kept.known());
        if known <= self.heard {
            return Some(None);
        }
        let mut lines = kept.since(self.heard);
        if missed > 0 {
            lines.insert(0, left_out(missed, wall_clock()).told());
        }
        self.heard = known;
        Some(Some(lines))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::FutureExt;
    use uuid::Uuid;

    const WORKER: WorkerId = WorkerId(Uuid::from_u128(7));

    fn boot(n: u128) -> Incarnation {
        Incarnation(Uuid::from_u128(n))
    }

    fn entries(texts: &[&str]) -> Vec<LogEntry> {
        let entry = |text: &&str| LogEntry { age_milliseconds: 250, level: LogLevel::Info, text: (*text).to_owned() };
        texts.iter().map(entry).collect()
    }

    fn logs() -> (Logs, SharedLogs) {
        let logs = Logs::default();
        logs.open(WORKER);
        let shared = logs.shared();
        (logs, shared)
    }

    fn texts(lines: Vec<LogLine>) -> Vec<String> {
        lines.into_iter().map(|line| line.text).collect()
    }

    #[test]
    fn what_is_told_again_is_known_and_what_is_not_told_is_said() {
        let (_logs, shared) = logs();
        shared.hear(WORKER, boot(1), 0, entries(&["a", "b"]));
        // After a reconnect.
        shared.hear(WORKER, boot(1), 0, entries(&["a", "b", "c"]));
        shared.hear(WORKER, boot(1), 1, entries(&["b"]));
        shared.hear(WORKER, boot(1), 10, entries(&["k"]));
        // Its process has ended, and the numbers of the next one begin anew.
        shared.hear(WORKER, boot(2), 0, entries(&["x"]));
        let told = texts(shared.tail(WORKER, 100).unwrap());
        assert_eq!([&told[..3], &told[4..]].concat(), ["a", "b", "c", "k", "x"]);
        assert!(told[3].starts_with("7 lines are left out"), "{told:?}");
        assert_eq!(texts(shared.tail(WORKER, 2).unwrap()), ["k", "x"]);
        // Numbers that are none of a worker that is well.
        shared.hear(WORKER, boot(2), u64::MAX, entries(&["y"]));
        assert_eq!(texts(shared.tail(WORKER, 1).unwrap()), ["y"]);
    }

    #[test]
    fn only_the_last_lines_are_kept_and_not_too_many_bytes() {
        let (_logs, shared) = logs();
        for first in 0..2000 {
            shared.hear(WORKER, boot(1), first, entries(&[&first.to_string()]));
        }
        let told = texts(shared.tail(WORKER, usize::MAX).unwrap());
        assert_eq!((told.len(), told[0].as_str()), (MAX_LINES, "1000"));
        shared.hear(WORKER, boot(2), 0, entries(&["x".repeat(1024).as_str(); 100]));
        let told = texts(shared.tail(WORKER, usize::MAX).unwrap());
        assert_eq!(told.len(), MAX_BYTES / 1024);
    }

    #[test]
    fn of_a_worker_that_is_not_known_nothing_is_kept() {
        let logs = Logs::default();
        let shared = logs.shared();
        shared.hear(WORKER, boot(1), 0, entries(&["a"]));
        assert!(shared.tail(WORKER, 1).is_none() && shared.follow(WORKER, 1).is_none());
        logs.open(WORKER);
        assert_eq!(shared.tail(WORKER, 1), Some(Vec::new()));
    }

    #[tokio::test]
    async fn a_follower_hears_what_comes_and_what_it_was_too_slow_for() {
        let (logs, shared) = logs();
        shared.hear(WORKER, boot(1), 0, entries(&["a", "b"]));
        let mut follower = shared.follow(WORKER, 1).unwrap();
        assert_eq!(texts(follower.next().await.unwrap()), ["b"]);
        assert!(follower.next().now_or_never().is_none());
        shared.hear(WORKER, boot(1), 2, entries(&["c"]));
        assert_eq!(texts(follower.next().await.unwrap()), ["c"]);
        for first in 3..1013 {
            shared.hear(WORKER, boot(1), first, entries(&[&first.to_string()]));
        }
        let told = texts(follower.next().await.unwrap());
        assert!(told[0].starts_with("10 lines are left out"), "{}", told[0]);
        assert_eq!((told[1].as_str(), told.len()), ("13", 1 + MAX_LINES));
        logs.forget(WORKER);
        assert!(follower.next().await.is_none(), "the worker is forgotten");
        logs.open(WORKER);
        let mut follower = shared.follow(WORKER, 1).unwrap();
        drop(logs);
        assert!(follower.next().await.is_none(), "the coordinator stops");
    }
}
