//! The values that settings take, and how each is read; what is wrong with one is told by the same words everywhere.

use std::ops::RangeInclusive;
use std::sync::Arc;

use wanfarm_types::{BadFrameRate, CacheRequest, Expert, Format, FrameRate, Guidance, Nag};

use super::fault::{Fault, Place, clipped, quote, suggest};
use super::keys::{self, MAX_TEXT};
use super::node::{Node, Value};
use super::template::Template;

/// A setting's value.
#[derive(Debug, Clone)]
pub(crate) enum Chosen {
    Template(Arc<Template>),
    Frame(FrameFrom),
    Whole(u64),
    Random,
    Number(f64),
    Rate(FrameRate),
    Word(&'static str),
    Guidance(Guidance),
    Flag(bool),
    Nag(Option<Nag>),
    Cache(CacheRequest),
    Loras(Arc<[LoraEntry]>),
    Formats(Arc<[Format]>),
}

/// A frame of the video of this name, counted from 0; without a number the last one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FrameFrom {
    pub(crate) from: String,
    pub(crate) frame: Option<u32>,
}

/// An entry of `loras`.
#[derive(Debug, Clone)]
pub(crate) struct LoraEntry {
    pub(crate) path: String,
    pub(crate) strength: f64,
    pub(crate) expert: Option<Expert>,
    pub(crate) place: Place,
}

/// A text without control characters, no longer than [`MAX_TEXT`].
pub(crate) fn text<'n>(node: &'n Node, place: &Place) -> Result<&'n str, Fault> {
    let Value::Text(text) = &node.value else { return Err(wrong_type(node, place, "a text")) };
    if text.len() > MAX_TEXT {
        let why = format!("it has {} bytes, at most {MAX_TEXT} are read", text.len());
        return Err(Fault::at(place, format!("{} is too long", place.key)).why(why).help("shorten it"));
    }
    if let Some(control) = text.chars().find(|c| c.is_control() && !matches!(c, '\n' | '\r' | '\t')) {
        let why = format!("U+{:04X} is not printable", u32::from(control));
        return Err(Fault::at(place, format!("{} holds a control character", place.key)).why(why).help("remove it"));
    }
    Ok(text)
}

/// A whole number within bounds.
pub(crate) fn whole(node: &Node, place: &Place, range: &RangeInclusive<u64>) -> Result<u64, Fault> {
    let Value::Integer(value) = node.value else {
        let fault = wrong_type(node, place, "a whole number");
        return Err(match node.value {
            Value::Float(value) if value.fract() == 0.0 && value.abs() < 1e15 => {
                fault.help(format!("write {value:.0} without the fraction"))
            }
            _ => fault,
        });
    };
    let inside = u64::try_from(value).ok().filter(|value| range.contains(value));
    inside.ok_or_else(|| out_of_range(place, &value.to_string(), &format!("{} to {}", range.start(), range.end())))
}

/// true or false.
pub(crate) fn flag(node: &Node, place: &Place) -> Result<bool, Fault> {
    match node.value {
        Value::Bool(yes) => Ok(yes),
        _ => Err(wrong_type(node, place, "true or false")),
    }
}

/// A finite number within bounds.
pub(crate) fn number(node: &Node, place: &Place, least: f64, above: bool, most: f64) -> Result<f64, Fault> {
    let value = match node.value {
        Value::Integer(value) => value as f64,
        Value::Float(value) => value,
        _ => return Err(wrong_type(node, place, "a number")),
    };
    let inside = value.is_finite() && value <= most && if above { value > least } else { value >= least };
    let range = if above { format!("above {least}, at most {most}") } else { format!("{least} to {most}") };
    inside.then_some(value).ok_or_else(|| out_of_range(place, &value.to_string(), &range))
}

