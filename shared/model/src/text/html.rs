//! HTML character references to characters: as a browser reads them, and more carefully where text may not be HTML.
//!
//! Not here: escaping, or any reading of tags.
//! Source: Python 3 `html.unescape`; ftfy 6.3.1 `fixes.py` `unescape_html`.

use std::borrow::Cow;
use std::str;
use std::sync::LazyLock;

use htmlize::ENTITIES;
use regex::{Captures, Regex};

use super::charmap::c1_as_windows_1252;
use super::pattern;

/// Anything that may be a reference, with or without its semicolon.
static REFERENCE: LazyLock<Regex> =
    LazyLock::new(|| pattern(r"&(?:#[0-9]+;?|#[xX][0-9a-fA-F]+;?|[^\t\n\x0C <&#;]{1,32};?)"));

/// Only what is unmistakably meant as one.
static CLEAR_REFERENCE: LazyLock<Regex> = LazyLock::new(|| pattern("&#?[0-9A-Za-z]{1,24};"));

/// Replaces every reference that HTML 5 knows, including those that lack a semicolon: `&copy2024` is `©2024`.
pub(super) fn unescape(text: &str) -> Cow<'_, str> {
    REFERENCE.replace_all(text, |found: &Captures<'_>| resolve(&found[0]))
}

/// Replaces references that end in a semicolon; also names that were put in capitals together with the text around
/// them, where that is unambiguous: `P&EACUTE;REZ` is `PÉREZ`.
pub(super) fn unescape_clear(text: &str) -> Cow<'_, str> {
    CLEAR_REFERENCE.replace_all(text, |found: &Captures<'_>| {
        let reference = &found[0];
        if reference.starts_with("&#") {
            // If the semicolon is left over, or is what the number stands for, it was not a reference.
            let char = unescape(reference);
            return if char.contains(';') { reference.to_owned() } else { char.into_owned() };
        }
        match entity(reference) {
            Some(chars) => chars.to_owned(),
            None => capitals(reference).unwrap_or_else(|| reference.to_owned()),
        }
    })
}

/// The upper case of an entity whose whole name is in upper case, unless that starts with a known name.
fn capitals(reference: &str) -> Option<String> {
    let lower = reference.to_ascii_lowercase();
    let is_upper = !reference.contains(|char: char| char.is_ascii_lowercase());
    let chars = entity(&lower).filter(|_| is_upper && resolve(reference) == reference)?;
    Some(chars.to_uppercase())
}

/// What a reference, from its ampersand on, stands for; itself if nothing.
fn resolve(reference: &str) -> String {
    match reference.strip_prefix("&#") {
        Some(number) => numeric(number.trim_end_matches(';')),
        None => named(reference),
    }
}

fn named(reference: &str) -> String {
    let known = |(end, _)| entity(&reference[..end]).map(|chars| format!("{chars}{}", &reference[end..]));
    // The longest known name wins; what follows it stays.
    let whole = entity(reference).map(str::to_owned);
    whole.or_else(|| reference.char_indices().rev().find_map(known)).unwrap_or_else(|| reference.to_owned())
}

/// Digits, or `x` and hexadecimal digits. What HTML forbids becomes nothing, or what browsers make of it.
fn numeric(number: &str) -> String {
    let value = match number.strip_prefix(['x', 'X']) {
        Some(digits) => u32::from_str_radix(digits, 16),
        None => number.parse(),
    };
    // Too large to parse is too large for Unicode.
    match value.ok().and_then(char::from_u32) {
        None | Some('\0') => '\u{fffd}'.to_string(),
        Some(char @ '\u{80}'..='\u{9f}') => c1_as_windows_1252(char).to_string(),
        Some(char) if is_forbidden(char) => String::new(),
        Some(char) => char.to_string(),
    }
}

/// Control characters that are not white space, and Unicode's non-characters.
fn is_forbidden(char: char) -> bool {
    matches!(char, '\u{1}'..='\u{8}' | '\u{b}' | '\u{e}'..='\u{1f}' | '\u{7f}' | '\u{fdd0}'..='\u{fdef}')
        || char as u32 & 0xfffe == 0xfffe
}

/// The characters of a named reference, from its ampersand on.
fn entity(reference: &str) -> Option<&'static str> {
    ENTITIES.get(reference.as_bytes()).and_then(|chars| str::from_utf8(chars).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_with_and_without_semicolon() {
        assert_eq!(unescape("&lt;&lt &copy2024 &notit; &notin; &unknown; &"), "<< ©2024 ¬it; ∉ &unknown; &");
        assert_eq!(unescape("&CounterClockwiseContourIntegral;&NotEqualTilde;"), "∳≂\u{338}");
        assert_eq!(unescape("&éamp &ampé"), "&éamp &é");
    }

    #[test]
    fn numbers_and_what_is_forbidden() {
        assert_eq!(unescape("&#65;&#x41&#X41;"), "AAA");
        assert_eq!(unescape("&#0;&#xd800;&#x110000;&#99999999999;"), "\u{fffd}\u{fffd}\u{fffd}\u{fffd}");
        assert_eq!(unescape("&#128;&#x85;&#x81;&#13;"), "€…\u{81}\r");
        assert_eq!(unescape("&#1;&#x1c;&#xfdd0;&#x1ffff;&#12;"), "\u{c}");
        assert_eq!(unescape("&#xg; &#;"), "&#xg; &#;");
    }

    #[test]
    fn clear_references_only() {
        assert_eq!(unescape_clear("&lt;b&gt; &copy2024 this&not that"), "<b> &copy2024 this&not that");
        assert_eq!(unescape_clear("&ntilde; &Ntilde; &NTILDE; &nTILDE;"), "ñ Ñ Ñ &nTILDE;");
        assert_eq!(unescape_clear("BUNDESSTRA&SZLIG;E &LTIMES;"), "BUNDESSTRASSE &LTIMES;");
        assert_eq!(unescape_clear("&#59; &#xzz; &#65;"), "&#59; &#xzz; A");
    }
}
