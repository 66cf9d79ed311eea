//! Long lists in pages: a cursor says where the next one begins.

use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use wanfarm_server::farm::page_after;

use crate::problem::{Answer, Problem};

/// Lines of a page at most, and unless fewer are asked for.
pub(crate) const MAX_LINES: usize = 1000;

/// Which page is asked for.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct Turn {
    /// `next_cursor` of the page before; absent for the first.
    #[param(pattern = "^[0-9]{1,19}$")]
    cursor: Option<String>,
    /// Lines of the page, 1 to 1000.
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<usize>,
}

/// Where the page after this one begins; `null` after the last.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Next {
    pub(crate) next_cursor: Option<String>,
}

impl Turn {
    /// The number after which the page begins, and how many lines it has.
    pub(crate) fn of_numbers(&self) -> Answer<(u64, u32)> {
        let (after, limit) = self.read()?;
        Ok((after.unwrap_or(0), u32::try_from(limit).unwrap_or(u32::MAX)))
    }

    fn read(&self) -> Answer<(Option<u64>, usize)> {
        let limit = self.limit.unwrap_or(MAX_LINES);
        if !(1..=MAX_LINES).contains(&limit) {
            return Err(Problem::bad_request(format!("limit: {limit} is not in 1 to {MAX_LINES}")));
        }
        let number = |cursor: &String| {
            let parsed = cursor.parse().ok();
            parsed.ok_or_else(|| Problem::bad_request(format!("cursor: {cursor:?} is none that was given")))
        };
        Ok((self.cursor.as_ref().map(number).transpose()?, limit))
    }

    /// One page of lines in the order of their keys, which grow with `key`. The cursor is the key of the last line told.
    pub(crate) fn page<T>(
        &self,
        lines: impl IntoIterator<Item = T>,
        key: impl Fn(&T) -> u64,
    ) -> Answer<(Vec<T>, Next)> {
        let (after, limit) = self.read()?;
        let (page, next) = page_after(lines, after, limit, key);
        Ok((page, Next { next_cursor: next.map(|next| next.to_string()) }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn turn(cursor: Option<&str>, limit: Option<usize>) -> Turn {
        Turn { cursor: cursor.map(str::to_owned), limit }
    }

    #[test]
    fn pages_follow_one_another_without_gap_and_repetition_while_lines_come_and_go() {
        let (first, next) = turn(None, Some(2)).page([1_u64, 3, 4, 9], |line| *line).unwrap();
        assert_eq!((first, next.next_cursor.as_deref()), (vec![1, 3], Some("3")));
        // The line that the cursor names has gone, and others have come.
        let (second, next) = turn(Some("3"), Some(2)).page([1_u64, 4, 9], |line| *line).unwrap();
        assert_eq!((second, next.next_cursor), (vec![4, 9], None));
        let (none, next) = turn(Some("9"), None).page([1_u64], |line| *line).unwrap();
        assert_eq!((none, next.next_cursor), (vec![], None));
    }

    #[test]
    fn a_page_is_bounded() {
        for (cursor, limit) in [(None, Some(0)), (None, Some(MAX_LINES + 1)), (Some("x"), None), (Some("-1"), None)] {
            assert!(turn(cursor, limit).page([1_u64], |line| *line).is_err(), "{cursor:?} {limit:?}");
        }
        assert_eq!(turn(None, None).page(0..5000_u64, |line| *line).unwrap().0.len(), MAX_LINES);
    }
}
