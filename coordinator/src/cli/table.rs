//! Tables for people: columns as wide as their widest cell, fitted to the terminal, the last column wrapped.

use terminal_size::{Width, terminal_size_of};
use wanfarm_manifest::one_line;

use crate::progress::columns;

/// Widest cell; a text beyond it is cut.
const MAX_CELL: usize = 60;
/// Longest text of the last column, which is wrapped.
const MAX_LAST: usize = 500;
/// No column is made narrower than this or its heading for the sake of the terminal.
const MIN_CELL: usize = 8;
/// What the last column gets at least; where there is less, it stands below its row.
const MIN_LAST: usize = 24;
const GAP: &str = "  ";

/// A table on standard output: as wide as the terminal, or as it likes where there is none.
pub(super) fn table<const N: usize>(head: [&str; N], rows: impl IntoIterator<Item = [String; N]>) -> String {
    let terminal = terminal_size_of(std::io::stdout()).map(|(Width(width), _)| width.into());
    fitted(head, rows, terminal)
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
    let lead = |widths: &[usize]| widths.iter().map(|width| width + GAP.len()).sum::<usize>();
    let last_width = widest(last).max(columns(head[last]));
    if let Some(terminal) = terminal {
        let floor = |column: usize| columns(head[column]).max(MIN_CELL);
        while lead(&widths) + last_width.min(MIN_LAST) > terminal {
            let widest =
                (0..last).filter(|&column| widths[column] > floor(column)).max_by_key(|&column| widths[column]);
            let Some(widest) = widest else { break };
            widths[widest] -= 1;
        }
    }
    let room = terminal.map_or(usize::MAX, |terminal| terminal.saturating_sub(lead(&widths)));
    let mut text = String::new();
    line(&mut text, &head, &widths, head[last]);
    for row in &rows {
        if columns(&row[last]) <= room {
            line(&mut text, row, &widths, &row[last]);
        } else if room >= MIN_LAST {
            let indent = " ".repeat(lead(&widths));
            for (number, part) in textwrap::wrap(&row[last], room).iter().enumerate() {
                match number {
                    0 => line(&mut text, row, &widths, part),
                    _ => text += &format!("{indent}{}\n", part.trim_end()),
                }
            }
        } else {
            line(&mut text, row, &widths, "");
            for part in
                textwrap::wrap(&row[last], terminal.unwrap_or(usize::MAX).saturating_sub(GAP.len()).max(MIN_LAST))
            {
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
        assert!(narrow.contains("unreac"), "{narrow}");
        let whole = fitted(["NAME", "STATE", "DETAIL"], rows(), Some(200));
        assert_eq!(whole.lines().count(), 2, "{whole}");
    }
}
