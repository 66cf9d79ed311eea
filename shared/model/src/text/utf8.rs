//! UTF-8 that something damaged on its way: lost bytes, flattened no-break spaces, surrogates encoded one by one.
//!
//! Not here: telling damaged UTF-8 from text that only looks like it (`badness`, `mojibake`).
//! Source: ftfy 6.3.1 `fixes.py` `restore_byte_a0`, `replace_lossy_sequences`; `bad_codecs/utf8_variants.py`.

use std::borrow::Cow;
use std::sync::LazyLock;

use regex::bytes::Regex;

/// Sequences that lack only a 0xA0, where a space stands instead. Lead bytes of rare scripts are left out.
static FLATTENED: LazyLock<Regex> = LazyLock::new(|| {
    bytes_pattern(&[
        r"[\xc2\xc3\xc5\xce\xd0\xd9] ",
        r"[\xe2\xe3] [\x80-\x84\x86-\x9f\xa1-\xbf]",
        r"[\xe0-\xe3][\x80-\x84\x86-\x9f\xa1-\xbf] ",
        r"\xf0 [\x80-\xbf][\x80-\xbf]",
        r"\xf0[\x80-\xbf] [\x80-\xbf]",
        r"\xf0[\x80-\xbf][\x80-\xbf] ",
    ])
});

/// Sequences some of whose bytes are lost: 0x1A, or once a question mark, stands instead.
static LOSSY: LazyLock<Regex> = LazyLock::new(|| {
    bytes_pattern(&[
        r"[\xc2-\xdf]\x1a",
        r"[\xc2-\xc3]\?",
        r"\xed[\xa0-\xaf][\x1a?]\xed[\xb0-\xbf][\x1a?\x80-\xbf]",
        r"\xed[\xa0-\xaf][\x1a?\x80-\xbf]\xed[\xb0-\xbf][\x1a?]",
        r"[\xe0-\xef][\x1a?][\x1a\x80-\xbf]",
        r"[\xe0-\xef][\x1a\x80-\xbf][\x1a?]",
        r"[\xf0-\xf4][\x1a?][\x1a\x80-\xbf][\x1a\x80-\xbf]",
        r"[\xf0-\xf4][\x1a\x80-\xbf][\x1a?][\x1a\x80-\xbf]",
        r"[\xf0-\xf4][\x1a\x80-\xbf][\x1a\x80-\xbf][\x1a?]",
        r"\x1a",
    ])
});

fn bytes_pattern(choices: &[&str]) -> Regex {
    Regex::new(&format!("(?-u:{})", choices.join("|"))).unwrap_or_else(|fault| unreachable!("{fault}"))
}

/// Puts 0xA0 back where a space broke a sequence.
pub(super) fn restore_byte_a0(bytes: &[u8]) -> Vec<u8> {
    let restored = restore_a_grave(bytes);
    FLATTENED
        .replace_all(&restored, |found: &regex::bytes::Captures<'_>| {
            found[0].iter().map(|&byte| if byte == b' ' { 0xa0 } else { byte }).collect::<Vec<_>>()
        })
        .into_owned()
}

/// "à" as a word of its own was flattened together with the space after it: both come back, except where Portuguese
/// writes on in the same word, as in "às" and "àquele".
fn restore_a_grave(bytes: &[u8]) -> Vec<u8> {
    const WRITTEN_ON: [&[u8]; 5] = [b" ", b"quele", b"quela", b"quilo", b"s "];
    let mut restored = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        restored.push(byte);
        if let (0xc3, Some(next)) = (byte, after.strip_prefix(b" "))
            && !WRITTEN_ON.iter().any(|end| next.starts_with(end))
        {
            restored.extend(b"\xa0 ");
            rest = next;
        }
    }
    restored
}

/// Makes each sequence with lost bytes an encoded U+FFFD.
pub(super) fn replace_lossy_sequences(bytes: &[u8]) -> Cow<'_, [u8]> {
    LOSSY.replace_all(bytes, "\u{fffd}".as_bytes())
}

/// Decodes UTF-8, with two liberties: a character beyond U+FFFF may be a pair of surrogates of three bytes each
/// (CESU-8), and U+0000 may be two bytes (Java).
pub(super) fn decode_variants(bytes: &[u8]) -> Option<String> {
    let mut plain = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    while let Some((&byte, after)) = rest.split_first() {
        rest = match rest {
            [0xc0, 0x80, after @ ..] => {
                plain.push(0);
                after
            }
            // Python's `$` also matches before a last line feed, which ftfy therefore takes for 0x80: here and below.
            [0xc0, b'\n'] => {
                plain.push(0);
                &[]
            }
            [0xed, a @ 0xa0..=0xaf, b @ 0x80..=0xbf, 0xed, c @ 0xb0..=0xbf, d, after @ ..]
                if matches!(d, 0x80..=0xbf) || (*d == b'\n' && after.is_empty()) =>
            {
                let bits = |byte: u8, mask: u8, shift: u32| u32::from(byte & mask) << shift;
                let code = 0x10000 + (bits(*a, 0x0f, 16) | bits(*b, 0x3f, 10) | bits(*c, 0x0f, 6) | bits(*d, 0x3f, 0));
                plain.extend(char::from_u32(code)?.encode_utf8(&mut [0; 4]).as_bytes());
                after
            }
            _ => {
                plain.push(byte);
                after
            }
        };
    }
    String::from_utf8(plain).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flattened_space_comes_back() {
        assert_eq!(restore_byte_a0(b"voil\xc3 le"), b"voil\xc3\xa0 le");
        assert_eq!(restore_byte_a0(b"\xc3 s 5, \xc3 quele \xc3  x"), b"\xc3\xa0s 5, \xc3\xa0quele \xc3\xa0 x");
        assert_eq!(restore_byte_a0(b"\xf0\x9f\x98 "), b"\xf0\x9f\x98\xa0");
        assert_eq!(restore_byte_a0(b"\xe5 \xa0"), b"\xe5 \xa0");
    }

    #[test]
    fn lost_bytes_become_one_replacement() {
        assert_eq!(
            replace_lossy_sequences(b"\xe2\x80\x1a x \xc3? \x1a").as_ref(),
            "\u{fffd} x \u{fffd} \u{fffd}".as_bytes()
        );
    }

    #[test]
    fn variants_of_utf8() {
        assert_eq!(decode_variants(b"\xed\xa0\xbd\xed\xb8\x80!").as_deref(), Some("\u{1f600}!"));
        assert_eq!(decode_variants(b"a\xc0\x80b").as_deref(), Some("a\0b"));
        assert_eq!(decode_variants(b"\xed\x95\x9c").as_deref(), Some("한"));
        assert_eq!(decode_variants(b"\xed\xa0\xbd!"), None);
        assert_eq!(decode_variants(b"\xc0\n").as_deref(), Some("\0"));
        assert_eq!(decode_variants(b"\xc0\nx"), None);
    }
}
