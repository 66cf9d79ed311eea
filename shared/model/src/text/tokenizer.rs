//! Cleaned text to the ids of the text encoder's vocabulary.
//!
//! Not here: the tokenisation itself (the `tokenizers` crate, driven by the model's `tokenizer.json`), and padding:
//! the encoder runs on the real tokens only.

use std::path::Path;

use super::clean_prompt;
use crate::ModelError;

/// Tokens that a prompt may have, its end mark included: the length of the text that the DiT attends to.
pub const TEXT_LEN: usize = 512;

/// Longest prompt that is looked at. What fits into [`TEXT_LEN`] tokens is some hundred times shorter.
pub const MAX_PROMPT_BYTES: usize = 1_000_000;

/// The end mark of every text, as T5 has it.
const END: &str = "</s>";

/// A vocabulary and the rules by which text is split into it.
#[derive(Debug)]
pub struct Tokenizer {
    rules: tokenizers::Tokenizer,
    end: u32,
}

impl Tokenizer {
    /// Reads a `tokenizer.json`.
    ///
    /// # Errors
    /// The file cannot be read, is no tokenizer, or has no `</s>`.
    pub fn load(path: impl AsRef<Path>) -> Result<Self, ModelError> {
        let path = path.as_ref();
        let bytes = std::fs::read(path).map_err(|source| ModelError::io(path, source))?;
        let mut rules = tokenizers::Tokenizer::from_bytes(bytes)
            .map_err(|fault| ModelError::corrupt(path, format!("not a tokenizer.json: {fault}")))?;
        // Length is ours to decide, whatever settings the file was saved with.
        let unset = rules.with_padding(None).with_truncation(None);
        unset.map_err(|fault| ModelError::corrupt(path, fault.to_string()))?;
        let end = rules.token_to_id(END);
        let end = end.ok_or_else(|| ModelError::corrupt(path, format!("{END}, the end mark of T5, is not in it")))?;
        Ok(Self { rules, end })
    }

    /// Cleans a prompt ([`clean_prompt`]) and tokenises it. At most [`TEXT_LEN`] ids, the last of which is the end mark.
    ///
    /// # Errors
    /// A prompt beyond [`MAX_PROMPT_BYTES`], or one that the rules of the file fail on.
    ///
    /// Source: `Wan2.2@42bf4cf wan/modules/tokenizers.py` `HuggingfaceTokenizer.__call__`.
    pub fn encode(&self, prompt: &str) -> Result<Vec<u32>, ModelError> {
        if prompt.len() > MAX_PROMPT_BYTES {
            let why = format!(
                "it has {} bytes, and {MAX_PROMPT_BYTES} are the limit; only its first {TEXT_LEN} tokens would count, so shorten it",
                prompt.len()
            );
            return Err(ModelError::input("prompt", why));
        }
        let encoding = self.rules.encode_fast(clean_prompt(prompt), false);
        let encoding = encoding.map_err(|fault| ModelError::input("prompt", format!("cannot tokenise it: {fault}")))?;
        let mut ids = encoding.get_ids().to_vec();
        ids.truncate(TEXT_LEN - 1);
        ids.push(self.end);
        Ok(ids)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Words `a` and `b`, spaces as T5 marks them, saved with settings that must not matter.
    const RULES: &str = r#"{
        "version": "1.0",
        "truncation": {"direction": "Left", "max_length": 3, "strategy": "LongestFirst", "stride": 0},
        "padding": {"strategy": {"Fixed": 9}, "direction": "Right", "pad_to_multiple_of": null, "pad_id": 0, "pad_type_id": 0, "pad_token": "<pad>"},
        "added_tokens": [{"id": 1, "content": "</s>", "single_word": false, "lstrip": false, "rstrip": false, "normalized": false, "special": true}],
        "normalizer": null,
        "pre_tokenizer": {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "always", "split": true},
        "post_processor": null,
        "decoder": null,
        "model": {"type": "Unigram", "unk_id": 2, "vocab": [["<pad>", 0.0], ["</s>", 0.0], ["<unk>", 0.0], ["▁a", -1.0], ["▁b", -2.0], ["▁", -3.0], ["\"", -4.0]]}
    }"#;

    fn load(rules: &str) -> Result<Tokenizer, ModelError> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), rules).unwrap();
        Tokenizer::load(file.path())
    }

    #[test]
    fn ends_with_the_end_mark_and_is_not_padded() {
        let tokenizer = load(RULES).unwrap();
        assert_eq!(tokenizer.encode("a  b\na a").unwrap(), [3, 4, 3, 3, 1]);
        assert_eq!(tokenizer.encode("").unwrap(), [1]);
        assert_eq!(tokenizer.encode("&quot;").unwrap(), tokenizer.encode("“").unwrap());
    }

    #[test]
    fn long_prompts_keep_their_start_and_the_end_mark() {
        let tokenizer = load(RULES).unwrap();
        for (words, len) in [(510, 511), (511, 512), (512, 512), (5000, 512)] {
            let ids = tokenizer.encode(&format!("b {}", "a ".repeat(words - 1))).unwrap();
            assert_eq!((ids.len(), ids[0], ids[len - 2], ids[len - 1]), (len, 4, 3, 1), "{words} words");
        }
    }

    #[test]
    fn absurdly_long_prompts_are_refused() {
        let tokenizer = load(RULES).unwrap();
        let fault = tokenizer.encode(&"a".repeat(MAX_PROMPT_BYTES + 1)).unwrap_err();
        assert!(fault.to_string().contains("1000001 bytes"), "{fault}");
    }

    #[test]
    fn a_file_without_end_mark_is_refused() {
        let fault = load(&RULES.replace("</s>", "</t>")).unwrap_err();
        assert!(fault.to_string().contains("</s>"), "{fault}");
        assert!(load("{}").is_err());
    }
}
