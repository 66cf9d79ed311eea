//! Where the files lie that a manifest names: below a folder, or given with it by their names.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use glob::{MatchOptions, Pattern};
use wanfarm_types::Digest;

/// How patterns are read: `*` ends at a slash, and hidden files are left alone.
pub(crate) const OPTIONS: MatchOptions =
    MatchOptions { case_sensitive: true, require_literal_separator: true, require_literal_leading_dot: true };

/// A file that came with a manifest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GivenFile {
    /// Where its bytes are.
    pub path: PathBuf,
    /// BLAKE3 of them.
    pub blake3: Digest,
}

/// A file of this machine that a job names: what is given to the coordinator before the job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LocalFile {
    /// Where it is; a folder of pictures goes as one file.
    pub path: PathBuf,
    /// BLAKE3 of its bytes when it was looked at.
    pub blake3: Digest,
    /// How many they were.
    pub bytes: u64,
}

/// Where the files of a manifest lie.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) enum Files {
    /// Nowhere: it came alone.
    #[default]
    None,
    /// Below a folder of this machine.
    Folder(PathBuf),
    /// They came with it, each by the name that it has for them.
    Given(BTreeMap<String, GivenFile>),
}

impl From<Option<&Path>> for Files {
    fn from(folder: Option<&Path>) -> Self {
        folder.map_or(Self::None, |folder| Self::Folder(folder.to_owned()))
    }
}

impl Files {
    /// The path of a file of that name; below a folder also of one that is not there.
    pub(crate) fn locate(&self, name: &str) -> Option<PathBuf> {
        match self {
            Self::Folder(folder) => Some(folder.join(name)),
            Self::Given(given) => given.get(name).map(|file| file.path.clone()),
            Self::None => None,
        }
    }

    /// The digest of a file that came with the manifest.
    pub(crate) fn digest(&self, name: &str) -> Option<Digest> {
        match self {
            Self::Given(given) => given.get(name).map(|file| file.blake3),
            Self::Folder(_) | Self::None => None,
        }
    }

    /// How a file is called in messages.
    pub(crate) fn shown(&self, name: &str) -> String {
        match self {
            Self::Folder(folder) => folder.join(name).display().to_string(),
            Self::Given(_) | Self::None => name.to_owned(),
        }
    }

    /// Of the files that came with the manifest, the names that match.
    pub(crate) fn given_matching(&self, pattern: &Pattern) -> Vec<String> {
        let Self::Given(given) = self else { return Vec::new() };
        given.keys().filter(|name| pattern.matches_with(name, OPTIONS)).cloned().collect()
    }
}
