//! The screen as a picture: what is known and chosen in, lines out.

mod head;
mod help;
mod jobs;
mod look;
mod rendering;
mod workers;

use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::text::Line;

use super::screen::{Link, Pane, Screen};
use crate::clock::Clock;
use look::{Look, fitting};

/// Where there are fewer rows, one list alone is shown.
const LOW: u16 = 14;
/// Rows of a list that is not the one keys go to: its title, and two.
const LEAST: u16 = 3;

/// Draws the screen at a time of day, with or without colours.
pub(crate) fn draw(frame: &mut Frame<'_>, screen: &Screen, clock: &Clock, colour: bool) {
    let look = Look { colour, stale: screen.link != Link::Up };
    let area = frame.area();
    let mut rows = Rows { area, next: area.y };
    for line in head::lines(screen, clock, look, area.width, area.height) {
        rows.put(frame, line);
    }
    let last = area.bottom().saturating_sub(1);
    let body = Rect { y: rows.next.min(last), height: last.saturating_sub(rows.next), ..area };
    if screen.help {
        help::lines().into_iter().zip(body.rows()).for_each(|(line, row)| frame.render_widget(line, row));
    } else {
        lists(frame, body, screen, clock, look);
    }
    if area.height > 1 {
        frame.render_widget(foot(screen, look, area.width), Rect { y: last, height: 1, ..area });
    }
}

/// Lines from the top.
struct Rows {
    area: Rect,
    next: u16,
}

impl Rows {
    fn put(&mut self, frame: &mut Frame<'_>, line: Line<'_>) {
        if self.next < self.area.bottom() {
            frame.render_widget(line, Rect { y: self.next, height: 1, ..self.area });
            self.next += 1;
        }
    }
}

fn lists(frame: &mut Frame<'_>, area: Rect, screen: &Screen, clock: &Clock, look: Look) {
    let wants = Pane::ALL.map(|pane| u16::try_from(screen.rows(pane).len()).unwrap_or(u16::MAX).saturating_add(1));
    let heights = heights(area.height, wants, screen.pane);
    let mut rows = Rows { area, next: area.y };
    for (pane, height) in Pane::ALL.into_iter().zip(heights) {
        if height == 0 {
            continue;
        }
        let width = area.width;
        let (title, lines) = match pane {
            Pane::Rendering => rendering::list(screen, look, width),
            Pane::Jobs => jobs::list(screen, clock, look, width),
            Pane::Workers => workers::list(screen, look, width),
        };
        let focused = pane == screen.pane;
        rows.put(frame, look.title(&title, focused, width));
        let (room, chosen) = (usize::from(height) - 1, screen.chosen(pane));
        // The chosen line is always among those shown.
        let hidden = if focused { (chosen + 1).saturating_sub(room) } else { 0 };
        for (place, line) in lines.into_iter().enumerate().skip(hidden).take(room) {
            rows.put(frame, look.row(line, focused && place == chosen));
        }
    }
}

/// How many rows each list gets, its title included: those that keys do not go to at first few, the other one what it
/// wants, and what is left the others.
fn heights(all: u16, wants: [u16; 3], focused: Pane) -> [u16; 3] {
    let mut heights = [0; 3];
    let is_focused = |place: usize| Pane::ALL[place] == focused;
    let mut left = all;
    if all >= LOW - 4 {
        for place in (0..3).filter(|&place| !is_focused(place)) {
            heights[place] = wants[place].min(LEAST).min(left);
            left -= heights[place];
        }
    }
    let order = (0..3).filter(|&place| is_focused(place)).chain((0..3).filter(|&place| !is_focused(place)));
    for place in order {
        if heights[place] > 0 || is_focused(place) {
            let more = (wants[place] - heights[place].min(wants[place])).min(left);
            heights[place] += more;
            left -= more;
        }
    }
    heights
}

fn foot(screen: &Screen, look: Look, width: u16) -> Line<'static> {
    let width = usize::from(width);
    if let Some(question) = &screen.question {
        return look.loud(fitting(&question.words, width));
    }
    match &screen.said {
        Some(Ok(words)) => Line::styled(fitting(words, width), look.good()),
        Some(Err(words)) => Line::styled(fitting(words, width), look.bad()),
        None if screen.help => Line::styled(fitting("any key: back · q quit", width), look.faint()),
        None => {
            let keys = "Tab next list · ↑↓ select · p pause · r resume · c cancel · ? help · q quit";
            let short = "Tab · ↑↓ · p r c · ? help · q quit";
            let keys = if keys.chars().count() <= width { keys } else { short };
            Line::styled(fitting(keys, width), look.faint())
        }
    }
}

#[cfg(test)]
mod tests;
