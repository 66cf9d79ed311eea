//! What contents have in common that a browser keeps: their type, and the tag by which it asks whether they have changed.

use axum::http::{HeaderMap, HeaderValue, header};

/// Kept by the browser of whoever asked, and asked for again each time.
pub(crate) const PRIVATE: HeaderValue = HeaderValue::from_static("private, no-cache");

/// Lets a content of this tag be kept, as what it is called, and be asked for again each time.
pub(crate) fn ask_again(fields: &mut HeaderMap, kept: HeaderValue, tag: &str) {
    fields.insert(header::CACHE_CONTROL, kept);
    fields.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    if let Ok(tag) = tag.parse() {
        fields.insert(header::ETAG, tag);
    }
}

/// True when a request says that it has the content of this tag.
pub(crate) fn is_known(headers: &HeaderMap, tag: &str) -> bool {
    let known = headers.get_all(header::IF_NONE_MATCH).iter().filter_map(|known| known.to_str().ok());
    known.flat_map(|known| known.split(',')).any(|known| {
        let known = known.trim();
        known == "*" || known.strip_prefix("W/").unwrap_or(known) == tag
    })
}

/// The content type by a file's ending.
pub(crate) fn content_type(name: &str) -> &'static str {
    match name.rsplit('.').next().unwrap_or_default() {
        "html" => "text/html; charset=utf-8",
        "css" => "text/css; charset=utf-8",
        "js" | "mjs" => "text/javascript; charset=utf-8",
        "json" | "map" => "application/json",
        "webmanifest" => "application/manifest+json",
        "svg" => "image/svg+xml",
        "png" => "image/png",
        "jpg" | "jpeg" => "image/jpeg",
        "webp" => "image/webp",
        "ico" => "image/x-icon",
        "gif" => "image/gif",
        "mp4" => "video/mp4",
        "woff2" => "font/woff2",
        "txt" => "text/plain; charset=utf-8",
        _ => "application/octet-stream",
    }
}

/// A file's name for a field in quotes.
pub(crate) fn plain(name: &str) -> String {
    name.chars()
        .map(|letter| if letter.is_ascii_graphic() && !"\"\\".contains(letter) { letter } else { '_' })
        .collect()
}
