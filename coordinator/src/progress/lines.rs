//! Progress where there is no terminal: one line for each change of stage and each end, `key=value`, for logs and scripts.
//!
//! Ends are always written. Changes of stage are held back while there are more than a log can bear; steps are written
//! now and then, so that a long video shows that it lives.

use std::collections::BTreeMap;
use std::io::Write;
use std::time::Duration;

use wanfarm_client::span;
use wanfarm_manifest::one_line;
use wanfarm_types::{VideoState, VideoStatus};

use super::eta::steps_left;
use super::tally::{Change, Tally};

/// At most so many changes of stage a second.
const STAGES_PER_SECOND: u32 = 20;
/// At most one line about a video's steps in this time.
const STEP_EVERY: Duration = Duration::from_secs(30);

/// Lines on a stream.
pub(crate) struct Lines {
    out: Box<dyn Write + Send>,
    spoke: BTreeMap<u32, Duration>,
    second: u64,
    stages: u32,
}

impl Lines {
    pub(crate) fn new(out: Box<dyn Write + Send>) -> Self {
        Self { out, spoke: BTreeMap::new(), second: 0, stages: 0 }
    }

    pub(crate) fn show(&mut self, at: Duration, video: &VideoStatus, change: Change, tally: &Tally) {
        let speaks = match change {
            Change::Nothing => false,
            Change::End => true,
            Change::Stage => {
                if self.second != at.as_secs() {
                    (self.second, self.stages) = (at.as_secs(), 0);
                }
                self.stages += 1;
                self.stages <= STAGES_PER_SECOND
            }
            Change::Step => self.spoke.get(&video.index).is_none_or(|&last| at.saturating_sub(last) >= STEP_EVERY),
        };
        if speaks {
            if video.state.is_end() {
                self.spoke.remove(&video.index);
            } else {
                self.spoke.insert(video.index, at);
            }
            self.say(&line(video, tally));
        }
    }

    pub(crate) fn say(&mut self, line: &str) {
        // A reader that went away is no reason to stop rendering.
        let _gone = writeln!(self.out, "{line}").and_then(|()| self.out.flush());
    }
}

/// `video=7/3 state=running stage=denoise_high step=5/20 seconds_per_step=1.50 left=23s done=2 failed=0 total=9 label="…"`
fn line(video: &VideoStatus, tally: &Tally) -> String {
    let mut line = format!("video={} state={}", tally.id(video), video.state.name());
    if let Some(stage) = video.stage.filter(|_| !video.state.is_end()) {
        line += &format!(" stage={stage}");
    }
    if video.steps > 0 {
        line += &format!(" step={}/{}", video.steps_done, video.steps);
    }
    if let Some(load) = video.loading {
        let megabytes = load.speed() / 1e6;
        line += &format!(" loaded={}/{} megabytes_per_second={megabytes:.0}", load.read, load.of);
    }
    if let Some(seconds) = video.seconds_per_step {
        line += &format!(" seconds_per_step={seconds:.2}");
    }
    let left = steps_left(video.steps_done, video.steps, video.seconds_per_step);
    if let Some(left) = left.filter(|_| video.state == VideoState::Running) {
        line += &format!(" left={}", compact(left));
    }
    line += &format!(" done={} failed={} total={}", tally.done, tally.failed, tally.total);
    if let Some(left) = tally.remaining() {
        line += &format!(" job_left={}", compact(left));
    }
    line += &format!(" label={:?}", one_line(&video.prompt, 80));
    if let Some(error) = &video.error {
        line += &format!(" error={:?}", one_line(error, 500));
    }
    line
}

/// A span without its blank: `3m20s`.
fn compact(duration: Duration) -> String {
    span(duration).replace(' ', "")
}

#[cfg(test)]
pub(crate) mod tests {
    use std::sync::{Arc, Mutex};

    use wanfarm_types::Stage;

    use super::super::tally::tests::{JOB, event, failed};
    use super::*;

    /// A stream that can be read back.
    #[derive(Clone, Default)]
    pub(crate) struct Page(Arc<Mutex<Vec<u8>>>);

    impl Write for Page {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    impl Page {
        pub(crate) fn lines(&self) -> Vec<String> {
            String::from_utf8(self.0.lock().unwrap().clone()).unwrap().lines().map(str::to_owned).collect()
        }
    }

    fn play(events: &[(u64, Arc<VideoStatus>)], total: usize) -> Vec<String> {
        let page = Page::default();
        let (mut lines, mut tally) = (Lines::new(Box::new(page.clone())), Tally::new(JOB, total));
        tally.note(Duration::ZERO);
        for (second, event) in events {
            let at = Duration::from_secs(*second);
            let change = tally.apply(event);
            tally.note(at);
            lines.show(at, event, change, &tally);
        }
        page.lines()
    }

    #[test]
    fn one_line_for_each_stage_and_the_end() {
        let high = |step| event(3, Some(Stage::DenoiseHigh), step, VideoState::Running);
        let told = play(
            &[
                (0, event(3, None, 0, VideoState::Waiting)),
                (0, event(3, Some(Stage::EncodeText), 0, VideoState::Running)),
                (1, high(0)),
                (2, high(1)),
                (30, high(2)),
                (31, high(3)),
                (32, high(4)),
                (60, event(3, Some(Stage::Decode), 20, VideoState::Running)),
                (90, event(3, None, 20, VideoState::Done)),
            ],
            2,
        );
        let job = " done=0 failed=0 total=2";
        assert_eq!(
            told,
            [
                format!("video=7/3 state=running stage=encode_text step=0/20{job} label=\"a red ball 3\""),
                format!("video=7/3 state=running stage=denoise_high step=0/20{job} label=\"a red ball 3\""),
                format!(
                    "video=7/3 state=running stage=denoise_high step=3/20 seconds_per_step=1.50 left=26s{job} job_left=7m08s label=\"a red ball 3\""
                ),
                format!(
                    "video=7/3 state=running stage=decode step=20/20 seconds_per_step=1.50 left=0s{job} job_left=1m13s label=\"a red ball 3\""
                ),
                "video=7/3 state=done step=20/20 seconds_per_step=1.50 done=1 failed=0 total=2 job_left=1m30s label=\"a red ball 3\""
                    .to_owned(),
            ]
        );
    }

    #[test]
    fn a_flood_of_stages_is_held_back_but_no_end_is_lost() {
        let mut events = Vec::new();
        for index in 0..500 {
            events.push((0, event(index, Some(Stage::EncodeText), 0, VideoState::Running)));
        }
        for index in 0..500 {
            events.push((1, event(index, None, 20, VideoState::Done)));
        }
        let told = play(&events, 500);
        assert_eq!(told.iter().filter(|line| line.contains("state=running")).count(), STAGES_PER_SECOND as usize);
        assert_eq!(told.iter().filter(|line| line.contains("state=done")).count(), 500);
    }

    #[test]
    fn errors_stay_on_their_line() {
        let told = play(&[(0, failed(0, 3, "out of memory\n\u{1b}[31m \"at\" 720p"))], 1);
        assert_eq!(told.len(), 1);
        assert!(told[0].ends_with(r#"error="out of memory  [31m \"at\" 720p""#), "{}", told[0]);
    }
}
