//! Undoes mojibake: UTF-8 text that was read as a single-byte encoding, once or several times over.
//!
//! Not here: other repairs of characters (`ftfy`), and mix-ups of two single-byte encodings, which cannot be told apart
//! safely.
//! Source: ftfy 6.3.1 `fix_encoding`, `fixes.py` `decode_inconsistent_utf8`, `chardata.py`.

use std::collections::HashMap;
use std::sync::LazyLock;

use super::badness::is_bad;
use super::charmap::{CHARMAPS, Charmap, c1_as_windows_1252, latin_like};
use super::utf8;

/// Layers of mojibake that are undone. Real text has two or three; the bound is for text made to have thousands.
const MAX_LAYERS: usize = 32;

/// Reads the text in the encoding it was meant to be in, as far as that is certain.
pub(super) fn fix_encoding(text: &str) -> String {
    let mut fixed = text.to_owned();
    for _ in 0..MAX_LAYERS {
        match undo_one_layer(&fixed) {
            Some(better) if better != fixed => fixed = better,
            _ => break,
        }
    }
    fixed
}

/// Undoes one layer; `None` if there is none.
fn undo_one_layer(text: &str) -> Option<String> {
    if text.is_ascii() || !is_bad(text) {
        return None;
    }
    CHARMAPS
        .iter()
        .find_map(|charmap| reread_as_utf8(text, charmap))
        .or_else(|| Some(decode_inconsistent_utf8(text)).filter(|fixed| fixed != text))
        .or_else(|| Some(fix_c1_controls(text)))
}

/// The text, if its bytes in this encoding are UTF-8 or nearly so.
fn reread_as_utf8(text: &str, charmap: &Charmap) -> Option<String> {
    let mut bytes = charmap.encode(text)?;
    if charmap.spaces_may_be_a0 {
        bytes = utf8::restore_byte_a0(&bytes);
    }
    if charmap.lossy {
        bytes = utf8::replace_lossy_sequences(&bytes).into_owned();
    }
    if bytes.contains(&0xed) || bytes.contains(&0xc0) {
        utf8::decode_variants(&bytes)
    } else {
        String::from_utf8(bytes).ok()
    }
}

/// C1 controls as the characters Windows has there: the controls are never meant.
pub(super) fn fix_c1_controls(text: &str) -> String {
    text.chars().map(c1_as_windows_1252).collect()
}

/// Repairs, each for itself, the stretches that look like misread UTF-8 inside other text.
fn decode_inconsistent_utf8(text: &str) -> String {
    let chars: Vec<char> = text.chars().collect();
    let mut fixed = String::with_capacity(text.len());
    let mut at = 0;
    while at < chars.len() {
        // In the middle of a longer garble a few repaired characters would only make it worse.
        let in_garble = at > 0 && roles(chars[at - 1]) & GARBLE != 0;
        let run = if in_garble { 0 } else { utf8_like_run(&chars[at..]) };
        let stretch: String = chars[at..at + run.max(1)].iter().collect();
        if run > 0 && run < chars.len() && is_bad(&stretch) {
            fixed.push_str(&fix_encoding(&stretch));
        } else {
            fixed.push_str(&stretch);
        }
        at += run.max(1);
    }
    fixed
}

/// How many characters from the start look like misread UTF-8 sequences.
fn utf8_like_run(chars: &[char]) -> usize {
    let sequence = |at: usize| {
        let lead = chars.get(at).map_or(0, |&char| roles(char));
        (2..=4).find(|&len| {
            lead & lead_of(len) != 0
                && chars
                    .get(at + 1..at + len)
                    .is_some_and(|tail| tail.iter().all(|&char| roles(char) & CONTINUATION != 0))
        })
    };
    let mut run = 0;
    while let Some(len) = sequence(run) {
        run += len;
    }
    run
}

/// The bit of a character that begins a sequence of `len`.
const fn lead_of(len: usize) -> u8 {
    1 << len
}

/// The bit of a character that continues a sequence.
const CONTINUATION: u8 = 1;
/// The bit of a character that, next to mojibake, is mojibake.
const GARBLE: u8 = 1 << 1;

/// The parts that a character can play in misread UTF-8, as bits.
fn roles(char: char) -> u8 {
    /// Continuation bytes too, but so common that one next to mojibake may stand for itself.
    const COMMON: &str = "–—―‘’‚“”„•…";
    static ROLES: LazyLock<HashMap<char, u8>> = LazyLock::new(|| {
        let mut roles = HashMap::from([(' ', CONTINUATION)]);
        for charmap in latin_like() {
            // 0xF1 and 0xF2 begin nothing that Unicode has assigned.
            let parts = [
                (0xc2, 0xdf, lead_of(2)),
                (0xe0, 0xef, lead_of(3)),
                (0xf0, 0xf0, lead_of(4)),
                (0xf3, 0xf3, lead_of(4)),
            ];
            for (first, last, role) in parts {
                charmap.chars(first, last).iter().for_each(|&char| *roles.entry(char).or_default() |= role);
            }
            for &char in charmap.chars(0x80, 0xbf) {
                let garble = if COMMON.contains(char) { 0 } else { GARBLE };
                *roles.entry(char).or_default() |= CONTINUATION | garble;
            }
        }
        roles
    });
    ROLES.get(&char).copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn undoes_each_encoding() {
        let cases = [
            ("schÃ¶n", "schön"),
            ("âœ” No problems", "✔ No problems"),
            ("РџСЂРёРІРµС‚", "Привет"),
            ("ÐŸÑ€Ð¸Ð²ÐµÑ‚ Ð¼Ð¸Ñ€", "Привет мир"),
            ("itβ€™s", "it’s"),
            ("na√Øve caf√©", "naïve café"),
            ("caf├⌐", "café"),
        ];
        for (garbled, meant) in cases {
            assert_eq!(fix_encoding(garbled), meant);
        }
    }

    #[test]
    fn undoes_several_layers() {
        assert_eq!(fix_encoding("The Mona Lisa doesnÃƒÂ¢Ã¢â€šÂ¬Ã¢â€žÂ¢t"), "The Mona Lisa doesn’t");
    }

    #[test]
    fn undoes_stretches_inside_other_text() {
        assert_eq!(fix_encoding("l’humanitÃ© 猫"), "l’humanité 猫");
    }

    #[test]
    fn restores_what_was_flattened_or_lost() {
        assert_eq!(fix_encoding("voilÃ le travail"), "voilà le travail");
        assert_eq!(fix_encoding("â€œ like this â€\u{fffd}"), "“ like this \u{fffd}");
    }

    #[test]
    fn leaves_honest_text_alone() {
        for text in ["schön", "Ça va", "猫 “ñ”", "5 × 3 €"] {
            assert_eq!(fix_encoding(text), text);
        }
    }

    #[test]
    fn c1_controls_are_windows_characters() {
        assert_eq!(fix_encoding("nel\u{85}here 猫"), "nel…here 猫");
    }
}
