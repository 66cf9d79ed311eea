//! The jobs: those that go on, then those that are over.

use ratatui::style::Style;
use ratatui::text::Line;
use wanfarm_types::JobSummary;

use super::super::night::Counts;
use super::super::screen::Screen;
use super::look::{Cells, Column, Look, widths};
use crate::clock::{Clock, moment};

/// Title and lines, for a terminal of this width.
pub(super) fn list(screen: &Screen, clock: &Clock, look: Look, width: u16) -> (String, Vec<Line<'static>>) {
    let Some(night) = &screen.night else { return ("Jobs".to_owned(), Vec::new()) };
    let jobs = night.jobs_in_order();
    let lines = jobs.iter().map(|job| line(job, clock, look, width)).collect();
    (format!("Jobs ({})", jobs.len()), lines)
}

fn line(job: &JobSummary, clock: &Clock, look: Look, width: u16) -> Line<'static> {
    let counts = Counts::of([job]);
    let (number, state) = (job.job.to_string(), job.state.name());
    let ended = format!("{}/{}", counts.ended(), counts.videos);
    let failed = if job.failed > 0 { format!("{} failed", job.failed) } else { String::new() };
    let at = |text: &Option<String>| text.as_deref().and_then(moment).map(|at| clock.short(at));
    let wide = width >= 100;
    let with = |word: &str, at: String| if wide { format!("{word} {at}") } else { at };
    let when = at(&job.ended).map(|at| with("ended", at));
    let when = when.or_else(|| at(&job.submitted).map(|at| with("since", at))).unwrap_or_default();
    let (plain, tone) = (Style::new(), look.state(state));
    let cells = Cells::default();
    let cells = if width < 60 {
        let [a, b, c, d] = widths(width, [Column::Of(4), Column::Rest, Column::Of(9), Column::Of(9)]);
        cells.right(&number, a, plain).text(&job.name, b, plain).text(state, c, tone).right(&ended, d, plain)
    } else {
        let ([bar, model, time], gap) = if wide { ([24, 16, 22], 1) } else { ([12, 0, 15], 0) };
        let list = [Column::Of(4), Column::Rest, Column::Of(9), Column::Of(bar), Column::Of(9), Column::Of(9)];
        // Beside them the time, and the model where there is room.
        let rest = u16::try_from(time + 1 + model + gap).unwrap_or_default();
        let [a, b, c, d, e, f] = widths(width.saturating_sub(rest), list);
        let cells = cells.right(&number, a, plain).text(&job.name, b, plain);
        let cells = if model > 0 { cells.text(&job.model, model, look.faint()) } else { cells };
        let cells = cells.text(state, c, tone).spans(look.bar(counts, d)).right(&ended, e, plain);
        cells.right(&failed, f, look.bad()).right(&when, time, look.faint())
    };
    cells.line()
}
