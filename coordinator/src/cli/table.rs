//! Tables for people. On a terminal they fit it: long cells are cut, the last column is wrapped, and where even that is
//! not enough each row is told by its headings.

use std::io::IsTerminal;

use terminal_size::{Width, terminal_size_of};
use wanfarm_manifest::one_line;

use crate::progress::columns;

/// Widest cell; a text beyond it is cut.
const MAX_CELL: usize = 60;
/// Longest text of the last column, which is wrapped.
const MAX_LAST: usize = 500;
/// No column is made narrower than this or its heading for the sake of the terminal.
const MIN_CELL: usize = 12;
/// More columns than this are not cut: a table of stumps tells nothing.
const MAX_CUT: usize = 2;
/// What the last column gets at least; where there is less, it stands below its row.
const MIN_LAST: usize = 24;
/// The width of a terminal that does not tell its own.
const USUAL_WIDTH: usize = 80;
const GAP: &str = "  ";

/// A table on standard output: as wide as the terminal, or as it likes where there is none.
pub(super) fn table<const N: usize>(head: [&str; N], rows: impl IntoIterator<Item = [String; N]>) -> String {
    let out = std::io::stdout();
    let told = terminal_size_of(&out).map(|(Width(width), _)| usize::from(width)).filter(|&width| width > 0);
    fitted(head, rows, told.or_else(|| out.is_terminal().then_some(USUAL_WIDTH)))
}

fn fitted<const N: usize>(
    head: [&str; N],
    rows: impl IntoIterator<Item = [String; N]>,
    terminal: Option<usize>,
) -> String {
    let last = N - 1;
    let clean = |row: [String; N]| {
        let mut column = 0;
        row.map(|cell| {
            column += 1;
            one_line(&cell, if column == N { MAX_LAST } else { MAX_CELL }).into_owned()
        })
    };
    let rows: Vec<[String; N]> = rows.into_iter().map(clean).collect();
    let widest = |column: usize| rows.iter().map(|row| columns(&row[column])).max().unwrap_or(0);
    let mut widths: Vec<usize> = (0..last).map(|column| widest(column).max(columns(head[column]))).collect();
    let last_width = widest(last).max(columns(head[last]));
    let Some(terminal) = terminal else { return lined_up(&head, &rows, &widths, usize::MAX) };
    let beside = last_width.min(MIN_LAST);
    let mut cut = widths.clone();
    if shrink(&mut cut, &head, terminal.saturating_sub(beside)) {
        return lined_up(&head, &rows, &cut, terminal);
    }
    // The last column below its row.
    if shrink(&mut widths, &head, terminal + GAP.len()) {
        return lined_up(&head, &rows, &widths, terminal);
    }
    rows.iter().map(|row| record(&head, row, terminal)).collect()
}

/// What stands before the last column.
fn lead(widths: &[usize]) -> usize {
    widths.iter().map(|width| width + GAP.len()).sum()
}

/// Cuts the widest columns until all but the last take no more than `most`; false if too little of them would be left.
fn shrink(widths: &mut [usize], head: &[&str], most: usize) -> bool {
    let whole = widths.to_vec();
    while lead(widths) > most {
        let shrinkable = |column: &usize| widths[*column] > columns(head[*column]).max(MIN_CELL);
        let widest = (0..widths.len()).filter(shrinkable).max_by_key(|&column| widths[column]);
        let Some(widest) = widest else { return false };
        widths[widest] -= 1;
    }
    widths.iter().zip(&whole).filter(|(width, whole)| width < whole).count() <= MAX_CUT
}

fn lined_up<const N: usize>(head: &[&str; N], rows: &[[String; N]], widths: &[usize], terminal: usize) -> String {
    let last = N - 1;
    let room = terminal.saturating_sub(lead(widths));
    let mut text = String::new();
    line(&mut text, head, widths, if columns(head[last]) <= room { head[last] } else { "" });
    for row in rows {
        if columns(&row[last]) <= room {
            line(&mut text, row, widths, &row[last]);
        } else if room >= MIN_LAST {
            let indent = " ".repeat(lead(widths));
            for (number, part) in textwrap::wrap(&row[last], room).iter().enumerate() {
                match number {
                    0 => line(&mut text, row, widths, part),
                    _ => text += &format!("{indent}{}\n", part.trim_end()),
                }
            }
        } else {
            line(&mut text, row, widths, "");
            for part in textwrap::wrap(&row[last], terminal.saturating_sub(GAP.len()).max(1)) {
                text += &format!("{GAP}{}\n", part.trim_end());
            }
        }
    }
    text
}

