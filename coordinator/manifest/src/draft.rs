//! From one `[[video]]` table to drafts of its videos: everything decided that needs no knowledge of the model.

use std::collections::BTreeSet;

use wanfarm_types::{LoraRef, Swept};

use super::fault::{Fault, Findings, Place, clipped, near, quote, suggest};
use super::files::Files;
use super::images::{self, Images};
use super::keys::{MAX_TEXT, MAX_VIDEOS, OUTPUT_NAMES, SERIES, Setting};
use super::loras::Loras;
use super::node::{Entry, Node, Value};
use super::series::{Series, Word};
use super::settings::Settings;
use super::swept;
use super::template::{Template, Unexpandable};
use super::values::{empty, unknown_key, wrong_type};

/// Most bytes of all prompts and swept values together; far more than anyone writes, far less than a machine has.
const MAX_EXPANDED: usize = 64 << 20;

/// A video as far as the manifest alone decides it.
#[derive(Debug)]
pub(crate) struct Draft {
    /// Its `[[video]]` table.
    pub(crate) place: Place,
    /// What it sets, with `[defaults]` and `[job]` below.
    pub(crate) settings: Settings,
    /// What the names of its `sweep` and `zip` stand for.
    pub(crate) words: Vec<Word>,
    /// What of this is kept with the video.
    pub(crate) swept: Swept,
    /// With every name replaced.
    pub(crate) prompt: String,
    /// With every name replaced.
    pub(crate) negative: Option<String>,
    /// Place in the list of images.
    pub(crate) image: Option<usize>,
    /// With the files they name.
    pub(crate) loras: Vec<LoraRef>,
    /// False for the stand-in of a table with faults, kept so that its sizes are checked too.
    pub(crate) whole: bool,
}

/// Reads the `[[video]]` tables, one after the other.
pub(crate) struct Drafting<'a> {
    pub(crate) found: &'a mut Findings,
    /// `[job]` and `[defaults]`.
    pub(crate) below: &'a Settings,
    /// Whether all of them could be read; what is missing may otherwise just be at fault.
    pub(crate) below_is_whole: bool,
    /// Where its files lie.
    pub(crate) files: &'a Files,
    pub(crate) images: Images,
    pub(crate) loras: Loras,
    pub(crate) drafts: Vec<Draft>,
    videos: usize,
    bytes: usize,
}

/// Reads a table of settings and hands on the entries that are none.
pub(crate) fn settings<'n>(
    node: &'n Node,
    place: &Place,
    others: &[&str],
    found: &mut Findings,
) -> (Settings, Vec<&'n Entry>) {
    let (mut settings, mut rest) = (Settings::default(), Vec::new());
    let Value::Table(entries) = &node.value else {
        found.add(wrong_type(node, place, "a table"));
        return (settings, rest);
    };
    for entry in entries {
        let key = format!("{}.{}", place.key, clipped(&entry.key));
        if images::are_several(entry) {
            rest.push(entry);
        } else if let Some(setting) = Setting::of(&entry.key) {
            found.keep(settings.set(setting, &entry.node, Place::new(entry.node.span, key)));
        } else if others.contains(&entry.key.as_str()) {
            rest.push(entry);
        } else {
            let known = Setting::all().map(Setting::name).into_iter().chain(others.iter().copied());
            let fault = Fault::at(&Place::new(entry.key_span, key), unknown_key(&entry.key));
            found.add(fault.why(format!("{} has no such key", place.key)).help(suggest(&entry.key, known)));
        }
    }
    (settings, rest)
}

impl<'a> Drafting<'a> {
    pub(crate) fn new(found: &'a mut Findings, below: &'a Settings, files: &'a Files) -> Self {
        let below_is_whole = found.reported() == 0;
        let (images, loras) = (Images::default(), Loras::default());
        Self { found, below, below_is_whole, files, images, loras, drafts: Vec::new(), videos: 0, bytes: 0 }
    }

    /// Reads one table. Where it has a fault, a stand-in takes the place of its videos.
    pub(crate) fn take(&mut self, node: &Node, place: Place) {
        let before = self.found.reported();
        let (own, rest) = settings(node, &place, &SERIES.map(|(name, _)| name), self.found);
        let mut all = self.below.clone();
        all.overlay(&own);
        let mut series = Series::default();
        let before_series = self.found.reported();
        for entry in rest {
            series.read(entry, &own, &place, self.files, self.found);
        }
        if self.found.reported() == before_series {
            let named =
                matches!(&node.value, Value::Table(entries) if entries.iter().any(|entry| entry.key == "prompt"));
            self.check_names(&all, &series, &place, named);
        }
        if self.found.reported() > before {
            let (words, swept, prompt) = (Vec::new(), Swept::default(), String::new());
            let (negative, image, loras) = (None, None, Vec::new());
            let stand_in = Draft { place, settings: all, words, swept, prompt, negative, image, loras, whole: false };
            return self.drafts.push(stand_in);
        }
        let videos = series.len().and_then(|videos| self.videos.checked_add(videos));
        let Some(videos) = videos.filter(|&videos| videos <= MAX_VIDEOS) else {
            self.found.add(
                Fault::at(&place, format!("more than {MAX_VIDEOS} videos"))
                    .why(format!("{} takes the manifest beyond that", place.key))
                    .help("split it into several manifests"),
            );
            return;
        };
        for index in 0..videos - self.videos {
            let Some(draft) = self.draft(&all, &series, index, &place) else { return };
            self.drafts.push(draft);
        }
        self.videos = videos;
    }

