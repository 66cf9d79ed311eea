//! Texts and numbers as a terminal shows them.

use unicode_width::UnicodeWidthStr;

/// How many columns of a terminal a text takes.
pub(crate) fn columns(text: &str) -> usize {
    text.width()
}

/// A number of things: `1 video`, `2 videos`.
pub(crate) fn counted(count: impl Into<u64>, what: &str) -> String {
    match count.into() {
        1 => format!("1 {what}"),
        count => format!("{count} {what}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_thing_is_not_many() {
        assert_eq!(
            [counted(0u32, "video"), counted(1u32, "video"), counted(2u32, "video")],
            ["0 videos", "1 video", "2 videos"]
        );
    }
}
