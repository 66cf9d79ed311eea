//! The prompt as the models saw prompts in training: repaired, unescaped, in one line.
//!
//! Not here: what each step does (`ftfy`, `html`), and any wish for better prompts: nothing is added or reworded.

use super::{ftfy, html, is_space};

/// Cleans a prompt: repairs garbled text, undoes HTML escapes twice over, and turns each run of white space into one
/// space, with none at either end.
///
/// Source: `Wan2.2@42bf4cf wan/modules/tokenizers.py` `basic_clean`, `whitespace_clean`; diffusers 0.42 `prompt_clean`.
pub fn clean_prompt(prompt: &str) -> String {
    let repaired = ftfy::fix_text(prompt);
    let once = html::unescape(&repaired);
    let twice = html::unescape(&once);
    twice.split(is_space).filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::clean_prompt;

    #[test]
    fn one_line_without_outer_spaces() {
        assert_eq!(clean_prompt(" a\t b\u{a0}\u{3000}c\r\nd\u{2028} "), "a b c d");
        assert_eq!(clean_prompt("\n\t "), "");
        assert_eq!(clean_prompt("zero\u{200b}width"), "zero\u{200b}width");
    }

    #[test]
    fn unescapes_twice_after_the_repair() {
        assert_eq!(clean_prompt("&amp;amp;amp;"), "&");
        // A tag stops the repair from unescaping, and two rounds undo two layers.
        assert_eq!(clean_prompt("<b>&amp;amp;lt;</b>"), "<b>&lt;</b>");
        assert_eq!(clean_prompt("&copy2024 &notit;"), "©2024 ¬it;");
        assert_eq!(clean_prompt("&#38;#38;lt"), "<");
    }

    #[test]
    fn the_whole_chain() {
        let prompt = "  \u{ff21} cat &amp;amp; a “dog”\u{3000}walk —  on the grass，realistic\n style。 ";
        assert_eq!(clean_prompt(prompt), "A cat & a \"dog\" walk — on the grass,realistic style。");
    }
}
