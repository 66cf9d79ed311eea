//! What people say of a job so that it is found again. It decides nothing.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Most characters of an owner, of a label's name, and of a label's value.
pub const MAX_WORD: usize = 100;
/// Most characters of a note, of a job or of a worker.
pub const MAX_NOTE: usize = 4000;
/// Most labels of a job.
pub const MAX_LABELS: usize = 32;

/// What people say of a job.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(default)]
pub struct About {
    /// Whose it is.
    pub owner: Option<String>,
    /// What there is to say of it.
    pub note: Option<String>,
    /// By name: shot, sequence, whatever it is looked for by.
    pub labels: BTreeMap<String, String>,
}

/// Something that cannot be said of a job.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct BadAbout(String);

impl About {
    /// Refuses what is too long, or would not show as it is.
    ///
    /// # Errors
    /// The first fault.
    pub fn check(&self) -> Result<(), BadAbout> {
        let bad = |what: String| Err(BadAbout(what));
        let is_word =
            |text: &str| !text.is_empty() && text.chars().count() <= MAX_WORD && !text.chars().any(char::is_control);
        if self.owner.as_ref().is_some_and(|owner| !is_word(owner)) {
            return bad(format!("owner: 1 to {MAX_WORD} characters, none for control"));
        }
        self.note.as_deref().map_or(Ok(()), check_note)?;
        if self.labels.len() > MAX_LABELS {
            return bad(format!("labels: {} are more than {MAX_LABELS}", self.labels.len()));
        }
        let named = |name: &str| name.chars().all(|letter| letter.is_ascii_alphanumeric() || "-_.".contains(letter));
        for (name, value) in &self.labels {
            if !is_word(name) || !named(name) {
                return bad(format!("labels: {name:?} is no name of 1 to {MAX_WORD} letters, digits, -, _ and dots"));
            }
            if !is_word(value) {
                return bad(format!("labels: {name} has 1 to {MAX_WORD} characters, none for control"));
            }
        }
        Ok(())
    }
}

/// Refuses a note, of a job or of a worker, that is too long or would not show as it is.
///
/// # Errors
/// It is one.
pub fn check_note(note: &str) -> Result<(), BadAbout> {
    let shows = |letter: char| letter == '\n' || !letter.is_control();
    if note.chars().count() > MAX_NOTE || !note.chars().all(shows) {
        return Err(BadAbout(format!("note: at most {MAX_NOTE} characters, none for control but ends of lines")));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_shows_as_it_is_can_be_said() {
        let labels =
            |name: &str, value: &str| About { labels: [(name.into(), value.into())].into(), ..About::default() };
        let note = |note: &str| About { note: Some(note.into()), ..About::default() };
        let owner = |owner: &str| About { owner: Some(owner.into()), ..About::default() };
        for good in [
            About::default(),
            labels("shot.2_a-b", "010 é"),
            note(""),
            note("two\nlines"),
            owner("Ann"),
            owner(&"é".repeat(100)),
        ] {
            assert_eq!(good.check(), Ok(()), "{good:?}");
        }
        for bad in [
            labels("", "x"),
            labels("a b", "x"),
            labels("a", ""),
            labels("a", "\u{1b}[2J"),
            note("\u{7}"),
            owner(""),
            owner(&"x".repeat(101)),
            note(&"x".repeat(4001)),
        ] {
            assert!(bad.check().is_err(), "{bad:?}");
        }
        let many = (0..33).map(|n| (n.to_string(), "x".to_owned())).collect();
        assert!(About { labels: many, ..About::default() }.check().is_err());
    }
}
