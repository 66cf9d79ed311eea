//! Numbers and times as the page shows them.

use std::time::Duration;

use maud::{Markup, html};
use wanfarm_client::span;

/// `45s`, `3m 20s`, `2h 05m`; a dash for what is no time.
pub(super) fn duration(seconds: f64) -> String {
    Duration::try_from_secs_f64(seconds).map_or_else(|_| "–".to_owned(), span)
}

/// By how much something came after what was expected.
pub(super) fn apart(seconds: f64) -> String {
    match seconds {
        late if late >= 1.0 => format!("{} longer", duration(late)),
        early if early <= -1.0 => format!("{} less", duration(-early)),
        _ => "as forecast".to_owned(),
    }
}

/// `1 video`, `2 videos`.
pub(super) fn counted(number: usize, one: &str) -> String {
    format!("{number} {one}{}", if number == 1 { "" } else { "s" })
}

/// A share as a percentage; a dash where it is not known.
pub(super) fn percent(share: Option<f64>) -> String {
    share.map_or_else(|| "–".to_owned(), |share| format!("{:.0} %", (share * 100.0).floor()))
}

/// The first letters of a text, if it has more.
pub(super) fn cut(text: &str, letters: usize) -> String {
    match text.char_indices().nth(letters) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

/// A moment to the minute. The page has no script that could ask where its reader is, so it is in UTC.
pub(super) fn when(rfc3339: &str) -> Markup {
    let shown =
        rfc3339.get(..16).map_or_else(|| rfc3339.to_owned(), |minute| format!("{} UTC", minute.replace('T', " ")));
    html! { time datetime=(rfc3339) { (shown) } }
}

/// A path as part of an address: each part escaped, the slashes between them kept.
pub(super) fn address(path: &str) -> String {
    let mut address = String::with_capacity(path.len());
    for byte in path.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' | b'/' => address.push(byte.into()),
            _ => address += &format!("%{byte:02X}"),
        }
    }
    address
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_times_read_well() {
        assert_eq!([duration(200.0), duration(f64::NAN), duration(-1.0)], ["3m 20s", "–", "–"]);
        assert_eq!([apart(200.0), apart(-60.0), apart(0.4)], ["3m 20s longer", "1m 00s less", "as forecast"]);
        assert_eq!([counted(1, "video"), counted(2, "video")], ["1 video", "2 videos"]);
        assert_eq!([percent(Some(0.999)), percent(None)], ["99 %", "–"]);
        assert_eq!([cut("fuchs", 5), cut("füchse", 5)], ["fuchs", "füchs…"]);
        let at = when("2026-11-28T21:04:05.250Z").into_string();
        assert_eq!(at, "<time datetime=\"2026-11-28T21:04:05.250Z\">2026-11-28 21:04 UTC</time>");
        assert_eq!(address("n/ü #1?.mp4"), "n/%C3%BC%20%231%3F.mp4");
    }
}