pub(crate) fn rate(node: &Node, place: &Place) -> Result<FrameRate, Fault> {
    let rate = match &node.value {
        Value::Integer(value) => value.to_string().parse(),
        Value::Float(value) => FrameRate::from_decimal(*value),
        Value::Text(text) => text.parse(),
        _ => return Err(wrong_type(node, place, "a number, or a fraction such as \"24000/1001\"")),
    };
    rate.map_err(|error| {
        let what = match error {
            BadFrameRate::Unreadable(_) => "is no frame rate",
            BadFrameRate::OutOfRange(_) | BadFrameRate::TooFine(_) => "is out of range",
        };
        let fault = Fault::at(place, format!("{} {what}", place.key)).why(clipped(&error.to_string()));
        fault.help("write a number from 1 to 240, or a fraction such as \"24000/1001\"")
    })
}

pub(crate) fn guidance(node: &Node, place: &Place, most: f64) -> Result<Guidance, Fault> {
    let Value::Table(entries) = &node.value else {
        let wrong = wrong_type(node, place, "a number or { high, low }");
        let both = number(node, place, 0.0, false, most);
        return both
            .map(|both| Guidance { high: both, low: both })
            .map_err(|fault| if matches!(node.value, Value::Integer(_) | Value::Float(_)) { fault } else { wrong });
    };
    let mut experts = [None, None];
    for entry in entries {
        let place = Place::new(entry.node.span, format!("{}.{}", place.key, clipped(&entry.key)));
        match entry.key.as_str() {
            "high" => experts[0] = Some(number(&entry.node, &place, 0.0, false, most)?),
            "low" => experts[1] = Some(number(&entry.node, &place, 0.0, false, most)?),
            other => {
                return Err(Fault::at(&Place::new(entry.key_span, place.key.clone()), unknown_key(other))
                    .why("guidance has one number per expert")
                    .help(suggest(other, ["high", "low"])));
            }
        }
    }
    match experts {
        [Some(high), Some(low)] => Ok(Guidance { high, low }),
        _ => Err(Fault::at(place, format!("{} lacks an expert", place.key))
            .why("both experts need a number")
            .help("write { high = 4.0, low = 3.0 }, or one number for both")),
    }
}

pub(crate) fn formats(node: &Node, place: &Place, words: &'static [&'static str]) -> Result<Arc<[Format]>, Fault> {
    let Value::List(items) = &node.value else { return Err(wrong_type(node, place, "a list of texts")) };
    let mut formats = Vec::new();
    for item in items {
        let place = Place::new(item.span, place.key.clone());
        let word = text(item, &place)?;
        let format = keys::format(word).ok_or_else(|| unknown_word(&place, word, words))?;
        if formats.contains(&format) {
            return Err(Fault::at(&place, format!("{} names {word} twice", place.key))
                .why("each file is written once")
                .help("name it once"));
        }
        formats.push(format);
    }
    if formats.is_empty() {
        return Err(Fault::at(place, format!("{} is empty", place.key))
            .why("no file would be written")
            .help(format!("choose from {}", words.join(", "))));
    }
    Ok(formats.into())
}

/// The fault of a text that must say something.
pub(crate) fn empty(place: &Place) -> Fault {
    let what = format!("{} is empty", place.key);
    Fault::at(place, what).why("it must say something").help("write a text, or remove the video")
}

/// The wording for a key that is not known.
pub(crate) fn unknown_key(key: &str) -> String {
    format!("unknown key {}", quote(key))
}

/// The fault of a value of another type.
pub(crate) fn wrong_type(node: &Node, place: &Place, wanted: &str) -> Fault {
    let help = match node.value {
        Value::Null => "give it a value, or leave the key out".to_owned(),
        _ => format!("write {wanted}"),
    };
    Fault::at(place, format!("{} is {}", place.key, node.kind())).why(format!("it takes {wanted}")).help(help)
}

fn out_of_range(place: &Place, value: &str, range: &str) -> Fault {
    Fault::at(place, format!("{} is out of range", place.key))
        .why(format!("{value} is not in {range}"))
        .help(format!("choose a number from {range}"))
}

/// The fault of a word that is none of those it takes.
pub(crate) fn unknown_word(place: &Place, word: &str, words: &[&str]) -> Fault {
    Fault::at(place, format!("{} knows no {}", place.key, quote(word)))
        .why(format!("it takes {}", words.join(", ")))
        .help(suggest(word, words.iter().copied()))
}
