//! The display a following client holds: bars on a terminal, lines elsewhere.

use std::io::{IsTerminal, Write};
use std::sync::Arc;
use std::time::{Duration, Instant};

use indicatif::ProgressDrawTarget;
use wanfarm_manifest::one_line;
use wanfarm_types::{JobId, VideoStatus};

use super::bars::Bars;
use super::lines::Lines;
use super::tally::{Change, Tally};
use crate::clock::Clock;
use crate::logging;

/// Shows how a job goes, on standard error: what is on standard output stays a result. Dropped, it takes its bars away,
/// so that what follows stands alone; lines stay.
pub struct Progress {
    tally: Tally,
    start: Instant,
    face: Face,
}

enum Face {
    /// Nobody wants to see it.
    Nothing,
    Bars(Bars),
    Lines(Lines),
}

impl Progress {
    /// For a job of `total` videos, as the standard error stream allows.
    pub fn new(job: JobId, total: usize, now: Instant) -> Self {
        if logging::is_quiet() {
            Self::with(job, total, now, Face::Nothing)
        } else if std::io::stderr().is_terminal() {
            let terminal = terminal_size::terminal_size_of(std::io::stderr()).map_or(80, |(width, _)| width.0.into());
            Self::with(job, total, now, Face::Bars(Bars::new(ProgressDrawTarget::stderr(), terminal)))
        } else {
            Self::lines(job, total, now, Box::new(std::io::stderr()))
        }
    }

    /// One line for each change, into `out`.
    pub fn lines(job: JobId, total: usize, now: Instant, out: Box<dyn Write + Send>) -> Self {
        Self::with(job, total, now, Face::Lines(Lines::new(out)))
    }

    /// Records the state of videos. The first batch of a resumed job is where its pace starts.
    pub fn update<'e>(&mut self, now: Instant, videos: impl IntoIterator<Item = &'e Arc<VideoStatus>>) {
        let at = self.since_start(now);
        for video in videos {
            let change = self.tally.apply(video);
            match &mut self.face {
                Face::Nothing => {}
                Face::Lines(lines) => lines.show(at, video, change, &self.tally),
                Face::Bars(bars) => {
                    if let (Change::End, Some(error)) = (change, &video.error) {
                        let id = self.tally.id(video);
                        bars.say(&format!("{id} {} failed: {}", one_line(&video.prompt, 60), one_line(error, 500)));
                    }
                }
            }
        }
        self.tally.note(at);
        if let Face::Bars(bars) = &mut self.face {
            bars.show(&self.tally, &Clock::now());
        }
    }

    /// Says something that concerns the job as a whole, for example what it waits for.
    pub fn say(&mut self, line: &str) {
        let line = one_line(line, 500);
        match &mut self.face {
            Face::Nothing => {}
            Face::Bars(bars) => bars.say(&line),
            Face::Lines(lines) => lines.say(&line),
        }
    }

    fn with(job: JobId, total: usize, now: Instant, face: Face) -> Self {
        Self { tally: Tally::new(job, total), start: now, face }
    }

    fn since_start(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.start)
    }
}

#[cfg(test)]
mod tests {
    use wanfarm_types::{Stage, VideoState};

    use super::super::lines::tests::Page;
    use super::super::tally::tests::{JOB, event};
    use super::*;

    #[test]
    fn what_was_done_before_is_no_pace() {
        let page = Page::default();
        let start = Instant::now();
        let mut progress = Progress::lines(JOB, 4, start, Box::new(page.clone()));
        let first: Vec<_> = (0..2).map(|index| event(index, None, 20, VideoState::Done)).collect();
        progress.update(start, &first);
        progress.update(start + Duration::from_secs(60), [&event(2, None, 20, VideoState::Done)]);
        progress.update(start + Duration::from_secs(90), [&event(3, Some(Stage::DenoiseLow), 0, VideoState::Running)]);
        progress.say("waiting for\na vae worker");
        let told = page.lines();
        assert_eq!(told.len(), 5);
        assert!(!told[1].contains("job_left"), "{}", told[1]);
        assert!(told[3].contains("done=3 failed=0 total=4 job_left=1m00s"), "{}", told[3]);
        assert_eq!(told[4], "waiting for a vae worker");
    }
}
