//! Settings of a video with the places they come from, read by the rules of `keys`.

use std::sync::Arc;

use wanfarm_types::{CacheRequest, Decode, Format, FrameRate, Guidance, Nag, SolverKind};

use super::cache;
use super::chains;
use super::fault::{Fault, Place, Placed};
use super::keys::{self, RANDOM, Rule, Setting};
use super::loras;
use super::nag;
use super::names;
use super::node::{Node, Value};
use super::template::Template;
use super::values::{
    Chosen, FrameFrom, LoraEntry, empty, flag, formats, guidance, number, rate, text, unknown_word, whole,
};

/// Settings that were given; the others are open.
#[derive(Debug, Clone, Default)]
pub(crate) struct Settings {
    given: [Option<Placed<Chosen>>; Setting::COUNT],
}

/// The value of a setting whose rule gives values of this kind.
macro_rules! chosen {
    ($value:expr, $kind:ident) => {
        match $value {
            Some(Chosen::$kind(value)) => Some(value),
            _ => None,
        }
    };
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

    /// The frame of another video that an image is, or the video that a clip is.
    pub(crate) fn frame_from(&self, setting: Setting) -> Option<(&FrameFrom, &Place)> {
        match self.given[setting as usize].as_ref()? {
            Placed { value: Chosen::Frame(frame), place } => Some((frame, place)),
            _ => None,
        }
    }

    /// How many frames it starts from.
    pub(crate) fn overlap(&self) -> u32 {
        self.whole32(Setting::Overlap).unwrap_or(1)
    }

    pub(crate) fn whole(&self, setting: Setting) -> Option<u64> {
        chosen!(self.value(setting), Whole).copied()
    }

    /// True when a seed is to be drawn.
    pub(crate) fn is_left_to_chance(&self, setting: Setting) -> bool {
        matches!(self.value(setting), Some(Chosen::Random))
    }

    /// A whole number whose rule keeps it within 32 bits.
    pub(crate) fn whole32(&self, setting: Setting) -> Option<u32> {
        self.whole(setting).and_then(|value| value.try_into().ok())
    }

    pub(crate) fn number(&self, setting: Setting) -> Option<f64> {
        chosen!(self.value(setting), Number).copied()
    }

    pub(crate) fn rate(&self, setting: Setting) -> Option<FrameRate> {
        chosen!(self.value(setting), Rate).copied()
    }

    pub(crate) fn solver(&self) -> Option<SolverKind> {
        chosen!(self.value(Setting::Solver), Word).and_then(|name| keys::solver(name))
    }

    pub(crate) fn guidance(&self) -> Option<Guidance> {
        chosen!(self.value(Setting::Guidance), Guidance).copied()
    }

    pub(crate) fn nag(&self) -> Option<Nag> {
        chosen!(self.value(Setting::Nag), Nag).copied().flatten()
    }

    pub(crate) fn cache(&self) -> Option<&CacheRequest> {
        chosen!(self.value(Setting::Cache), Cache)
    }

    pub(crate) fn decode(&self) -> Decode {
        chosen!(self.value(Setting::Decode), Word).and_then(|name| keys::decode(name)).unwrap_or_default()
    }

    pub(crate) fn loras(&self) -> &[LoraEntry] {
        chosen!(self.value(Setting::Loras), Loras).map_or(&[], |loras| loras)
    }

    pub(crate) fn formats(&self) -> Option<&[Format]> {
        chosen!(self.value(Setting::Formats), Formats).map(|formats| &**formats)
    }

    fn value(&self, setting: Setting) -> Option<&Chosen> {
        self.given[setting as usize].as_ref().map(|given| &given.value)
    }
}

/// Reads what a rule takes.
pub(crate) fn read(rule: &Rule, node: &Node, place: &Place) -> Result<Chosen, Fault> {
    match rule {
        Rule::Template { may_be_empty } => template(node, place, *may_be_empty).map(Arc::new).map(Chosen::Template),
        Rule::Image if matches!(node.value, Value::Table(_)) => chains::read(node, place).map(Chosen::Frame),
        Rule::Clip if matches!(node.value, Value::Table(_)) => chains::read_whole(node, place).map(Chosen::Frame),
        Rule::Image | Rule::Clip => template(node, place, false).map(Arc::new).map(Chosen::Template),
        Rule::Seed => match &node.value {
            Value::Text(word) if word == RANDOM => Ok(Chosen::Random),
            Value::Text(word) => Err(unknown_word(place, word, &["a whole number", RANDOM])),
            _ => whole(node, place, &(0..=u64::MAX)).map(Chosen::Whole),
        },
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
        Rule::Nag => nag::read(node, place).map(Chosen::Nag),
        Rule::Cache => cache::read(node, place, read).map(Chosen::Cache),
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
