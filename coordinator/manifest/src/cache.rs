//! `cache`: the kinds of step caches and the keys of each, for the reader and the JSON Schema alike. What a cache comes
//! to for a model is not decided here (`wanfarm_types::CacheRequest::resolve`).

use wanfarm_types::{CacheRequest, MagCurve};

use super::fault::{Fault, Place, clipped, quote, suggest};
use super::keys::Rule;
use super::node::{Entry, Node, Value};
use super::values::{Chosen, text, unknown_key, unknown_word, wrong_type};

/// A key of one kind.
#[derive(Debug)]
pub(crate) struct CacheKey {
    pub(crate) name: &'static str,
    pub(crate) about: &'static str,
    pub(crate) rule: Rule,
}

/// A kind of step cache.
#[derive(Debug)]
pub(crate) struct CacheKind {
    pub(crate) name: &'static str,
    pub(crate) about: &'static str,
    pub(crate) keys: &'static [CacheKey],
}

const CURVE_NAMES: [&str; 4] = {
    let [first, second, third, fourth] = MagCurve::PUBLISHED;
    [first.0, second.0, third.0, fourth.0]
};
const ZONE_NAMES: [&str; 2] = ["each-phase", "first-phase"];
const TEA_NAMES: [&str; 5] = ["t2v-1.3b", "t2v-14b", "i2v-480p", "i2v-720p", "linear"];

const SUM: Rule = Rule::Number { least: 0.0, above: false, most: 1000.0 };
const PART: Rule = Rule::Number { least: 0.0, above: false, most: 1.0 };
const COUNT: Rule = Rule::Whole(1..=1000);

const fn key(name: &'static str, rule: Rule, about: &'static str) -> CacheKey {
    CacheKey { name, about, rule }
}

/// Every kind, `none` first.
pub(crate) const KINDS: [CacheKind; 5] = [
    CacheKind { name: "none", about: "Every step computes everything; switches a default off.", keys: &[] },
    CacheKind {
        name: "magcache",
        about: "Skips the blocks of a step where a curve, published or calibrated, says that they hardly change.",
        keys: &[
            key("threshold", SUM, "Predicted errors may add up to less than this; 0.04, for I2V-A14B 0.06."),
            key("max_skip", COUNT, "Most steps skipped one after the other; 2."),
            key("retention", PART, "Part of the steps that is always computed; 0.2."),
            key(
                "zones",
                Rule::Word(&ZONE_NAMES),
                "Of which steps that is a part: of each expert's, or all of the high-noise one's and of the low-noise one's.",
            ),
            key(
                "joint",
                Rule::Flag,
                "true: both passes of a step are skipped together; otherwise each by its own curve.",
            ),
            key("curve", Rule::Word(&CURVE_NAMES), "A published curve, for a model that has none of its own."),
        ],
    },
    CacheKind {
        name: "teacache",
        about: "Skips the blocks of a step while the timestep's embedding hardly changes.",
        keys: &[
            key("threshold", SUM, "Changes may add up to less than this; as published for the model."),
            key("model", Rule::Word(&TEA_NAMES), "Whose published polynomial, for a model that has none of its own."),
            key(
                "projected",
                Rule::Flag,
                "true: looks at the projected embedding and computes the first five steps; otherwise the first and the last.",
            ),
        ],
    },
    CacheKind {
        name: "cfg-cache",
        about: "Skips the pass without the prompt and keeps its difference to the other; not in the high-noise expert.",
        keys: &[
            key("interval", COUNT, "Every so many steps both passes are computed; 5."),
            key("start", PART, "Part of the schedule from which passes are skipped; a third."),
            key("end", PART, "Part of the schedule up to which they are; 0.9."),
            key("alpha", SUM, "How much of the difference's high frequencies is added to it; 0.2."),
        ],
    },
    CacheKind {
        name: "sencache",
        about: "Keeps the velocity of an earlier step while latents and time hardly change.",
        keys: &[
            key("tolerance", SUM, "Changes of latents and time may add up to this; 0.1."),
            key("max_skip", COUNT, "Most steps skipped one after the other; 3."),
            key("start", PART, "Part of the schedule that is always computed; 0.3."),
            key("end", PART, "Part of the schedule from which everything is computed; 0.9."),
        ],
    },
];

