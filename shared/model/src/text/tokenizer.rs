//! Cleaned text to the ids of the text encoder's vocabulary.
//!
//! Not here: the tokenisation itself (the `tokenizers` crate, driven by the model's `tokenizer.json`), and padding:
//! the encoder runs on the real tokens only.

use std::fmt::Display;
use std::fs::File;
use std::io::Read;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use serde_json::{Map, Value};
use wanfarm_types::TEXT_LEN;
use wanfarm_weights::FileError;

use super::clean_prompt;
use crate::error::ModelError;

/// Longest prompt that is looked at. What fits into [`TEXT_LEN`] tokens is some hundred times shorter.
pub const MAX_PROMPT_BYTES: usize = 1_000_000;

/// The end mark of every text, as T5 has it.
const END: &str = "</s>";
/// Larger files are no tokenizer; that of umt5-xxl has 17 MB.
const MAX_FILE: u64 = 256 << 20;
/// What a `tokenizer.json` says that has no part in turning text into ids: how ids become text, what is put around a
/// text, and lengths, which are decided here.
const NOT_NEEDED: [&str; 4] = ["decoder", "post_processor", "padding", "truncation"];

/// A vocabulary and the rules by which text is split into it.
#[derive(Debug)]
pub struct Tokenizer {
    rules: tokenizers::Tokenizer,
    end: u32,
}

/// A text as the text encoder reads it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tokens {
    /// The first [`TEXT_LEN`] tokens at most, the last of which is the end mark.
    pub ids: Vec<u32>,
    /// Tokens of the whole text, its end mark included.
    pub length: usize,
}

impl Tokenizer {
    /// Reads a `tokenizer.json`.
    ///
    /// # Errors
    /// The file cannot be read, is no tokenizer, or has no `</s>`.
    pub fn load(path: impl AsRef<Path>) -> Result<Self, FileError> {
        let path = path.as_ref();
        let corrupt = |why: String| FileError::corrupt(path, format!("{why}; download it again"));
        let (file, mut bytes) = (File::open(path).map_err(|source| FileError::io(path, source))?, Vec::new());
        file.take(MAX_FILE + 1).read_to_end(&mut bytes).map_err(|source| FileError::io(path, source))?;
        if bytes.len() as u64 > MAX_FILE {
            return Err(corrupt(format!("no tokenizer.json is larger than {} MiB", MAX_FILE >> 20)));
        }
        let mut rules: Map<String, Value> =
            serde_json::from_slice(&bytes).map_err(|fault| corrupt(format!("not a tokenizer.json: {fault}")))?;
        drop(bytes);
        for part in NOT_NEEDED {
            rules.remove(part);
        }
        let rules: tokenizers::Tokenizer = sheltered(|| serde_json::from_value(Value::Object(rules)))
            .map_err(|fault| corrupt(format!("not a tokenizer.json: {fault}")))?;
        let end = rules.token_to_id(END);
        let end = end.ok_or_else(|| corrupt(format!("{END}, the end mark of T5, is not in it")))?;
        let tokenizer = Self { rules, end };
        // Rules that fail on everything fail here, and not at the first prompt.
        tokenizer.encode("a cat").map_err(|fault| corrupt(format!("it cannot split a text: {fault}")))?;
        Ok(tokenizer)
    }

    /// Cleans a prompt ([`clean_prompt`]) and tokenises it.
    ///
    /// # Errors
    /// A prompt beyond [`MAX_PROMPT_BYTES`], or one that the rules of the file fail on.
    ///
    /// Source: `Wan2.2@42bf4cf wan/modules/tokenizers.py` `HuggingfaceTokenizer.__call__`.
    pub fn encode(&self, prompt: &str) -> Result<Tokens, ModelError> {
        if prompt.len() > MAX_PROMPT_BYTES {
            let why = format!(
                "it has {} bytes, and {MAX_PROMPT_BYTES} are the limit; only its first {TEXT_LEN} tokens would count, so shorten it",
                prompt.len()
            );
            return Err(ModelError::input("prompt", why));
        }
        let encoding = sheltered(|| self.rules.encode_fast(clean_prompt(prompt), false));
        let encoding = encoding.map_err(|fault| ModelError::input("prompt", format!("cannot tokenise it: {fault}")))?;
        let mut ids = encoding.get_ids().to_vec();
        let length = ids.len() + 1;
        ids.truncate(TEXT_LEN - 1);
        ids.push(self.end);
        Ok(Tokens { ids, length })
    }
}

