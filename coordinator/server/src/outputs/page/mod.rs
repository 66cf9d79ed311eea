//! A job's report as one page that needs nothing else: no script, no other file, nothing from elsewhere. It says what
//! `wanfarm_types::JobReport` says, with a still of each video, and is the same whenever it is made of the same.
//!
//! What people and workers wrote is escaped by `maud`, which makes the page.

mod sheet;
mod tables;
mod words;

use std::collections::{BTreeMap, HashMap};

use bytes::Bytes;
use maud::{DOCTYPE, Markup, PreEscaped, html};
use wanfarm_types::{JobReport, JobSummary, VideoState, VideoStatus};

use super::{JobFiles, stills};
use crate::times::parsed;
use words::{apart, counted, cut, duration, when};

/// Nothing is loaded, and nothing runs, wherever the page is opened.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; img-src data:";
/// Videos that stand behind one cause at most.
const NAMED: usize = 60;
/// Most letters of a cause.
const MAX_CAUSE: usize = 2000;

/// Where the page stands, and so how it leads to the files of videos.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Stands<'p> {
    /// At this path below the output directory.
    At(&'p str),
    /// Where the coordinator serves it, beside the videos of its job.
    Served,
}

/// What the page is made of.
struct Page<'r> {
    report: &'r JobReport,
    /// By video: what shows it, below the output directory.
    shown: HashMap<u32, String>,
    stills: &'r BTreeMap<u32, Bytes>,
    stands: Stands<'r>,
}

/// The first line of a report's page: it says whose it is.
pub(crate) fn mark(report: &JobReport) -> String {
    let JobSummary { job, submitted, .. } = &report.job;
    format!("{MARK}{job}, submitted {} -->", submitted.as_deref().unwrap_or("at an unknown time"))
}

/// How the first line of every report's page begins.
pub(crate) const MARK: &str = "<!-- wanfarm: the report of job ";

/// The page.
pub(crate) fn page(report: &JobReport, files: &JobFiles, stills: &BTreeMap<u32, Bytes>, stands: Stands<'_>) -> String {
    let shown = files.videos.iter().filter_map(|video| Some((video.video, stills::shown(&video.written)?.0)));
    Page { report, shown: shown.collect(), stills, stands }.draw().into_string()
}

impl Page<'_> {
    fn draw(&self) -> Markup {
        let JobReport { job, output_dir, .. } = self.report;
        html! {
            (PreEscaped(mark(self.report))) "\n"
            (DOCTYPE)
            html lang="en" {
                head {
                    meta charset="utf-8";
                    meta http-equiv="Content-Security-Policy" content=(POLICY);
                    meta name="viewport" content="width=device-width, initial-scale=1";
                    meta name="color-scheme" content="light dark";
                    title { "Report of " (title(job)) }
                    style { (PreEscaped(include_str!("report.css"))) }
                }
                body {
                    main {
                        (head(job))
                        (counts(job))
                        (self.figures())
                        (self.forecast())
                        (self.causes("What failed", VideoState::Failed, |video| {
                            Some(video.error.clone().unwrap_or_else(|| "no reason is known".to_owned()))
                        }))
                        (self.verdicts())
                        (self.lost())
                        (self.notes())
                        (tables::efforts("Role", &self.report.roles))
                        (sheet::sheet(self))
                        (tables::efforts("Stage", &self.report.stages))
                        (tables::efforts("Worker", &self.report.workers))
                        (tables::machines(&self.report.machines))
                    }
                    footer { p { "Files are below " code { (output_dir) } "." } }
                }
            }
        }
    }

    fn figures(&self) -> Markup {
        let JobReport { wall_seconds, render_seconds, bottleneck, job, .. } = self.report;
        let until = if job.ended.is_some() { "from submission to the last file" } else { "since submission" };
        html! {
            dl.figures {
                div { dt { (until) } dd { (duration(*wall_seconds)) } }
                @if let Some(seconds) = render_seconds { div { dt { "of rendering" } dd { (duration(*seconds)) } } }
                @if let Some(role) = bottleneck { div { dt { "was busiest" } dd { (role) } } }
            }
        }
    }

    /// What was forecast, against what came.
    fn forecast(&self) -> Markup {
        let Some(forecast) = &self.report.forecast else { return html! {} };
        let (told, ended) = (forecast.at.as_deref(), self.report.job.ended.as_deref());
        let moments = told.and_then(parsed).zip(ended.and_then(parsed));
        html! {
            p.forecast {
                @if let Some(at) = told { "At " (when(at)) " it was forecast" } @else { "It was forecast" }
                " to take another " b { (duration(forecast.seconds)) }
                @if let Some((told, ended)) = moments {
                    "; it took " b { (duration(ended - told)) } ", " (apart(ended - told - forecast.seconds)) "."
                } @else { "." }
            }
        }
    }

    /// Videos in a state by what is said of them, those with one cause together, the most frequent first.
    fn causes(&self, title: &str, state: VideoState, cause: impl Fn(&VideoStatus) -> Option<String>) -> Markup {
        let mut causes: BTreeMap<String, Vec<u32>> = BTreeMap::new();
        for video in self.report.videos.iter().filter(|video| video.state == state) {
            if let Some(cause) = cause(video) {
                causes.entry(cause).or_default().push(video.index);
            }
        }
        let mut causes: Vec<_> = causes.into_iter().collect();
        causes.sort_by_key(|(_, videos)| std::cmp::Reverse(videos.len()));
        section(
            title,
            causes.iter().map(|(cause, videos)| {
                html! {
                    p.cause { (cut(cause, MAX_CAUSE)) }
                    p.small { (counted(videos.len(), "video")) ": " (links(videos)) }
                }
            }),
        )
    }

    fn notes(&self) -> Markup {
        let note = |video: &VideoStatus| (!video.notes.is_empty()).then(|| video.notes.join("; "));
        self.causes("What to know of those that are done", VideoState::Done, note)
    }

    /// Finished videos that the quality gate does not trust, the worst first.
    fn verdicts(&self) -> Markup {
        let mut verdicts: BTreeMap<(u8, &str), Vec<u32>> = BTreeMap::new();
        for video in &self.report.videos {
            if let Some(verdict) = suspicion(video) {
                // What a later version calls otherwise comes last.
                let rank = ["bad", "suspect"].iter().position(|known| *known == verdict).unwrap_or(2) as u8;
                verdicts.entry((rank, verdict)).or_default().push(video.index);
            }
        }
        section(
            "What to look at, the worst first",
            verdicts.iter().map(|((_, verdict), videos)| {
                html! {
                    p.cause { "Looks " b { (verdict) } ": " (links(videos)) }
                }
            }),
        )
    }

    fn lost(&self) -> Markup {
        section(
            "Files that are not as they were written",
            self.report.lost.iter().map(|file| {
                html! {
                    p.cause { (file) }
                }
            }),
        )
    }
}

