//! `loras`: the LoRA files that videos name, with strength and expert. Each file is looked at once, and once
//! more for each expert of a model that is known; its numbers are the worker's to read.

use std::collections::HashMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use wanfarm_types::{Digest, Expert, LoraRef, MAX_LORA_BYTES, MAX_STRENGTH, ModelInfo};
use wanfarm_weights::lora::LoraContents;

use super::fault::{Fault, Place, clipped, quote, suggest};
use super::files::Files;
use super::images::lacks;
use super::names::component_fault;
use super::node::{Node, Value};
use super::values::{LoraEntry, empty, number, text, unknown_key, unknown_word, wrong_type};

/// Most of one video: each is added to every matrix.
pub(crate) const MAX_LORAS: usize = 16;
/// The keys of an entry and what they mean.
pub(crate) const KEYS: [(&str, &str); 3] = [
    ("path", "A safetensors file, relative to the manifest."),
    ("strength", "What its differences are multiplied by; 1 without it, 0 leaves it out."),
    ("expert", "The expert it is for, of models with two; without it, both."),
];
/// The words of `expert`.
pub(crate) const EXPERTS: [&str; 2] = [Expert::High.name(), Expert::Low.name()];

/// A LoRA file of this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoraFile {
    /// Its name without its folder.
    pub name: String,
    /// BLAKE3 of what it was when it was looked at.
    pub blake3: Digest,
    /// Length in bytes.
    pub bytes: u64,
    /// The path of the file.
    pub path: PathBuf,
}

/// The LoRA files of a manifest, in the order in which they were first named.
#[derive(Debug, Default)]
pub(crate) struct Loras {
    pub(crate) list: Vec<LoraFile>,
    looked_at: HashMap<PathBuf, Result<usize, String>>,
}

impl LoraFile {
    /// As a video names it.
    pub(crate) fn at(&self, wanted: &LoraEntry) -> LoraRef {
        let LoraEntry { strength, expert, .. } = *wanted;
        LoraRef { name: self.name.clone(), blake3: self.blake3, bytes: self.bytes, strength, expert }
    }
}

impl Loras {
    /// The files of a video's entries, each once per expert.
    pub(crate) fn find(&mut self, wanted: &[LoraEntry], files: &Files) -> Result<Vec<LoraRef>, Fault> {
        let (mut found, mut faults) = (Vec::<LoraRef>::new(), Vec::new());
        for wanted in wanted {
            match self.look_at(wanted, files) {
                Ok(lora) if found.iter().any(|other| other.repeats(&lora)) => faults.push(
                    Fault::at(&wanted.place, format!("{} is there twice for one expert", quote(&wanted.path)))
                        .why("its differences would be added twice")
                        .help("name it once, with the strengths added"),
                ),
                Ok(lora) => found.push(lora),
                Err(fault) => faults.push(fault),
            }
        }
        Fault::all(faults).map_or(Ok(found), Err)
    }

    fn look_at(&mut self, wanted: &LoraEntry, files: &Files) -> Result<LoraRef, Fault> {
        let path = files.locate(&wanted.path).ok_or_else(|| lacks(files, &wanted.path, &wanted.place))?;
        if !self.looked_at.contains_key(&path) {
            let seen = look(&path, Path::new(&wanted.path), files.digest(&wanted.path)).map(|file| {
                self.list.push(file);
                self.list.len() - 1
            });
            self.looked_at.insert(path.clone(), seen);
        }
        let seen = self.looked_at.get(&path).cloned().unwrap_or_else(|| Err("it was not looked at".into()));
        let file = seen.and_then(|index| self.list.get(index).ok_or_else(|| "it was not kept".to_owned()));
        file.map(|file| file.at(wanted)).map_err(|why| {
            unusable(wanted).why(why).help(format!(
                "paths are relative to the manifest, so it is {}; LoRAs are safetensors files",
                quote(&files.shown(&wanted.path))
            ))
        })
    }
}

/// How the files of a manifest suit a model: each is looked at once for each expert.
pub(crate) struct Fits<'a> {
    pub(crate) info: &'a ModelInfo,
    files: &'a [LoraFile],
    known: HashMap<(Digest, Expert), Result<Option<String>, String>>,
}

impl<'a> Fits<'a> {
    pub(crate) fn new(files: &'a [LoraFile], info: &'a ModelInfo) -> Self {
        Self { info, files, known: HashMap::new() }
    }

    /// What of a file is left out, if it can be used for the experts that it is for.
    pub(crate) fn of(&mut self, lora: &LoraRef) -> Result<Option<String>, String> {
        let mut remark = None;
        for expert in self.info.denoisers().iter().filter(|expert| lora.strength != 0.0 && lora.is_for(**expert)) {
            let (info, files) = (self.info, self.files);
            let fits = self.known.entry((lora.blake3, *expert)).or_insert_with(|| {
                let file = files.iter().find(|file| file.blake3 == lora.blake3).ok_or("it was not looked at")?;
                LoraContents::open(&file.path)
                    .and_then(|contents| contents.check(&info.transformer, *expert))
                    .map_err(|error| error.why())
            });
            remark = remark.or(fits.clone()?);
        }
        Ok(remark)
    }
}

/// The fault of a file that cannot be used.
pub(crate) fn unusable(wanted: &LoraEntry) -> Fault {
    Fault::at(&wanted.place, format!("cannot use the LoRA {}", quote(&wanted.path)))
}

