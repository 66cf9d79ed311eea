//! Prompts: cleaned, and split by the rules of the demo's tokenizer.
#![no_main]

use std::sync::OnceLock;

use libfuzzer_sys::fuzz_target;
use wanfarm_fuzz::seeds;
use wanfarm_model::text::{Tokenizer, clean_prompt};

fuzz_target!(init: begin(), |data: &[u8]| {
    let prompt = String::from_utf8_lossy(data);
    let clean = clean_prompt(&prompt);
    assert!(clean.len() <= 8 * prompt.len() + 8, "{} bytes of {}", clean.len(), prompt.len());
    assert_eq!(clean.trim(), clean, "no space is left around it");
    let Ok(tokens) = tokenizer().encode(&prompt) else { return };
    assert!((1..=512).contains(&tokens.ids.len()) && tokens.length >= tokens.ids.len());
});

fn tokenizer() -> &'static Tokenizer {
    static TOKENIZER: OnceLock<Tokenizer> = OnceLock::new();
    TOKENIZER.get_or_init(|| {
        let path = seeds::repository("deploy/demo/wan-tiny-t2v/tokenizer/tokenizer.json");
        Tokenizer::load(path).expect("the demo has a tokenizer")
    })
}

/// The tokenizer's library is sheltered from its own panics.
fn begin() {
    seeds::write(seeds);
    let _ = std::panic::take_hook();
}

fn seeds() -> Vec<Vec<u8>> {
    let texts = [
        "a red fox jumps over a fence",
        "&amp;lt;b&gt; caf\u{c3}\u{a9} \u{ff26}\u{ff4f}\u{ff58} \u{fb03}",
        "\u{1b}[31mred\u{0} \u{201c}quotes\u{201d} &#x1F600; &nGt; \u{e2}\u{20ac}\u{2122}",
        "e\u{301}\u{300}\u{327} \u{feff} \u{d7a3} \u{1f468}\u{200d}\u{1f469}",
        "  many   spaces\n\tand lines\r\n",
    ];
    texts.map(|text| text.as_bytes().to_vec()).to_vec()
}
