//! The single-byte encodings that text is most often read in by mistake, as tables.
//!
//! Not here: multi-byte encodings, and any guess at which encoding a text is in.
//! Source: Python's codecs of the same names, with the two liberties of ftfy 6.3.1 `bad_codecs/sloppy.py`.

use std::array;
use std::collections::HashMap;
use std::sync::LazyLock;

/// Stands in the tables below for the Latin-1 character of the same byte. ftfy reads the bytes that the Windows
/// encodings leave unassigned that way, so it does for both.
const SAME: char = '□';

const WINDOWS_1252: &str = "\
    €□‚ƒ„…†‡ˆ‰Š‹Œ□Ž□□‘’“”•–—˜™š›œ□žŸ";
const WINDOWS_1251: &str = "\
    ЂЃ‚ѓ„…†‡€‰Љ‹ЊЌЋЏђ‘’“”•–—□™љ›њќћџ\
    □ЎўЈ□Ґ□□Ё□Є□□□□Ї□□Ііґ□□□ё№є□јЅѕї\
    АБВГДЕЖЗИЙКЛМНОПРСТУФХЦЧШЩЪЫЬЭЮЯ\
    абвгдежзийклмнопрстуфхцчшщъыьэюя";
const WINDOWS_1250: &str = "\
    €□‚□„…†‡□‰Š‹ŚŤŽŹ□‘’“”•–—□™š›śťžź\
    □ˇ˘Ł□Ą□□□□Ş□□□□Ż□□˛ł□□□□□ąş□Ľ˝ľż\
    Ŕ□□Ă□ĹĆ□Č□Ę□Ě□□ĎĐŃŇ□□Ő□□ŘŮ□Ű□□Ţ□\
    ŕ□□ă□ĺć□č□ę□ě□□ďđńň□□ő□□řů□ű□□ţ˙";
const WINDOWS_1253: &str = "\
    €□‚ƒ„…†‡□‰□‹□□□□□‘’“”•–—□™□›□□□□\
    □΅Ά□□□□□□□□□□□□―□□□□΄□□□ΈΉΊ□Ό□ΎΏ\
    ΐΑΒΓΔΕΖΗΘΙΚΛΜΝΞΟΠΡ□ΣΤΥΦΧΨΩΪΫάέήί\
    ΰαβγδεζηθικλμνξοπρςστυφχψωϊϋόύώ";
const WINDOWS_1254: &str = "\
    €□‚ƒ„…†‡ˆ‰Š‹Œ□□□□‘’“”•–—˜™š›œ□□Ÿ\
    □□□□□□□□□□□□□□□□□□□□□□□□□□□□□□□□\
    □□□□□□□□□□□□□□□□Ğ□□□□□□□□□□□□İŞ□\
    □□□□□□□□□□□□□□□□ğ□□□□□□□□□□□□ış";
const WINDOWS_1257: &str = "\
    €□‚□„…†‡□‰□‹□¨ˇ¸□‘’“”•–—□™□›□¯˛□\
    □□□□□□□□Ø□Ŗ□□□□Æ□□□□□□□□ø□ŗ□□□□æ\
    ĄĮĀĆ□□ĘĒČ□ŹĖĢĶĪĻŠŃŅ□Ō□□□ŲŁŚŪ□ŻŽ□\
    ąįāć□□ęēč□źėģķīļšńņ□ō□□□ųłśū□żž˙";
const ISO_8859_2: &str = "\
    □□□□□□□□□□□□□□□□□□□□□□□□□□□□□□□□\
    □Ą˘Ł□ĽŚ□□ŠŞŤŹ□ŽŻ□ą˛ł□ľśˇ□šşťź˝žż\
    Ŕ□□Ă□ĹĆ□Č□Ę□Ě□□ĎĐŃŇ□□Ő□□ŘŮ□Ű□□Ţ□\
    ŕ□□ă□ĺć□č□ę□ě□□ďđńň□□ő□□řů□ű□□ţ˙";
const MAC_ROMAN: &str = "\
    ÄÅÇÉÑÖÜáàâäãåçéèêëíìîïñóòôöõúùûü\
    †°□□§•¶ß®□™´¨≠ÆØ∞□≤≥¥□∂∑∏π∫ªºΩæø\
    ¿¡¬√ƒ≈∆«»…\u{a0}ÀÃÕŒœ–—“”‘’÷◊ÿŸ⁄€‹›ﬁﬂ\
    ‡·‚„‰ÂÊÁËÈÍÎÏÌÓÔ\u{f8ff}ÒÚÛÙıˆ˜¯˘˙˚¸˝˛ˇ";
