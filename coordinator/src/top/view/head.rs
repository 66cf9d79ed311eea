//! The head of the screen: when everything is finished, how far it is, who works on it, and what needs a person.

use std::time::Duration;

use ratatui::style::{Modifier, Style};
use ratatui::text::{Line, Span};
use wanfarm_client::span;

use super::super::alerts::alerts;
use super::super::night::{Counts, Finish, Night};
use super::super::screen::{Link, Screen};
use super::super::stages::{is_here, lanes, words};
use super::LOW;
use super::look::{Look, fitting};
use crate::clock::{Clock, moment};
use crate::progress::{columns, counted};

/// Each so many rows more show one more alert.
const ROWS_PER_ALERT: u16 = 5;

/// Its lines, for a terminal of this size.
pub(super) fn lines(screen: &Screen, clock: &Clock, look: Look, width: u16, height: u16) -> Vec<Line<'static>> {
    let (columns, roomy) = (usize::from(width), height >= LOW);
    let mut lines = Vec::new();
    if roomy {
        lines.push(top(screen, clock, look, columns));
    }
    if let Link::Lost { since, why } = &screen.link {
        let (at, gone) = (clock.time(*since), span(clock.since(*since)));
        lines.push(look.loud(fitting(&format!("no answer since {at}, for {gone}; trying again: {why}"), columns)));
    }
    let Some(night) = &screen.night else {
        lines.push(Line::raw(fitting(&format!("asking {}", screen.url), columns)));
        return lines;
    };
    lines.push(Line::styled(fitting(&finish(night, clock), columns), Style::new().add_modifier(Modifier::BOLD)));
    if !roomy {
        return lines;
    }
    // Of what is to come; of what is over when nothing is.
    if night.open().next().is_some() {
        lines.push(progress(Counts::of(night.open()), look, columns));
    }
    lines.extend(crew(night, look, columns));
    let alerts = alerts(night);
    let room = usize::from(1 + height.saturating_sub(LOW) / ROWS_PER_ALERT);
    let shown = if alerts.len() > room { room - 1 } else { alerts.len() };
    for alert in alerts.iter().take(shown) {
        let style = if alert.bad { look.bad() } else { look.warn() };
        lines.push(Line::styled(fitting(&format!("! {}", alert.text), columns), style));
    }
    if alerts.len() > shown {
        let more = counted((alerts.len() - shown) as u64, if shown > 0 { "more alert" } else { "alert" });
        lines.push(Line::styled(fitting(&format!("! {more}"), columns), look.warn()));
    }
    lines
}

/// Who is asked, and the time.
fn top(screen: &Screen, clock: &Clock, look: Look, width: usize) -> Line<'static> {
    let time = clock.seconds();
    let name = fitting(&format!("wanfarm  {}", screen.url), width.saturating_sub(columns(&time) + 1));
    let blank = width.saturating_sub(columns(&name) + columns(&time));
    Line::styled(format!("{name}{}{time}", " ".repeat(blank)), look.faint())
}

fn finish(night: &Night, clock: &Clock) -> String {
    match night.finish() {
        Finish::At(end) => {
            let left = match clock.until(end) {
                left if left < Duration::from_secs(5) => "any moment".to_owned(),
                left => format!("in {}", span(left)),
            };
            format!("Everything is finished at {} {}, {left}", clock.time(end), clock.day(end))
        }
        Finish::UnderWay(Some(waits)) => format!("Under way; waiting for {waits}"),
        Finish::UnderWay(None) => "Under way; how long it takes is known after the first steps".to_owned(),
        Finish::Paused(jobs) => format!("Paused; {} will go on when resumed", counted(jobs as u64, "job")),
        Finish::Nothing => "Nothing to render; queue a manifest with: coordinator submit MANIFEST".to_owned(),
        Finish::Over(last) => {
            let ended = last.ended.as_deref().and_then(moment);
            let ago = ended.map(|at| format!(" {} ago", span(clock.since(at)))).unwrap_or_default();
            format!("All done; {} ended{ago}, {} of {} finished", last.name, last.done, counted(last.videos, "video"))
        }
    }
}

fn progress(counts: Counts, look: Look, width: usize) -> Line<'static> {
    let mut spans = look.bar(counts, width / 3);
    let parts = [
        (counts.done, "done", look.good()),
        (counts.running, "running", look.work()),
        (counts.waiting(), "waiting", look.faint()),
        (counts.failed, "failed", look.bad()),
        (counts.cancelled, "cancelled", look.faint()),
    ];
    for (count, name, style) in parts.into_iter().filter(|(count, ..)| *count > 0) {
        spans.push(Span::styled(format!("  {count} {name}"), style));
    }
    Line::from(spans)
}

/// Who computes, what takes the longest, and who could do what.
fn crew(night: &Night, look: Look, width: usize) -> Vec<Line<'static>> {
    let here = night.workers.iter().filter(|worker| is_here(worker));
    let (mut all, mut busy) = (0u64, 0);
    for worker in here {
        all += 1;
        busy += usize::from(worker.running.is_some());
    }
    let mut text = format!("{busy} of {} computing", counted(all, "worker"));
    if let Some(stage) = night.left.and_then(|left| left.bottleneck) {
        text += &format!(" · {} takes the longest", words(Some(stage)));
    }
    let lane = |lane: super::super::stages::Lane| {
        let style = if lane.busy > 0 { look.work() } else { Style::new() };
        let text = format!("{} {} of {}", words(Some(lane.stage)), lane.busy, lane.able);
        [Span::styled(text, style), Span::raw(" · ")]
    };
    let mut spans: Vec<Span<'static>> = lanes(&night.workers).into_iter().flat_map(lane).collect();
    spans.pop();
    let mut lines = vec![Line::raw(fitting(&text, width))];
    if !spans.is_empty() {
        lines.push(Line::from(spans));
    }
    lines
}
