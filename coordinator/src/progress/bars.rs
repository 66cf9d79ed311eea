//! Progress on a terminal: a bar for every video that is being worked on, and one for the job below them.

use std::collections::BTreeMap;

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use wanfarm_client::span;
use wanfarm_manifest::one_line;
use wanfarm_types::{VideoId, VideoState, VideoStatus};

use super::eta::steps_left;
use super::tally::Tally;
use super::words::{columns, counted, loading};
use crate::clock::Clock;

/// More videos than this at once are counted, not drawn.
const MAX_BARS: usize = 12;
/// Terminals narrower than this get short labels and bars, so that speed and time left stay in sight.
const NARROW: usize = 110;

/// The bars on a terminal. Dropped, they leave nothing on the screen.
pub(crate) struct Bars {
    all: MultiProgress,
    label: usize,
    style: ProgressStyle,
    videos: BTreeMap<VideoId, ProgressBar>,
    job: ProgressBar,
}

impl Bars {
    /// On a terminal of so many columns.
    pub(crate) fn new(target: ProgressDrawTarget, terminal: usize) -> Self {
        let all = MultiProgress::with_draw_target(target);
        let (label, bar) = if terminal < NARROW { (20, 10) } else { (36, 24) };
        let style = ProgressStyle::with_template(&format!("{{prefix}} [{{bar:{bar}}}] {{wide_msg}}"));
        let style = style.unwrap_or_else(|_| ProgressStyle::default_bar()).progress_chars("=> ");
        let job = all.add(ProgressBar::new(0).with_style(style.clone()));
        job.set_prefix(padded("all", label));
        Self { all, label, style, videos: BTreeMap::new(), job }
    }

    pub(crate) fn show(&mut self, tally: &Tally, clock: &Clock) {
        let active: BTreeMap<VideoId, &VideoStatus> =
            tally.active().take(MAX_BARS).map(|video| (tally.id(video), &**video)).collect();
        self.videos.retain(|id, bar| {
            let stays = active.contains_key(id);
            if !stays {
                bar.finish_and_clear();
                self.all.remove(bar);
            }
            stays
        });
        for (id, video) in active {
            if !self.videos.contains_key(&id) {
                let below = self.videos.range(id..).next().map_or(&self.job, |(_, next)| next);
                let bar = self.all.insert_before(below, ProgressBar::new(0).with_style(self.style.clone()));
                self.videos.insert(id, bar);
            }
            let Some(bar) = self.videos.get(&id) else { continue };
            bar.set_length(video.steps.max(1).into());
            bar.set_position(video.steps_done.into());
            bar.set_prefix(label(id, video, self.label));
            bar.set_message(words(video));
        }
        self.job.set_length(tally.total.max(1) as u64);
        self.job.set_position(tally.ended() as u64);
        self.job.set_message(overall(tally, clock));
    }

    /// A line above the bars.
    pub(crate) fn say(&self, line: &str) {
        // A terminal that is gone is no reason to stop rendering.
        let _gone = self.all.println(line);
    }
}

impl Drop for Bars {
    fn drop(&mut self) {
        for bar in self.videos.values() {
            bar.finish_and_clear();
        }
        self.job.finish_and_clear();
    }
}

fn label(id: VideoId, video: &VideoStatus, width: usize) -> String {
    padded(&format!("{id} {}", video.prompt), width)
}

fn padded(text: &str, width: usize) -> String {
    let text = one_line(text, width);
    format!("{text}{}", " ".repeat(width - columns(&text)))
}

/// Stage, step k/n, s/step, time left.
fn words(video: &VideoStatus) -> String {
    let stage = match (video.state, video.stage) {
        (VideoState::Writing, _) | (_, None) => video.state.name(),
        (_, Some(stage)) => stage.name(),
    };
    let mut words = stage.to_owned();
    if let Some(progress) = video.loading {
        return format!("{words}  {}", loading(progress));
    }
    if video.steps > 0 && video.state == VideoState::Running {
        words += &format!("  {}/{}", video.steps_done, video.steps);
    }
    if let Some(seconds) = video.seconds_per_step.filter(|seconds| *seconds > 0.0) {
        words += &format!("  {seconds:.2} s/step");
    }
    if let Some(left) = steps_left(video.steps_done, video.steps, video.seconds_per_step).filter(|left| !left.is_zero())
    {
        words += &format!("  {} left", span(left));
    }
    words
}

