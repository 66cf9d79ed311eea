//! A video as far as the manifest alone decides it.

use wanfarm_types::{Distilled, LoraRef, SolverKind, Swept};

use super::fault::Place;
use super::series::Word;
use super::settings::Settings;

/// The draft that a video starts from, the one that it ends at and the one that it is made of, each by its place in its table.
pub(crate) type Follows = [Option<usize>; 3];

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
    /// What other videos call it.
    pub(crate) name: Option<String>,
    /// Places in the list of images: of the first frame, of the last.
    pub(crate) images: [Option<usize>; 2],
    /// Place in that list of the clip that it is made from.
    pub(crate) clip: Option<usize>,
    /// The drafts that it needs frames of.
    pub(crate) follows: Follows,
    /// With the files they name.
    pub(crate) loras: Vec<LoraRef>,
    /// False for the stand-in of a table with faults, kept so that its sizes are checked too.
    pub(crate) whole: bool,
}

impl Draft {
    /// The first of its LoRA files that is known to be distilled, and as what.
    pub(crate) fn distilled(&self) -> Option<(&str, &'static Distilled)> {
        let loras = self.settings.loras().iter().filter(|lora| lora.strength != 0.0);
        loras.map(|lora| lora.path.as_str()).find_map(|path| Some((path, Distilled::of(path)?)))
    }

    /// The solver that it names, or that its LoRA files are for.
    pub(crate) fn solver(&self) -> Option<SolverKind> {
        self.settings.solver().or_else(|| self.distilled()?.1.solver())
    }
}
