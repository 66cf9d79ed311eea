//! `sweep` and `zip`: from one `[[video]]` table to the values of many videos. It reads no prompt and names no file.

use std::sync::Arc;

use super::fault::{Fault, Findings, Place, clipped, quote};
use super::files::Files;
use super::images;
use super::keys::{MAX_VIDEOS, NAME, Setting};
use super::loras;
use super::node::{Entry, Node, Value};
use super::settings::Settings;
use super::template::is_name;
use super::values::wrong_type;

/// A name and the text it stands for.
pub(crate) type Word = (Arc<str>, Arc<str>);

/// One value of an axis: the words it gives the templates, and the settings it makes.
#[derive(Debug, Clone, Default)]
pub(crate) struct Choice {
    pub(crate) words: Vec<Word>,
    pub(crate) settings: Settings,
}

/// A key of `sweep`, or the whole of `zip`.
#[derive(Debug)]
pub(crate) struct Axis {
    /// Its names and where they stand.
    pub(crate) names: Vec<(Arc<str>, Place)>,
    choices: Vec<Choice>,
}

/// The axes of one `[[video]]`, in the order of the text.
#[derive(Debug, Default)]
pub(crate) struct Series {
    pub(crate) axes: Vec<Axis>,
}

impl Series {
    /// Reads `sweep`, `zip` or several images; `own` are the settings of the same table, which stands at `table`, and
    /// whether it has a name.
    pub(crate) fn read(
        &mut self,
        entry: &Entry,
        own: (&Settings, bool),
        table: &Place,
        files: &Files,
        found: &mut Findings,
    ) {
        if images::are_several(entry) {
            let Entry { key, key_span, node } = entry.clone();
            let list = match node.value {
                Value::List(_) => node,
                // A single pattern.
                _ => Node::new(node.span, Value::List(vec![node])),
            };
            let axis = self.axis(&Entry { key, key_span, node: list }, own, table, files, found);
            return self.axes.extend(axis);
        }
        let place = &Place::new(entry.node.span, format!("{}.{}", table.key, entry.key));
        let Value::Table(lists) = &entry.node.value else {
            return found.add(wrong_type(&entry.node, place, "a table of lists"));
        };
        let axes: Vec<Axis> = lists.iter().filter_map(|list| self.axis(list, own, place, files, found)).collect();
        if entry.key == "zip" {
            let zipped = axes.into_iter().try_fold(None, |longer: Option<Axis>, axis| match longer {
                None => Ok(Some(axis)),
                Some(first) => first.zip(axis).map(Some),
            });
            self.axes.extend(found.keep(zipped).flatten());
        } else {
            self.axes.extend(axes);
        }
    }

    /// How many videos it makes; `None` beyond any bound.
    pub(crate) fn len(&self) -> Option<usize> {
        let product = self.axes.iter().try_fold(1usize, |videos, axis| videos.checked_mul(axis.choices.len()));
        product.filter(|&videos| videos <= MAX_VIDEOS)
    }

    /// The values of video `index`; the last axis changes fastest.
    pub(crate) fn combination(&self, index: usize) -> Vec<&Choice> {
        let mut rest = index;
        let mut choices: Vec<&Choice> = Vec::with_capacity(self.axes.len());
        for axis in self.axes.iter().rev() {
            choices.push(&axis.choices[rest % axis.choices.len()]);
            rest /= axis.choices.len();
        }
        choices.reverse();
        choices
    }

    /// Its names that are no settings: what comes after its videos can use them as well.
    pub(crate) fn free_names(&self) -> impl Iterator<Item = &Arc<str>> {
        self.names().map(|(name, _)| name).filter(|name| Setting::of(name).is_none())
    }

    /// Its names, in the order of the text.
    pub(crate) fn names(&self) -> impl Iterator<Item = &(Arc<str>, Place)> {
        self.axes.iter().flat_map(|axis| &axis.names)
    }

    /// All values of all axes.
    pub(crate) fn choices(&self) -> impl Iterator<Item = &Choice> {
        self.axes.iter().flat_map(|axis| &axis.choices)
    }