    /// Every name in a template has a value, and every free name of the series is used.
    /// `prompted`: whether the table has a prompt, which may be at fault itself.
    fn check_names(&mut self, all: &Settings, series: &Series, place: &Place, mut prompted: bool) {
        let has_image = all.template(Setting::Image).is_some() || series.names().any(|(name, _)| **name == *"image");
        let mut used = BTreeSet::new();
        for setting in [Setting::Prompt, Setting::Negative, Setting::Image, Setting::Output] {
            // A swept template replaces the one below it.
            let swept: Vec<_> = series.choices().filter_map(|choice| choice.settings.template(setting)).collect();
            let templates = if swept.is_empty() { all.template(setting).into_iter().collect() } else { swept };
            prompted |= setting == Setting::Prompt && !templates.is_empty();
            let fixed: &[&str] = if setting == Setting::Output { &OUTPUT_NAMES } else { &[] };
            // Every text but the path itself can name the image.
            let image = (has_image && setting != Setting::Image).then_some(Setting::Image.name());
            let known = || series.names().map(|(name, _)| &**name).filter(|name| *name != "image").chain(image);
            for (template, at) in templates {
                for name in template.names() {
                    used.insert(name.to_owned());
                    if !known().chain(fixed.iter().copied()).any(|known| known == name) {
                        self.found.add(
                            Fault::at(at, format!("`{{{name}}}` has no value"))
                                .why(format!("neither sweep nor zip of {} has that name", place.key))
                                .help(near(name, known().chain(fixed.iter().copied())).unwrap_or_else(|| {
                                    format!("add {name} to its sweep, or write {{{{ and }}}} for braces themselves")
                                }))
                                .near(format!("{{{name}")),
                        );
                    }
                }
            }
        }
        if !prompted && self.below_is_whole {
            self.found.add(
                Fault::at(place, format!("{} has no prompt", place.key))
                    .why("a video needs a text to render")
                    .help("add prompt = \"…\""),
            );
        }
        for (name, at) in series.names() {
            if Setting::of(name).is_none() && !used.contains(&**name) {
                self.found.add(
                    Fault::at(at, format!("{} is used nowhere", quote(name)))
                        .why("it is no setting, and no prompt, path or output names it: its videos would be equal")
                        .help(
                            near(name, Setting::all().map(Setting::name))
                                .unwrap_or_else(|| format!("write {{{name}}} in the prompt, or remove it")),
                        ),
                );
            }
        }
    }

    fn draft(&mut self, all: &Settings, series: &Series, index: usize, place: &Place) -> Option<Draft> {
        let mut settings = all.clone();
        let mut words: Vec<Word> = Vec::new();
        for choice in series.combination(index) {
            settings.overlay(&choice.settings);
            words.extend(choice.words.iter().cloned());
        }
        let image = match settings.template(Setting::Image) {
            Some((template, at)) => {
                let path = self.found.keep(expand(template, at, &words))?;
                words.push((Setting::Image.name().into(), images::stem(&path).into()));
                // The other videos' images are still looked at, so that all that are missing are named.
                self.found.keep(self.images.find(&path, self.files, at))
            }
            None => None,
        };
        let loras = self.loras.find(settings.loras(), self.files);
        let loras = self.found.keep(loras).unwrap_or_default();
        let expanded = |setting| settings.template(setting).map(|(template, at)| expand(template, at, &words));
        let prompt = self.found.keep(expanded(Setting::Prompt)?)?;
        if prompt.trim().is_empty() {
            self.found.add(empty(settings.place(Setting::Prompt)?));
            return None;
        }
        let negative = match expanded(Setting::Negative) {
            Some(text) => Some(self.found.keep(text)?),
            None => None,
        };
        let swept = swept::kept(series.names().map(|(name, _)| &**name), &words);
        let values: usize = swept.iter().map(|(_, value)| value.len()).sum();
        self.bytes += prompt.len() + negative.as_ref().map_or(0, String::len) + values;
        if self.bytes > MAX_EXPANDED {
            self.found.add(
                Fault::at(place, format!("prompts and swept values come to more than {} MiB", MAX_EXPANDED >> 20))
                    .why(format!("{} takes the manifest beyond that", place.key))
                    .help("shorten the texts, or split the manifest"),
            );
            return None;
        }
        Some(Draft { place: place.clone(), settings, words, swept, prompt, negative, image, loras, whole: true })
    }
}

/// A template's text for these words.
pub(crate) fn expand(template: &Template, place: &Place, words: &[Word]) -> Result<String, Fault> {
    let value = |name: &str| words.iter().find(|(word, _)| **word == *name).map(|(_, text)| &**text);
    template.expand(value, MAX_TEXT).map_err(|why| unexpandable(why, place))
}

/// The fault of a template that has no text.
pub(crate) fn unexpandable(why: Unexpandable, place: &Place) -> Fault {
    match why {
        Unexpandable::Unknown(name) => Fault::at(place, format!("`{{{name}}}` has no value"))
            .why("nothing has that name here")
            .help("remove it, or write {{ and }} for braces themselves")
            .near(format!("{{{name}")),
        Unexpandable::NotWhole(name) => Fault::at(place, format!("`{{{name}}}` cannot be padded with zeros"))
            .why("its value is not a whole number")
            .help(format!("write {{{name}}}"))
            .near(format!("{{{name}")),
        Unexpandable::TooLong => Fault::at(place, format!("{} is too long", place.key))
            .why(format!("with its names replaced it has more than {MAX_TEXT} bytes"))
            .help("shorten it"),
    }
}
