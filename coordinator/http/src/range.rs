//! Which bytes of a file are asked for, as RFC 9110 has it. Of several ranges none is taken: then the whole file is sent,
//! which is always right.

use std::ops::Range;

/// What is to be sent.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Part {
    Whole,
    Bytes(Range<u64>),
    /// No such bytes.
    None,
}

/// The part of a file of `bytes` that a `Range` field asks for.
pub(crate) fn part(field: &str, bytes: u64) -> Part {
    let Some(range) = field.trim().strip_prefix("bytes=").map(str::trim) else { return Part::Whole };
    let Some((first, last)) = range.split_once('-') else { return Part::Whole };
    // Numbers too large for a file are read as the largest.
    let number = |text: &str| {
        let is_number = !text.is_empty() && text.bytes().all(|digit| digit.is_ascii_digit());
        is_number.then(|| text.parse().unwrap_or(u64::MAX))
    };
    let range = match (first.trim(), last.trim()) {
        ("", "") => return Part::Whole,
        ("", length) => match number(length) {
            None => return Part::Whole,
            Some(length) => bytes.saturating_sub(length)..bytes,
        },
        (first, last) => match (number(first), number(last)) {
            (Some(first), None) if last.is_empty() => first..bytes,
            (Some(first), Some(last)) if first <= last => first..last.saturating_add(1).min(bytes),
            _ => return Part::Whole,
        },
    };
    if range.start < range.end { Part::Bytes(range) } else { Part::None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_within_the_file_and_others_mean_all_of_it() {
        for (field, range) in [
            ("bytes=0-", 0..100),
            ("bytes=0-0", 0..1),
            ("bytes=10-19", 10..20),
            (" bytes= 10 - 19 ", 10..20),
            ("bytes=90-500", 90..100),
            ("bytes=-5", 95..100),
            ("bytes=-500", 0..100),
            ("bytes=0-99999999999999999999999", 0..100),
        ] {
            assert_eq!(part(field, 100), Part::Bytes(range), "{field}");
        }
        for field in ["bytes=100-", "bytes=200-300", "bytes=-0", "bytes=99999999999999999999999-"] {
            assert_eq!(part(field, 100), Part::None, "{field}");
        }
        for field in [
            "",
            "bytes",
            "bytes=",
            "bytes=-",
            "bytes=5-2",
            "bytes=a-b",
            "bytes=0-1,5-9",
            "items=0-1",
            "bytes=+1-2",
            "bytes=--5",
        ] {
            assert_eq!(part(field, 100), Part::Whole, "{field}");
        }
        assert_eq!(part("bytes=0-", 0), Part::None);
    }
}
