//! Does a text look as if it had been read in the wrong encoding? Characters that such mistakes produce are sorted into
//! kinds, and some neighbours hardly ever occur otherwise: an accented small letter before a currency sign, say.
//!
//! Not here: putting it right (`mojibake`).
//! Source: the heuristic of ftfy 6.3.1 `badness.py`.

use std::sync::LazyLock;

use regex::Regex;

use super::pattern;

/// Kinds of characters, as the inside of a regular expression's brackets.
const KINDS: [(&str, &str); 15] = [
    ("common", "\u{a0}\u{ad}·´–—―…’"),
    ("c1", "\u{80}-\u{9f}"),
    ("bad", "¦¤¨¬¯¸ƒˆˇ˘˛˜†‡‰⌐◊\u{fffd}ªº"),
    ("law", "¶§"),
    ("currency", "¢£¥₧€"),
    ("start_punctuation", "¡«¿©΄΅‘‚“„•‹\u{f8ff}"),
    ("end_punctuation", "®»˝”›™"),
    ("numeric", "²³¹±¼½¾×µ÷⁄∂∆∏∑√∞∩∫≈≠≡≤≥№"),
    ("kaomoji", "Ò-ÖÙ-Üò-öø-üŐŌŪŲ°"),
    ("upper_accented", "À-ÑØÜÝĂĀĄĆČĎĐĘĚĒĖĞĢİĪĶĹĽŁĻŃŇŅŒŘŚŞŠŢŤŮŰŸŹŻŽҐ"),
    ("lower_accented", "ßà-ñăąāćčďđęěēėğģįīķĺľłļœŕśşšťüźżžґﬁﬂ"),
    ("upper_common", "ÞΑ-ΩΆΈΉΊΌΎΏΪΫЁ-Я"),
    ("lower_common", "α-ωάέήίΰа-џ"),
    ("space", "\\t-\\r\\x1c-\\x20\u{85}\u{a0}\u{1680}\u{2000}-\u{200a}\u{2028}\u{2029}\u{202f}\u{205f}\u{3000}"),
    ("box", "│┌┐┘├┤┬┼═-╬▀▄█▌▐░▒▓"),
];

/// Sequences that give a garbled text away. `{name}` is one of the kinds.
const SIGNS: [&str; 37] = [
    r"[{c1}]",
    r"[{bad}{lower_accented}{upper_accented}{box}{start_punctuation}{end_punctuation}{currency}{numeric}{law}][{bad}]",
    r"[a-zA-Z][{lower_common}{upper_common}][{bad}]",
    r"[{bad}][{lower_accented}{upper_accented}{box}{start_punctuation}{end_punctuation}{currency}{numeric}{law}]",
    r"[{lower_accented}{lower_common}{box}{end_punctuation}{currency}{numeric}][{upper_accented}]",
    r"[{box}{end_punctuation}{currency}{numeric}][{lower_accented}]",
    r"[{lower_accented}{box}{end_punctuation}][{currency}]",
    r"[{space}][{upper_accented}][{currency}]",
    r"[{upper_accented}{box}][{numeric}{law}]",
    r"[{lower_accented}{upper_accented}{box}{currency}{end_punctuation}][{start_punctuation}][{numeric}]",
    r"[{lower_accented}{upper_accented}{currency}{numeric}{box}{law}][{end_punctuation}][{start_punctuation}]",
    r"[{currency}{numeric}{box}][{start_punctuation}]",
    r"[a-z][{upper_accented}][{start_punctuation}{currency}]",
    r"[{box}][{kaomoji}]",
    r"[{lower_accented}{upper_accented}{currency}{numeric}{start_punctuation}{end_punctuation}{law}][{box}]",
    r"[{box}][{end_punctuation}]",
    r"[{lower_accented}{upper_accented}][{start_punctuation}{end_punctuation}][\p{L}\p{N}_]",
    // The ligature where no plain letter follows.
    r"[Œœ][^A-Za-z]",
    // A degree sign after a capital.
    r"[{upper_accented}]°",
    // Windows-1252: pairs that the kinds leave out.
    r"[ÂÃÎÐ][€œŠš¢£Ÿž\u{a0}\u{ad}®©°·»{start_punctuation}{end_punctuation}–—´]",
    r"×[²³]",
    // Windows-1252: Arabic. The characters are common ones, so two pairs in a row.
    r"[ØÙ][{common}{currency}{bad}{numeric}{start_punctuation}ŸŠ®°µ»][ØÙ][{common}{currency}{bad}{numeric}{start_punctuation}ŸŠ®°µ»]",
    // Windows-1252: scripts of South Asia.
    r"à[²µ¹¼½¾]",
    // Mac Roman: what the kinds leave out.
    r"√[±∂†≠®™´≤≥¥µø]",
    r"≈[°¢]",
    r"‚Ä[ìîïòôúùû†°¢π]",
    r"‚[âó][àä°ê]",
    // Windows-1251: punctuation, U+2000 and on.
    r"вЂ",
    // Windows-1251: Latin-1 and Cyrillic. Pairs may be honest text, so three.
    r"[ВГРС][{c1}{bad}{start_punctuation}{end_punctuation}{currency}°µ][ВГРС]",
    // Windows-1251 on top of Latin-1 on top of Windows-1252, with Latin text beside it.
    r"ГўВЂВ.[A-Za-z ]",
    // Windows-1252: à, á and the no-break space.
    r"Ã[\u{a0}¡]",
    r"[a-z][{space}]?[ÃÂ] ",
    r"^[ÃÂ] ",
    // Â before a character that it encodes as itself.
    r"[a-z.,?!{end_punctuation}]Â[ {start_punctuation}{end_punctuation}]",
    // Windows-1253: punctuation, U+2000 and on; then Latin-1 and Greek.
    r"β€[™\u{a0}Ά\u{ad}®°]",
    r"[ΒΓΞΟ][{c1}{bad}{start_punctuation}{end_punctuation}{currency}°][ΒΓΞΟ]",
    // Windows-1257: punctuation, U+2000 and on.
    r"ā€",
];

static SIGN: LazyLock<Regex> = LazyLock::new(|| {
    let signs = KINDS.iter().fold(SIGNS.join("|"), |signs, (name, chars)| signs.replace(&format!("{{{name}}}"), chars));
    pattern(&signs)
});

/// Whether some of the text looks misread.
pub(super) fn is_bad(text: &str) -> bool {
    SIGN.is_match(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_is_used_and_known() {
        let signs = SIGNS.join("|");
        for (name, _) in KINDS {
            assert!(signs.contains(&format!("{{{name}}}")), "{name} is not used");
        }
        // What remains in braces belongs to `\p{…}` and `\u{…}`.
        assert!(!pattern(r"[^pu]\{").is_match(SIGN.as_str()), "a kind is not known");
    }

    #[test]
    fn misread_text_is_bad() {
        for text in
            ["sch\u{c3}\u{b6}n", "\u{e2}\u{20ac}\u{2122}", "Ð¿Ñ€", "√±", "вЂ”", "voil\u{c3} le travail", "\u{85}"]
        {
            assert!(is_bad(text), "{text}");
        }
    }

    #[test]
    fn honest_text_is_not_bad() {
        for text in ["schön", "Ça va", "Привет мир", "5 × 3 = 15 €", "┌──┐", "naïve café", "Übermäßig", "(ò_ó)", "½ ²"]
        {
            assert!(!is_bad(text), "{text}");
        }
    }
}
