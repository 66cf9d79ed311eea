//! How things look: colours where they are wanted, weight where they are not, texts cut to their columns, bars.

use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};
use wanfarm_manifest::one_line;

use super::super::night::Counts;
use crate::progress::columns;

/// Between columns.
const GAP: usize = 1;
/// Before each line of a list: where the mark of the chosen one stands.
const MARK: &str = "▸ ";

/// How this screen is drawn.
#[derive(Debug, Clone, Copy)]
pub(super) struct Look {
    pub(super) colour: bool,
    /// What is shown may no longer be so.
    pub(super) stale: bool,
}

impl Look {
    fn of(self, colour: Color, without: Modifier) -> Style {
        if self.colour { Style::new().fg(colour) } else { Style::new().add_modifier(without) }
    }

    pub(super) fn good(self) -> Style {
        self.of(Color::Green, Modifier::empty())
    }

    pub(super) fn work(self) -> Style {
        self.of(Color::Cyan, Modifier::empty())
    }

    pub(super) fn warn(self) -> Style {
        self.of(Color::Yellow, Modifier::BOLD)
    }

    pub(super) fn bad(self) -> Style {
        self.of(Color::Red, Modifier::BOLD)
    }

    pub(super) fn faint(self) -> Style {
        Style::new().add_modifier(Modifier::DIM)
    }

    /// What the state of a job or worker means for the eye.
    pub(super) fn state(self, state: &str) -> Style {
        match state {
            "active" | "busy" => self.work(),
            "done" => self.good(),
            "paused" | "draining" | "drained" => self.warn(),
            "failed" | "set aside" | "refused" | "lost" => self.bad(),
            "gone" | "left (drained)" | "cancelled" => self.faint(),
            _ => Style::new(),
        }
    }

    /// A line that must not be overlooked.
    pub(super) fn loud(self, text: String) -> Line<'static> {
        Line::styled(text, self.bad().add_modifier(Modifier::BOLD | Modifier::REVERSED))
    }

    /// The title of a list, ruled to the edge.
    pub(super) fn title(self, title: &str, focused: bool, width: u16) -> Line<'static> {
        let width = usize::from(width);
        let title = fitting(&format!("── {title} "), width);
        let rule = "─".repeat(width - columns(&title));
        let style = if focused { self.work().add_modifier(Modifier::BOLD) } else { self.faint() };
        Line::styled(title + &rule, style)
    }

    /// A line of a list, with its mark.
    pub(super) fn row(self, mut line: Line<'static>, chosen: bool) -> Line<'static> {
        let mark = if chosen { MARK.to_owned() } else { " ".repeat(columns(MARK)) };
        line.spans.insert(0, Span::raw(mark));
        let mut style = Style::new();
        if chosen {
            style = style.add_modifier(Modifier::BOLD);
        }
        if self.stale {
            style = style.add_modifier(Modifier::DIM);
        }
        line.patch_style(style)
    }

    /// How far videos are, in so many columns.
    pub(super) fn bar(self, counts: Counts, width: usize) -> Vec<Span<'static>> {
        let Counts { videos, done, running, failed, cancelled } = counts;
        let parts = [
            (done, "█", self.good()),
            (failed, "×", self.bad()),
            (cancelled, "-", self.faint()),
            (running, "▒", self.work()),
        ];
        // The ends of parts are rounded, so that together they are as long as they should be.
        let end = |count: u64| ((count * width as u64) / u64::from(videos.max(1))).min(width as u64) as usize;
        let (mut spans, mut before) = (Vec::new(), 0);
        for (count, sign, style) in parts {
            let after = before + u64::from(count);
            spans.push(Span::styled(sign.repeat(end(after) - end(before)), style));
            before = after;
        }
        spans.push(Span::styled("░".repeat(width - end(before)), self.faint()));
        spans
    }

    /// The steps of a video, in so many columns.
    pub(super) fn steps(self, done: u32, of: u32, width: usize) -> Vec<Span<'static>> {
        let counts = Counts { videos: of.max(1), done: done.min(of), ..Counts::default() };
        self.bar(counts, width)
    }
}

