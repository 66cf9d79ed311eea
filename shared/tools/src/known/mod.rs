//! Models that are known to be rendered as they are published: which files each is made of and where they are, what they
//! take on a disk and in memory, and under which licence. A list of the same form may be anybody's own.
//!
//! Not here: fetching them.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use wanfarm_types::Size;

/// Those of this version.
const LIST: &str = include_str!("list.toml");

/// A model that is published.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct KnownModel {
    /// What its folder is called, and so the model.
    pub name: String,
    /// What it is recognised as.
    pub preset: String,
    /// How most numbers of its transformers are stored.
    pub weights: String,
    /// As its repository says.
    pub licence: String,
    /// Decimal gigabytes to download.
    pub download: f64,
    /// Decimal gigabytes of a GPU's memory for the role that takes most, with a video of the model's own size.
    pub largest: f64,
    /// The same for all roles at once.
    pub together: f64,
    /// What it is made of.
    pub files: Vec<KnownFile>,
}

/// A file of it, or all files of a folder.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct KnownFile {
    /// The repository: `owner/name`.
    pub from: String,
    /// The path in it, and below the model's folder; with `*` as its last part, all files of that folder, but none of those below it.
    pub path: String,
}

/// How well a model fits a memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Fit {
    /// All roles at once.
    Whole,
    /// One role after the other.
    InTurns,
    /// No video of the model's own size.
    TooLarge,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct List {
    model: Vec<KnownModel>,
}

/// Reads a list, or the one of this version.
///
/// # Errors
/// It has no such form, in words with a line.
pub fn known(own: Option<&str>) -> Result<Vec<KnownModel>, String> {
    let List { model } = toml::from_str(own.unwrap_or(LIST)).map_err(|error| error.to_string())?;
    model.iter().try_for_each(KnownModel::check)?;
    Ok(model)
}

impl KnownModel {
    /// Names and paths that could lead anywhere else are refused: a list may come from anywhere.
    fn check(&self) -> Result<(), String> {
        let Self { name, files, .. } = self;
        if !is_plain(name) || name.contains('/') {
            return Err(format!("{name:?} is no name of a folder"));
        }
        let places = files.iter().flat_map(|file| [&file.path, &file.from]);
        match places.into_iter().find(|place| !is_plain(place)) {
            Some(place) => Err(format!("{name}: {place:?} is no path below a folder")),
            None => Ok(()),
        }
    }

    /// Whether it fits what a worker may take of a machine's memory.
    pub fn fit(&self, budget: Size) -> Fit {
        let fits = |gigabytes: f64| gigabytes * 1e9 <= budget.0 as f64;
        match (fits(self.together), fits(self.largest)) {
            (true, _) => Fit::Whole,
            (false, true) => Fit::InTurns,
            (false, false) => Fit::TooLarge,
        }
    }

    /// The commands that download it without this program, into its folder below this one.
    pub fn commands(&self, models: &str) -> Vec<String> {
        let repositories: BTreeSet<&str> = self.files.iter().map(|file| file.from.as_str()).collect();
        let command = |repository: &str| {
            let paths = self.files.iter().filter(|file| file.from == repository).map(|file| file.path.as_str());
            let paths: String = match paths.clone().any(|path| path.ends_with('*')) {
                true => paths.map(|path| format!(" --include '{path}'")).collect(),
                false => paths.map(|path| format!(" {path}")).collect(),
            };
            format!("hf download {repository}{paths} --local-dir {models}/{}", self.name)
        };
        repositories.into_iter().map(command).collect()
    }
}

impl KnownFile {
    /// Which of the files of its repository it is.
    pub fn chosen<'a>(&self, there: &'a [String]) -> Vec<&'a str> {
        let Some(folder) = self.path.strip_suffix('*') else {
            return there.iter().filter(|path| **path == self.path).map(String::as_str).collect();
        };
        let is_in =
            |path: &&String| path.strip_prefix(folder).is_some_and(|rest| !rest.is_empty() && !rest.contains('/'));
        there.iter().filter(is_in).map(String::as_str).collect()
    }
}

/// A path below a folder, as it can also be written in a shell.
fn is_plain(path: &str) -> bool {
    let part = |part: &str| !part.is_empty() && part != "." && part != ".." && !part.starts_with('-');
    let letter = |c: char| c.is_ascii_alphanumeric() || "._-*/".contains(c);
    path.chars().all(letter) && path.split('/').all(part)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_can_be_read_and_every_name_stands_once() {
        let known = known(None).unwrap();
        let names: BTreeSet<&str> = known.iter().map(|model| model.name.as_str()).collect();
        assert_eq!(names.len(), known.len());
        for model in &known {
            assert!(model.largest <= model.together, "{}", model.name);
            assert!(!model.files.is_empty() && model.commands("models").iter().all(|line| line.starts_with("hf ")));
        }
    }

    #[test]
    fn a_list_of_ones_own_leads_nowhere_else() {
        let list = |name: &str, from: &str, path: &str| {
            format!(
                "[[model]]\nname = {name:?}\npreset = \"t2v-1.3b\"\nweights = \"f32\"\nlicence = \"MIT\"\ndownload = 1\n\
                 largest = 1\ntogether = 1\nfiles = [{{ from = {from:?}, path = {path:?} }}]"
            )
        };
        assert_eq!(known(Some(&list("studio", "a/b", "x/y.gguf"))).unwrap().len(), 1);
        for (name, from, path) in [
            ("../x", "a/b", "a"),
            ("x/y", "a/b", "a"),
            ("", "a/b", "a"),
            ("x", "../b", "a"),
            ("x", "a/b", "../a"),
            ("x", "a/b", "/a"),
            ("x", "a/b", "a;b"),
            ("x", "a/b", "--a"),
        ] {
            assert!(known(Some(&list(name, from, path))).is_err(), "{name} {from} {path}");
        }
        assert!(known(Some("[[model]]\nname = 1")).unwrap_err().contains("line 2"));
    }

    #[test]
    fn a_folder_is_all_its_files_and_none_below() {
        let there = ["a.json", "x/b.json", "x/c.json", "x/y/d.json"].map(str::to_owned);
        let chosen = |path: &str| {
            let file = KnownFile { from: "a/b".into(), path: path.into() };
            file.chosen(&there).join(" ")
        };
        assert_eq!(chosen("*"), "a.json");
        assert_eq!(chosen("x/*"), "x/b.json x/c.json");
        assert_eq!(chosen("x/c.json"), "x/c.json");
        assert_eq!(chosen("x/z.json"), "");
    }
}