/// A row whose last column is given apart.
fn line(text: &mut String, row: &[impl AsRef<str>], widths: &[usize], last: &str) {
    let start = text.len();
    for (cell, &width) in row.iter().zip(widths) {
        let cell = one_line(cell.as_ref(), width);
        *text += &cell;
        *text += &" ".repeat(width - columns(&cell) + GAP.len());
    }
    *text += last;
    text.truncate(start + text[start..].trim_end().len());
    text.push('\n');
}

/// A row on lines of its own: its first cell, then what else there is, each with its heading.
fn record<const N: usize>(head: &[&str; N], row: &[String; N], terminal: usize) -> String {
    let mut text = format!("{}\n", one_line(&row[0], terminal));
    let (room, mut used) = (terminal.saturating_sub(GAP.len()).max(1), 0);
    for (head, cell) in head.iter().zip(row).skip(1).filter(|(_, cell)| !cell.is_empty()) {
        let cell = format!("{head} {cell}");
        let cell = cell.trim_start();
        for part in textwrap::wrap(cell, room) {
            let width = columns(&part);
            if used > 0 && used + width + GAP.len() <= room {
                text += GAP;
                used += width + GAP.len();
            } else {
                text += if used > 0 { "\n" } else { "" };
                text += GAP;
                used = width;
            }
            text += part.trim_end();
        }
    }
    text + if used > 0 { "\n" } else { "" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up_and_nothing_escapes() {
        let rows = [["1".into(), "naïve".into(), "x\u{1b}[2J".into()], ["10".into(), "b".repeat(99), String::new()]];
        let text = fitted(["JOB", "NAME", "WHY"], rows, None);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0], format!("JOB  NAME{}  WHY", " ".repeat(56)));
        assert_eq!(lines[1], format!("1    naïve{}  x [2J", " ".repeat(55)));
        assert!(lines[2].ends_with("b…") && lines.len() == 3, "{text}");
    }

    #[test]
    fn wide_letters_take_two_columns() {
        let rows = [["红色的圆".into(), "1".into()], ["cafe\u{301}".into(), "2".into()], ["plain".into(), "3".into()]];
        let text = fitted(["NAME", "N"], rows, None);
        assert_eq!(text, "NAME      N\n红色的圆  1\ncafe\u{301}      2\nplain     3\n");
    }

    #[test]
    fn a_table_fits_the_terminal_and_wraps_what_is_long() {
        let why = "nobody reaches it at http://10.0.0.7:53211: open the port, or start it with --advertise HOST:PORT";
        let rows = || [["studio-1.local/dit-high+dit-low".into(), "unreachable".into(), why.into()]];
        let text = fitted(["NAME", "STATE", "DETAIL"], rows(), Some(60));
        assert!(text.lines().all(|line| columns(line) <= 60), "{text}");
        let words: Vec<&str> = text.split_whitespace().skip(5).collect();
        assert_eq!(words.join(" "), why, "nothing of the last column is lost:\n{text}");
        let narrow = fitted(["NAME", "STATE", "DETAIL"], rows(), Some(30));
        assert!(narrow.contains("\n  nobody reaches it at"), "{narrow}");
        assert!(narrow.starts_with("NAME               STATE\nstudio-1.local/d…  unreachable\n"), "{narrow}");
        let whole = fitted(["NAME", "STATE", "DETAIL"], rows(), Some(200));
        assert_eq!(whole.lines().count(), 2, "{whole}");
    }

    #[test]
    fn what_cannot_stand_side_by_side_is_told_row_by_row() {
        let cell = |text: &str| text.to_owned();
        let head = ["NAME", "STATE", "ROLES", "HOLDS", "MODELS", "RUNS", "EMPTY", "PACE"];
        let rows = [[
            cell("studio-2"),
            cell("busy"),
            cell("dit-high,dit-low"),
            cell("dit-high 28.6 GB of 48.0 GB"),
            cell("wan2.2-t2v-a14b"),
            cell("17/7 denoise_high 5/20"),
            cell(""),
            cell("denoise_high 21.50 s, denoise_low 22.10 s, 红色的圆 1.00 s"),
        ]];
        assert_eq!(
            fitted(head, rows.clone(), Some(80)),
            "\
studio-2
  STATE busy  ROLES dit-high,dit-low  HOLDS dit-high 28.6 GB of 48.0 GB
  MODELS wan2.2-t2v-a14b  RUNS 17/7 denoise_high 5/20
  PACE denoise_high 21.50 s, denoise_low 22.10 s, 红色的圆 1.00 s
"
        );
        for terminal in 1..200 {
            let text = fitted(head, rows.clone(), Some(terminal));
            assert!(text.lines().all(|line| columns(line) <= terminal.max(GAP.len() + 2)), "{terminal}:\n{text}");
        }
    }
}