/// A column of a list.
#[derive(Debug, Clone, Copy)]
pub(super) enum Column {
    /// So many columns of the terminal.
    Of(usize),
    /// What the others leave.
    Rest,
}

/// How wide columns are on a terminal of this width.
pub(super) fn widths<const N: usize>(terminal: u16, list: [Column; N]) -> [usize; N] {
    let fixed = |column: &Column| match *column {
        Column::Of(width) => width,
        Column::Rest => 0,
    };
    let taken = list.iter().map(fixed).sum::<usize>() + GAP * (N - 1) + columns(MARK);
    list.map(|column| match column {
        Column::Of(width) => width,
        Column::Rest => usize::from(terminal).saturating_sub(taken),
    })
}

/// A text cut to so many columns of a terminal; nothing in it moves a cursor.
pub(super) fn fitting(text: &str, width: usize) -> String {
    one_line(text, width).into_owned()
}

/// The cells of a line, each as wide as its column.
#[derive(Debug, Default)]
pub(super) struct Cells(Vec<Span<'static>>);

impl Cells {
    /// A text, cut or filled up.
    pub(super) fn text(self, text: &str, width: usize, style: Style) -> Self {
        let text = fitting(text, width);
        let blank = width.saturating_sub(columns(&text));
        self.spans([Span::styled(text, style), Span::raw(" ".repeat(blank))])
    }

    /// The same on the right side of its column.
    pub(super) fn right(self, text: &str, width: usize, style: Style) -> Self {
        let text = fitting(text, width);
        let blank = width.saturating_sub(columns(&text));
        self.spans([Span::raw(" ".repeat(blank)), Span::styled(text, style)])
    }

    /// What already is as wide as its column.
    pub(super) fn spans(mut self, spans: impl IntoIterator<Item = Span<'static>>) -> Self {
        if !self.0.is_empty() {
            self.0.push(Span::raw(" ".repeat(GAP)));
        }
        self.0.extend(spans);
        self
    }

    pub(super) fn line(self) -> Line<'static> {
        Line::from(self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOOK: Look = Look { colour: false, stale: false };

    fn drawn(counts: Counts, width: usize) -> String {
        LOOK.bar(counts, width).iter().map(|span| span.content.as_ref()).collect()
    }

    #[test]
    fn a_bar_is_as_long_as_it_should_be() {
        let counts = Counts { videos: 3, done: 1, running: 1, failed: 1, cancelled: 0 };
        assert_eq!(drawn(counts, 10), "███×××▒▒▒▒");
        assert_eq!(drawn(Counts::default(), 4), "░░░░");
        let odd = Counts { videos: 1, done: u32::MAX, running: u32::MAX, ..counts };
        assert_eq!(columns(&drawn(odd, 10)), 10);
        for done in 0..=100 {
            let counts = Counts { videos: 100, done, running: 100 - done, ..Counts::default() };
            assert_eq!(columns(&drawn(counts, 7)), 7);
        }
        assert_eq!(drawn(Counts { videos: 5, done: 2, ..Counts::default() }, 0), "");
    }

    #[test]
    fn cells_are_as_wide_as_their_columns() {
        for text in ["", "plain", "红色的圆向右移动", "cafe\u{301}", "a\u{1b}[2Jb\n"] {
            for width in 0..9 {
                let line = Cells::default().text(text, width, Style::new()).right(text, width, Style::new()).line();
                assert_eq!(line.width(), 2 * width + GAP, "{text:?} in {width}");
            }
        }
        assert_eq!(widths(20, [Column::Of(4), Column::Rest, Column::Of(3)]), [4, 9, 3]);
        assert_eq!(widths(5, [Column::Of(4), Column::Rest, Column::Of(3)]), [4, 0, 3]);
    }
}
