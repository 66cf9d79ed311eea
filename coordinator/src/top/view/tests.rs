use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::style::Color;
use uuid::Uuid;
use wanfarm_types::{
    JobId, JobState, JobSummary, Pace, Role, RunningItem, Stage, VideoId, VideoStatus, WorkerId, WorkerStatus,
};

use super::super::night::{Left, Night};
use super::super::screen::{Key, News};
use super::*;
use crate::clock::{moment, tests::at};
use crate::progress::columns;

const NOW: &str = "2026-11-29T23:28:05Z";

fn now() -> DateTime<Utc> {
    moment(NOW).unwrap()
}

fn worker(number: u128, name: &str, role: Role, running: Option<(u32, Stage, u32)>) -> WorkerStatus {
    let item = |(index, stage, steps_done)| RunningItem {
        video: VideoId { job: JobId(17), index },
        stage: Some(stage),
        steps_done,
        steps: if stage == Stage::Decode { 0 } else { 20 },
    };
    WorkerStatus {
        id: WorkerId(Uuid::from_u128(number)),
        name: name.into(),
        state: if running.is_some() { "busy" } else { "idle" }.into(),
        roles: vec![role],
        models: vec!["wan2.2-t2v-a14b".into()],
        device: "metal".into(),
        running: running.map(item),
        paces: vec![Pace { model: String::new(), stage: Some(Stage::DenoiseHigh), tokens: 1, seconds: 21.5 }],
        ..WorkerStatus::default()
    }
}

/// A night with all there is to see.
fn night() -> Night {
    let video = |index, prompt: &str| {
        let line = VideoStatus { index, prompt: prompt.into(), seconds_per_step: Some(21.5), ..Default::default() };
        (VideoId { job: JobId(17), index }, Arc::new(line))
    };
    let job = |job, name: &str, state, done| JobSummary {
        job: JobId(job),
        name: name.into(),
        model: "wan2.2-t2v-a14b".into(),
        state,
        videos: 200,
        done,
        submitted: Some("2026-11-29T21:03:00Z".into()),
        ..JobSummary::default()
    };
    Night {
        jobs: vec![
            JobSummary { running: 3, failed: 2, ..job(17, "night", JobState::Active, 112) },
            JobSummary {
                waiting_for: Some("a dit worker with ti2v-5b".into()),
                ..job(18, "夜の映像", JobState::Active, 0)
            },
            job(19, "later", JobState::Paused, 40),
            JobSummary { ended: Some("2026-11-28T06:12:00Z".into()), ..job(16, "yesterday", JobState::Done, 200) },
        ],
        workers: vec![
            worker(2, "studio-10", Role::Vae, Some((3, Stage::Decode, 20))),
            worker(1, "studio-2", Role::DitHigh, Some((7, Stage::DenoiseHigh, 5))),
            worker(3, "studio-3", Role::DitLow, Some((4, Stage::DenoiseLow, 13))),
            WorkerStatus {
                state: "set aside".into(),
                detail: Some("failed 3 times in a row: out of memory".into()),
                ..worker(4, "studio-4", Role::DitHigh, None)
            },
        ],
        left: Some(Left {
            at: now(),
            time: Duration::from_secs(7 * 3600 + 12 * 60),
            bottleneck: Some(Stage::DenoiseHigh),
        }),
        videos: [video(7, "a red circle moving right on a black background"), video(4, "红色的圆向右移动黑色背景")]
            .into_iter()
            .collect(),
    }
}

fn screen(night: Night) -> Screen {
    let mut screen = Screen::new("http://studio-1:7700");
    screen.hear(now(), News::Night(Box::new(night)));
    screen
}

/// What a terminal of this size shows.
fn drawn(screen: &Screen, width: u16, height: u16) -> String {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    terminal.draw(|frame| draw(frame, screen, &at(NOW), false)).unwrap();
    let buffer = terminal.backend().buffer();
    let mut text = String::new();
    for y in 0..height {
        let (mut line, mut x) = (String::new(), 0);
        while x < width {
            let symbol = buffer[(x, y)].symbol();
            line += symbol;
            // What is covered by a wide character is no cell of its own.
            x += columns(symbol).max(1) as u16;
        }
        text += line.trim_end();
        text.push('\n');
    }
    text
}

