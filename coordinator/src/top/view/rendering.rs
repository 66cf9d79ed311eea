//! What is being rendered now: a line for each worker that computes.

use ratatui::style::Style;
use ratatui::text::Line;
use wanfarm_client::span;
use wanfarm_types::WorkerStatus;

use super::super::night::Night;
use super::super::screen::Screen;
use super::super::stages::words;
use super::look::{Cells, Column, Look, widths};
use crate::progress::{loading, steps_left};

/// Title and lines, for a terminal of this width.
pub(super) fn list(screen: &Screen, look: Look, width: u16) -> (String, Vec<Line<'static>>) {
    let Some(night) = &screen.night else { return ("Rendering now".to_owned(), Vec::new()) };
    let workers = night.computing();
    let lines = workers.iter().map(|worker| line(night, worker, look, width)).collect();
    (format!("Rendering now ({})", workers.len()), lines)
}

fn line(night: &Night, worker: &WorkerStatus, look: Look, width: u16) -> Line<'static> {
    let Some(item) = &worker.running else { return Line::default() };
    let video = night.videos.get(&item.video);
    let prompt = video.map_or("", |video| video.prompt.as_str());
    let number = item.video.to_string();
    let steps = if item.steps > 0 { format!("{}/{}", item.steps_done, item.steps) } else { String::new() };
    let seconds = video.and_then(|video| video.seconds_per_step);
    let left = steps_left(item.steps_done, item.steps, seconds).filter(|left| !left.is_zero());
    let left = left.map(span).unwrap_or_default();
    // What it waits for comes before what it will do then.
    let load = worker.memory.as_ref().and_then(|memory| memory.loading.as_ref());
    let stage = load.map_or_else(|| words(item.stage).to_owned(), |load| loading(load.progress));
    let (plain, work) = (Style::new(), look.work());
    let cells = Cells::default();
    let cells = if width < 60 {
        let [a, b, c, d] = widths(width, [Column::Of(6), Column::Rest, Column::Of(6), Column::Of(7)]);
        let cells = cells.text(&number, a, plain);
        cells
            .text(if prompt.is_empty() { &stage } else { prompt }, b, plain)
            .right(&steps, c, work)
            .right(&left, d, plain)
    } else {
        let [bar, name] = if width < 100 { [10, 12] } else { [20, 20] };
        let wide = [Column::Of(6), Column::Rest, Column::Of(bar), Column::Of(6), Column::Of(11), Column::Of(name)];
        let [a, b, c, d, e, f] = widths(width.saturating_sub(8), wide);
        let cells = cells.text(&number, a, plain).text(prompt, b, plain);
        let cells = cells.spans(look.steps(item.steps_done, item.steps, c)).right(&steps, d, plain);
        cells.text(&stage, e, work).text(&worker.name, f, plain).right(&left, 7, plain)
    };
    cells.line()
}
