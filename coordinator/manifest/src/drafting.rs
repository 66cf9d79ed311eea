//! From one `[[video]]` table to drafts of its videos: everything decided that needs no knowledge of the model.

use std::collections::BTreeSet;
use std::sync::Arc;

use wanfarm_types::Swept;

use super::chains;
use super::draft::{Draft, Follows};
use super::fault::{Fault, Findings, Place, Placed, clipped, near, quote, suggest};
use super::files::Files;
use super::images::{self, Images, Wanted};
use super::keys::{FILES, MAX_TEXT, MAX_VIDEOS, NAME, OUTPUT_NAMES, SERIES, Setting};
use super::links::{self, Start};
use super::loras::Loras;
use super::node::{Entry, Node, Value};
use super::pairs::{Above, pairs};
use super::series::{Series, Word};
use super::settings::Settings;
use super::swept;
use super::template::{Template, Unexpandable};
use super::values::{empty, unknown_key, wrong_type};

/// Most bytes of all prompts and swept values together; far more than anyone writes, far less than a machine has.
const MAX_EXPANDED: usize = 64 << 20;

/// A `[[video]]` table, read.
struct Table {
    place: Place,
    /// What it sets, with `[defaults]` and `[job]` below.
    all: Settings,
    series: Series,
    name: Option<Placed<String>>,
    /// Whether it says what to show, perhaps in a way that is at fault.
    prompted: bool,
    /// Its name, `sweep` and `zip` are without fault.
    names_are_known: bool,
    /// All of it is.
    whole: bool,
}

impl Table {
    fn start(&self) -> Start<'_> {
        let from = FILES.map(|setting| self.all.frame_from(setting));
        Start { place: &self.place, name: self.name.as_ref(), from }
    }
}

/// What has been made of a table.
#[derive(Default)]
struct Made {
    /// Names that stand for values in videos that need frames of these.
    names: BTreeSet<Arc<str>>,
    /// All names that it was swept by.
    swept: BTreeSet<Arc<str>>,
    drafts: Vec<Draft>,
}

impl Made {
    fn above(&self, table: usize) -> Above<'_> {
        Above { table, names: &self.names, swept: &self.swept, drafts: &self.drafts }
    }
}

