//! What came of a job, as a table for people. The report file holds the same for programs, and more.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use wanfarm_client::span;
use wanfarm_manifest::one_line;
use wanfarm_types::{JobId, VideoId};

use super::event::counted;

/// Jobs of at most so many videos list every one; larger ones list those that need a look.
const LIST_ALL: usize = 24;
/// And never more than this.
const LIST_MOST: usize = 60;
/// Most errors, or notes, told apart.
const MOST_ERRORS: usize = 10;

/// A job that has ended.
#[derive(Debug, Clone)]
pub struct Summary {
    /// Which job.
    pub job: JobId,
    /// Its name.
    pub name: String,
    /// From its start to its end, if that was seen.
    pub wall: Option<Duration>,
    /// Where its files are.
    pub output_dir: PathBuf,
    /// Where its report is.
    pub report: PathBuf,
    /// Its videos, in order.
    pub videos: Vec<VideoOutcome>,
    /// Why it has no report, if so.
    pub unreported: Option<String>,
    /// What has failed videos tried again.
    pub retry: String,
}

/// What came of a video.
#[derive(Debug, Clone)]
pub struct VideoOutcome {
    /// Which video.
    pub id: VideoId,
    /// Its output name below the output directory.
    pub output: String,
    /// What came of it.
    pub outcome: Outcome,
    /// What people should know of it though nothing failed.
    pub notes: Vec<String>,
}

/// What came of a video.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// Its files are in place.
    Done {
        /// Seconds that workers spent on it.
        seconds: f64,
        /// The quality gate's verdict: `ok`, or what it looks like.
        verdict: String,
        /// Whether the gate let it pass.
        passed: bool,
    },
    /// Given up with this error.
    Failed(String),
    /// Given up by an operator.
    Cancelled,
    /// Not there yet: `waiting`, `running` or `writing`.
    Unfinished(&'static str),
}

impl Outcome {
    fn needs_a_look(&self) -> bool {
        !matches!(self, Self::Done { passed: true, .. } | Self::Unfinished(_))
    }
}

impl Summary {
    /// How many videos have their files in place.
    pub fn done(&self) -> usize {
        self.videos.iter().filter(|video| matches!(video.outcome, Outcome::Done { .. })).count()
    }

    /// How many were given up with an error.
    pub fn failed(&self) -> usize {
        self.videos.iter().filter(|video| matches!(video.outcome, Outcome::Failed(_))).count()
    }

    fn counts(&self) -> String {
        let (done, failed, all) = (self.done(), self.failed(), self.videos.len());
        let count = |is: fn(&Outcome) -> bool| self.videos.iter().filter(|video| is(&video.outcome)).count();
        let cancelled = count(|outcome| matches!(outcome, Outcome::Cancelled));
        let open = count(|outcome| matches!(outcome, Outcome::Unfinished(_)));
        let doubtful = count(|outcome| matches!(outcome, Outcome::Done { passed: false, .. }));
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
        together(self.videos.iter().filter_map(|video| match &video.outcome {
            Outcome::Failed(error) => Some((error.as_str(), video.id.index)),
            _ => None,
        }))
    }