/// What the crate makes of a file from anywhere; it panics at some that are damaged.
fn sheltered<T, E: Display>(work: impl FnOnce() -> Result<T, E>) -> Result<T, String> {
    match catch_unwind(AssertUnwindSafe(work)) {
        Ok(done) => done.map_err(|fault| fault.to_string()),
        Err(_) => Err("its rules contradict themselves".to_owned()),
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

    fn load(rules: &str) -> Result<Tokenizer, FileError> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), rules).unwrap();
        Tokenizer::load(file.path())
    }

    #[test]
    fn ends_with_the_end_mark_and_is_not_padded() {
        let tokenizer = load(RULES).unwrap();
        assert_eq!(tokenizer.encode("a  b\na a").unwrap().ids, [3, 4, 3, 3, 1]);
        assert_eq!(tokenizer.encode("").unwrap().ids, [1]);
        assert_eq!(tokenizer.encode("&quot;").unwrap(), tokenizer.encode("“").unwrap());
    }

    #[test]
    fn long_prompts_keep_their_start_and_the_end_mark() {
        let tokenizer = load(RULES).unwrap();
        for (words, len) in [(510, 511), (511, 512), (512, 512), (5000, 512)] {
            let Tokens { ids, length } = tokenizer.encode(&format!("b {}", "a ".repeat(words - 1))).unwrap();
            assert_eq!((ids.len(), ids[0], ids[len - 2], ids[len - 1]), (len, 4, 3, 1), "{words} words");
            assert_eq!(length, words + 1, "what is cut is counted");
            assert_eq!(wanfarm_types::cut_off("prompt", length).is_some(), words > 511);
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
    }

    #[test]
    fn a_file_that_is_no_tokenizer_is_refused_by_name() {
        let pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 16837417\n";
        let half = &RULES[..RULES.len() / 2];
        let no_words = RULES.replace("\"vocab\": [[", "\"vocab\": [], \"was\": [[");
        let beyond = RULES.replace("\"unk_id\": 2", "\"unk_id\": 99");
        for damaged in ["", "{}", "[]", "<!DOCTYPE html><html></html>", pointer, half, &no_words, &beyond] {
            let file = tempfile::NamedTempFile::new().unwrap();
            std::fs::write(file.path(), damaged).unwrap();
            let fault = Tokenizer::load(file.path()).unwrap_err().to_string();
            assert!(fault.contains(&file.path().display().to_string()), "{fault}");
            assert!(fault.contains("download it again"), "{fault}");
        }
    }

    #[test]
    fn what_is_damaged_and_not_needed_does_no_harm() {
        let wanted = load(RULES).unwrap().encode("a b").unwrap();
        // The first of these makes the crate panic.
        for decoder in ["{", "{\"type\": \"Metaspace\"}", "7", "{\"type\": \"Nothing\"}"] {
            let rules = RULES.replace("\"decoder\": null", &format!("\"decoder\": {decoder}"));
            match load(&rules) {
                Ok(tokenizer) => assert_eq!(tokenizer.encode("a b").unwrap(), wanted),
                Err(fault) => assert!(decoder == "{" && fault.to_string().contains("not a tokenizer.json"), "{fault}"),
            }
        }
        let processor = r#"{"type": "TemplateProcessing", "single": [{"Nothing": 1}]}"#;
        let rules = RULES.replace("\"post_processor\": null", &format!("\"post_processor\": {processor}"));
        assert_eq!(load(&rules).unwrap().encode("a b").unwrap(), wanted);
    }
}
