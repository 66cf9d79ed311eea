//! What this process logs, for the coordinator: its last lines, told a few at a time beside all else that is said.
//!
//! Lines are numbered, and after a reconnect all that are kept are told again: the coordinator knows the numbers it has
//! heard, and says itself how many it has not.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};
use wanfarm_types::{LogEntry, LogLevel, WorkerMessage, log_text};

/// Lines that are kept; of more, the oldest go.
const KEPT: usize = 256;
/// Lines of one message.
const BATCH: usize = 32;
/// Between two messages, of one that tells 32 lines a second at most.
const PAUSE: Duration = Duration::from_secs(1);

/// The last lines of this process, for who logs and for who tells.
#[derive(Debug, Clone, Default)]
pub struct Log(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    lines: Mutex<Lines>,
    news: Notify,
}

#[derive(Debug, Default)]
struct Lines {
    /// The number of the first.
    first: u64,
    kept: VecDeque<Line>,
}

#[derive(Debug)]
struct Line {
    at: Instant,
    level: LogLevel,
    text: String,
}

impl Log {
    /// A line was logged.
    pub fn say(&self, level: LogLevel, text: &str) {
        let line = Line { at: Instant::now(), level, text: log_text(text) };
        let mut lines = self.lines();
        lines.kept.push_back(line);
        if lines.kept.len() > KEPT {
            lines.kept.pop_front();
            lines.first += 1;
        }
        drop(lines);
        self.0.news.notify_one();
    }

    /// How many lines there ever were.
    fn said(&self) -> u64 {
        let lines = self.lines();
        lines.first + lines.kept.len() as u64
    }

    /// Held for moments.
    fn lines(&self) -> MutexGuard<'_, Lines> {
        self.0.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How far a log is told.
#[derive(Debug)]
pub(crate) struct Teller {
    log: Log,
    /// The number of the next line to be told.
    next: u64,
    /// Shortest time between two messages.
    pause: Duration,
    /// When the next one may go.
    at: Instant,
}

impl Teller {
    pub(crate) fn new(log: Log) -> Self {
        Self { log, next: 0, pause: PAUSE, at: Instant::now() }
    }

    /// Begins with the oldest line: somebody listens who may have heard none of them.
    pub(crate) fn begin_anew(&mut self) {
        self.next = 0;
    }

    /// Waits until there is something to tell and it may be told. Safe to drop and call again.
    pub(crate) async fn due(&self) {
        sleep_until(self.at).await;
        loop {
            // One that comes after the look leaves a permit.
            let news = self.log.0.news.notified();
            if self.log.said() > self.next {
                return;
            }
            news.await;
        }
    }

    /// Puts off what is due.
    pub(crate) fn wait(&mut self) {
        self.at = Instant::now() + self.pause;
    }

    /// The next lines.
    pub(crate) fn take(&mut self) -> WorkerMessage {
        self.wait();
        let lines = self.log.lines();
        let first = self.next.max(lines.first);
        let untold = usize::try_from(first - lines.first).unwrap_or(usize::MAX);
        let entry = |line: &Line| LogEntry {
            age_milliseconds: line.at.elapsed().as_millis().try_into().unwrap_or(u64::MAX),
            level: line.level,
            text: line.text.clone(),
        };
        let entries: Vec<LogEntry> = lines.kept.iter().skip(untold).take(BATCH).map(entry).collect();
        self.next = first + entries.len() as u64;
        WorkerMessage::Log { first, entries }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::FutureExt;

    fn taken(teller: &mut Teller) -> (u64, Vec<String>) {
        let WorkerMessage::Log { first, entries } = teller.take() else { panic!("no lines") };
        (first, entries.into_iter().map(|entry| entry.text).collect())
    }

    fn say(log: &Log, numbers: std::ops::Range<u64>) {
        numbers.for_each(|number| log.say(LogLevel::Info, &number.to_string()));
    }

    fn teller(log: &Log, pause: Duration) -> Teller {
        Teller { pause, ..Teller::new(log.clone()) }
    }

    #[tokio::test]
    async fn lines_go_a_few_at_a_time_and_wait_until_then() {
        let log = Log::default();
        let mut teller = teller(&log, Duration::ZERO);
        assert!(teller.due().now_or_never().is_none(), "nothing was logged");
        say(&log, 0..40);
        teller.due().await;
        let (first, lines) = taken(&mut teller);
        assert_eq!((first, lines.len(), lines[31].as_str()), (0, BATCH, "31"));
        teller.due().await;
        assert_eq!(taken(&mut teller).1.len(), 8);
        assert!(teller.due().now_or_never().is_none(), "all is told");
        let waiting = tokio::spawn(async move {
            teller.due().await;
            taken(&mut teller)
        });
        tokio::task::yield_now().await;
        say(&log, 40..41);
        assert_eq!(waiting.await.unwrap(), (40, vec!["40".to_owned()]));
    }

    #[tokio::test]
    async fn between_two_messages_is_a_pause() {
        let log = Log::default();
        let mut teller = teller(&log, Duration::from_secs(3600));
        say(&log, 0..40);
        teller.due().await;
        taken(&mut teller);
        assert!(teller.due().now_or_never().is_none());
    }

    #[tokio::test]
    async fn the_last_lines_are_kept_for_whoever_listens_next() {
        let log = Log::default();
        let mut teller = teller(&log, Duration::ZERO);
        say(&log, 0..KEPT as u64 + 1000);
        let (first, lines) = taken(&mut teller);
        assert_eq!((first, lines[0].as_str(), log.lines().kept.len()), (1000, "1000", KEPT));
        teller.begin_anew();
        assert_eq!(taken(&mut teller), (first, lines), "another coordinator hears the same");
        say(&log, 0..2000);
        assert_eq!(taken(&mut teller).0, 3000, "the number says what was never told");
    }
}
