//! Records of written files, and whether the files still match them.
//!
//! Files are hashed by reading them: one that is cut short under a memory map would end the process.

#![expect(clippy::disallowed_methods, reason = "reads on a thread of its own")]

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use wanfarm_types::{Digest, Excerpt, FileState, frame_name};

/// Length and digest of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Print {
    pub bytes: u64,
    pub blake3: Digest,
}

/// A file, or a folder of frames, as it was written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Written {
    /// Below the job's output directory, with `/`.
    pub path: String,
    #[serde(flatten)]
    pub content: Content,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Content {
    /// One file.
    File(Print),
    /// A folder of numbered frames, in order.
    Frames(Vec<Print>),
}

/// What other videos need of one, and the file that it is kept as.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeptExcerpt {
    /// Which frames.
    pub excerpt: Excerpt,
    /// Digest of the file.
    pub file: Digest,
}

/// The state of a video's files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Fate {
    /// All are as written.
    Whole,
    /// Some are not there; the others are as they were written.
    Missing,
    /// This path holds something else, or cannot be read.
    Changed(String),
}

/// What exists at a path to be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    Nothing,
    /// A file of these records, or part of one.
    Recorded,
    Other,
}

impl Written {
    /// How many files it is.
    pub fn count(&self) -> usize {
        match &self.content {
            Content::File(_) => 1,
            Content::Frames(frames) => frames.len(),
        }
    }

    /// Its files, each with its path below the output directory.
    pub fn files(&self) -> Vec<(String, Print)> {
        match &self.content {
            Content::File(print) => vec![(self.path.clone(), *print)],
            Content::Frames(frames) => {
                let path = |index| format!("{}/{}", self.path, frame_name(index));
                frames.iter().enumerate().map(|(index, print)| (path(index), *print)).collect()
            }
        }
    }
}

/// Reads a file through.
///
/// # Errors
/// When it cannot be read, or is no file.
pub(crate) fn print(path: &Path) -> io::Result<Print> {
    let file = File::open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::other("it is no file"));
    }
    let mut hasher = blake3::Hasher::new();
    hasher.update_reader(file)?;
    Ok(Print { bytes: hasher.count(), blake3: Digest(*hasher.finalize().as_bytes()) })
}

/// What has become of a file; never through a link. Without `reading`, its length has to do.
pub(crate) fn state(path: &Path, written: &Print, reading: bool) -> FileState {
    let looked = fs::symlink_metadata(path).and_then(|stands| {
        if !stands.is_file() || stands.len() != written.bytes {
            return Ok(FileState::Damaged);
        }
        let same = !reading || print(path)? == *written;
        Ok(if same { FileState::Whole } else { FileState::Damaged })
    });
    looked.unwrap_or_else(|error| match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => FileState::Missing,
        _ => FileState::Unreadable,
    })
}

/// The state of a video's files, all of which are read.
pub(crate) fn fate(root: &Path, written: &[Written]) -> Fate {
    let mut fate = Fate::Whole;
    for (path, print) in written.iter().flat_map(Written::files) {
        match state(&root.join(&path), &print, true) {
            FileState::Whole => {}
            FileState::Missing => fate = Fate::Missing,
            FileState::Damaged | FileState::Unreadable | FileState::Replaced | FileState::Unknown => {
                return Fate::Changed(path);
            }
        }
    }
    fate
}

/// What exists at a path of these records.
pub(super) fn standing(path: &Path, records: &[&Written]) -> io::Result<Standing> {
    let stands = match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Standing::Nothing),
        stands => stands?,
    };
    for record in records {
        let same = match &record.content {
            Content::File(written) => stands.is_file() && state(path, written, true) == FileState::Whole,
            Content::Frames(frames) => stands.is_dir() && holds_only(path, frames)?,
        };
        if same {
            return Ok(Standing::Recorded);
        }
    }
    Ok(Standing::Other)
}