/// Reads what a rule takes.
type Read = fn(&Rule, &Node, &Place) -> Result<Chosen, Fault>;

/// Reads a kind alone, or a table with its settings, each by `read_value`.
pub(crate) fn read(node: &Node, place: &Place, read_value: Read) -> Result<CacheRequest, Fault> {
    let entries = match &node.value {
        Value::Text(_) => return request(kind(node, place)?, Vec::new(), place),
        Value::Table(entries) => entries,
        _ => return Err(wrong_type(node, place, "a kind such as \"magcache\", or { kind, … }")),
    };
    let at = |entry: &Entry| Place::new(entry.node.span, format!("{}.{}", place.key, clipped(&entry.key)));
    let named = entries.iter().find(|entry| entry.key == "kind");
    let Some(named) = named else {
        return Err(Fault::at(place, format!("{} names no kind", place.key))
            .why("each kind has settings of its own")
            .help(format!("add kind = \"…\": {}", KINDS.map(|kind| kind.name).join(", "))));
    };
    let mut faults = Vec::new();
    let kind = kind(&named.node, &at(named)).map_err(|fault| faults.push(fault)).ok();
    let mut given = Vec::new();
    for entry in entries.iter().filter(|entry| entry.key != "kind") {
        match find(kind, entry, place) {
            Ok(key) => match read_value(&key.rule, &entry.node, &at(entry)) {
                Ok(value) => given.push((key.name, value)),
                Err(fault) => faults.push(fault),
            },
            Err(fault) => faults.push(fault),
        }
    }
    match (kind, Fault::all(faults)) {
        (Some(kind), None) => request(kind, given, place),
        (_, Some(fault)) => Err(fault),
        (None, None) => Err(wrong_type(node, place, "a kind")),
    }
}

fn kind(node: &Node, place: &Place) -> Result<&'static CacheKind, Fault> {
    let word = text(node, place)?;
    const ALL: &[CacheKind] = &KINDS;
    ALL.iter().find(|kind| kind.name == word).ok_or_else(|| unknown_word(place, word, &KINDS.map(|kind| kind.name)))
}

/// The key of an entry; of an unknown kind, that of any.
fn find(kind: Option<&'static CacheKind>, entry: &Entry, place: &Place) -> Result<&'static CacheKey, Fault> {
    const ALL: &[CacheKind] = &KINDS;
    let of = |kind: &'static CacheKind| kind.keys.iter().find(|key| key.name == entry.key);
    let found = match kind {
        Some(kind) => of(kind),
        None => ALL.iter().find_map(of),
    };
    let at = Place::new(entry.key_span, format!("{}.{}", place.key, clipped(&entry.key)));
    found.ok_or_else(|| {
        let others: Vec<&str> = ALL.iter().filter(|kind| of(kind).is_some()).map(|kind| kind.name).collect();
        let name = kind.map_or("a step cache", |kind| kind.name);
        if others.is_empty() {
            let known = kind.map(|kind| kind.keys).unwrap_or_default().iter().map(|key| key.name).chain(["kind"]);
            return Fault::at(&at, unknown_key(&entry.key))
                .why(format!("{name} has no such setting"))
                .help(suggest(&entry.key, known));
        }
        Fault::at(&at, format!("{name} has no {}", quote(&entry.key)))
            .why(format!("it is a setting of {}", others.join(" and ")))
            .help("remove it, or choose the kind it belongs to")
    })
}

/// A manifest's keys and words are those of the request in JSON.
fn request(kind: &CacheKind, given: Vec<(&str, Chosen)>, place: &Place) -> Result<CacheRequest, Fault> {
    let mut json = serde_json::json!({ "kind": kind.name });
    for (key, value) in given {
        json[key] = match value {
            Chosen::Number(value) => value.into(),
            Chosen::Whole(value) => value.into(),
            Chosen::Flag(value) => value.into(),
            Chosen::Word(word) => word.into(),
            _ => continue,
        };
    }
    serde_json::from_value(json).map_err(|error| {
        let fault = Fault::at(place, format!("{} cannot be read", place.key));
        fault.why(error.to_string()).help("leave out its settings")
    })
}
