//! The film that a video ends: the mp4 files of its chain one after the other, each as it was written.

use std::path::Path;

use wanfarm_media::Part;
use wanfarm_types::Format;

use super::record::{Print, print};

/// A film to be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Film {
    /// Below the output directory.
    pub path: String,
    /// The videos before the one that ends it, in order.
    pub before: Vec<FilmPart>,
}

/// A video of a film.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FilmPart {
    /// Its mp4 file, below the output directory.
    pub path: String,
    /// That file as it was written; `None`: it never was.
    pub print: Option<Print>,
    /// How many of its frames are shown, from the first on; `None`: all.
    pub frames: Option<u32>,
}

impl Film {
    /// What it is made of. `own`: the file of the video that ends it, wherever that lies now.
    pub(super) fn parts(&self, root: &Path, own: &Path) -> Vec<Part> {
        let before = self.before.iter().map(|part| Part { path: root.join(&part.path), frames: part.frames });
        before.chain([Part { path: own.to_owned(), frames: None }]).collect()
    }

    /// The sidecar's note on it.
    pub(super) fn told(&self, output: &str) -> String {
        let part = |part: &FilmPart| match part.frames {
            Some(frames) => format!("{} (its first {frames} frames)", part.path),
            None => part.path.clone(),
        };
        let parts = self.before.iter().map(part).chain([wanfarm_manifest::path_of(output, Format::Mp4)]);
        format!("joined from {}", parts.collect::<Vec<_>>().join(", "))
    }
}

/// Reads the files of a film through: a film shows what was rendered, and nothing that came in its place. Says what is
/// wrong with the first that is not as it was written. Blocks.
pub(super) fn check(film: &Film, root: &Path) -> Result<(), String> {
    for part in &film.before {
        let found = print(&root.join(&part.path));
        let why = match (found, part.print) {
            (Ok(found), Some(written)) if found == written => continue,
            (Ok(_), Some(_)) => "is no longer what was written there".to_owned(),
            (Ok(_), None) => "was not written by this job".to_owned(),
            (Err(error), _) => format!("cannot be read: {error}"),
        };
        return Err(format!(
            "{} cannot be joined: {} {why}; put that file back, or render its video again, and retry",
            film.path, part.path
        ));
    }
    Ok(())
}