#[test]
fn a_night_on_a_terminal_as_it_opens() {
    insta::assert_snapshot!("80x24", drawn(&screen(night()), 80, 24));
}

#[test]
fn a_night_on_a_large_terminal() {
    insta::assert_snapshot!("120x40", drawn(&screen(night()), 120, 40));
}

#[test]
fn a_night_on_a_narrow_and_on_a_low_terminal() {
    insta::assert_snapshot!("50x24", drawn(&screen(night()), 50, 24));
    let mut screen = screen(night());
    screen.press(Key::Next);
    insta::assert_snapshot!("80x9", drawn(&screen, 80, 9));
}

#[test]
fn what_was_known_stays_when_nobody_answers() {
    let mut screen = screen(night());
    screen.hear(now() - TimeDelta::seconds(75), News::Lost("connection refused".into()));
    let text = drawn(&screen, 80, 24);
    assert!(text.contains("no answer since 23:26, for 1m 15s; trying again: connection refused"), "{text}");
    assert!(text.contains("17 night"), "{text}");
    let never = drawn(&Screen::new("http://studio-1:7700"), 80, 24);
    assert!(never.contains("asking http://studio-1:7700"), "{never}");
}

#[test]
fn help_questions_and_answers_are_shown() {
    let mut screen = screen(night());
    screen.press(Key::Letter('?'));
    insta::assert_snapshot!("help", drawn(&screen, 80, 24));
    screen.press(Key::Escape);
    screen.press(Key::Letter('c'));
    let text = drawn(&screen, 80, 24);
    assert!(text.ends_with("Cancel 17 night, 86 videos not finished? y: yes, any other key: no\n"), "{text}");
    screen.press(Key::Escape);
    screen.hear(now(), News::Came(Ok("17: cancelled".into())));
    assert!(drawn(&screen, 80, 24).ends_with("17: cancelled\n"));
}

#[test]
fn no_size_is_too_small_and_no_text_too_long() {
    let mut long = night();
    for job in &mut long.jobs {
        job.name = "名前".repeat(99);
    }
    let mut screens = [screen(long), screen(Night::default()), Screen::new("http://studio-1:7700")];
    for screen in &mut screens {
        for key in [Key::Next, Key::Letter('?'), Key::Escape, Key::Letter('c')] {
            screen.press(key);
            for (width, height) in [(0, 0), (1, 1), (2, 2), (7, 3), (20, 5), (40, 14), (59, 15), (300, 100)] {
                drawn(screen, width, height);
            }
        }
    }
}

#[test]
fn the_chosen_line_is_always_in_sight() {
    let job =
        |job| JobSummary { job: JobId(job), name: format!("job-{job}"), state: JobState::Active, ..Default::default() };
    let mut screen = screen(Night { jobs: (0..100).map(job).collect(), ..night() });
    for place in 0..100 {
        let text = drawn(&screen, 80, 24);
        assert!(text.contains(&format!("▸ {place:>4} job-{place} ")), "{place}:\n{text}");
        screen.press(Key::Down);
    }
}

#[test]
fn colours_are_left_out_where_they_are_not_wanted() {
    for colour in [true, false] {
        let mut terminal = Terminal::new(TestBackend::new(80, 24)).unwrap();
        terminal.draw(|frame| draw(frame, &screen(night()), &at(NOW), colour)).unwrap();
        let coloured = terminal.backend().buffer().content().iter().any(|cell| cell.fg != Color::Reset);
        assert_eq!(coloured, colour);
    }
}

#[test]
fn lists_share_the_rows() {
    for (all, wants, focused, want) in [
        (20, [3, 4, 5], Pane::Jobs, [3, 4, 5]),
        (10, [30, 30, 30], Pane::Jobs, [3, 4, 3]),
        (10, [30, 30, 30], Pane::Workers, [3, 3, 4]),
        (16, [2, 9, 9], Pane::Jobs, [2, 9, 5]),
        (6, [9, 9, 9], Pane::Workers, [0, 0, 6]),
        (0, [9, 9, 9], Pane::Workers, [0, 0, 0]),
    ] {
        assert_eq!(heights(all, wants, focused), want, "{all} {wants:?}");
    }
}
