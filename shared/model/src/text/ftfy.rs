//! Repairs text line by line: mojibake, HTML escapes, ligatures, widths, quotes, line breaks, control characters.
//!
//! Not here: options; the steps are those that ftfy takes by default. Lone surrogates, which ftfy replaces, cannot occur
//! in a Rust string; and lines beyond a million characters, which it cuts, are refused before this.
//! Source: ftfy 6.3.1 (Apache-2.0) `fix_text`, `fixes.py`, `chardata.py`; the rules are its, the code is not.

use std::borrow::Cow;
use std::iter;
use std::sync::LazyLock;

use regex::Regex;
use unicode_normalization::UnicodeNormalization;

use super::mojibake::{fix_c1_controls, fix_encoding};
use super::{html, pattern};

/// Times that one line is gone over. Real text settles after two or three; the bound is for text escaped thousands of
/// times over.
const MAX_ROUNDS: usize = 64;

/// Colours and the like on a terminal.
static TERMINAL_ESCAPE: LazyLock<Regex> = LazyLock::new(|| pattern(r"\x1b\[[\d;]*[a-zA-Z]"));

/// Repairs `text`.
pub(super) fn fix_text(text: &str) -> String {
    // From the first tag on, the text is HTML, and its escapes are meant.
    let mut unescape = true;
    text.split_inclusive('\n')
        .map(|line| {
            unescape &= !line.contains('<');
            fix_line(line, unescape)
        })
        .collect()
}

/// Repeats all steps until none finds anything: one repair may reveal the next.
fn fix_line(line: &str, unescape: bool) -> String {
    let mut fixed = line.to_owned();
    for _ in 0..MAX_ROUNDS {
        let text = if unescape { html::unescape_clear(&fixed) } else { Cow::Borrowed(fixed.as_str()) };
        let text = fix_c1_controls(&fix_encoding(&text));
        let text = fix_line_breaks(&plain_characters(&text));
        let text = TERMINAL_ESCAPE.replace_all(&text, "");
        let text: String = text.chars().filter(|&char| !is_control(char)).nfc().collect();
        if text == fixed {
            break;
        }
        fixed = text;
    }
    fixed
}

/// Latin ligatures as letters, characters in their usual width, quotes straight.
fn plain_characters(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    for char in text.chars() {
        match (ligature(char), char) {
            (Some(letters), _) => plain.push_str(letters),
            (None, '\u{3000}') => plain.push(' '),
            (None, '\u{ff01}'..='\u{ffef}') => plain.extend(iter::once(char).nfkc()),
            (None, '\u{2bc}' | '\u{2018}'..='\u{201b}') => plain.push('\''),
            (None, '\u{201c}'..='\u{201f}') => plain.push('"'),
            (None, _) => plain.push(char),
        }
    }
    plain
}

/// The letters of a ligature or of a digraph that old character sets had as one character.
fn ligature(char: char) -> Option<&'static str> {
    Some(match char {
        'Ĳ' => "IJ",
        'ĳ' => "ij",
        'ŉ' => "'n",
        'Ǳ' => "DZ",
        'ǲ' => "Dz",
        'ǳ' => "dz",
        'Ǆ' => "DŽ",
        'ǅ' => "Dž",
        'ǆ' => "dž",
        'Ǉ' => "LJ",
        'ǈ' => "Lj",
        'ǉ' => "lj",
        'Ǌ' => "NJ",
        'ǋ' => "Nj",
        'ǌ' => "nj",
        'ﬀ' => "ff",
        'ﬁ' => "fi",
        'ﬂ' => "fl",
        'ﬃ' => "ffi",
        'ﬄ' => "ffl",
        'ﬅ' => "ſt",
        'ﬆ' => "st",
        _ => return None,
    })
}

/// Every kind of line break as a line feed.
fn fix_line_breaks(text: &str) -> String {
    text.replace("\r\n", "\n").replace(['\r', '\u{2028}', '\u{2029}', '\u{85}'], "\n")
}

/// Control characters that show nothing, and the byte order mark. White space, joiners and direction marks stay.
fn is_control(char: char) -> bool {
    matches!(
        char,
        '\0'..='\u{8}' | '\u{b}' | '\u{e}'..='\u{1f}' | '\u{7f}' | '\u{206a}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffc}'
    )
}

#[cfg(test)]
mod tests {
    use super::fix_text;

    #[test]
    fn characters_get_their_plain_form() {
        assert_eq!(fix_text("ＬＯＵＤ　ＮＯＩＳＥＳ！"), "LOUD NOISES!");
        assert_eq!(fix_text("ﾊﾝｶｸ ｶﾞ ￥ ￣"), "ハンカク ガ ¥ \u{20}\u{304}");
        assert_eq!(fix_text("ﬁne oﬃce ﬅ Ǆ ŉ Ĳ"), "fine office ſt DŽ 'n IJ");
        assert_eq!(fix_text("“curly” ‘quotes’ don’t „low”"), "\"curly\" 'quotes' don't \"low\"");
        assert_eq!(fix_text("… — – ① ™ ℃ stay"), "… — – ① ™ ℃ stay");
    }

    #[test]
    fn nothing_invisible_stays() {
        assert_eq!(fix_text("\u{feff}a\0\u{7}b\u{1b}[31;1mred\u{1b}[0m\u{fffc}\u{206a}"), "abred");
        assert_eq!(fix_text("vertical\u{b}tab\u{c}form"), "verticaltab\u{c}form");
        assert_eq!(
            fix_text("soft\u{ad}hyphen \u{202e}rtl\u{202c} a\u{200d}b"),
            "soft\u{ad}hyphen \u{202e}rtl\u{202c} a\u{200d}b"
        );
    }

    #[test]
    fn line_breaks_become_line_feeds() {
        assert_eq!(fix_text("a\r\nb\rc\u{2028}d\u{2029}e"), "a\nb\nc\nd\ne");
        // In text, NEXT LINE is an ellipsis of Windows.
        assert_eq!(fix_text("nel\u{85}here"), "nel…here");
    }

    #[test]
    fn composes_characters() {
        assert_eq!(fix_text("cafe\u{301} \u{212b} e\u{301}\u{323}"), "café \u{c5} \u{1eb9}\u{301}");
    }

    #[test]
    fn escapes_are_meant_from_the_first_tag_on() {
        assert_eq!(fix_text("&lt;b&gt; &amp;amp;\n<i> &amp;\n&amp;"), "<b> &\n<i> &amp;\n&amp;");
        assert_eq!(fix_text("＆ｌｔ；"), "<");
    }

    #[test]
    fn repairs_reveal_each_other() {
        assert_eq!(fix_text("&acirc;&#8364;&#x153;quoted&acirc;\u{20ac}\u{9d}"), "\"quoted\"");
    }

    #[test]
    fn text_escaped_thousands_of_times_ends() {
        let text = format!("&{}", "amp;".repeat(10_000));
        assert!(fix_text(&text).len() < text.len());
    }
}
