//! Files that are not what their name says, told by how they begin: what a download leaves behind that went wrong.
//!
//! Not here: files that are of the right kind and damaged; their readers say so.

use std::path::Path;

use crate::error::FileError;

/// How every pointer of Git LFS begins.
///
/// Source: git-lfs `docs/spec.md`.
const LFS: &[u8] = b"version https://git-lfs.github.com/spec/";
/// How pages begin that a server sends in place of a file, in lower case.
const PAGES: [&[u8]; 3] = [b"<!doctype", b"<html", b"<?xml"];
/// How much of a text is shown, and how little of one tells it from the beginning of something else.
const SHOWN: usize = 40;
const SHORTEST: usize = 8;

/// The error that this is another thing than its name says, if its first bytes tell: nothing at all, a pointer of Git
/// LFS, or a web page. For weights, configurations, tokenizers and whatever else is downloaded.
pub fn mistaken(file: &Path, start: &[u8]) -> Option<FileError> {
    let text = start.strip_prefix(b"\xef\xbb\xbf").unwrap_or(start).trim_ascii_start();
    let is_page = |page: &&[u8]| text.get(..page.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(page));
    let why = if start.is_empty() {
        "it is empty; download it again"
    } else if start.starts_with(LFS) {
        "it is a pointer of Git LFS in place of the file; run git lfs pull where it was cloned, or download the file"
    } else if PAGES.iter().any(is_page) {
        "it is a web page in place of the file; download it again, signed in if the model asks for that"
    } else {
        return None;
    };
    Some(FileError::Mistaken { file: file.to_owned(), why: why.to_owned() })
}

/// Likewise for a file of weights, which no text is.
pub(crate) fn mistaken_weights(file: &Path, start: &[u8]) -> Option<FileError> {
    let shown = &start[..start.len().min(SHOWN)];
    let is_text = |byte: &u8| matches!(byte, b' '..=b'~' | b'\t' | b'\n' | b'\r');
    let text = || {
        let text = String::from_utf8_lossy(shown);
        let why = format!("it is a text that begins with {:?}; download it again", text.trim());
        Some(FileError::Mistaken { file: file.to_owned(), why })
    };
    mistaken(file, start).or_else(|| if shown.len() >= SHORTEST && shown.iter().all(is_text) { text() } else { None })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_download_left_is_named() {
        let said = |start: &[u8]| mistaken(Path::new("dir/a.json"), start).map(|error| error.to_string());
        for (start, word) in [
            (&b""[..], "empty"),
            (b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 1\n", "git lfs pull"),
            (b"<!DOCTYPE html><html>", "web page"),
            (b"\n <html lang=\"en\">", "web page"),
            (b"<?xml version=\"1.0\"?><Error><Code>AccessDenied</Code>", "web page"),
        ] {
            let said = said(start).unwrap();
            assert!(said.starts_with("dir/a.json: ") && said.contains(word), "{said}");
        }
        for start in [&b"{\"version\": \"1.0\"}"[..], b"version = 1", b"\x10\0\0\0\0\0\0\0{\"a\"", b"<", b"GGUF"] {
            assert_eq!(said(start), None);
        }
    }

    #[test]
    fn no_weights_are_a_text() {
        let said = |start: &[u8]| mistaken_weights(Path::new("a.gguf"), start).map(|error| error.to_string());
        assert!(said(b"Entry not found").unwrap().contains("a text that begins with \"Entry not found\""));
        assert!(said(b"{\"error\": \"Invalid username or password.\"}").unwrap().contains("Invalid user"));
        assert!(said(b"").unwrap().contains("empty"));
        assert_eq!(said(b"\x10\0\0\0\0\0\0\0{\"a\": {\"dtype\": \"F32\""), None);
        assert_eq!(said(b"GGUF\x03\0\0\0"), None);
        assert_eq!(said(b"GGUF"), None, "cut off");
    }
}