/// Reads the `[[video]]` tables, one after the other, and makes drafts of them all.
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
    tables: Vec<Table>,
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
        Self { found, below, below_is_whole, files, images, loras, tables: Vec::new(), bytes: 0 }
    }

    /// Reads one table.
    pub(crate) fn take(&mut self, node: &Node, place: Place) {
        let before = self.found.reported();
        let (own, rest) = settings(node, &place, &SERIES.map(|(name, _)| name), self.found);
        let mut all = self.below.clone();
        all.overlay(&own);
        let (mut series, mut name) = (Series::default(), None);
        let named = rest.iter().any(|entry| entry.key == NAME);
        let before_series = self.found.reported();
        for entry in rest {
            if entry.key == NAME {
                let at = Place::new(entry.node.span, format!("{}.{NAME}", place.key));
                let read = self.found.keep(chains::name(&entry.node, &at));
                name = read.map(|value| Placed { value, place: at });
            } else {
                series.read(entry, (&own, named), &place, self.files, self.found);
            }
        }
        let prompted =
            matches!(&node.value, Value::Table(entries) if entries.iter().any(|entry| entry.key == "prompt"));
        let names_are_known = self.found.reported() == before_series;
        let whole = self.found.reported() == before;
        self.tables.push(Table { place, all, series, name, prompted, names_are_known, whole });
    }

    /// The drafts of all tables, with the images and LoRA files that they name. Where a table has a fault, or starts from
    /// one that has, a stand-in takes the place of its videos.
    pub(crate) fn finish(mut self) -> (Vec<Draft>, Images, Loras) {
        let tables = std::mem::take(&mut self.tables);
        let starts: Vec<Start<'_>> = tables.iter().map(Table::start).collect();
        let mut parents = links::parents(&starts, self.found);
        let order = links::order(&starts, &mut parents, self.found);
        let mut made: Vec<Made> = tables.iter().map(|_| Made::default()).collect();
        let mut videos = 0usize;
        for at in order.into_iter().map(|at| at as usize) {
            let table = &tables[at];
            let above = parents[at].map(|parent| parent.map(|table| made[table].above(table)));
            let all_known = starts[at].from.map(|from| from.is_some()) == above.map(|above| above.is_some());
            // Of one with faults there is a stand-in, or nothing.
            let sound =
                all_known && above.iter().flatten().all(|above| above.drafts.first().is_some_and(|draft| draft.whole));
            let before = self.found.reported();
            if table.names_are_known && sound {
                self.check_names(table, &above);
            }
            if !table.whole || !sound || self.found.reported() > before {
                made[at].drafts.push(stand_in(table));
                continue;
            }
            let pairs = pairs(above, MAX_VIDEOS);
            if pairs.as_ref().is_some_and(Vec::is_empty) {
                self.found.add(lonely(table));
                made[at].drafts.push(stand_in(table));
                continue;
            }
            let own = table.series.len();
            let count = own.zip(pairs.as_ref()).and_then(|(own, pairs)| own.checked_mul(pairs.len()));
            let total = count.and_then(|count| videos.checked_add(count)).filter(|total| *total <= MAX_VIDEOS);
            let (Some(pairs), Some(own), Some(total)) = (pairs, own, total) else {
                self.found.add(
                    Fault::at(&table.place, format!("more than {MAX_VIDEOS} videos"))
                        .why(format!("{} takes the manifest beyond that", table.place.key))
                        .help("split it into several manifests"),
                );
                continue;
            };
            videos = total;
            let each = pairs.into_iter().flat_map(|pair| (0..own).map(move |index| (pair, index)));
            let drafts: Vec<Draft> = each.map_while(|(pair, index)| self.draft(table, &above, pair, index)).collect();
            let inherited = || above.iter().flatten().flat_map(|above| above.names).cloned();
            let names = inherited().chain(table.series.free_names().cloned()).collect();
            let swept = inherited().chain(table.series.names().map(|(name, _)| name.clone())).collect();
            made[at] = Made { names, swept, drafts };
            if self.bytes > MAX_EXPANDED {
                break;
            }
        }
        let begins: Vec<usize> =
            made.iter().scan(0, |next, made| Some(std::mem::replace(next, *next + made.drafts.len()))).collect();
        let mut drafts = Vec::with_capacity(videos);
        for (parents, of_table) in parents.iter().zip(made) {
            let begins = parents.map(|parent| parent.and_then(|parent| begins.get(parent)).copied());
            for mut draft in of_table.drafts {
                for (place, begin) in draft.follows.iter_mut().zip(begins) {
                    *place = place.zip(begin).map(|(place, begin)| begin + place);
                }
                drafts.push(draft);
            }
        }
        (drafts, self.images, self.loras)
    }

    /// Every name in a template has a value, and every free name of the series is used.
    fn check_names(&mut self, table: &Table, above: &[Option<Above<'_>>; 3]) {
        let Table { place, all, series, .. } = table;
        let mut prompted = table.prompted;
        let has = |file: Setting| all.place(file).is_some() || series.names().any(|(name, _)| **name == *file.name());
        let of_files: Vec<Setting> = [Setting::Image, Setting::Video].into_iter().filter(|file| has(*file)).collect();
        let mut used = BTreeSet::new();
        let texts = [Setting::Prompt, Setting::Negative].into_iter().chain(FILES);
        for setting in texts.chain([Setting::Output, Setting::Join]) {
            // A swept template replaces the one below it.
            let swept: Vec<_> = series.choices().filter_map(|choice| choice.settings.template(setting)).collect();
            let templates = if swept.is_empty() { all.template(setting).into_iter().collect() } else { swept };
            prompted |= setting == Setting::Prompt && !templates.is_empty();
            let names_a_file = matches!(setting, Setting::Output | Setting::Join);
            let fixed: &[&str] = if names_a_file { &OUTPUT_NAMES } else { &[] };
            // A video without a name has none to write.
            let fixed = fixed.iter().copied().filter(|name| *name != NAME || table.name.is_some());
            // Every text but the path itself can name a file, and the clip's path the image.
            let may_name = |file: &&Setting| **file != setting && (setting, **file) != (Setting::Image, Setting::Video);
            let of_files = of_files.iter().filter(may_name).map(|file| file.name());
            let inherited = || above.iter().flatten().flat_map(|above| above.names.iter().map(|name| &**name));
            let is_path = |name: &str| Setting::of(name).is_some_and(Setting::is_file);
            let own = || series.names().map(|(name, _)| &**name).filter(|name| !is_path(name));
            let known = || own().chain(inherited()).chain(of_files.clone()).chain(fixed.clone());
            for (template, at) in templates {
                for name in template.names() {
                    used.insert(name.to_owned());
                    if !known().any(|known| known == name) {
                        self.found.add(
                            Fault::at(at, format!("`{{{name}}}` has no value"))
                                .why(match name == NAME && names_a_file {
                                    true => format!("{} has no name", place.key),
                                    false => format!("neither sweep nor zip of {} has that name", place.key),
                                })
                                .help(near(name, known()).unwrap_or_else(|| {
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

    /// A video of a table: that of this combination between these two.
    fn draft(&mut self, table: &Table, above: &[Option<Above<'_>>; 3], pair: Follows, index: usize) -> Option<Draft> {
        let Table { place, all, series, .. } = table;
        let mut settings = all.clone();
        let mut words: Vec<Word> = Vec::new();
        for choice in series.combination(index) {
            settings.overlay(&choice.settings);
            words.extend(choice.words.iter().cloned());
        }
        let mut files = [None; FILES.len()];
        for (setting, file) in FILES.into_iter().zip(&mut files) {
            let Some((template, at)) = settings.template(setting) else { continue };
            let path = self.found.keep(expand(template, at, &words))?;
            if setting != Setting::LastImage {
                words.push((setting.name().into(), images::stem(&path).into()));
            }
            let carries_on = setting == Setting::Image && settings.overlap() > 1;
            let wanted = if carries_on || setting == Setting::Video { Wanted::Clip } else { Wanted::Image };
            // The other videos' files are still looked at, so that all that are missing are named.
            *file = self.found.keep(self.images.find(&path, wanted, self.files, at));
        }
        let [image, last_image, clip] = files;
        for setting in [Setting::Image, Setting::Video] {
            if let Some((frame, _)) = settings.frame_from(setting) {
                words.push((setting.name().into(), frame.from.as_str().into()));
            }
        }
        let own = words.len();
        for (above, draft) in above.iter().zip(pair).filter_map(|(above, place)| (*above).zip(place)) {
            for (name, text) in above.drafts.get(draft).iter().flat_map(|draft| &draft.words) {
                if above.names.contains(name) && !words.iter().any(|(known, _)| known == name) {
                    words.push((name.clone(), text.clone()));
                }
            }
        }
        let of_parents: Vec<Arc<str>> = words[own..].iter().map(|(name, _)| name.clone()).collect();
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
        let swept = of_parents.iter().map(|name| &**name).chain(series.names().map(|(name, _)| &**name));
        let swept = swept::kept(swept, &words);
        let values: usize = swept.iter().map(|(_, value)| value.len()).sum();
        self.bytes += prompt.len() + negative.as_ref().map_or(0, String::len) + values;
        self.bytes += of_parents.len() * size_of::<Word>();
        if self.bytes > MAX_EXPANDED {
            self.found.add(
                Fault::at(place, format!("prompts and swept values come to more than {} MiB", MAX_EXPANDED >> 20))
                    .why(format!("{} takes the manifest beyond that", place.key))
                    .help("shorten the texts, or split the manifest"),
            );
            return None;
        }
        let (place, name) = (place.clone(), table.name.as_ref().map(|name| name.value.clone()));
        Some(Draft {
            place,
            settings,
            words,
            swept,
            prompt,
            negative,
            name,
            images: [image, last_image],
            clip,
            follows: pair,
            loras,
            whole: true,
        })
    }
}

/// The fault of a table between two that have no value in common.
fn lonely(table: &Table) -> Fault {
    let last = FILES.into_iter().rev().find(|file| table.all.frame_from(*file).is_some());
    let place = last.and_then(|file| table.all.place(file)).unwrap_or(&table.place);
    Fault::at(place, format!("no videos that {} needs belong together", table.place.key))
        .why("of all that it starts from, ends at and is made of, those do whose swept values are the same")
        .help("give both the same values, or sweep them by different names for every pair")
}

/// What takes the place of the videos of a table with faults.
fn stand_in(table: &Table) -> Draft {
    Draft {
        place: table.place.clone(),
        settings: table.all.clone(),
        words: Vec::new(),
        swept: Swept::default(),
        prompt: String::new(),
        negative: None,
        name: None,
        images: [None; 2],
        clip: None,
        follows: [None; 3],
        loras: Vec::new(),
        whole: false,
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
