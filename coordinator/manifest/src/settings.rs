//! Settings of a video with the places they come from, read by the rules of `keys`.

use std::sync::Arc;

use wanfarm_types::{BadFrameRate, CacheRequest, Format, FrameRate, Guidance, SolverKind};

use super::cache;
use super::fault::{Fault, Place, Placed, clipped, quote, suggest};
use super::keys::{self, MAX_TEXT, Rule, Setting};
use super::loras::{self, Wanted};
use super::names;
use super::node::{Node, Value};
use super::template::Template;

/// A setting's value.
#[derive(Debug, Clone)]
pub(crate) enum Chosen {
    Template(Arc<Template>),
    Whole(u64),
    Number(f64),
    Rate(FrameRate),
    Word(&'static str),
    Guidance(Guidance),
    Flag(bool),
    Cache(CacheRequest),
    Loras(Arc<[Wanted]>),
    Formats(Arc<[Format]>),
}

/// Settings that were given; the others are open.
#[derive(Debug, Clone, Default)]
pub(crate) struct Settings {
    given: [Option<Placed<Chosen>>; Setting::ALL.len()],
}

impl Settings {
    /// Reads one setting.
    pub(crate) fn set(&mut self, setting: Setting, node: &Node, place: Place) -> Result<(), Fault> {
        if let (Setting::Output, Value::Text(path)) = (setting, &node.value)
            && let Some(why) = names::shell_fault(path)
        {
            let fault = Fault::at(&place, format!("{} would be a folder called that", place.key)).why(why);
            return Err(fault.help("write a path below the output directory; that one is chosen with --output"));
        }
        let value = read(&setting.rule(), node, &place)?;
        self.given[setting as usize] = Some(Placed { value, place });
        Ok(())
    }

    /// Takes what `other` gives and leaves what it leaves open.
    pub(crate) fn overlay(&mut self, other: &Settings) {
        for (mine, theirs) in self.given.iter_mut().zip(&other.given) {
            if theirs.is_some() {
                mine.clone_from(theirs);
            }
        }
    }

    pub(crate) fn place(&self, setting: Setting) -> Option<&Place> {
        self.given[setting as usize].as_ref().map(|given| &given.place)
    }

    pub(crate) fn template(&self, setting: Setting) -> Option<(&Template, &Place)> {
        match self.given[setting as usize].as_ref()? {
            Placed { value: Chosen::Template(template), place } => Some((template, place)),
            _ => None,
        }
    }

    pub(crate) fn whole(&self, setting: Setting) -> Option<u64> {
        match self.value(setting)? {
            Chosen::Whole(value) => Some(*value),
            _ => None,
        }
    }

    /// A whole number whose rule keeps it within 32 bits.
    pub(crate) fn whole32(&self, setting: Setting) -> Option<u32> {
        self.whole(setting).and_then(|value| value.try_into().ok())
    }

    pub(crate) fn number(&self, setting: Setting) -> Option<f64> {
        match self.value(setting)? {
            Chosen::Number(value) => Some(*value),
            _ => None,
        }
    }

    pub(crate) fn rate(&self, setting: Setting) -> Option<FrameRate> {
        match self.value(setting)? {
            Chosen::Rate(value) => Some(*value),
            _ => None,
        }
    }

    pub(crate) fn solver(&self) -> Option<SolverKind> {
        match self.value(Setting::Solver)? {
            Chosen::Word(name) => keys::solver(name),
            _ => None,
        }
    }

    pub(crate) fn guidance(&self) -> Option<Guidance> {
        match self.value(Setting::Guidance)? {
            Chosen::Guidance(value) => Some(*value),
            _ => None,
        }
    }

    pub(crate) fn cache(&self) -> Option<&CacheRequest> {
        match self.value(Setting::Cache)? {
            Chosen::Cache(value) => Some(value),
            _ => None,
        }
    }

    pub(crate) fn loras(&self) -> &[Wanted] {
        match self.value(Setting::Loras) {
            Some(Chosen::Loras(value)) => value,
            _ => &[],
        }
    }

    pub(crate) fn formats(&self) -> Option<&[Format]> {
        match self.value(Setting::Formats)? {
            Chosen::Formats(value) => Some(value),
            _ => None,
        }
    }

    fn value(&self, setting: Setting) -> Option<&Chosen> {
        self.given[setting as usize].as_ref().map(|given| &given.value)
    }
}

/// A text, tame enough for logs and tokenizers.
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
pub(crate) fn whole(node: &Node, place: &Place, range: &std::ops::RangeInclusive<u64>) -> Result<u64, Fault> {
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

/// Reads what a rule takes.
pub(crate) fn read(rule: &Rule, node: &Node, place: &Place) -> Result<Chosen, Fault> {
    match rule {
        Rule::Template { may_be_empty } => template(node, place, *may_be_empty).map(Arc::new).map(Chosen::Template),
        Rule::Whole(range) => whole(node, place, range).map(Chosen::Whole),
        Rule::Number { least, above, most } => number(node, place, *least, *above, *most).map(Chosen::Number),
        Rule::Rate => rate(node, place).map(Chosen::Rate),
        Rule::Word(words) => {
            let word = text(node, place)?;
            let known = words.iter().find(|known| **known == word);
            known.map(|known| Chosen::Word(known)).ok_or_else(|| unknown_word(place, word, words))
        }
        Rule::Guidance { most } => guidance(node, place, *most).map(Chosen::Guidance),
        Rule::Flag => flag(node, place).map(Chosen::Flag),
        Rule::Cache => cache::read(node, place).map(Chosen::Cache),
        Rule::Loras => loras::read(node, place).map(Chosen::Loras),
        Rule::Words(words) => formats(node, place, words).map(Chosen::Formats),
    }
}

fn template(node: &Node, place: &Place, may_be_empty: bool) -> Result<Template, Fault> {
    let text = text(node, place)?;
    if !may_be_empty && text.trim().is_empty() {
        return Err(empty(place));
    }
    Template::parse(text).map_err(|bad| {
        Fault::at(place, format!("{} has braces that name nothing", place.key))
            .why(bad.what)
            .help("write {{ and }} for braces themselves; for alternatives use sweep")
            .near(bad.near)
    })
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

fn rate(node: &Node, place: &Place) -> Result<FrameRate, Fault> {
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

fn guidance(node: &Node, place: &Place, most: f64) -> Result<Guidance, Fault> {
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

fn formats(node: &Node, place: &Place, words: &'static [&'static str]) -> Result<Arc<[Format]>, Fault> {
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
