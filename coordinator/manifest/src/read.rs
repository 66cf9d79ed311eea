//! A manifest, read: from text to drafts of videos, all its faults at once. Nothing is half-read.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use wanfarm_types::{About, ModelInfo, VideoRequest};
use wanfarm_weights::model_name;

use super::about;
use super::chance::Draw;
use super::check::Context;
use super::draft::Draft;
use super::drafting::{self, Drafting};
use super::fault::{Fault, Faults, Findings, Place, clipped, suggest};
use super::files::{Files, GivenFile, LocalFile};
use super::front;
use super::images::ImageFile;
use super::keys::{self, FILES, Setting};
use super::loras::LoraFile;
use super::names::component_fault;
use super::node::{Entry, Node, Value};
use super::settings::Settings;
use super::source::{Source, Span, Syntax};
use super::values::{text, unknown_key, whole, wrong_type};
use crate::job::{Submission, Taken};

const TOP: [&str; 3] = ["job", "defaults", "video"];

/// A manifest without a fault of its own. What depends on the model is decided by [`Manifest::check`].
#[derive(Debug)]
pub struct Manifest {
    /// Name of the job.
    pub name: String,
    /// Name of the model.
    pub model: String,
    /// 0 to 100; higher goes first.
    pub priority: u32,
    /// The first, the last and the middle video go first.
    pub early_look: bool,
    /// Whose it is, and by what it is found again.
    pub about: About,
    /// The image files and clips that its videos start from, each once.
    pub images: Vec<ImageFile>,
    /// The LoRA files that its videos name, each once.
    pub loras: Vec<LoraFile>,
    /// What seeds that are left to chance are drawn by: at first one that nobody has had.
    pub draw: Draw,
    pub(super) drafts: Vec<Draft>,
    pub(super) source: Arc<Source>,
}

/// `[job]`, and what it holds for every video.
struct Job {
    name: String,
    model: String,
    priority: u32,
    early_look: bool,
    about: About,
    settings: Settings,
}

impl Manifest {
    /// Reads a file by its extension, or for `-` standard input in any syntax.
    ///
    /// # Errors
    /// Every fault at once.
    pub fn read(path: &Path) -> Result<Self, Faults> {
        Self::read_with(path, None)
    }

    /// As [`Self::read`], with its files below another folder than its own.
    ///
    /// # Errors
    /// Every fault at once.
    pub fn read_with(path: &Path, folder: Option<&Path>) -> Result<Self, Faults> {
        match Source::read(path) {
            Ok(source) => Self::from_source(match folder {
                Some(folder) => source.with_files(Files::Folder(folder.to_owned())),
                None => source,
            }),
            Err(why) => {
                let nothing = Source::new(&path.display().to_string(), Syntax::Toml, "", Files::None);
                let mut found = Findings::new(Arc::new(nothing));
                let fault = Fault::of_file(format!("cannot read the manifest {}", path.display()));
                found.add(fault.why(why.to_string()).help(why.help()));
                found.conclude(None)
            }
        }
    }

    /// Reads a text. `name` stands in messages; images are looked for below `base`, and refused without one.
    ///
    /// # Errors
    /// Every fault at once.
    pub fn parse(name: &str, syntax: Syntax, text: &str, base: Option<&Path>) -> Result<Self, Faults> {
        Self::from_source(Source::new(name, syntax, text, base.into()))
    }

    /// Reads a text that came with files, by the names that it has for them.
    ///
    /// # Errors
    /// Every fault at once.
    pub fn parse_with(
        name: &str,
        syntax: Syntax,
        text: &str,
        given: BTreeMap<String, GivenFile>,
    ) -> Result<Self, Faults> {
        Self::from_source(Source::new(name, syntax, text, Files::Given(given)))
    }

    /// The videos as a coordinator takes them, checked against the model if it is known.
    ///
    /// # Errors
    /// Every fault at once.
    pub fn check(&self, info: Option<&ModelInfo>) -> Result<Vec<VideoRequest>, Faults> {
        let mut found = Findings::new(self.source.clone());
        let Self { name: job, model, images, loras, draw, .. } = self;
        let context = Context { job, model, images, loras, info, draw: *draw, preset_may_follow: false };
        let requests = context.requests(&self.drafts, &mut found);
        found.conclude(Some(requests))
    }

