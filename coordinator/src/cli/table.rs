//! Tables for people: columns as wide as their widest cell.

use crate::progress::tame;

/// Longest cell; a text beyond it is cut.
const WIDEST: usize = 60;

/// Lines of a table. The last column is as long as it is.
pub(super) fn table<const N: usize>(head: [&str; N], rows: impl IntoIterator<Item = [String; N]>) -> String {
    let cut = |row: [String; N]| {
        let mut column = 0;
        row.map(|cell| {
            column += 1;
            tame(&cell, if column == N { 500 } else { WIDEST }).into_owned()
        })
    };
    let rows: Vec<[String; N]> = std::iter::once(head.map(str::to_owned)).chain(rows.into_iter().map(cut)).collect();
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..N).map(width).collect();
    let mut text = String::new();
    for row in &rows {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}"));
        let line = cells.collect::<Vec<_>>().join("  ");
        text += line.trim_end();
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up_and_nothing_escapes() {
        let rows = [["1".into(), "naïve".into(), "x\u{1b}[2J".into()], ["10".into(), "b".repeat(99), String::new()]];
        let text = table(["JOB", "NAME", "WHY"], rows);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0], format!("JOB  NAME{}  WHY", " ".repeat(56)));
        assert_eq!(lines[1], format!("1    naïve{}  x [2J", " ".repeat(55)));
        assert!(lines[2].ends_with("b…") && lines.len() == 3, "{text}");
    }
}
