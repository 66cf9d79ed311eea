//! The results of a job as a table. The report file holds the same as JSON, and more.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use wanfarm_client::span;
use wanfarm_manifest::one_line;
use wanfarm_types::{JobSummary, VideoState, VideoStatus};

use super::words::counted;

/// Jobs of at most so many videos list every one; larger ones list those that need a look.
const LIST_ALL: usize = 24;
/// And never more than this.
const LIST_MOST: usize = 60;
/// Most errors, or notes, told apart.
const MAX_ERRORS: usize = 10;

/// The results of a job, and what to do next.
#[derive(Debug, Clone)]
pub struct Summary {
    /// The job.
    pub job: JobSummary,
    /// From its start to its end, if that was seen.
    pub wall: Option<Duration>,
    /// The output directory.
    pub output_dir: PathBuf,
    /// Its videos, in order.
    pub videos: Vec<Arc<VideoStatus>>,
    /// The command that retries failed videos.
    pub retry: String,
}

/// Failed, cancelled, or not let pass by the quality gate.
fn needs_a_look(video: &VideoStatus) -> bool {
    match video.state {
        VideoState::Done => is_doubtful(video),
        state => state.is_end() || state == VideoState::Unknown,
    }
}

fn is_doubtful(video: &VideoStatus) -> bool {
    video.state == VideoState::Done && video.verdict.as_deref() != Some("ok")
}

impl Summary {
    /// How many videos have their files in place.
    pub fn done(&self) -> usize {
        self.count(|video| video.state == VideoState::Done)
    }

    /// How many were given up with an error.
    pub fn failed(&self) -> usize {
        self.count(|video| matches!(video.state, VideoState::Failed | VideoState::Unknown))
    }

    fn count(&self, is: impl Fn(&VideoStatus) -> bool) -> usize {
        self.videos.iter().filter(|video| is(video)).count()
    }

    fn counts(&self) -> String {
        let (done, failed, all) = (self.done(), self.failed(), self.videos.len());
        let cancelled = self.count(|video| video.state == VideoState::Cancelled);
        let open = all - done - failed - cancelled;
        let doubtful = self.count(is_doubtful);
        let mut counts = format!("{done} of {} done", counted(all as u64, "video"));
        for (count, name) in
            [(failed, "failed"), (cancelled, "cancelled"), (open, "to come"), (doubtful, "to be looked at")]
        {
            if count > 0 {
                counts += &format!(", {count} {name}");
            }
        }
        counts
    }

    /// The errors of its videos.
    fn errors(&self) -> Vec<(&str, Vec<u32>)> {
        together(self.videos.iter().filter_map(|video| Some((video.error.as_deref()?, video.index))))
    }

    /// The notes of its videos.
    fn notes(&self) -> Vec<(&str, Vec<u32>)> {
        together(self.videos.iter().flat_map(|video| video.notes.iter().map(|note| (note.as_str(), video.index))))
    }
}

/// What is said of several videos, once, the most frequent first, with the first videos that it is said of.
pub(crate) fn together<'w>(said: impl Iterator<Item = (&'w str, u32)>) -> Vec<(&'w str, Vec<u32>)> {
    let mut videos: BTreeMap<&str, Vec<u32>> = BTreeMap::new();
    for (words, video) in said {
        videos.entry(words).or_default().push(video);
    }
    let mut said: Vec<_> = videos.into_iter().collect();
    said.sort_by_key(|(_, videos)| std::cmp::Reverse(videos.len()));
    said
}

