//! What is wrong with a manifest: every fault with its place, its reason and its remedy. Drawing them is `render`'s.

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;

use serde::Serialize;

use super::line::one_line;
use super::source::{Position, Source, Span};

/// Faults beyond this many are counted, not kept.
const MAX_KEPT: usize = 100;

/// A key and where it stands.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    pub(crate) span: Span,
    /// Dotted, for example `video[3].sweep.colour`.
    pub(crate) key: Arc<str>,
}

/// A value and where it was written.
#[derive(Debug, Clone)]
pub(crate) struct Placed<T> {
    pub(crate) value: T,
    pub(crate) place: Place,
}

/// One fault. `what` is the fault, `why` explains it at its place, `help` says what to do.
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Fault {
    /// Where; absent when the file as a whole is at fault.
    #[serde(flatten)]
    #[cfg_attr(feature = "openapi", schema(value_type = PositionIfAny))]
    pub at: Option<Position>,
    /// The key, dotted; empty when it is no key's fault.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub key: Arc<str>,
    /// The fault.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub what: Box<str>,
    /// Why it is wrong.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub why: Box<str>,
    /// What to do about it.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub help: Box<str>,
    /// Another place that belongs to it.
    pub related: Option<Box<Related>>,
    #[serde(skip)]
    pub(crate) span: Option<Span>,
    #[serde(skip)]
    hint: Option<Box<Hint>>,
    /// Another that was found with it.
    #[serde(skip)]
    next: Option<Box<Fault>>,
}

/// What few faults have.
#[derive(Debug, Clone, Default)]
struct Hint {
    /// The words that it points at.
    near: Option<Box<str>>,
    /// The file that it is the want of.
    file: Option<Box<str>>,
}

/// The fields of a [`Position`] as they stand in a fault, which may have none.
#[cfg(feature = "openapi")]
#[derive(utoipa::ToSchema)]
#[allow(dead_code, reason = "only its schema is asked for")]
struct PositionIfAny {
    /// Line, from 1.
    line: Option<u32>,
    /// Column in characters, from 1.
    column: Option<u32>,
}

/// A second place of a fault.
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Related {
    /// The position.
    #[serde(flatten)]
    pub at: Position,
    /// What it has to do with the fault.
    pub label: String,
    #[serde(skip)]
    pub(crate) span: Span,
}

/// Everything that is wrong with one manifest, in the order of its lines.
#[derive(Debug)]
pub struct Faults {
    pub(crate) source: Arc<Source>,
    list: Vec<Fault>,
    more: usize,
    files: BTreeSet<Box<str>>,
}

/// Collects faults while a manifest is read.
pub(crate) struct Findings {
    source: Arc<Source>,
    list: Vec<Fault>,
    seen: HashSet<(Option<Span>, Box<str>)>,
    more: usize,
    reported: usize,
    files: BTreeSet<Box<str>>,
}

impl Place {
    pub(crate) fn new(span: Span, key: impl Into<Arc<str>>) -> Self {
        Self { span, key: key.into() }
    }
}

impl Fault {
    /// A fault at a key.
    pub(crate) fn at(place: &Place, what: impl Into<Box<str>>) -> Self {
        Self { span: Some(place.span), key: place.key.clone(), ..Self::of_file(what) }
    }

    /// A fault of the file as a whole.
    pub(crate) fn of_file(what: impl Into<Box<str>>) -> Self {
        Self {
            at: None,
            key: "".into(),
            what: what.into(),
            why: "".into(),
            help: "".into(),
            related: None,
            span: None,
            hint: None,
            next: None,
        }
    }

    pub(crate) fn why(mut self, why: impl Into<Box<str>>) -> Self {
        self.why = why.into();
        self
    }

    pub(crate) fn help(mut self, help: impl Into<Box<str>>) -> Self {
        self.help = help.into();
        self
    }

    /// Points at these words inside the value rather than at all of it.
    pub(crate) fn near(mut self, words: impl Into<Box<str>>) -> Self {
        self.hint.get_or_insert_default().near = Some(words.into());
        self
    }

    /// Names the file, or the pattern of files, that would mend it.
    pub(crate) fn wants(mut self, file: &str) -> Self {
        self.hint.get_or_insert_default().file = Some(file.into());
        self
    }

    /// With those that were found after it.
    fn and(mut self, others: Option<Fault>) -> Self {
        // One that is a list of several itself is short.
        let mut last = &mut self.next;
        while let Some(next) = last {
            last = &mut next.next;
        }
        *last = others.map(Box::new);
        self
    }

    /// Several as one; `None` of none.
    pub(crate) fn all(faults: Vec<Fault>) -> Option<Self> {
        faults.into_iter().rev().fold(None, |next, fault| Some(fault.and(next)))
    }

    /// Names a second place.
    pub(crate) fn see(mut self, span: Span, label: impl Into<String>) -> Self {
        let at = Position { line: 0, column: 0 };
        self.related = Some(Box::new(Related { at, label: label.into(), span }));
        self
    }
}

impl Faults {
    /// The faults that were kept: the first hundred.
    pub fn iter(&self) -> impl Iterator<Item = &Fault> {
        self.list.iter()
    }

    /// How many there are, with those that were only counted.
    pub fn count(&self) -> usize {
        self.list.len() + self.more
    }

    /// The files, and patterns of files, that it names and came without.
    pub fn files(&self) -> impl Iterator<Item = &str> {
        self.files.iter().map(|name| &**name)
    }

    /// What messages call the file.
    pub fn file(&self) -> &str {
        &self.source.name
    }

