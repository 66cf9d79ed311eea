use std::sync::Arc;

use wanfarm_types::{About, Digest, EffortLine, Forecast, JobId, Machine};

use super::*;
use crate::outputs::{Content, Print, VideoFiles, Written};

fn video(index: u32, state: VideoState) -> VideoStatus {
    VideoStatus { index, state, prompt: format!("prompt {index}"), ..VideoStatus::default() }
}

fn report(videos: Vec<VideoStatus>) -> JobReport {
    let count = |state| videos.iter().filter(|video| video.state == state).count() as u32;
    let job = JobSummary {
        job: JobId(7),
        name: "night".into(),
        videos: videos.len() as u32,
        done: count(VideoState::Done),
        failed: count(VideoState::Failed),
        submitted: Some("2026-11-28T21:04:05.250Z".into()),
        ..JobSummary::default()
    };
    JobReport { job, videos: videos.into_iter().map(Arc::new).collect(), ..JobReport::default() }
}

fn files(paths: &[(u32, &str)]) -> JobFiles {
    let video = |&(video, path): &(u32, &str)| {
        let content = Content::File(Print { bytes: 1, blake3: Digest([1; 32]) });
        VideoFiles { video, written: [Written { path: path.into(), content }].into(), replaced_by: None }
    };
    JobFiles { root: "/out".into(), videos: paths.iter().map(video).collect() }
}

fn drawn(report: &JobReport, stands: Stands<'_>) -> String {
    let stills = BTreeMap::from([(0, Bytes::from_static(&[1, 2, 3]))]);
    page(report, &files(&[(0, "n/a 1.mp4"), (1, "n/b.mp4")]), &stills, stands)
}

#[test]
fn what_people_and_workers_wrote_stays_text() {
    let evil = "<script>alert(1)</script>\"'&--><img src=x onerror=y>";
    let mut video = video(0, VideoState::Done);
    (video.prompt, video.verdict, video.notes) = (evil.into(), Some(evil.into()), vec![evil.into()]);
    let failed = VideoStatus { error: Some(evil.into()), ..super::tests::video(1, VideoState::Failed) };
    let mut report = report(vec![video, failed]);
    report.job.name = evil.into();
    report.job.model = evil.into();
    let labels = [(evil.to_owned(), evil.to_owned())].into();
    report.job.about = About { owner: Some(evil.into()), note: Some(evil.into()), labels };
    report.output_dir = evil.into();
    let effort = EffortLine { name: evil.into(), ..EffortLine::default() };
    (report.roles, report.stages, report.workers) = (vec![effort.clone()], vec![effort.clone()], vec![effort]);
    report.machines = vec![Machine { name: evil.into(), device: evil.into(), ..Machine::default() }];
    let page = drawn(&report, Stands::Served);
    let (head, body) = page.split_once("</style>").unwrap();
    for tag in ["<script", "<img src=x", "onerror=y>"] {
        assert!(!head.contains(tag) && !body.contains(tag), "{tag}");
    }
    assert_eq!(page.matches("<!--").count(), 1, "only the mark");
    assert!(page.matches("&lt;script&gt;").count() >= 12);
}

#[test]
fn nothing_is_loaded_from_anywhere_and_videos_are_found_from_where_the_page_stands() {
    let report = report(vec![video(0, VideoState::Done), video(1, VideoState::Done), video(2, VideoState::Waiting)]);
    for (stands, first) in [
        (Stands::Served, "href=\"videos/0/files/n/a%201.mp4\""),
        (Stands::At("night.report.html"), "href=\"./n/a%201.mp4\""),
        (Stands::At("all/night.report.html"), "href=\"./../n/a%201.mp4\""),
    ] {
        let page = drawn(&report, stands);
        assert!(page.contains(first), "{first}");
        assert_eq!(page.matches("<img").count(), 1);
        assert!(page.contains("<img src=\"data:image/jpeg;base64,AQID\""));
        assert!(page.contains("1 finished without a picture"), "video 1 has none");
        assert_eq!(page.matches("<li id=\"video-").count(), 3, "every video is on the sheet");
        assert!(!page.contains("http://") && !page.contains("https://") && !page.contains("<link"));
        assert_eq!(page, drawn(&report, stands), "the same of the same");
    }
}

#[test]
fn failures_stand_together_by_cause_and_the_worst_verdicts_come_first() {
    let failed = |index, why: &str| VideoStatus { error: Some(why.into()), ..video(index, VideoState::Failed) };
    let done = |index, verdict: &str| VideoStatus { verdict: Some(verdict.into()), ..video(index, VideoState::Done) };
    let videos =
        vec![failed(0, "no memory"), done(1, "suspect"), failed(2, "too wide"), done(3, "bad"), failed(4, "too wide")];
    let page = drawn(&report(videos.into_iter().chain([done(5, "ok")]).collect()), Stands::Served);
    let place = |text: &str| page.find(text).unwrap_or_else(|| panic!("{text} is not in {page}"));
    assert!(place("too wide") < place("no memory"), "the most frequent cause first");
    assert!(page.contains("2 videos: <a href=\"#video-2\">2</a>, <a href=\"#video-4\">4</a>"));
    assert!(place("Looks <b>bad</b>") < place("Looks <b>suspect</b>"));
    assert!(!page.contains("Looks <b>ok</b>"));
    assert!(page.contains("3 of 6 videos finished, 3 failed"));
}

#[test]
fn what_was_forecast_is_held_against_what_came() {
    let mut report = report(Vec::new());
    assert!(!drawn(&report, Stands::Served).contains("it was forecast"), "nothing was");
    report.forecast = Some(Forecast { at: Some("2026-11-28T21:05:05.250Z".into()), seconds: 600.0 });
    let page = drawn(&report, Stands::Served);
    assert!(page.contains("it was forecast to take another <b>10m 00s</b>.") && !page.contains("it took"), "{page}");
    report.job.ended = Some("2026-11-28T21:18:25.250Z".into());
    assert!(drawn(&report, Stands::Served).contains("it took <b>13m 20s</b>, 3m 20s longer."));
}

#[test]
fn a_page_says_first_whose_it_is() {
    let page = drawn(&report(Vec::new()), Stands::Served);
    let first = "<!-- wanfarm: the report of job 7, submitted 2026-11-28T21:04:05.250Z -->\n<!DOCTYPE html>";
    assert!(page.starts_with(first), "{}", &page[..200]);
}
