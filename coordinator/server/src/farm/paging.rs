//! Long lists in pages, for clients that ask for them so.

use std::fmt::Display;
use std::str::FromStr;

use tonic::Status;

/// Lines of a page at most.
const MAX_LINES: usize = 1000;

/// The lines after the one with the key `after`, at most `most` of them; and the key of the last, if others follow. They are in the
/// order of their keys, so that lines which come and go between two pages move no others.
pub fn page_after<T, K: Ord>(
    lines: impl IntoIterator<Item = T>,
    after: Option<K>,
    most: usize,
    key: impl Fn(&T) -> K,
) -> (Vec<T>, Option<K>) {
    let mut rest = lines.into_iter().filter(|line| after.as_ref().is_none_or(|after| key(line) > *after));
    let page: Vec<T> = rest.by_ref().take(most).collect();
    let more = rest.next().is_some();
    let next = page.last().filter(|_| more).map(key);
    (page, next)
}

/// The lines after the one that `token` names, at most `size` of them or with 0 all, and the token of the next page.
pub(super) fn page<T, K: Ord + FromStr + Display>(
    lines: Vec<T>,
    size: u32,
    token: &str,
    key: impl Fn(&T) -> K,
) -> Result<(Vec<T>, String), Status> {
    let read = |token: &str| {
        let unknown = |_| Status::invalid_argument(format!("page_token {token:?} is none that was given"));
        token.parse::<K>().map_err(unknown)
    };
    let after = Some(token).filter(|token| !token.is_empty()).map(read).transpose()?;
    let most = if size == 0 { usize::MAX } else { MAX_LINES.min(size as usize) };
    let (page, next) = page_after(lines, after, most, key);
    Ok((page, next.map(|next| next.to_string()).unwrap_or_default()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(lines: &[u64], size: u32, token: &str) -> (Vec<u64>, String) {
        page(lines.to_vec(), size, token, |line| *line).unwrap()
    }

    #[test]
    fn pages_follow_one_another_though_lines_come_and_go() {
        assert_eq!(numbers(&[1, 3, 4, 9], 2, ""), (vec![1, 3], "3".to_owned()));
        // The line that the token names has gone, and another has come.
        assert_eq!(numbers(&[1, 2, 4, 9], 2, "3"), (vec![4, 9], String::new()));
        assert_eq!(numbers(&[1], 2, "9"), (vec![], String::new()));
    }

    #[test]
    fn without_a_size_all_lines_come_and_with_one_never_too_many() {
        let lines: Vec<u64> = (0..5000).collect();
        assert_eq!(numbers(&lines, 0, "").0.len(), 5000);
        assert_eq!(numbers(&lines, u32::MAX, "").0.len(), MAX_LINES);
        let unknown = page(lines, 1, "x", |line| *line).unwrap_err();
        assert_eq!(unknown.code(), tonic::Code::InvalidArgument);
    }
}
