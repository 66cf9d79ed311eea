//! What anybody may say at most: everything here is kept, shown and read again for a long time, so one message must not
//! make it large, and one number that is none must not make it unreadable.

use super::WireError;
use crate::v1;

/// Longest name, version or device, in bytes.
const LABEL: usize = 200;
/// Longest path of a model's file, in bytes.
const PATH: usize = 1024;
/// Longest negative prompt that a model brings, in bytes; as a manifest's.
const TEXT: usize = 8192;
/// Models of one worker.
const MODELS: usize = 16;
/// Files behind one role, or LoRA files that are part of a model.
const FILES: usize = 256;
/// Attempts that a worker may have something of: a text encoder keeps many small results.
const ATTEMPTS: usize = 1 << 16;
/// Longest reason of a failure, in bytes.
const REASON: usize = 2048;
/// More steps than any video has.
pub(super) const STEPS: u32 = 1000;

/// Checks a name that is shown to people: one line, not long, nothing that a terminal would obey.
///
/// # Errors
/// What is wrong with it.
pub fn check_label(field: &'static str, text: &str) -> Result<(), WireError> {
    at_most(field, text.len(), LABEL, "bytes")?;
    match text.chars().find(|c| c.is_control()) {
        Some(control) => Err(WireError::unusable(field, format!("has the control character {control:?}"))),
        None => Ok(()),
    }
}

/// As [`check_label`], of something that has to be there.
pub(super) fn name(field: &'static str, text: &str) -> Result<(), WireError> {
    if text.is_empty() { Err(WireError::Missing(field)) } else { check_label(field, text) }
}

/// Checks the path of a file.
pub(super) fn path(field: &'static str, text: &str) -> Result<(), WireError> {
    at_most(field, text.len(), PATH, "bytes")
}

/// Checks a prompt.
pub(super) fn text(field: &'static str, text: &str) -> Result<(), WireError> {
    at_most(field, text.len(), TEXT, "bytes")
}

/// Takes a count of `1..=most`.
pub(super) fn count(field: &'static str, value: u32, most: u32) -> Result<u32, WireError> {
    let within = (1..=most).contains(&value);
    if within { Ok(value) } else { Err(WireError::unusable(field, format!("is {value}, not 1 to {most}"))) }
}

/// Why something failed, cut where it is too long, in characters that a log can show.
pub(super) fn reason(mut text: String) -> String {
    if text.len() > REASON {
        text.truncate(text.floor_char_boundary(REASON - '…'.len_utf8()));
        text.push('…');
    }
    let harmful = |c: char| c.is_control() && c != '\n' && c != '\t';
    if text.contains(harmful) { text.replace(harmful, "\u{fffd}") } else { text }
}

/// Checks the size of a hello; what it means is checked where it is read.
///
/// # Errors
/// The first field that is too long.
pub fn check_hello(hello: &v1::Hello) -> Result<(), WireError> {
    for (field, text) in [("version", &hello.version), ("device", &hello.device), ("name", &hello.name)] {
        check_label(field, text)?;
    }
    path("tensor_url", &hello.tensor_url)?;
    at_most("models", hello.models.len(), MODELS, "models")?;
    at_most("running", hello.running.len(), ATTEMPTS, "attempts")?;
    at_most("holding", hello.holding.len(), ATTEMPTS, "attempts")?;
    for model in &hello.models {
        let roles = wanfarm_types::Role::ALL.len();
        at_most("roles", model.roles.len(), roles, "roles")?;
        at_most("loras", model.card.as_ref().map_or(0, |card| card.loras.len()), FILES, "files")?;
        for role in &model.roles {
            check_label("encoding", &role.encoding)?;
            at_most("files", role.files.len(), FILES, "files")?;
        }
    }
    Ok(())
}

fn at_most(field: &'static str, number: usize, most: usize, what: &str) -> Result<(), WireError> {
    if number <= most {
        return Ok(());
    }
    Err(WireError::unusable(field, format!("has {number} {what}, and {most} are the most")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn role(files: usize) -> v1::ServedRole {
        v1::ServedRole { files: vec![v1::ModelFile::default(); files], ..v1::ServedRole::default() }
    }

    #[test]
    fn a_hello_has_its_limits() {
        let good = v1::Hello {
            name: "Studio – 3 (Büro)/vae".into(),
            models: vec![v1::ServedModel { roles: vec![role(FILES); 5], ..v1::ServedModel::default() }; MODELS],
            running: vec![1; 100],
            ..v1::Hello::default()
        };
        assert_eq!(check_hello(&good), Ok(()));
        let with = |change: fn(&mut v1::Hello)| {
            let mut hello = good.clone();
            change(&mut hello);
            check_hello(&hello).unwrap_err().to_string()
        };
        for (error, field) in [
            (with(|hello| hello.name = "n".repeat(201)), "name"),
            (with(|hello| hello.name = "a\nINFO forged".into()), "name"),
            (with(|hello| hello.device = "\u{1b}[2J".into()), "device"),
            (with(|hello| hello.version = "v".repeat(1 << 20)), "version"),
            (with(|hello| hello.tensor_url = "u".repeat(2000)), "tensor_url"),
            (with(|hello| hello.models.push(v1::ServedModel::default())), "models"),
            (with(|hello| hello.models[3].roles.push(role(0))), "roles"),
            (with(|hello| hello.models[3].roles[2] = role(FILES + 1)), "files"),
            (with(|hello| hello.holding = vec![1; ATTEMPTS + 1]), "holding"),
        ] {
            assert!(error.starts_with(field), "{error}");
        }
    }

    #[test]
    fn a_reason_is_cut_between_characters_and_harmless() {
        assert_eq!(reason("one\ntwo".into()), "one\ntwo");
        assert_eq!(reason("\u{1b}[31mred\r".into()), "\u{fffd}[31mred\u{fffd}");
        let long = reason("猫".repeat(30 << 20));
        assert!(long.len() <= REASON && long.ends_with("猫…"), "{}", long.len());
    }
}
