//! How much a message from outside may say: what it says is kept, shown and read again for a long time, so one message
//! must not make it large, and one number that is none must not make it unreadable.

use serde::{Deserialize, Deserializer};

/// Longest name, version or device, in bytes.
const MAX_LABEL: usize = 200;
/// Longest path of a model's file, in bytes.
const MAX_PATH: usize = 1024;
/// Longest negative prompt that a model brings, in bytes; as a manifest's.
const MAX_TEXT: usize = 8192;
/// Longest reason of a failure, in bytes.
const MAX_REASON: usize = 2048;
/// Longest line of a log, in bytes.
const MAX_LINE: usize = 1024;
/// Longer than any item runs, in seconds: four months.
const MAX_SECONDS: f64 = 1e7;
/// More steps than any video has.
pub(crate) const MAX_STEPS: u32 = 1000;

/// A field of a message that cannot be worked with.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field} {why}")]
pub struct BadMessage {
    field: &'static str,
    why: String,
}

impl BadMessage {
    pub(crate) fn new(field: &'static str, why: impl Into<String>) -> Self {
        Self { field, why: why.into() }
    }
}

/// Checks a name that is shown to people: one line, not long, nothing that a terminal would obey.
///
/// # Errors
/// What is wrong with it.
pub fn check_label(field: &'static str, text: &str) -> Result<(), BadMessage> {
    at_most(field, text.len(), MAX_LABEL, "bytes")?;
    match text.chars().find(|c| c.is_control()) {
        Some(control) => Err(BadMessage::new(field, format!("has the control character {control:?}"))),
        None => Ok(()),
    }
}

/// As [`check_label`], of something that has to be there.
pub(crate) fn name(field: &'static str, text: &str) -> Result<(), BadMessage> {
    if text.is_empty() { Err(BadMessage::new(field, "is empty")) } else { check_label(field, text) }
}

/// Checks how long something took. What is no number, or none that time has, is left to whoever measures.
pub(crate) fn seconds(field: &'static str, seconds: f64) -> Result<(), BadMessage> {
    match seconds > MAX_SECONDS {
        true => Err(BadMessage::new(field, format!("are {seconds}, and nothing takes longer than {MAX_SECONDS}"))),
        false => Ok(()),
    }
}

/// Checks the path of a file.
pub(crate) fn path(field: &'static str, text: &str) -> Result<(), BadMessage> {
    at_most(field, text.len(), MAX_PATH, "bytes")
}

/// Checks a prompt.
pub(crate) fn text(field: &'static str, text: &str) -> Result<(), BadMessage> {
    at_most(field, text.len(), MAX_TEXT, "bytes")
}

/// Checks a count of `1..=most`.
pub(crate) fn count(field: &'static str, value: u32, most: u32) -> Result<(), BadMessage> {
    let within = (1..=most).contains(&value);
    if within { Ok(()) } else { Err(BadMessage::new(field, format!("is {value}, not 1 to {most}"))) }
}

/// Checks a number that has to be one.
pub(crate) fn finite(field: &'static str, value: f64) -> Result<(), BadMessage> {
    if value.is_finite() { Ok(()) } else { Err(BadMessage::new(field, format!("is {value}"))) }
}

/// Checks how many of something there are.
pub(crate) fn at_most(field: &'static str, number: usize, most: usize, what: &str) -> Result<(), BadMessage> {
    if number <= most {
        return Ok(());
    }
    Err(BadMessage::new(field, format!("has {number} {what}, and {most} are the most")))
}

/// Reads why something failed: cut where it is too long, in characters that a log can show.
pub(crate) fn read_reason<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    Ok(reason(String::deserialize(deserializer)?))
}

/// Reads a line of a log: as [`line`] makes it.
pub(crate) fn read_line<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    Ok(line(String::deserialize(deserializer)?))
}

/// One line of a log: cut where it is too long, with spaces for control characters.
pub(crate) fn line(text: String) -> String {
    // No character becomes longer by that.
    cut(text, MAX_LINE).replace(char::is_control, " ")
}

/// Cuts a text between characters, and says so.
fn cut(mut text: String, most: usize) -> String {
    if text.len() > most {
        text.truncate(text.floor_char_boundary(most - '…'.len_utf8()));
        text.push('…');
    }
    text
}

/// Why something failed: cut where it is too long, in characters that a log can show.
pub(crate) fn reason(text: String) -> String {
    let text = cut(text, MAX_REASON);
    let harmful = |c: char| c.is_control() && c != '\n' && c != '\t';
    if text.contains(harmful) { text.replace(harmful, "\u{fffd}") } else { text }
}

/// Reads a number for each step, of no more steps than a video has.
pub(crate) fn read_steps<'de, D, T>(deserializer: D) -> Result<Vec<T>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    let mut steps = Vec::deserialize(deserializer)?;
    steps.truncate(MAX_STEPS as usize);
    Ok(steps)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Failure, StepTiming};

    #[test]
    fn a_reason_is_cut_between_characters_and_harmless() {
        assert_eq!(reason("one\ntwo".into()), "one\ntwo");
        assert_eq!(reason("\u{1b}[31mred\r".into()), "\u{fffd}[31mred\u{fffd}");
        let long = reason("猫".repeat(30 << 20));
        assert!(long.len() <= MAX_REASON && long.ends_with("猫…"), "{}", long.len());
        let json = serde_json::to_string(&Failure::transient("\u{1b}[2J")).unwrap();
        assert_eq!(serde_json::from_str::<Failure>(&json).unwrap().message, "\u{fffd}[2J");
    }

    #[test]
    fn no_timing_has_more_steps_than_a_video() {
        let long = StepTiming { step_seconds: vec![1.0; 5000], forward_passes: vec![2; 5000], ..StepTiming::default() };
        let read: StepTiming = serde_json::from_str(&serde_json::to_string(&long).unwrap()).unwrap();
        assert_eq!((read.step_seconds.len(), read.forward_passes.len()), (1000, 1000));
    }
}