    /// What is handed to a coordinator: these videos, under a key of the client's own, and what is to become of those
    /// whose names are taken.
    pub fn submission(&self, client_key: String, taken: Taken, videos: Vec<VideoRequest>) -> Submission {
        Submission {
            client_key,
            name: self.name.clone(),
            model: self.model.clone(),
            priority: self.priority,
            early_look: self.early_look,
            taken,
            videos,
        }
    }

    /// All files of this machine that its videos name.
    pub fn files(&self) -> Vec<LocalFile> {
        let image = |ImageFile { image, path }: &ImageFile| LocalFile {
            path: path.clone(),
            blake3: image.digest,
            bytes: image.bytes,
        };
        let lora = |lora: &LoraFile| LocalFile { path: lora.path.clone(), blake3: lora.blake3, bytes: lora.bytes };
        self.images.iter().map(image).chain(self.loras.iter().map(lora)).collect()
    }

    /// True when some of its videos start from frames of others.
    pub fn has_chains(&self) -> bool {
        self.drafts.iter().any(|draft| draft.follows != [None; 3])
    }

    /// True when it leaves the seeds of some of its videos to chance.
    pub fn draws_seeds(&self) -> bool {
        self.drafts.iter().any(|draft| draft.settings.is_left_to_chance(Setting::Seed))
    }

    /// How many videos it asks for.
    pub fn videos(&self) -> usize {
        self.drafts.len()
    }

    /// The line of the `[[video]]` table that video `index` comes from.
    pub fn line_of(&self, index: usize) -> Option<u32> {
        self.drafts.get(index).map(|draft| self.source.position(draft.place.span.start).line)
    }

    fn from_source(source: Source) -> Result<Self, Faults> {
        let source = Arc::new(source);
        let mut found = Findings::new(source.clone());
        let root = match front::parse(&source) {
            Ok(root) => root,
            Err(faults) => {
                for fault in faults {
                    found.add(
                        Fault::at(&Place::new(fault.span, ""), format!("this is not {}", source.syntax.name()))
                            .why(clipped(&fault.what))
                            .help("mend this first; the rest of the file is read after that"),
                    );
                }
                return found.conclude(None);
            }
        };
        let [job, defaults, videos] = top(&root, &mut found);
        let job = job.map(|entry| read_job(entry, &source, &mut found));
        let mut below = job.as_ref().map(|job| job.settings.clone()).unwrap_or_default();
        if let Some(entry) = defaults {
            let place = Place::new(entry.node.span, "defaults");
            let (settings, rest) = drafting::settings(&entry.node, &place, &["sweep", "zip"], &mut found);
            for entry in rest {
                let fault = Fault::at(&Place::new(entry.key_span, "defaults"), format!("{} in [defaults]", entry.key));
                found.add(fault.why("it makes several videos out of one").help("move it into a [[video]]"));
            }
            for (_, place) in FILES.iter().filter_map(|setting| settings.frame_from(*setting)) {
                let fault = Fault::at(place, format!("{} is a frame of a video", place.key));
                found.add(fault.why("that video would need a frame of itself").help("move it into a [[video]]"));
            }
            below.overlay(&settings);
        }
        let mut drafting = Drafting::new(&mut found, &below, &source.files);
        match videos.map(|entry| &entry.node) {
            Some(Node { value: Value::List(tables), .. }) => {
                for (index, table) in tables.iter().enumerate() {
                    drafting.take(table, Place::new(table.span, format!("video[{index}]")));
                }
            }
            Some(other) => {
                let place = Place::new(other.span, "video");
                drafting
                    .found
                    .add(wrong_type(other, &place, "a list of tables").help("write [[video]], in brackets twice"));
            }
            None => {}
        }
        let (drafts, images, loras) = drafting.finish();
        let Some(Job { name, model, priority, early_look, about, .. }) = job else { return found.conclude(None) };
        let (images, loras) = (images.list, loras.list);
        let draw = Draw::fresh();
        let (job, of_model) = (&name, &model);
        let context =
            Context { job, model: of_model, images: &images, loras: &loras, info: None, draw, preset_may_follow: true };
        context.requests(&drafts, &mut found);
        found.conclude(Some(Self { name, model, priority, early_look, about, images, loras, draw, drafts, source }))
    }
}

