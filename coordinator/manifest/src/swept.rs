//! What is kept of `sweep` and `zip` with each video, and the bounds of that.

use std::sync::Arc;

use wanfarm_types::Swept;

use super::series::Word;
use super::template::is_name;

/// Most lists of which values are kept; more of them make videos all the same.
const MAX_LISTS: usize = 16;
/// Most characters of a value.
const MAX_VALUE: usize = 200;

/// The values of a video by the names of its lists. `words`: what all names stand for.
pub(crate) fn kept<'a>(names: impl Iterator<Item = &'a str>, words: &[Word]) -> Swept {
    let known = names.filter_map(|name| words.iter().find(|(word, _)| **word == *name));
    known.take(MAX_LISTS).map(|(name, text)| (name.clone(), cut(text))).collect()
}

/// Refuses values that no manifest could have led to.
pub(crate) fn check(swept: &Swept) -> Result<(), String> {
    if swept.len() > MAX_LISTS {
        return Err(format!("it has values of {} lists, at most {MAX_LISTS} are kept", swept.len()));
    }
    for (place, (name, value)) in swept.iter().enumerate() {
        if !is_name(name) {
            return Err(format!("{name:?} cannot be the name of a list"));
        }
        if value.chars().count() > MAX_VALUE {
            return Err(format!("the value of {name} has more than {MAX_VALUE} characters"));
        }
        if swept.iter().take(place).any(|(other, _)| other == name) {
            return Err(format!("{name} has two values"));
        }
    }
    Ok(())
}

fn cut(text: &Arc<str>) -> Arc<str> {
    // The one value is shared by all videos that have it, where nothing is cut.
    match text.char_indices().nth(MAX_VALUE) {
        None => text.clone(),
        Some(_) => text.chars().take(MAX_VALUE - 1).chain(['…']).collect::<String>().into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_passes_the_check() {
        let word = |name: &str, text: &str| -> Word { (name.into(), text.into()) };
        let long = "é".repeat(300);
        let mut words: Vec<Word> = (0..20).map(|n| word(&format!("n{n}"), "v")).collect();
        words.insert(1, word("image", "still"));
        words[0].1 = long.as_str().into();
        let names: Vec<String> = (0..20).map(|n| format!("n{n}")).collect();
        let swept = kept(names.iter().map(String::as_str), &words);
        assert_eq!(check(&swept), Ok(()));
        assert_eq!(swept.len(), 16);
        let (name, value) = swept.iter().next().unwrap();
        assert_eq!((name, value.chars().count(), value.ends_with("é…")), ("n0", 200, true));
        assert!(swept.iter().all(|(name, _)| name != "image"), "what no list made");
    }

    #[test]
    fn what_no_manifest_leads_to_is_refused() {
        let values = |values: &[(&str, &str)]| check(&values.iter().copied().collect());
        assert_eq!(values(&[("animal", ""), ("_pace-2", "two\nlines")]), Ok(()));
        let long = "x".repeat(201);
        for (bad, word) in [
            (vec![("a b", "x")], "name of a list"),
            (vec![("", "x")], "name of a list"),
            (vec![("a", "x"), ("a", "y")], "two values"),
            (vec![("a", long.as_str())], "200"),
        ] {
            let why = values(&bad).unwrap_err();
            assert!(why.contains(word), "{why}");
        }
        let many: Vec<String> = (0..17).map(|n| format!("n{n}")).collect();
        assert!(check(&many.iter().map(|name| (name.as_str(), "x")).collect()).is_err());
    }
}
