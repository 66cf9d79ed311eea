//! What a manifest's `[job]` says of itself so that people find it again: `owner`, `note` and `labels`.

use wanfarm_types::About;

use super::fault::{Fault, Place, clipped};
use super::node::{Entry, Node, Value};
use super::values::{text, wrong_type};

/// The keys of [`About`].
pub(crate) const KEYS: [&str; 3] = ["owner", "note", "labels"];

/// Adds what one of [`KEYS`] holds.
pub(crate) fn say(about: &mut About, key: &str, node: &Node, place: &Place) -> Result<(), Fault> {
    let mut said = about.clone();
    match key {
        "owner" => said.owner = Some(text(node, place)?.to_owned()),
        "note" => said.note = Some(text(node, place)?.to_owned()),
        _ => {
            let Value::Table(entries) = &node.value else { return Err(wrong_type(node, place, "a table of texts")) };
            for Entry { key, node, .. } in entries {
                let place = Place::new(node.span, format!("{}.{}", place.key, clipped(key)));
                said.labels.insert(key.clone(), text(node, &place)?.to_owned());
            }
        }
    }
    said.check().map_err(|bad| {
        let fault = Fault::at(place, format!("{} cannot be said of a job", place.key));
        fault.why(bad.to_string()).help("shorten it, or write it otherwise")
    })?;
    *about = said;
    Ok(())
}
