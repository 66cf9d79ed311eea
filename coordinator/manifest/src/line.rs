//! Texts from elsewhere, made fit for a line of a terminal or a log.

use std::borrow::Cow;

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// A text on one line, with blanks for control characters, at most `longest` columns of a terminal wide.
pub fn one_line(text: &str, longest: usize) -> Cow<'_, str> {
    let control = text.chars().any(char::is_control);
    let text: Cow<'_, str> = if control { text.replace(char::is_control, " ").into() } else { text.into() };
    if text.width() <= longest {
        return text;
    }
    let mut width = 0;
    let fits = |c: &char| {
        width += c.width().unwrap_or(0);
        width < longest
    };
    let mut cut: String = text.chars().take_while(fits).collect();
    if longest > 0 {
        cut.push('…');
    }
    cut.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_cut_by_the_columns_that_it_takes() {
        for (text, longest, want) in [
            ("short", 5, "short"),
            ("longer", 5, "long…"),
            ("a\nb", 5, "a b"),
            ("红色的圆", 8, "红色的圆"),
            ("红色的圆形", 8, "红色的…"),
            ("e\u{301}e\u{301}e\u{301}", 3, "e\u{301}e\u{301}e\u{301}"),
            ("word", 0, ""),
        ] {
            assert_eq!(one_line(text, longest), want, "{text}");
            assert!(one_line(text, longest).width() <= longest, "{text}");
        }
    }
}
