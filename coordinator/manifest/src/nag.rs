//! `nag`: true, false or a table, for the reader and the JSON Schema alike.

use wanfarm_types::Nag;

use super::fault::{Fault, Place, clipped, suggest};
use super::keys::Rule;
use super::node::{Node, Value};
use super::values::{number, unknown_key, wrong_type};

/// The keys of the table, what each takes and means.
pub(crate) const KEYS: [(&str, Rule, &str); 3] = [
    (
        "scale",
        Rule::Number { least: 1.0, above: false, most: Nag::MAX_SCALE },
        "How far attention is moved away from the negative prompt; 11.",
    ),
    (
        "tau",
        Rule::Number { least: 1.0, above: false, most: Nag::MAX_TAU },
        "How many times as long a token may become by that; 2.5.",
    ),
    ("alpha", Rule::Number { least: 0.0, above: false, most: 1.0 }, "How much of the result is taken; 0.25."),
];

/// Reads whether it is on, with what settings.
pub(crate) fn read(node: &Node, place: &Place) -> Result<Option<Nag>, Fault> {
    let entries = match &node.value {
        Value::Bool(on) => return Ok(on.then(Nag::default)),
        Value::Table(entries) => entries,
        _ => return Err(wrong_type(node, place, "true, false or { scale, tau, alpha }")),
    };
    let (mut nag, mut faults) = (Nag::default(), Vec::new());
    for entry in entries {
        let at = Place::new(entry.node.span, format!("{}.{}", place.key, clipped(&entry.key)));
        let bounds = KEYS.iter().find_map(|(name, rule, _)| match rule {
            Rule::Number { least, above, most } if *name == entry.key => Some((*least, *above, *most)),
            _ => None,
        });
        let Some((least, above, most)) = bounds else {
            let fault = Fault::at(&Place::new(entry.key_span, at.key.clone()), unknown_key(&entry.key));
            faults
                .push(fault.why("nag has scale, tau and alpha").help(suggest(&entry.key, KEYS.map(|(name, ..)| name))));
            continue;
        };
        match (number(&entry.node, &at, least, above, most), entry.key.as_str()) {
            (Ok(value), "scale") => nag.scale = value,
            (Ok(value), "tau") => nag.tau = value,
            (Ok(value), _) => nag.alpha = value,
            (Err(fault), _) => faults.push(fault),
        }
    }
    Fault::all(faults).map_or(Ok(Some(nag)), Err)
}
