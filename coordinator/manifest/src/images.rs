//! The image files and clips that a manifest names, alone, in lists or by patterns, each looked at once. Their pixels are
//! the worker's.

use std::collections::HashMap;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use glob::Pattern;
use wanfarm_image::{pack, pictures_of};
use wanfarm_types::{ClipLength, Digest, MAX_CLIP_BYTES};

use super::fault::{Fault, Place, quote};
use super::files::{Files, OPTIONS};
use super::keys::{MAX_VIDEOS, Setting};
use super::node::{Entry, Value};
use crate::first_frame::{self, Image};

/// An image file or a clip of this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageFile {
    /// What it was when it was looked at.
    pub image: Image,
    /// The path of the file; of pictures that are a clip, of their folder.
    pub path: PathBuf,
}

/// The images of a manifest, in the order in which they were first named.
#[derive(Debug, Default)]
pub(crate) struct Images {
    pub(crate) list: Vec<ImageFile>,
    looked_at: HashMap<(PathBuf, Wanted), Result<usize, String>>,
}

impl Images {
    /// The place in the list of the file of that name.
    pub(crate) fn find(&mut self, name: &str, wanted: Wanted, files: &Files, place: &Place) -> Result<usize, Fault> {
        let path = files.locate(name).ok_or_else(|| lacks(files, name, place))?;
        let key = (path.clone(), wanted);
        if !self.looked_at.contains_key(&key) {
            let seen = match wanted {
                Wanted::Image => look(&path),
                Wanted::Clip => look_at_clip(&path),
            };
            let seen = seen.map(|image| {
                self.list.push(ImageFile { image, path });
                self.list.len() - 1
            });
            self.looked_at.insert(key.clone(), seen);
        }
        let seen = self.looked_at.get(&key).cloned().unwrap_or_else(|| Err("it was not looked at".into()));
        seen.map_err(|why| {
            let (what, are) = match wanted {
                Wanted::Image => ("image", "images are PNG, JPEG or WebP files"),
                Wanted::Clip => ("clip", "clips are mp4 files (H.264), GIFs, or folders or zip files of pictures"),
            };
            Fault::at(place, format!("cannot use the {what} {}", quote(&files.shown(name))))
                .why(why)
                .help(format!("paths are relative to the manifest; {are}"))
        })
    }
}

/// What a file is to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Wanted {
    Image,
    Clip,
}

/// Whether an entry names several images or clips: a list of them, or a pattern.
pub(crate) fn are_several(entry: &Entry) -> bool {
    [Setting::Image.name(), Setting::Video.name()].contains(&entry.key.as_str())
        && match &entry.node.value {
            Value::List(_) => true,
            Value::Text(text) => is_pattern(text),
            _ => false,
        }
}

/// Whether a path is a pattern.
pub(crate) fn is_pattern(path: &str) -> bool {
    path.contains(['*', '?', '['])
}

/// What `{image}` and `{video}` stand for: the file's name without folder and extension.
pub(crate) fn stem(path: &str) -> &str {
    Path::new(path).file_stem().and_then(|stem| stem.to_str()).unwrap_or(path)
}