/// A part of the page; nothing where it has nothing in it.
fn section(title: &str, parts: impl Iterator<Item = Markup>) -> Markup {
    let mut parts = parts.peekable();
    html! {
        @if parts.peek().is_some() {
            section { h2 { (title) } @for part in parts { div.part { (part) } } }
        }
    }
}

fn title(job: &JobSummary) -> String {
    if job.name.is_empty() { format!("job {}", job.job) } else { job.name.clone() }
}

fn head(job: &JobSummary) -> Markup {
    let JobSummary { videos, done, failed, about, .. } = job;
    html! {
        header {
            p.crumbs { (title(job)) " · report" }
            h1 {
                @if *failed > 0 { (done) " of " (counted(*videos as usize, "video")) " finished, " (failed) " failed" }
                @else if done == videos { "All " (counted(*videos as usize, "video")) " finished" }
                @else { (done) " of " (counted(*videos as usize, "video")) " finished" }
            }
            ul.facts {
                li { "Job " (job.job) ", " (job.state.name()) }
                li { (job.model) }
                @if let Some(owner) = &about.owner { li { "of " (owner) } }
                @if let Some(at) = &job.submitted { li { "submitted " (when(at)) } }
                @if let Some(at) = &job.ended { li { "ended " (when(at)) } }
                @for (name, value) in &about.labels { li { (name) ": " (value) } }
            }
            @if let Some(note) = &about.note { p.note { (note) } }
        }
    }
}

/// Videos by where they stand, as a bar and in words.
fn counts(job: &JobSummary) -> Markup {
    let JobSummary { videos, done, failed, cancelled, running, .. } = *job;
    let waiting = videos.saturating_sub(done + failed + cancelled + running);
    let parts =
        [("done", done), ("running", running), ("waiting", waiting), ("failed", failed), ("cancelled", cancelled)];
    let parts = parts.into_iter().filter(|(_, number)| *number > 0);
    html! {
        div.progress aria-hidden="true" {
            @for (part, number) in parts.clone() { i class=(part) style=(format!("flex-grow:{number}")) {} }
        }
        ul.legend { @for (part, number) in parts { li { i class=(part) {} b { (number) } " " (part) } } }
    }
}

/// Of a finished video that is not as videos should be.
fn suspicion(video: &VideoStatus) -> Option<&str> {
    let verdict = video.verdict.as_deref().filter(|_| video.state == VideoState::Done)?;
    (verdict != "ok").then_some(verdict)
}

/// Leads to videos on the sheet.
fn links(videos: &[u32]) -> Markup {
    html! {
        @for (at, video) in videos.iter().take(NAMED).enumerate() {
            @if at > 0 { ", " }
            a href=(format!("#video-{video}")) { (video) }
        }
        @if videos.len() > NAMED { " and " (videos.len() - NAMED) " more" }
    }
}

#[cfg(test)]
mod tests;
