//! The contact sheet: every video of the job with a still, as far as there is one.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use maud::{Markup, html};
use wanfarm_types::VideoStatus;

use super::super::stills::MOST_OF_A_JOB;
use super::words::{address, cut, duration};
use super::{Page, Stands, suspicion};

/// Most letters of a prompt.
const MAX_PROMPT: usize = 300;

pub(super) fn sheet(page: &Page<'_>) -> Markup {
    let without = page.shown.len().saturating_sub(page.stills.len());
    html! {
        section {
            h2 { "Every video" }
            @if without > 0 {
                p.small {
                    (without) " finished without a picture here: files that are not as they were written have none, nor have \
                     those beyond the first " (MOST_OF_A_JOB) "."
                }
            }
            ol.sheet { @for video in &page.report.videos { (shot(page, video)) } }
        }
    }
}

fn shot(page: &Page<'_>, video: &VideoStatus) -> Markup {
    let still = page.stills.get(&video.index).map(|still| format!("data:image/jpeg;base64,{}", STANDARD.encode(still)));
    let picture = html! {
        @match &still {
            Some(still) => { img src=(still) alt=(format!("First frame of video {}", video.index)) decoding="async"; }
            None => { span.none { (video.state.name()) } }
        }
    };
    html! {
        li id=(format!("video-{}", video.index)) { figure {
            @match page.shown.get(&video.index) {
                Some(path) => { a.frame href=(leads(page, video.index, path)) { (picture) } }
                None => { div.frame { (picture) } }
            }
            figcaption {
                span.line { b { (video.index) } @if let Some(verdict) = suspicion(video) { span.tag { (verdict) } }
                    @if let Some(seconds) = video.seconds { span { (duration(seconds)) } } }
                span.prompt { (cut(&video.prompt, MAX_PROMPT)) }
            }
        } }
    }
}

/// The address of a file, from where the page stands.
fn leads(page: &Page<'_>, video: u32, path: &str) -> String {
    match page.stands {
        Stands::Served => format!("videos/{video}/files/{}", address(path)),
        Stands::At(place) => format!("./{}{}", "../".repeat(place.matches('/').count()), address(path)),
    }
}