/// A list of what is said of videos, under a heading.
pub(crate) fn list(f: &mut impl fmt::Write, heading: &str, said: &[(&str, Vec<u32>)]) -> fmt::Result {
    if !said.is_empty() {
        writeln!(f, "\n{heading}")?;
    }
    for (words, videos) in said.iter().take(MAX_ERRORS) {
        let first: Vec<String> = videos.iter().take(5).map(u32::to_string).collect();
        let more = if videos.len() > first.len() { ", …" } else { "" };
        writeln!(f, "  {}x  {}  (video {}{more})", videos.len(), one_line(words, 300), first.join(", "))?;
    }
    if said.len() > MAX_ERRORS {
        writeln!(f, "  … and {} other {heading}", said.len() - MAX_ERRORS)?;
    }
    Ok(())
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let wall = self.wall.map(|wall| format!(" in {}", span(wall))).unwrap_or_default();
        writeln!(f, "job {} {}: {}{wall}", self.job.job, one_line(&self.job.name, 60), self.counts())?;
        let all = self.videos.len() <= LIST_ALL;
        let listed: Vec<&Arc<VideoStatus>> =
            self.videos.iter().filter(|video| all || needs_a_look(video)).take(LIST_MOST).collect();
        let width = listed.iter().map(|video| one_line(&video.output, 60).chars().count()).max().unwrap_or(0);
        if !listed.is_empty() {
            writeln!(f)?;
        }
        for video in &listed {
            let words = match video.state {
                VideoState::Done => {
                    let seconds = Duration::try_from_secs_f64(video.seconds.unwrap_or(0.0)).unwrap_or_default();
                    format!("{:>7}  {}", span(seconds), one_line(video.verdict.as_deref().unwrap_or_default(), 60))
                }
                _ => one_line(video.error.as_deref().unwrap_or_default(), 100).into_owned(),
            };
            let output = one_line(&video.output, 60);
            let row = format!("  {:>5}  {output:<width$}  {:<9}  {words}", video.index, video.state.name());
            writeln!(f, "{}", row.trim_end())?;
        }
        let waiting = self.count(needs_a_look);
        if !all && waiting > listed.len() {
            writeln!(f, "  … and {} more that need a look", waiting - listed.len())?;
        }
        list(f, "notes", &self.notes())?;
        list(f, "errors", &self.errors())?;
        if self.failed() > 0 {
            writeln!(f, "  once mended: {}", self.retry)?;
        }
        let folder = self.output_dir.display();
        match &self.job.unreported {
            None => {
                let report = self.job.report.as_deref().unwrap_or_default();
                write!(f, "\nfiles in {folder}, report in {report}")
            }
            Some(why) => write!(f, "\nfiles in {folder}, without a report: {}", one_line(why, 300)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use wanfarm_types::JobId;

    fn summary(videos: impl IntoIterator<Item = VideoStatus>) -> Summary {
        let video = |(index, video): (usize, VideoStatus)| {
            Arc::new(VideoStatus { index: index as u32, output: format!("shapes/{index:04}"), ..video })
        };
        let report = Some("out/shapes.report.json".into());
        Summary {
            job: JobSummary { job: JobId(17), name: "shapes".into(), report, ..JobSummary::default() },
            wall: Some(Duration::from_secs(3725)),
            output_dir: "out".into(),
            videos: videos.into_iter().enumerate().map(video).collect(),
            retry: "coordinator retry 17".into(),
        }
    }

    fn done(seconds: f64, verdict: &str) -> VideoStatus {
        let verdict = Some(verdict.to_owned());
        VideoStatus { state: VideoState::Done, seconds: Some(seconds), verdict, ..VideoStatus::default() }
    }

    fn failed(error: &str) -> VideoStatus {
        VideoStatus { state: VideoState::Failed, error: Some(error.to_owned()), ..VideoStatus::default() }
    }

    #[test]
    fn a_small_job_lists_every_video() {
        let cancelled = VideoStatus { state: VideoState::Cancelled, ..VideoStatus::default() };
        let failed = failed("out of memory at 1280x720");
        let told = summary([done(75.2, "ok"), failed.clone(), done(9.0, "frozen"), cancelled, failed]).to_string();
        assert_eq!(
            told,
            "\
job 17 shapes: 2 of 5 videos done, 2 failed, 1 cancelled, 1 to be looked at in 1h 02m

      0  shapes/0000  done        1m 15s  ok
      1  shapes/0001  failed     out of memory at 1280x720
      2  shapes/0002  done            9s  frozen
      3  shapes/0003  cancelled
      4  shapes/0004  failed     out of memory at 1280x720

errors
  2x  out of memory at 1280x720  (video 1, 4)
  once mended: coordinator retry 17

files in out, report in out/shapes.report.json"
        );
    }

    #[test]
    fn a_large_job_lists_what_needs_a_look() {
        let told = summary((0..10_000).map(|n| match n % 100 {
            0 => failed(&format!("error {}", n % 1300)),
            1 => done(1.0, "noise"),
            _ => done(f64::INFINITY, "ok"),
        }))
        .to_string();
        assert!(
            told.starts_with("job 17 shapes: 9900 of 10000 videos done, 100 failed, 100 to be looked at"),
            "{told}"
        );
        assert!(told.contains("… and 140 more that need a look"), "{told}");
        assert!(told.contains("… and 3 other errors"), "{told}");
        assert!(told.lines().count() < 90);
        assert!(!told.contains("  ok"));
    }

    #[test]
    fn a_note_of_many_videos_is_told_once() {
        let mut summary = summary([done(1.0, "ok"), done(1.0, "ok"), done(1.0, "ok")]);
        Arc::make_mut(&mut summary.videos[0]).notes = vec!["the prompt is long".into()];
        Arc::make_mut(&mut summary.videos[2]).notes = vec!["the prompt is long".into(), "so is the other".into()];
        let told = summary.to_string();
        let notes = "\nnotes\n  2x  the prompt is long  (video 0, 2)\n  1x  so is the other  (video 2)\n";
        assert!(told.contains(notes), "{told}");
    }

    #[test]
    fn a_good_job_is_short() {
        let told = summary((0..100).map(|_| done(2.0, "ok"))).to_string();
        let place = "files in out, report in out/shapes.report.json";
        assert_eq!(told, format!("job 17 shapes: 100 of 100 videos done in 1h 02m\n\n{place}"));
        let mut unreported = summary([]);
        unreported.job.unreported = Some("cannot write it".into());
        let unreported = unreported.to_string();
        assert!(unreported.ends_with("files in out, without a report: cannot write it"), "{unreported}");
    }
}
