//! Texts and numbers as a terminal shows them.

use unicode_width::UnicodeWidthStr;
use wanfarm_types::LoadProgress;

/// How many columns of a terminal a text takes.
pub(crate) fn columns(text: &str) -> usize {
    text.width()
}

/// How far the loading of weights is: `loading 40 %, 2.1 GB/s`.
pub(crate) fn loading(progress: LoadProgress) -> String {
    let share = 100.0 * progress.read as f64 / progress.of.max(1) as f64;
    format!("loading {share:.0} %, {:.1} GB/s", progress.speed() / 1e9)
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
    fn a_load_says_how_far_it_is_and_how_fast() {
        let progress = |read, seconds| LoadProgress { read, of: 10_000_000_000, seconds };
        assert_eq!(loading(progress(4_000_000_000, 2.0)), "loading 40 %, 2.0 GB/s");
        assert_eq!(loading(progress(0, 0.0)), "loading 0 %, 0.0 GB/s");
    }

    #[test]
    fn one_thing_is_not_many() {
        assert_eq!(
            [counted(0u32, "video"), counted(1u32, "video"), counted(2u32, "video")],
            ["0 videos", "1 video", "2 videos"]
        );
    }
}