fn overall(tally: &Tally, clock: &Clock) -> String {
    let mut words = format!("{}/{}", tally.ended(), counted(tally.total as u64, "video"));
    for (count, name) in [(tally.failed, "failed"), (tally.cancelled, "cancelled")] {
        if count > 0 {
            words += &format!("  {count} {name}");
        }
    }
    let hidden = tally.active().count().saturating_sub(MAX_BARS);
    if hidden > 0 {
        words += &format!("  {hidden} more running");
    }
    if let Some(left) = tally.remaining().filter(|_| tally.ended() < tally.total) {
        words += &format!("  done at {}", clock.end(left));
    }
    words
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use indicatif::InMemoryTerm;
    use wanfarm_types::{JobId, Stage};

    use super::super::tally::tests::{JOB, event, failed};
    use super::*;
    use crate::clock::tests::at;

    fn now() -> Clock {
        at("2026-11-29T23:28:00Z")
    }

    fn bars(term: &InMemoryTerm, columns: usize) -> Bars {
        Bars::new(ProgressDrawTarget::term_like(Box::new(term.clone())), columns)
    }

    #[test]
    fn only_active_videos_have_a_bar() {
        let term = InMemoryTerm::new(20, 120);
        let mut bars = bars(&term, 120);
        let mut tally = Tally::new(JOB, 3);
        tally.note(Duration::ZERO);
        tally.apply(&event(0, None, 20, VideoState::Done));
        tally.apply(&event(1, Some(Stage::DenoiseHigh), 5, VideoState::Running));
        tally.apply(&event(2, None, 0, VideoState::Waiting));
        tally.note(Duration::from_secs(60));
        bars.show(&tally, &now());
        bars.job.tick();
        let drawn = term.contents();
        let lines: Vec<&str> = drawn.lines().collect();
        assert_eq!(lines.len(), 2, "{drawn}");
        assert!(lines[0].starts_with("7/1 a red ball 1 "), "{drawn}");
        assert!(lines[0].ends_with("denoise_high  5/20  1.50 s/step  23s left"), "{drawn}");
        assert!(lines[1].starts_with("all "), "{drawn}");
        assert!(lines[1].contains("1/3 videos  done at 23:29, in 1m 2"), "{drawn}");

        tally.apply(&failed(1, 5, "x"));
        bars.show(&tally, &now());
        bars.say("7/1 failed: x");
        let drawn = term.contents();
        assert!(drawn.starts_with("7/1 failed: x\nall "), "{drawn}");
        assert!(drawn.contains("2/3 videos  1 failed"), "{drawn}");
        drop(bars);
        assert_eq!(term.contents(), "7/1 failed: x", "an interrupted display leaves no bar");
    }

    #[test]
    fn a_bar_says_how_far_the_loading_of_weights_is() {
        let video = Arc::unwrap_or_clone(event(1, Some(Stage::DenoiseLow), 13, VideoState::Running));
        let loading = Some(wanfarm_types::LoadProgress { read: 1 << 30, of: 1 << 32, seconds: 0.5 });
        assert_eq!(words(&VideoStatus { loading, ..video }), "denoise_low  loading 25 %, 2.1 GB/s");
    }

    #[test]
    fn bars_stand_in_order_of_their_videos() {
        let term = InMemoryTerm::new(20, 120);
        let mut bars = bars(&term, 120);
        let mut tally = Tally::new(JOB, 12);
        for index in [10, 8, 11, 2] {
            tally.apply(&event(index, Some(Stage::DenoiseLow), 1, VideoState::Running));
            bars.show(&tally, &now());
        }
        let drawn = term.contents();
        let order: Vec<&str> = drawn.lines().filter_map(|line| line.split(' ').next()).collect();
        assert_eq!(order, ["7/2", "7/8", "7/10", "7/11", "all"], "{drawn}");
    }

    #[test]
    fn eighty_columns_show_speed_and_time_left() {
        let term = InMemoryTerm::new(20, 80);
        let mut bars = bars(&term, 80);
        let mut tally = Tally::new(JOB, 12);
        let video = event(1, Some(Stage::DenoiseHigh), 13, VideoState::Running);
        let prompt = "a red circle moving right on black".into();
        tally.apply(&Arc::new(VideoStatus { prompt, seconds_per_step: Some(21.5), ..Arc::unwrap_or_clone(video) }));
        bars.show(&tally, &now());
        let drawn = term.contents();
        assert!(drawn.lines().next().is_some_and(|line| line.ends_with("13/20  21.50 s/step  2m 31s left")), "{drawn}");
    }

    #[test]
    fn labels_have_one_width_and_no_escapes() {
        let mut video = Arc::unwrap_or_clone(event(3, Some(Stage::Decode), 20, VideoState::Running));
        for text in ["short", "\u{1b}[2Ja\nb", &"wide ".repeat(50), "红色的圆向右移动黑色背景上的方块", ""]
        {
            video.prompt = text.into();
            let label = label(VideoId { job: JobId(7), index: 3 }, &video, 36);
            assert_eq!(columns(&label), 36, "{label:?}");
            assert!(!label.chars().any(char::is_control), "{label:?}");
        }
        assert_eq!(words(&video), "decode  20/20  1.50 s/step");
    }

    #[test]
    fn a_crowd_is_counted() {
        let term = InMemoryTerm::new(40, 120);
        let mut bars = bars(&term, 120);
        let mut tally = Tally::new(JOB, 100);
        for index in 0..20 {
            tally.apply(&event(index, Some(Stage::DenoiseLow), 1, VideoState::Running));
        }
        bars.show(&tally, &now());
        bars.job.tick();
        assert_eq!(term.contents().lines().count(), MAX_BARS + 1);
        assert!(term.contents().contains("8 more running"), "{}", term.contents());
    }
}