const CP437: &str = "\
    ÇüéâäàåçêëèïîìÄÅÉæÆôöòûùÿÖÜ¢£¥₧ƒ\
    áíóúñÑªº¿⌐¬½¼¡«»░▒▓│┤╡╢╖╕╣║╗╝╜╛┐\
    └┴┬├─┼╞╟╚╔╩╦╠═╬╧╨╤╥╙╘╒╓╫╪┘┌█▄▌▐▀\
    αßΓπΣσµτΦΘΩδ∞φε∩≡±≥≤⌠⌡÷≈°∙·√ⁿ²■\u{a0}";

/// One encoding: ASCII, and a character for each byte from 0x80 on.
pub(super) struct Charmap {
    high: [char; 128],
    bytes: HashMap<char, u8>,
    /// Whether byte 0x1A stands for U+FFFD: so the "sloppy" Windows encodings remember that a byte was lost.
    pub(super) lossy: bool,
    /// Whether a space can be a no-break space that something flattened. Not in Mac Roman, where the byte before it
    /// may well be an en dash.
    pub(super) spaces_may_be_a0: bool,
}

impl Charmap {
    fn new(table: &str, lossy: bool) -> Self {
        let mut given = table.chars();
        let high = array::from_fn(|index| match given.next().unwrap_or(SAME) {
            SAME => latin_1(0x80 + index as u8),
            char => char,
        });
        let bytes = high.iter().zip(0x80..=u8::MAX).map(|(&char, byte)| (char, byte)).collect();
        Self { high, bytes, lossy, spaces_may_be_a0: true }
    }

    /// The bytes that this encoding would have read as `text`; `None` if it cannot have.
    pub(super) fn encode(&self, text: &str) -> Option<Vec<u8>> {
        text.chars()
            .map(|char| match char {
                '\u{1a}' if self.lossy => None,
                '\u{fffd}' if self.lossy => Some(0x1a),
                '\0'..='\u{7f}' => Some(char as u8),
                _ => self.bytes.get(&char).copied(),
            })
            .collect()
    }

    /// The characters of the bytes `first..=last`, both 0x80 or above.
    pub(super) fn chars(&self, first: u8, last: u8) -> &[char] {
        &self.high[usize::from(first - 0x80)..=usize::from(last - 0x80)]
    }
}

/// Latin-1 reads each byte as the code point of its value.
fn latin_1(byte: u8) -> char {
    char::from(byte)
}

/// The encodings, in the order in which they are tried.
pub(super) static CHARMAPS: LazyLock<[Charmap; 10]> = LazyLock::new(|| {
    [
        Charmap::new("", false),
        Charmap::new(WINDOWS_1252, true),
        Charmap::new(WINDOWS_1251, true),
        Charmap::new(WINDOWS_1250, true),
        Charmap::new(WINDOWS_1253, true),
        Charmap::new(WINDOWS_1254, true),
        Charmap::new(WINDOWS_1257, true),
        Charmap::new(ISO_8859_2, false),
        Charmap { spaces_may_be_a0: false, ..Charmap::new(MAC_ROMAN, false) },
        Charmap::new(CP437, false),
    ]
});

/// Those that put letters on the bytes with which UTF-8 sequences begin and continue.
pub(super) fn latin_like() -> &'static [Charmap] {
    &CHARMAPS[..7]
}

/// What Windows-1252 reads where Latin-1 has a C1 control; other characters stay.
pub(super) fn c1_as_windows_1252(char: char) -> char {
    match char {
        '\u{80}'..='\u{9f}' => CHARMAPS[1].high[char as usize - 0x80],
        _ => char,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_table_has_each_byte_once() {
        for (index, map) in CHARMAPS.iter().enumerate() {
            assert_eq!(map.bytes.len(), 128, "encoding {index}");
            assert!(!map.high.contains(&SAME), "encoding {index}");
        }
    }

    #[test]
    fn encodes_known_characters() {
        let bytes = |index: usize, text: &str| CHARMAPS[index].encode(text);
        assert_eq!(bytes(0, "é\u{85}"), Some(vec![0xe9, 0x85]));
        assert_eq!(bytes(0, "€"), None);
        assert_eq!(bytes(1, "€\u{81}ÿ"), Some(vec![0x80, 0x81, 0xff]));
        assert_eq!(bytes(2, "Привет"), Some(vec![0xcf, 0xf0, 0xe8, 0xe2, 0xe5, 0xf2]));
        assert_eq!(bytes(8, "√∂ˇ"), Some(vec![0xc3, 0xb6, 0xff]));
        assert_eq!(bytes(9, "├⌐"), Some(vec![0xc3, 0xa9]));
    }

    #[test]
    fn a_lost_byte_is_1a_only_where_the_encoding_is_sloppy() {
        assert_eq!(CHARMAPS[1].encode("\u{fffd}"), Some(vec![0x1a]));
        assert_eq!(CHARMAPS[1].encode("\u{1a}"), None);
        assert_eq!(CHARMAPS[9].encode("\u{fffd}"), None);
        assert_eq!(CHARMAPS[9].encode("\u{1a}"), Some(vec![0x1a]));
    }
}
