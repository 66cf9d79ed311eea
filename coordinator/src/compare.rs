//! Pairs the videos of two renders: one and one, or those of two folders by their names.
//!
//! Not here: how like they are (`wanfarm_media`).

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use wanfarm_media::Clip;

/// Deeper than any output path of a manifest.
const DEPTH: usize = 16;

/// The files of one video, by form.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Forms {
    /// A folder of PNG files: exact.
    png: Option<PathBuf>,
    mp4: Option<PathBuf>,
}

/// Videos with one name in two places.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pair {
    /// The common name; of single videos, the first one's.
    pub name: String,
    /// PNG folder or mp4 file.
    pub left: PathBuf,
    /// The same form where both have it.
    pub right: PathBuf,
}

/// The pairs, and the videos without a counterpart.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Pairs {
    /// In order of name.
    pub pairs: Vec<Pair>,
    /// Videos of the first place alone.
    pub only_left: Vec<String>,
    /// Videos of the second place alone.
    pub only_right: Vec<String>,
}

/// Pairs the videos of two places. Each is an mp4 file, a folder of PNG files, a video's sidecar, or a folder with any
/// number of these.
///
/// # Errors
/// A place that cannot be read or holds no video, or a video beside a folder of several.
pub fn pairs(left: &Path, right: &Path) -> Result<Pairs, String> {
    let (mut a, mut b) = (videos(left)?, videos(right)?);
    if let (Place::One(a), Place::One(b)) = (&a, &b) {
        let name = left.file_stem().unwrap_or(left.as_os_str()).to_string_lossy().into_owned();
        return Ok(Pairs { pairs: vec![pair(name, a, b)], ..Pairs::default() });
    }
    let (Place::Many(a), Place::Many(b)) = (&mut a, &mut b) else {
        let (one, many) = if matches!(a, Place::One(_)) { (left, right) } else { (right, left) };
        return Err(format!(
            "{} is one video and {} a folder of videos; compare it with one of them",
            one.display(),
            many.display()
        ));
    };
    let mut pairs = Pairs::default();
    for (name, forms) in std::mem::take(a) {
        match b.remove(&name) {
            Some(other) => pairs.pairs.push(pair(name, &forms, &other)),
            None => pairs.only_left.push(name),
        }
    }
    pairs.only_right = b.keys().cloned().collect();
    Ok(pairs)
}

#[derive(Debug)]
enum Place {
    One(Forms),
    Many(BTreeMap<String, Forms>),
}

fn pair(name: String, left: &Forms, right: &Forms) -> Pair {
    let of = |forms: &Forms, png: bool| {
        let [first, second] = if png { [&forms.png, &forms.mp4] } else { [&forms.mp4, &forms.png] };
        first.as_ref().or(second.as_ref()).cloned().unwrap_or_default()
    };
    // Alike where that can be, exact where both can be.
    let png = (left.png.is_some() && right.png.is_some()) || left.mp4.is_none() || right.mp4.is_none();
    Pair { name, left: of(left, png), right: of(right, png) }
}

fn videos(path: &Path) -> Result<Place, String> {
    let fault = |why: String| format!("{}: {why}", path.display());
    let metadata = fs::metadata(path).map_err(|error| fault(error.to_string()))?;
    if metadata.is_dir() && !Clip::is_png_folder(path) {
        let mut found = BTreeMap::new();
        search(path, path, DEPTH, &mut found).map_err(fault)?;
        if found.is_empty() {
            return Err(fault("there are no PNG folders and no mp4 files in it".to_owned()));
        }
        return Ok(Place::Many(found));
    }
    if metadata.is_dir() {
        return Ok(Place::One(Forms { png: Some(path.to_owned()), mp4: None }));
    }
    if is(path, "mp4") {
        return Ok(Place::One(Forms { png: None, mp4: Some(path.to_owned()) }));
    }
    if is(path, "json") {
        // A sidecar: its video lies beside it.
        let (png, mp4) = (path.with_extension(""), path.with_extension("mp4"));
        let png = Clip::is_png_folder(&png).then_some(png);
        let mp4 = mp4.is_file().then_some(mp4);
        if png.is_none() && mp4.is_none() {
            return Err(fault("there is neither a folder of PNG files nor an mp4 file beside it".to_owned()));
        }
        return Ok(Place::One(Forms { png, mp4 }));
    }
    Err(fault("name an mp4 file, a folder of PNG files, a sidecar, or a folder of these".to_owned()))
}

fn search(root: &Path, folder: &Path, depth: usize, found: &mut BTreeMap<String, Forms>) -> Result<(), String> {
    let unreadable = |error: std::io::Error| format!("{}: {error}", folder.display());
    for entry in fs::read_dir(folder).map_err(unreadable)? {
        let path = entry.map_err(unreadable)?.path();
        let bare = if path.is_dir() { path.clone() } else { path.with_extension("") };
        let parts = bare.strip_prefix(root).unwrap_or(&bare).components();
        let name = parts.map(|part| part.as_os_str().to_string_lossy()).collect::<Vec<_>>().join("/");
        if path.is_dir() {
            if Clip::is_png_folder(&path) {
                found.entry(name).or_default().png = Some(path);
            } else if depth > 0 {
                search(root, &path, depth - 1, found)?;
            }
        } else if is(&path, "mp4") {
            found.entry(name).or_default().mp4 = Some(path);
        }
    }
    Ok(())
}

fn is(path: &Path, extension: &str) -> bool {
    path.extension().is_some_and(|found| found == extension)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A folder with these files, empty.
    fn folder(files: &[&str]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for file in files {
            let path = folder.path().join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, b"").unwrap();
        }
        folder
    }

    #[test]
    fn folders_are_matched_by_name_and_exact_forms_are_preferred() {
        let left = folder(&["job/a/00000.png", "job/a.mp4", "job/a.json", "job/b.mp4", "job/c.mp4", "job/c/00000.png"]);
        let right = folder(&["job/a/00000.png", "job/a.mp4", "job/c.mp4", "job/d.mp4", "report.json"]);
        let pairs = pairs(left.path(), right.path()).unwrap();
        let told: Vec<_> = pairs
            .pairs
            .iter()
            .map(|pair| (pair.name.as_str(), is(&pair.left, "mp4"), is(&pair.right, "mp4")))
            .collect();
        assert_eq!(told, [("job/a", false, false), ("job/c", true, true)]);
        assert_eq!((pairs.only_left, pairs.only_right), (vec!["job/b".to_owned()], vec!["job/d".to_owned()]));
    }

    #[test]
    fn single_videos_need_no_common_name() {
        let folder = folder(&["a/00000.png", "b.mp4", "c.json", "c.mp4", "lonely.json", "notes.txt"]);
        let at = |name: &str| folder.path().join(name);
        let one = pairs(&at("a"), &at("c.json")).unwrap().pairs;
        assert_eq!((one[0].name.as_str(), &one[0].left, &one[0].right), ("a", &at("a"), &at("c.mp4")));
        assert_eq!(pairs(&at("b.mp4"), &at("c.mp4")).unwrap().pairs.len(), 1);
        let refused = |left: &str, right: &str| pairs(&at(left), &at(right)).unwrap_err();
        assert!(refused("b.mp4", "").contains("one video"));
        assert!(refused("b.mp4", "lonely.json").contains("beside it"));
        assert!(refused("notes.txt", "b.mp4").contains("name an mp4 file"));
        assert!(refused("nowhere", "b.mp4").contains("nowhere"));
        let empty = tempfile::tempdir().unwrap();
        assert!(pairs(empty.path(), folder.path()).unwrap_err().contains("no PNG folders"));
    }
}
