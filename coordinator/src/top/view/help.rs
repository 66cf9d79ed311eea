//! What keys do.

use ratatui::text::Line;

/// A line for each key.
pub(super) fn lines() -> Vec<Line<'static>> {
    let keys = [
        ("Tab, Shift-Tab", "next list, list before"),
        ("↑ ↓, k j", "select"),
        ("PgUp PgDn, g G", "ten lines on, first and last"),
        ("p", "pause the selected job; what runs stops after its step"),
        ("r", "resume it"),
        ("+ -", "let it go before others, or behind them"),
        ("c", "cancel what has not finished of it, when asked"),
        ("?", "this"),
        ("q, Ctrl-C", "quit; the farm goes on"),
    ];
    let line = |(key, what): (&str, &str)| Line::raw(format!("  {key:<15}  {what}"));
    std::iter::once(Line::raw("")).chain(keys.into_iter().map(line)).collect()
}