/// Reads a list of paths, or of tables with strength and expert.
pub(crate) fn read(node: &Node, place: &Place) -> Result<Arc<[LoraEntry]>, Fault> {
    let Value::List(items) = &node.value else { return Err(wrong_type(node, place, "a list of LoRA files")) };
    if items.len() > MAX_LORAS {
        return Err(Fault::at(place, format!("{} names {} files", place.key, items.len()))
            .why(format!("a video has at most {MAX_LORAS}"))
            .help("merge some of them into one file"));
    }
    let (mut wanted, mut faults) = (Vec::new(), Vec::new());
    for (index, item) in items.iter().enumerate() {
        match entry(item, Place::new(item.span, format!("{}[{index}]", place.key))) {
            Ok(entry) => wanted.push(entry),
            Err(fault) => faults.push(fault),
        }
    }
    Fault::all(faults).map_or_else(|| Ok(wanted.into()), Err)
}

fn entry(node: &Node, place: Place) -> Result<LoraEntry, Fault> {
    let entries = match &node.value {
        Value::Text(_) => return Ok(LoraEntry { path: path(node, &place)?, strength: 1.0, expert: None, place }),
        Value::Table(entries) => entries,
        _ => return Err(wrong_type(node, &place, "a path, or { path, strength, expert }")),
    };
    let (mut file, mut strength, mut expert, mut faults) = (None, 1.0, None, Vec::new());
    for entry in entries {
        let at = Place::new(entry.node.span, format!("{}.{}", place.key, clipped(&entry.key)));
        let read = match entry.key.as_str() {
            "path" => path(&entry.node, &at).map(|path| file = Some(path)),
            "strength" => number(&entry.node, &at, -MAX_STRENGTH, false, MAX_STRENGTH).map(|value| strength = value),
            "expert" => text(&entry.node, &at).and_then(|word| {
                let known = [Expert::High, Expert::Low].into_iter().find(|expert| expert.name() == word);
                expert = Some(known.ok_or_else(|| unknown_word(&at, word, &EXPERTS))?);
                Ok(())
            }),
            other => Err(Fault::at(&Place::new(entry.key_span, at.key.clone()), unknown_key(other))
                .why("a LoRA has path, strength and expert")
                .help(suggest(other, KEYS.map(|(name, _)| name)))),
        };
        faults.extend(read.err());
    }
    if !entries.iter().any(|entry| entry.key == "path") {
        let fault = Fault::at(&place, format!("{} names no file", place.key)).why("a LoRA is a safetensors file");
        faults.push(fault.help("add path = \"…\", relative to the manifest"));
    }
    match (file, Fault::all(faults)) {
        (Some(path), None) => Ok(LoraEntry { path, strength, expert, place }),
        (_, Some(fault)) => Err(fault),
        (None, None) => Err(empty(&place)),
    }
}

fn path(node: &Node, place: &Place) -> Result<String, Fault> {
    let path = text(node, place)?;
    if path.trim().is_empty() { Err(empty(place)) } else { Ok(path.to_owned()) }
}

/// How a list of entries reads inside a prompt or a path: `film-0.8+grain`, or `none`.
pub(crate) fn word(node: &Node) -> Option<String> {
    let Value::List(items) = &node.value else { return None };
    let stem = |path: &str| Path::new(path).file_stem().map(|stem| stem.to_string_lossy().into_owned());
    let one = |item: &Node| match &item.value {
        Value::Text(path) => stem(path),
        Value::Table(entries) => {
            let of = |name: &str| entries.iter().find(|entry| entry.key == name).map(|entry| &entry.node.value);
            let Some(Value::Text(path)) = of("path") else { return None };
            let mut word = stem(path)?;
            match of("strength") {
                Some(Value::Float(strength)) => word += &format!("-{strength}"),
                Some(Value::Integer(strength)) => word += &format!("-{strength}"),
                _ => {}
            }
            if let Some(Value::Text(expert)) = of("expert") {
                word += &format!("-{expert}");
            }
            Some(word)
        }
        _ => None,
    };
    let words = items.iter().map(one).collect::<Option<Vec<_>>>()?;
    Some(if words.is_empty() { "none".to_owned() } else { words.join("+") })
}

/// Looks at a file that is called `named`; one whose digest is known is not read whole.
fn look(path: &Path, named: &Path, known: Option<Digest>) -> Result<LoraFile, String> {
    let io = |error: std::io::Error| error.to_string();
    let about = std::fs::metadata(path).map_err(io)?;
    if !about.is_file() {
        return Err("it is not a regular file".into());
    }
    let bytes = about.len();
    if bytes > MAX_LORA_BYTES {
        return Err(format!("it is larger than {} GiB", MAX_LORA_BYTES >> 30));
    }
    let name = named.file_name().and_then(|name| name.to_str()).ok_or("its name is not UTF-8")?.to_owned();
    if let Some(why) = component_fault(&name) {
        return Err(format!("its name cannot be one everywhere: {why}"));
    }
    LoraContents::open(path).map_err(|error| error.why())?;
    if let Some(blake3) = known {
        return Ok(LoraFile { name, blake3, bytes, path: path.to_owned() });
    }
    let mut file = File::open(path).map_err(io)?;
    let mut hasher = blake3::Hasher::new();
    hasher.update_reader(&mut file).map_err(io)?;
    let blake3 = Digest(*hasher.finalize().as_bytes());
    if hasher.count() != bytes {
        return Err("it is being written; try again when it is whole".into());
    }
    Ok(LoraFile { name, blake3, bytes, path: path.to_owned() })
}
