//! From a prompt as a person typed it to the ids that the text encoder reads.
//!
//! Not here: the text encoder (`umt5`), and which prompt stands in for an absent one.

mod badness;
mod charmap;
mod clean;
mod ftfy;
mod html;
mod mojibake;
mod tokenizer;
mod utf8;

pub use clean::clean_prompt;
pub use tokenizer::{MAX_PROMPT_BYTES, Tokenizer, Tokens};

/// Compiles a regular expression that is part of this program.
fn pattern(text: &str) -> regex::Regex {
    regex::Regex::new(text).unwrap_or_else(|fault| unreachable!("{fault}"))
}

/// Whether Python's `str.strip` and `\s` take `char` for a space: Unicode's white space and four separators of ASCII.
fn is_space(char: char) -> bool {
    char.is_whitespace() || matches!(char, '\u{1c}'..='\u{1f}')
}