/// The files that match a pattern, or the `folders` as well, sorted, each as the manifest could name it. A file of exactly that name is meant
/// whatever else the pattern matches.
pub(crate) fn matching(pattern: &str, folders: bool, files: &Files, place: &Place) -> Result<Vec<String>, Fault> {
    if files.locate(pattern).is_some_and(|path| path.is_file() || folders && path.is_dir()) {
        return Ok(vec![pattern.to_owned()]);
    }
    let bad = |why: String| {
        let help = if pattern.contains('\\') {
            "a `\\` is part of a name here, nothing has to be escaped: write the name as it is"
        } else {
            "`*` stands for any part of a name, `?` for one letter, `[12]` for one of these; a file of exactly that name comes first; names in braces do not mix with them"
        };
        let what = if folders { "clips" } else { "images" };
        Fault::at(place, format!("cannot use the {what} {}", quote(pattern))).why(why).help(help)
    };
    if pattern.contains(['{', '}']) {
        return Err(bad("it is a pattern with a brace in it".to_owned()));
    }
    let Files::Folder(base) = files else {
        let read = Pattern::new(pattern).map_err(|error| bad(error.to_string()))?;
        let found = files.given_matching(&read);
        return if found.is_empty() { Err(lacks(files, pattern, place)) } else { Ok(found) };
    };
    let whole = base.to_str().map(|base| Path::new(&Pattern::escape(base)).join(pattern));
    let whole =
        whole.as_deref().and_then(Path::to_str).ok_or_else(|| bad("its folder's name is not UTF-8".to_owned()))?;
    let found = glob::glob_with(whole, OPTIONS).map_err(|error| bad(error.to_string()))?;
    let mut paths = Vec::new();
    for path in found {
        let path = path.map_err(|error| bad(error.to_string()))?;
        if !(path.is_file() || folders && path.is_dir()) {
            continue;
        }
        let name = path.strip_prefix(base).unwrap_or(&path).to_str().map(str::to_owned);
        paths.push(name.ok_or_else(|| bad(format!("the name of {} is not UTF-8", path.display())))?);
        if paths.len() > MAX_VIDEOS {
            return Err(bad(format!("it matches more than {MAX_VIDEOS} files")));
        }
    }
    paths.sort();
    if paths.is_empty() {
        Err(bad(format!("no file in {} matches it, and none has exactly that name", base.display())))
    } else {
        Ok(paths)
    }
}

/// The fault of a file, or of a pattern, that a manifest names and came without.
pub(crate) fn lacks(files: &Files, name: &str, place: &Place) -> Fault {
    let why = match files {
        Files::Given(_) => "no such file came with this manifest",
        Files::Folder(_) | Files::None => "this manifest came without its folder",
    };
    Fault::at(place, format!("{} cannot be read here", place.key))
        .why(why)
        .help("submit it from the machine that holds its files")
        .wants(name)
}

fn look(path: &Path) -> Result<Image, String> {
    let about = std::fs::metadata(path).map_err(|error| error.to_string())?;
    if !about.is_file() {
        return Err("it is not a regular file".into());
    }
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(|error| error.to_string())?;
    file.take(first_frame::MAX_BYTES + 1).read_to_end(&mut bytes).map_err(|error| error.to_string())?;
    Image::read_whole(&bytes).map_err(|why| why.to_string())
}

/// Looks at a clip's file or folder, and hashes it.
fn look_at_clip(path: &Path) -> Result<Image, String> {
    if path.is_dir() {
        return pack_and_look(path);
    }
    let mut file = File::open(path).map_err(|error| error.to_string())?;
    if !file.metadata().map_err(|error| error.to_string())?.is_file() {
        return Err("it is not a regular file".into());
    }
    let mut hasher = blake3::Hasher::new();
    let bytes = std::io::copy(&mut (&file).take(MAX_CLIP_BYTES + 1), &mut hasher).map_err(|error| error.to_string())?;
    Image::read_clip(&mut file, bytes, Digest(*hasher.finalize().as_bytes())).map_err(|why| why.to_string())
}

/// A folder of pictures as the one file that it is sent as.
fn pack_and_look(folder: &Path) -> Result<Image, String> {
    let paths = pictures_of(folder)?;
    let mut hasher = blake3::Hasher::new();
    pack(folder, &mut hasher).map_err(|error| error.to_string())?;
    let first = paths.first().map(|path| look(path)).transpose()?.ok_or("there are no pictures in it")?;
    let pictures = u32::try_from(paths.len()).map_err(|_| "there are too many pictures in it".to_owned())?;
    let (bytes, digest) = (hasher.count(), Digest(*hasher.finalize().as_bytes()));
    if bytes > MAX_CLIP_BYTES {
        return Err(format!("its pictures take more than {} MiB", MAX_CLIP_BYTES >> 20));
    }
    Ok(Image { digest, bytes, clip: Some(ClipLength { pictures, microseconds: None }), ..first })
}
