//! Where a person shows a token once, which the browser then shows with every request.

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use serde::Deserialize;
use wanfarm_server::farm::FarmService;

use crate::pages;

/// Most bytes of what is sent.
const MAX_FORM: usize = 4 << 10;
/// How long a browser keeps it; how long it opens anything is the farm's to say.
const A_YEAR: u32 = 365 * 24 * 3600;

#[derive(Deserialize)]
struct Shown {
    token: String,
    /// The page that was wanted.
    #[serde(default)]
    to: String,
}

pub(crate) fn routes() -> Router<FarmService> {
    Router::new().route("/enter", get(page).post(enter).layer(DefaultBodyLimit::max(MAX_FORM)))
}

async fn page(headers: HeaderMap) -> Response {
    pages::page("/enter.html", &headers).unwrap_or_else(|| StatusCode::NOT_FOUND.into_response())
}

/// Keeps the token where no script of a page reads it and no other site sends it.
async fn enter(axum::Form(Shown { token, to }): axum::Form<Shown>) -> Response {
    let token: String =
        token.trim().chars().filter(|letter| letter.is_ascii_alphanumeric() || *letter == '_').collect();
    let age = if token.is_empty() { 0 } else { A_YEAR };
    let cookie = format!("wanfarm={token}; HttpOnly; Secure; SameSite=Strict; Path=/; Max-Age={age}");
    let mut response = (StatusCode::SEE_OTHER, [(header::LOCATION, page_of(&to))]).into_response();
    if let Ok(cookie) = HeaderValue::from_str(&cookie) {
        response.headers_mut().insert(header::SET_COOKIE, cookie);
    }
    response
}

/// The page, if it is one of here.
fn page_of(to: &str) -> &str {
    let is_plain = |letter: char| letter.is_ascii_alphanumeric() || "/-_.".contains(letter);
    if to.starts_with('/') && !to.starts_with("//") && to.chars().all(is_plain) { to } else { "/" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_token_becomes_a_cookie_that_no_script_reads_and_no_other_site_sends() {
        let shown = |token: &str| axum::Form(Shown { token: token.to_owned(), to: "/jobs/7".to_owned() });
        let response = enter(shown(" wf_0a1b;\r\nx=y ")).await;
        assert_eq!(response.status(), StatusCode::SEE_OTHER);
        assert_eq!(response.headers()[header::LOCATION], "/jobs/7");
        let cookie = response.headers()[header::SET_COOKIE].to_str().unwrap();
        assert!(cookie.starts_with("wanfarm=wf_0a1bxy; HttpOnly; Secure; SameSite=Strict; Path=/; "), "{cookie}");
        let gone = enter(shown("")).await;
        assert!(gone.headers()[header::SET_COOKIE].to_str().unwrap().ends_with("Max-Age=0"));
    }

    #[test]
    fn it_leads_to_pages_of_here_alone() {
        for (to, page) in
            [("/jobs/7", "/jobs/7"), ("", "/"), ("//evil.example", "/"), ("https://evil", "/"), ("/\\evil", "/")]
        {
            assert_eq!(page_of(to), page, "{to}");
        }
    }
}