    /// The notes of its videos.
    fn notes(&self) -> Vec<(&str, Vec<u32>)> {
        together(self.videos.iter().flat_map(|video| video.notes.iter().map(|note| (note.as_str(), video.id.index))))
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
    for (words, videos) in said.iter().take(MOST_ERRORS) {
        let first: Vec<String> = videos.iter().take(5).map(u32::to_string).collect();
        let more = if videos.len() > first.len() { ", …" } else { "" };
        writeln!(f, "  {}x  {}  (video {}{more})", videos.len(), one_line(words, 300), first.join(", "))?;
    }
    if said.len() > MOST_ERRORS {
        writeln!(f, "  … and {} other {heading}", said.len() - MOST_ERRORS)?;
    }
    Ok(())
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let wall = self.wall.map(|wall| format!(" in {}", span(wall))).unwrap_or_default();
        writeln!(f, "job {} {}: {}{wall}", self.job, one_line(&self.name, 60), self.counts())?;
        let all = self.videos.len() <= LIST_ALL;
        let listed: Vec<&VideoOutcome> =
            self.videos.iter().filter(|video| all || video.outcome.needs_a_look()).take(LIST_MOST).collect();
        let width = listed.iter().map(|video| one_line(&video.output, 60).chars().count()).max().unwrap_or(0);
        if !listed.is_empty() {
            writeln!(f)?;
        }
        for video in &listed {
            let (state, words) = match &video.outcome {
                Outcome::Done { seconds, verdict, .. } => {
                    let seconds = Duration::try_from_secs_f64(*seconds).unwrap_or_default();
                    ("done", format!("{:>7}  {}", span(seconds), one_line(verdict, 60)))
                }
                Outcome::Failed(error) => ("failed", one_line(error, 100).into_owned()),
                Outcome::Cancelled => ("cancelled", String::new()),
                Outcome::Unfinished(state) => (*state, String::new()),
            };
            let output = one_line(&video.output, 60);
            let row = format!("  {:>5}  {output:<width$}  {state:<9}  {words}", video.id.index);
            writeln!(f, "{}", row.trim_end())?;
        }
        let waiting = self.videos.iter().filter(|video| video.outcome.needs_a_look()).count();
        if !all && waiting > listed.len() {
            writeln!(f, "  … and {} more that need a look", waiting - listed.len())?;
        }
        list(f, "notes", &self.notes())?;
        list(f, "errors", &self.errors())?;
        if self.failed() > 0 {
            writeln!(f, "  once mended: {}", self.retry)?;
        }
        let folder = self.output_dir.display();
        match &self.unreported {
            None => write!(f, "\nfiles in {folder}, report in {}", self.report.display()),
            Some(why) => write!(f, "\nfiles in {folder}, without a report: {}", one_line(why, 300)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn summary(outcomes: impl IntoIterator<Item = Outcome>) -> Summary {
        let video = |(index, outcome): (usize, Outcome)| VideoOutcome {
            id: VideoId { job: JobId(17), index: index as u32 },
            output: format!("shapes/{index:04}"),
            outcome,
            notes: Vec::new(),
        };
        Summary {
            job: JobId(17),
            name: "shapes".into(),
            wall: Some(Duration::from_secs(3725)),
            output_dir: "out".into(),
            report: "out/shapes.report.json".into(),
            videos: outcomes.into_iter().enumerate().map(video).collect(),
            unreported: None,
            retry: "coordinator retry 17".into(),
        }
    }

    fn done(seconds: f64, verdict: &str) -> Outcome {
        Outcome::Done { seconds, verdict: verdict.into(), passed: verdict == "ok" }
    }

    #[test]
    fn a_small_job_lists_every_video() {
        let failed = Outcome::Failed("out of memory at 1280x720".into());
        let told =
            summary([done(75.2, "ok"), failed.clone(), done(9.0, "frozen"), Outcome::Cancelled, failed]).to_string();
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
            0 => Outcome::Failed(format!("error {}", n % 1300)),
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
        summary.videos[0].notes = vec!["the prompt is long".into()];
        summary.videos[2].notes = vec!["the prompt is long".into(), "so is the other".into()];
        let told = summary.to_string();
        let notes = "\nnotes\n  2x  the prompt is long  (video 0, 2)\n  1x  so is the other  (video 2)\n";
        assert!(told.contains(notes), "{told}");
    }

    #[test]
    fn a_good_job_is_short() {
        let told = summary((0..100).map(|_| done(2.0, "ok"))).to_string();
        let place = "files in out, report in out/shapes.report.json";
        assert_eq!(told, format!("job 17 shapes: 100 of 100 videos done in 1h 02m\n\n{place}"));
        let unreported = Summary { unreported: Some("cannot write it".into()), ..summary([]) }.to_string();
        assert!(unreported.ends_with("files in out, without a report: cannot write it"), "{unreported}");
    }
}