    fn axis(
        &self,
        list: &Entry,
        (own, named): (&Settings, bool),
        place: &Place,
        files: &Files,
        found: &mut Findings,
    ) -> Option<Axis> {
        let name: Arc<str> = list.key.as_str().into();
        let key_place = Place::new(list.key_span, format!("{}.{}", place.key, clipped(&name)));
        let setting = Setting::of(&name);
        let before = found.reported();
        if !is_name(&name) {
            found.add(
                Fault::at(&key_place, format!("{} cannot be a name", quote(&name)))
                    .why("a name is letters, digits, `_` and `-`, at most 40 of them")
                    .help("rename it"),
            );
        } else if ["job", "index", "slug"].contains(&&*name) || (*name == *NAME && named) {
            found.add(
                Fault::at(&key_place, format!("`{name}` cannot be swept"))
                    .why(format!("{{{name}}} in output already means something else"))
                    .help("choose another name"),
            );
        }
        if let Some((_, first)) = self.names().find(|(other, _)| *other == name) {
            let fault = Fault::at(&key_place, format!("`{name}` has two lists"));
            found.add(fault.why("only one can say what it is").help("remove one of them").see(first.span, "also here"));
        }
        if let Some(given) = setting.and_then(|setting| own.place(setting)) {
            let fault = Fault::at(&key_place, format!("`{name}` is both set and in {}", place.key));
            found.add(fault.why("the list would replace the value").help("remove one").see(given.span, "set here"));
        }
        let value_place = Place::new(list.node.span, key_place.key.clone());
        let choices = match &list.node.value {
            Value::List(values) if values.is_empty() => {
                let fault = Fault::at(&value_place, format!("{} is empty", value_place.key));
                found.add(fault.why("no value, no video").help("give it a value, or remove it"));
                return None;
            }
            Value::List(values) => &values[..],
            _ => {
                found.add(wrong_type(&list.node, &value_place, "a list of values"));
                return None;
            }
        };
        let choices =
            choices.iter().filter_map(|value| found.keep(unfold(&name, setting, value, &key_place.key, files)));
        let choices: Vec<Choice> = choices.flatten().collect();
        (found.reported() == before).then(|| Axis { names: vec![(name, key_place)], choices })
    }
}

impl Axis {
    /// Pairs two lists of equal length.
    fn zip(mut self, other: Axis) -> Result<Axis, Fault> {
        let (mine, theirs) = (self.choices.len(), other.choices.len());
        if mine != theirs {
            let ((first, first_place), (name, place)) = (&self.names[0], &other.names[0]);
            let what = format!("`{name}` has {theirs} values and `{first}` has {mine}");
            return Err(Fault::at(place, what)
                .why("zip pairs lists of equal length")
                .help("make them equally long, or use sweep for every combination")
                .see(first_place.span, format!("{mine} values here")));
        }
        for (choice, other) in self.choices.iter_mut().zip(other.choices) {
            choice.words.extend(other.words);
            choice.settings.overlay(&other.settings);
        }
        self.names.extend(other.names);
        Ok(self)
    }
}

/// The choices of one value: itself, or every file its pattern matches.
fn unfold(
    name: &Arc<str>,
    setting: Option<Setting>,
    value: &Node,
    key: &Arc<str>,
    files: &Files,
) -> Result<Vec<Choice>, Fault> {
    match &value.value {
        Value::Text(pattern) if setting.is_some_and(Setting::is_file) && images::is_pattern(pattern) => {
            let paths = images::matching(
                pattern,
                setting == Some(Setting::Video),
                files,
                &Place::new(value.span, key.clone()),
            )?;
            let node = |path: String| Node::new(value.span, Value::Text(path.replace('{', "{{").replace('}', "}}")));
            paths.into_iter().map(|path| choice(name, setting, &node(path), key)).collect()
        }
        _ => Ok(vec![choice(name, setting, value, key)?]),
    }
}

fn choice(name: &Arc<str>, setting: Option<Setting>, value: &Node, key: &Arc<str>) -> Result<Choice, Fault> {
    let place = Place::new(value.span, key.clone());
    if setting.is_some_and(Setting::is_file) && matches!(value.value, Value::Table(_)) {
        return Err(wrong_type(value, &place, "the path of a file").help("write a [[video]] for each frame of a video"));
    }
    let mut settings = Settings::default();
    if let Some(setting) = setting {
        settings.set(setting, value, place.clone())?;
    }
    if setting.is_some_and(Setting::is_file) {
        // The word of a file is its stem, known when the names in its path are replaced.
        return Ok(Choice { words: Vec::new(), settings });
    }
    let word = if setting == Some(Setting::Loras) { loras::word(value) } else { word(value, setting.is_some()) };
    let word = word.ok_or_else(|| wrong_type(value, &place, "a text, a number or a boolean"))?;
    Ok(Choice { words: vec![(name.clone(), word.into())], settings })
}

/// How a value reads inside a prompt or a path; lists and tables only where they make a setting.
fn word(value: &Node, of_setting: bool) -> Option<String> {
    let all = |nodes: Vec<&Node>, between| {
        nodes.into_iter().map(|node| word(node, false)).collect::<Option<Vec<_>>>().map(|words| words.join(between))
    };
    match &value.value {
        Value::Text(text) => Some(text.clone()),
        Value::Integer(number) => Some(number.to_string()),
        Value::Float(number) => Some(number.to_string()),
        Value::Bool(yes) => Some(yes.to_string()),
        Value::List(items) if of_setting => all(items.iter().collect(), "+"),
        Value::Table(entries) if of_setting => all(entries.iter().map(|entry| &entry.node).collect(), "-"),
        _ => None,
    }
}