fn holds_only(folder: &Path, frames: &[Print]) -> io::Result<bool> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name();
        let place = name.to_str().and_then(|name| name.strip_suffix(".png")?.parse::<usize>().ok());
        let written = place.filter(|place| *name == *frame_name(*place)).and_then(|place| frames.get(place));
        if !written.is_some_and(|written| state(&entry.path(), written, true) == FileState::Whole) {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Size and digest of a file, or of all files of a folder in order of name; and those of each.
pub(super) fn measure(path: &Path) -> io::Result<(u64, Digest, Content)> {
    if !path.is_dir() {
        let whole = print(path)?;
        return Ok((whole.bytes, whole.blake3, Content::File(whole)));
    }
    let mut files: Vec<PathBuf> = fs::read_dir(path)?.map(|entry| Ok(entry?.path())).collect::<io::Result<_>>()?;
    files.sort();
    let (mut all, mut frames) = (blake3::Hasher::new(), Vec::new());
    for file in files {
        let bytes = fs::read(&file)?;
        all.update(&bytes);
        frames.push(Print { bytes: bytes.len() as u64, blake3: Digest(*blake3::hash(&bytes).as_bytes()) });
    }
    Ok((all.count(), Digest(*all.finalize().as_bytes()), Content::Frames(frames)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(bytes: &[u8]) -> Print {
        Print { bytes: bytes.len() as u64, blake3: Digest(*blake3::hash(bytes).as_bytes()) }
    }

    #[test]
    fn a_file_is_whole_damaged_missing_or_unreadable() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.mp4");
        fs::write(&path, "film").unwrap();
        assert_eq!(print(&path).unwrap(), of(b"film"));
        let seen = |written: &[u8], reading| state(&path, &of(written), reading);
        assert_eq!(seen(b"film", true), FileState::Whole);
        assert_eq!((seen(b"firm", true), seen(b"firm", false)), (FileState::Damaged, FileState::Whole));
        assert_eq!(seen(b"a film", false), FileState::Damaged);
        for gone in ["b.mp4", "a.mp4/b"] {
            assert_eq!(state(&dir.path().join(gone), &of(b""), true), FileState::Missing);
        }
        assert_eq!(state(dir.path(), &of(b""), true), FileState::Damaged, "a folder is no file");
        #[cfg(unix)]
        {
            std::os::unix::fs::symlink(&path, dir.path().join("link")).unwrap();
            assert_eq!(
                state(&dir.path().join("link"), &of(b"film"), true),
                FileState::Damaged,
                "a link leads elsewhere"
            );
        }
    }

    #[test]
    fn what_stands_is_what_was_recorded_or_foreign() {
        let dir = tempfile::tempdir().unwrap();
        let (file, folder) = (dir.path().join("a.mp4"), dir.path().join("a"));
        let film = Written { path: "a.mp4".into(), content: Content::File(of(b"film")) };
        let frames = Written { path: "a".into(), content: Content::Frames(vec![of(b"0"), of(b"1")]) };
        let seen = || (standing(&file, &[&film]).unwrap(), standing(&folder, &[&frames]).unwrap());
        assert_eq!(seen(), (Standing::Nothing, Standing::Nothing));
        fs::write(&file, "film").unwrap();
        fs::create_dir(&folder).unwrap();
        fs::write(folder.join("00001.png"), "1").unwrap();
        assert_eq!(seen(), (Standing::Recorded, Standing::Recorded), "a part of the frames is ours as well");
        fs::write(&file, "mine").unwrap();
        fs::write(folder.join("1.png"), "1").unwrap();
        assert_eq!(seen(), (Standing::Other, Standing::Other));
        assert_eq!(standing(&file, &[]).unwrap(), Standing::Other);
    }

    #[test]
    fn records_are_written_and_read_back() {
        let frames = Content::Frames(vec![of(b"0"), of(b"1")]);
        for content in [Content::File(of(b"film")), frames] {
            let written = Written { path: "n/é".into(), content };
            let json = serde_json::to_string(&written).unwrap();
            assert_eq!(serde_json::from_str::<Written>(&json).unwrap(), written, "{json}");
        }
        let frames = Written { path: "n/a".into(), content: Content::Frames(vec![of(b"0"), of(b"1")]) };
        let paths: Vec<String> = frames.files().into_iter().map(|(path, _)| path).collect();
        assert_eq!(paths, ["n/a/00000.png", "n/a/00001.png"]);
    }
}
