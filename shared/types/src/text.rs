//! How much of a text the models read.

/// Tokens that a prompt may have, its end mark included: the length of the text that the DiT attends to.
pub const TEXT_LEN: usize = 512;

/// A note that the end of a text of so many tokens is not read, if so. `what`: `prompt`, `negative prompt`.
pub fn cut_off(what: &str, length: usize) -> Option<String> {
    let left = length.saturating_sub(TEXT_LEN);
    (left > 0).then(|| {
        format!("the {what} has {length} tokens, the model reads {TEXT_LEN}: the last {left} are left out; shorten it")
    })
}
