//! The workers: what each does, and how fast.

use ratatui::style::Style;
use ratatui::text::Line;
use wanfarm_types::{Pace, Stage, WorkerStatus};

use super::super::screen::Screen;
use super::super::stages::words;
use super::look::{Cells, Column, Look, widths};

/// Title and lines, for a terminal of this width.
pub(super) fn list(screen: &Screen, look: Look, width: u16) -> (String, Vec<Line<'static>>) {
    let Some(night) = &screen.night else { return ("Workers".to_owned(), Vec::new()) };
    let workers = night.workers_in_order();
    let lines = workers.iter().map(|worker| line(worker, look, width)).collect();
    (format!("Workers ({})", workers.len()), lines)
}

fn line(worker: &WorkerStatus, look: Look, width: u16) -> Line<'static> {
    let (plain, state) = (Style::new(), worker.state.as_str());
    let runs = worker.running.as_ref().map(|item| match item.steps {
        0 => format!("{} {}", item.video, words(item.stage)),
        steps => format!("{} {} {}/{steps}", item.video, words(item.stage), item.steps_done),
    });
    let runs = runs.unwrap_or_default();
    let cells = Cells::default();
    if width < 60 {
        let [a, b, c] = widths(width, [Column::Of(14), Column::Of(9), Column::Rest]);
        let cells = cells.text(&worker.name, a, plain).text(state, b, look.state(state));
        return cells.text(&runs, c, plain).line();
    }
    let name = if width < 100 { 16 } else { 24 };
    let wide = [Column::Of(name), Column::Of(14), Column::Of(24), Column::Of(8), Column::Rest];
    let [a, b, c, d, e] = widths(width, wide);
    let pace = pace(worker).map(|pace| format!("{:.2} s", pace.seconds)).unwrap_or_default();
    let more = worker.detail.clone().unwrap_or_else(|| roles(worker));
    let cells = cells.text(&worker.name, a, plain).text(state, b, look.state(state)).text(&runs, c, plain);
    cells.right(&pace, d, plain).text(&more, e, look.faint()).line()
}

/// The measured speed that says most: of what it computes, else of denoising, else any.
fn pace(worker: &WorkerStatus) -> Option<&Pace> {
    let now = worker.running.as_ref().and_then(|item| item.stage);
    let denoises = |stage: Stage| stage.expert().is_some();
    worker.paces.iter().max_by_key(|pace| match pace.stage {
        Some(stage) if Some(stage) == now => 2,
        Some(stage) if denoises(stage) => 1,
        _ => 0,
    })
}

/// What it is given work of.
fn roles(worker: &WorkerStatus) -> String {
    let roles = worker.assigned.as_deref().unwrap_or(&worker.roles);
    roles.iter().map(|role| role.name()).collect::<Vec<_>>().join(",")
}
