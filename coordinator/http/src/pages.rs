//! The pages: files that are part of the program, and load nothing from elsewhere.
//!
//! A path that is no file is a page of the program in the browser, which `index.html` draws. Builds for development read the files from
//! the source folder, so that a change shows with the next request.

use axum::body::Body;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use rust_embed::{Embed, EmbeddedFile};

use crate::content::{ask_again, content_type, is_known};

/// What a browser may load for a page: from this coordinator alone, and shown in no frame of another site.
const POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'self'; img-src 'self' blob:; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; object-src 'none'",
);
/// Kept by the browser, and asked for again each time, which costs a few bytes while it is the same.
const ASK_AGAIN: HeaderValue = HeaderValue::from_static("no-cache");
/// Drawn for every path that is no file.
const INDEX: &str = "index.html";

#[derive(Embed)]
#[folder = "pages"]
struct Files;

/// The file or page at a path, or nothing where a file would have to be and is not.
pub(crate) fn page(path: &str, headers: &HeaderMap) -> Option<Response> {
    let name = path.trim_start_matches('/');
    // Names of embedded files are plain, so nothing has to be decoded, and nothing leads out of their folder.
    let file = Some(name).filter(|name| is_plain(name)).and_then(|name| Some((name, Files::get(name)?)));
    let is_file = name.rsplit('/').next().is_some_and(|last| last.contains('.'));
    let (name, file) = match file {
        None if is_file => return None,
        None => (INDEX, Files::get(INDEX)?),
        Some(file) => file,
    };
    Some(respond(name, file, headers))
}

/// True for names of embedded files, as far as their letters go.
fn is_plain(name: &str) -> bool {
    let letter = |letter: char| letter.is_ascii_alphanumeric() || "-_.".contains(letter);
    name.split('/').all(|part| !part.is_empty() && !part.starts_with('.') && part.chars().all(letter))
}

fn respond(name: &str, file: EmbeddedFile, headers: &HeaderMap) -> Response {
    let tag = format!("\"{}\"", blake3::hash(&file.data).to_hex());
    let is_known = is_known(headers, &tag);
    let mut response = match is_known {
        true => StatusCode::NOT_MODIFIED.into_response(),
        false => Body::from(file.data.into_owned()).into_response(),
    };
    let fields = response.headers_mut();
    ask_again(fields, ASK_AGAIN, &tag);
    fields.insert(header::CONTENT_SECURITY_POLICY, POLICY);
    // Within, a form says where it comes from, which is asked for; outside, nothing is told.
    fields.insert(header::REFERRER_POLICY, HeaderValue::from_static("same-origin"));
    if !is_known {
        fields.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type(name)));
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    fn get(path: &str, headers: &[(header::HeaderName, &str)]) -> Option<(StatusCode, HeaderMap)> {
        let headers = headers.iter().map(|(name, value)| (name.clone(), HeaderValue::from_str(value).unwrap()));
        let response = page(path, &headers.collect())?;
        Some((response.status(), response.headers().clone()))
    }

    #[test]
    fn every_path_without_an_ending_is_a_page_and_a_missing_file_is_none() {
        for path in ["/", "/jobs/7", "/jobs/7/report", "/index.html", "/../jobs", "//jobs"] {
            let (status, headers) = get(path, &[]).unwrap();
            assert_eq!(status, StatusCode::OK, "{path}");
            assert_eq!(headers[header::CONTENT_TYPE], "text/html; charset=utf-8", "{path}");
            assert!(headers[header::CONTENT_SECURITY_POLICY].to_str().unwrap().starts_with("default-src 'self';"));
            assert_eq!(headers[header::X_CONTENT_TYPE_OPTIONS], "nosniff");
        }
        for path in [
            "/missing.js",
            "/../Cargo.toml",
            "/..%2fCargo.toml",
            "/%2e%2e/Cargo.toml",
            "/.hidden",
            "/a//b.css",
            "//index.html/x.js",
        ] {
            assert!(get(path, &[]).is_none(), "{path}");
        }
    }

    #[test]
    fn a_file_that_the_browser_has_is_not_sent_again() {
        let (_, headers) = get("/", &[]).unwrap();
        let tag = headers[header::ETAG].to_str().unwrap();
        for known in [tag.to_owned(), format!("W/{tag}"), format!("\"other\", {tag}"), "*".to_owned()] {
            let (status, headers) = get("/", &[(header::IF_NONE_MATCH, &known)]).unwrap();
            assert_eq!(status, StatusCode::NOT_MODIFIED, "{known}");
            assert_eq!(headers[header::ETAG], tag);
        }
        assert_eq!(get("/", &[(header::IF_NONE_MATCH, "\"other\"")]).unwrap().0, StatusCode::OK);
    }
}