/// The entries of the root: job, defaults, video.
fn top<'n>(root: &'n Node, found: &mut Findings) -> [Option<&'n Entry>; 3] {
    let mut entries = [None; 3];
    let whole = Place::new(Span::new(0..0), "");
    let Value::Table(given) = &root.value else {
        found.add(
            Fault::at(&whole, format!("the manifest is {}", root.kind()))
                .why("it has job and video at its top")
                .help("begin with a job that names a model"),
        );
        return entries;
    };
    for entry in given {
        match TOP.iter().position(|name| *name == entry.key) {
            Some(at) => entries[at] = Some(entry),
            None => found.add(
                Fault::at(&Place::new(entry.key_span, clipped(&entry.key)), unknown_key(&entry.key))
                    .why("the top level has job, defaults and video")
                    .help(suggest(&entry.key, TOP)),
            ),
        }
    }
    if entries[0].is_none() {
        let fault = Fault::at(&whole, "the manifest has no job");
        found.add(fault.why("nothing says which model renders it").help("add [job] with model = \"…\""));
    }
    let none = |entry: &Entry| matches!(&entry.node.value, Value::List(videos) if videos.is_empty());
    if entries[2].is_none_or(none) {
        let fault = Fault::at(&whole, "the manifest has no video");
        found.add(fault.why("there is nothing to render").help("add [[video]] with prompt = \"…\""));
    }
    entries
}

fn read_job(entry: &Entry, source: &Source, found: &mut Findings) -> Job {
    let place = Place::new(entry.node.span, "job");
    let output = Node::new(Span::new(0..0), Value::Text(keys::DEFAULT_OUTPUT.to_owned()));
    let mut settings = Settings::default();
    found.keep(settings.set(Setting::Output, &output, Place::new(output.span, "job.output")));
    let (name, model, priority) = (String::new(), String::new(), keys::DEFAULT_PRIORITY);
    let mut job = Job { name, model, priority, early_look: false, about: About::default(), settings };
    let Value::Table(entries) = &entry.node.value else {
        found.add(wrong_type(&entry.node, &place, "a table"));
        return job;
    };
    for Entry { key, key_span, node } in entries {
        let place = Place::new(node.span, format!("job.{}", clipped(key)));
        match (key.as_str(), Setting::of(key)) {
            ("name", _) => job.name = found.keep(word(node, &place)).unwrap_or("job".into()),
            ("model", _) => job.model = model_name(&found.keep(word(node, &place)).unwrap_or("model".into())),
            ("priority", _) => {
                let priority = found.keep(whole(node, &place, &keys::PRIORITY)).and_then(|value| value.try_into().ok());
                job.priority = priority.unwrap_or(keys::DEFAULT_PRIORITY);
            }
            ("early_look", _) => match node.value {
                Value::Bool(wanted) => job.early_look = wanted,
                _ => found.add(wrong_type(node, &place, "true or false")),
            },
            (key, _) if about::KEYS.contains(&key) => {
                found.keep(about::say(&mut job.about, key, node, &place));
            }
            (_, Some(setting @ (Setting::Output | Setting::Formats))) => {
                found.keep(job.settings.set(setting, node, place));
            }
            (_, setting) => {
                let fault = Fault::at(&Place::new(*key_span, place.key), unknown_key(key)).why("[job] has no such key");
                found.add(fault.help(match setting {
                    Some(setting) => format!("move {} to [defaults] or a [[video]]", setting.name()),
                    None => suggest(key, keys::JOB.map(|(name, _)| name)),
                }));
            }
        }
    }
    if job.name.is_empty() {
        job.name = source.stem().to_owned();
        if let Some(why) = component_fault(&job.name) {
            let fault = Fault::at(&place, "the job has no name").why(format!("the file's cannot stand in: {why}"));
            found.add(fault.help("add name = \"…\""));
        }
    }
    if job.model.is_empty() {
        let fault = Fault::at(&place, "the job names no model");
        found.add(fault.why("nothing says which model renders it").help("add model = \"…\", as workers serve it"));
    }
    job
}

/// A name that is a folder's name somewhere: the job's among the outputs, the model's among the models.
fn word(node: &Node, place: &Place) -> Result<String, Fault> {
    let name = text(node, place)?;
    match component_fault(name) {
        None => Ok(name.to_owned()),
        Some(why) => Err(Fault::at(place, format!("{} cannot be a folder's name", place.key))
            .why(why)
            .help("use letters, digits, spaces, `-`, `_` and `.`")),
    }
}