    /// For `--json`: `{"file", "count", "faults": [{"line", "column", "key", "what", "why", "help", "related"}]}`.
    pub fn to_json(&self) -> serde_json::Value {
        serde_json::json!({ "file": self.file(), "count": self.count(), "faults": self.list })
    }
}

impl Findings {
    pub(crate) fn new(source: Arc<Source>) -> Self {
        Self { source, list: Vec::new(), seen: HashSet::new(), more: 0, reported: 0, files: BTreeSet::new() }
    }

    /// Keeps a fault and those found with it, each once per place and wording.
    pub(crate) fn add(&mut self, mut fault: Fault) {
        let next = fault.next.take();
        self.add_one(fault);
        if let Some(next) = next {
            self.add(*next);
        }
    }

    fn add_one(&mut self, mut fault: Fault) {
        self.reported += 1;
        let Hint { near, file } = fault.hint.take().map(|hint| *hint).unwrap_or_default();
        // Also of faults that are only counted.
        self.files.extend(file);
        if let (Some(span), Some(words)) = (fault.span, near) {
            fault.span = Some(self.source.narrow(span, &words));
        }
        if self.list.len() >= MAX_KEPT {
            self.more += 1;
            return;
        }
        if !self.seen.insert((fault.span, fault.what.clone())) {
            return;
        }
        fault.at = fault.span.map(|span| self.source.position(span.start));
        if let Some(related) = &mut fault.related {
            related.at = self.source.position(related.span.start);
        }
        self.list.push(fault);
    }

    /// Keeps the fault of a failed reading.
    pub(crate) fn keep<T>(&mut self, result: Result<T, Fault>) -> Option<T> {
        result.map_err(|fault| self.add(fault)).ok()
    }

    /// How many faults were reported so far, repeated ones included; it never shrinks.
    pub(crate) fn reported(&self) -> usize {
        self.reported
    }

    /// `value` if nothing was found.
    pub(crate) fn conclude<T>(mut self, value: Option<T>) -> Result<T, Faults> {
        match value {
            Some(value) if self.reported == 0 => Ok(value),
            _ => {
                self.list.sort_by_key(|fault| fault.span);
                Err(Faults { source: self.source, list: self.list, more: self.more, files: self.files })
            }
        }
    }
}

/// A piece of the manifest for a message.
pub(crate) fn quote(text: &str) -> String {
    format!("`{}`", clipped(text))
}

/// The beginning of a text, on one line; what nobody sees in it is marked.
pub(crate) fn clipped(text: &str) -> String {
    const MAX_CHARS: usize = 100;
    let marked: String =
        text.chars().take(MAX_CHARS + 1).map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect();
    one_line(&marked, MAX_CHARS).into_owned()
}

/// A remedy for a word that is none of `known`: the nearest one, or all of them.
pub(crate) fn suggest<'k>(word: &str, known: impl IntoIterator<Item = &'k str>) -> String {
    let known: Vec<&str> = known.into_iter().collect();
    near(word, known.iter().copied()).unwrap_or_else(|| format!("the known ones are {}", known.join(", ")))
}

/// A remedy for a word that one of `known` is near to.
pub fn near<'k>(word: &str, known: impl IntoIterator<Item = &'k str>) -> Option<String> {
    // A longer word is no slip of the finger, and the distance costs time and memory.
    let word = Some(word).filter(|word| word.len() <= 40)?.to_lowercase();
    let distances = known.into_iter().map(|known| (strsim::damerau_levenshtein(&word, known), known));
    let close = distances.filter(|(distance, known)| *distance <= known.chars().count().div_ceil(3));
    close.min_by_key(|(distance, _)| *distance).map(|(_, nearest)| format!("did you mean `{nearest}`?"))
}

#[cfg(test)]
mod tests {
    use super::super::files::Files;
    use super::super::source::Syntax;
    use super::*;

    #[test]
    fn slips_of_the_finger_find_the_word() {
        let known = ["steps", "shift", "seed", "guidance", "fps"];
        assert_eq!(suggest("step", known), "did you mean `steps`?");
        assert_eq!(suggest("SEDE", known), "did you mean `seed`?");
        assert_eq!(suggest("guidence", known), "did you mean `guidance`?");
        assert_eq!(suggest("colour", known), "the known ones are steps, shift, seed, guidance, fps");
        assert!(suggest(&"s".repeat(1 << 20), known).starts_with("the known ones"));
        assert_eq!(near("x", []), None);
    }

    #[test]
    fn one_fault_is_kept_once_and_many_are_counted() {
        let source = Arc::new(Source::new("m.toml", Syntax::Toml, &"x\n".repeat(300), Files::None));
        let mut found = Findings::new(source.clone());
        for line in (0..300).rev() {
            for _ in 0..2 {
                found.add(Fault::at(&Place::new(Span::new(line * 2..line * 2 + 1), "x"), "bad"));
            }
        }
        let faults = found.conclude(Some(())).unwrap_err();
        assert_eq!(faults.iter().count(), MAX_KEPT);
        assert!(faults.count() >= 300);
        let lines: Vec<_> = faults.iter().map(|fault| fault.at.map(|at| at.line)).collect();
        assert!(lines.is_sorted());
    }

    #[test]
    fn quotes_fit_a_line() {
        assert_eq!(quote("a\u{1b}[31m\n"), "`a\u{fffd}[31m\u{fffd}`");
        assert!(quote(&"é".repeat(1000)).chars().count() < 110);
    }
}
