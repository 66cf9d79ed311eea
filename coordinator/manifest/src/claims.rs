//! Which paths are spoken for, and by whom: of one manifest's videos, or of all jobs that a coordinator remembers.
//!
//! Pure: what stands on the disk is looked at elsewhere (`outputs::look`). Paths are compared as the least discerning
//! file system does: without regard to case, and to whether an accent is part of its letter. Only digests of paths are
//! kept, so that a claim costs the same however deep and long its names are.

use std::collections::HashMap;
use std::path::Path;

use unicode_normalization::UnicodeNormalization;
use wanfarm_types::{JobId, VideoRequest};

use crate::{page_of, paths_of};

/// The job or video that claims a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Holder {
    /// Which job; 0 for one that has no number yet.
    pub job: JobId,
    /// Which video of it, by its place in the manifest; `None`: its report.
    pub video: Option<u32>,
}

/// The paths that a video or a report writes to, and the folders around them.
#[derive(Debug, Clone)]
pub struct Wanted {
    /// The path below the output directory, as shown.
    paths: Vec<(String, Key)>,
    folders: Vec<Key>,
}

/// A path that is spoken for already.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Clash {
    /// Below the output directory.
    pub path: String,
    /// The holder of the path, of something in it, or of a folder around it.
    pub holder: Holder,
    /// True when the very same path is meant, so that one file could stand in the place of the other.
    pub same: bool,
}

/// The paths that are spoken for.
#[derive(Debug, Default)]
pub struct Claims {
    /// Files, and folders that belong to one video alone, by who claimed them last.
    owned: HashMap<Key, Holder>,
    /// Folders that only hold other things.
    folders: HashMap<Key, Folder>,
}

#[derive(Debug, Clone, Copy)]
struct Folder {
    /// Who claimed something in it last.
    holder: Holder,
    claims: u32,
}

/// Stands for a path: a digest over its parts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Key([u8; 16]);

impl Key {
    const ROOT: Self = Self([0; 16]);

    fn join(self, part: &str) -> Self {
        let mut hasher = blake3::Hasher::new();
        hasher.update(&self.0);
        for c in part.nfc().flat_map(char::to_lowercase) {
            hasher.update(c.encode_utf8(&mut [0; 4]).as_bytes());
        }
        let mut key = [0; 16];
        key.copy_from_slice(&hasher.finalize().as_bytes()[..16]);
        Self(key)
    }
}

impl Wanted {
    /// What a video writes below `root`, the sidecar included.
    pub fn video(root: &Path, video: &VideoRequest) -> Self {
        Self::paths(root, paths_of(video))
    }

    /// What a report writes below `root`: itself, and its page.
    pub fn report(root: &Path, report: &str) -> Self {
        Self::paths(root, vec![report.to_owned(), page_of(report)])
    }

    /// A single file below `root`.
    pub fn file(root: &Path, path: &str) -> Self {
        Self::paths(root, vec![path.to_owned()])
    }

    fn paths(root: &Path, paths: Vec<String>) -> Self {
        let mut folders = Vec::new();
        let mut enter = |folder: Key, part: &str| {
            let folder = folder.join(part);
            if !folders.contains(&folder) {
                folders.push(folder);
            }
            folder
        };
        let root = root.iter().fold(Key::ROOT, |folder, part| enter(folder, &part.to_string_lossy()));
        let named = |path: String| {
            let (above, name) = path.rsplit_once('/').unwrap_or(("", &path));
            let folder = above.split('/').filter(|part| !part.is_empty()).fold(root, &mut enter);
            (folder.join(name), path)
        };
        let paths = paths.into_iter().map(named).map(|(key, path)| (path, key)).collect();
        Self { paths, folders }
    }
}

impl Claims {
    /// What stands in the way of writing to these paths.
    pub fn clashes(&self, wanted: &Wanted) -> Vec<Clash> {
        let around = wanted.folders.iter().find_map(|folder| self.owned.get(folder));
        let clash = |(path, key): &(String, Key)| {
            let (holder, same) = match (self.owned.get(key), self.folders.get(key), around) {
                (Some(holder), ..) => (*holder, true),
                (_, Some(folder), _) => (folder.holder, false),
                (_, _, Some(holder)) => (*holder, false),
                (None, None, None) => return None,
            };
            Some(Clash { path: path.clone(), holder, same })
        };
        wanted.paths.iter().filter_map(clash).collect()
    }

    /// From now on these paths are this one's; also those that were another's.
    pub fn claim(&mut self, holder: Holder, wanted: &Wanted) {
        for (_, key) in &wanted.paths {
            self.owned.insert(*key, holder);
        }
        for key in &wanted.folders {
            let folder = self.folders.entry(*key).or_insert(Folder { holder, claims: 0 });
            (folder.holder, folder.claims) = (holder, folder.claims.saturating_add(1));
        }
    }

    /// Undoes [`Self::claim`]; what has become another's since stays that one's.
    pub fn release(&mut self, holder: Holder, wanted: &Wanted) {
        for (_, key) in &wanted.paths {
            if self.owned.get(key) == Some(&holder) {
                self.owned.remove(key);
            }
        }
        for key in &wanted.folders {
            let Some(folder) = self.folders.get_mut(key) else { continue };
            folder.claims = folder.claims.saturating_sub(1);
            if folder.claims == 0 {
                self.folders.remove(key);
            }
        }
    }

    /// Who claimed a file or folder below `root` last.
    pub fn holder(&self, root: &Path, path: &str) -> Option<Holder> {
        let wanted = Wanted::file(root, path);
        wanted.paths.first().and_then(|(_, key)| self.owned.get(key)).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Format::{Contact, Gif, Mp4, Png};
    use wanfarm_types::Format;
    use wanfarm_types::fixtures::request;

    fn video(job: u64, video: u32) -> Holder {
        Holder { job: JobId(job), video: Some(video) }
    }

    fn wanted(root: &Path, output: &str, formats: &[Format]) -> Wanted {
        Wanted::video(root, &VideoRequest { output: output.into(), formats: formats.into(), ..request() })
    }

    #[test]
    fn a_film_is_claimed_wherever_it_lies() {
        let film = |join: &str| VideoRequest { join: Some(join.into()), output: "n/a".into(), ..request() };
        let mut claims = Claims::default();
        claims.claim(video(1, 0), &Wanted::video(Path::new("/out"), &film("films/one.mp4")));
        assert_eq!(claims.clashes(&wanted(Path::new("/out"), "films/one", &[Mp4])).len(), 1);
        assert_eq!(claims.clashes(&wanted(Path::new("/out"), "films", &[Png])).len(), 1, "around it");
        assert_eq!(claims.clashes(&wanted(Path::new("/out"), "n/a", &[Gif])).len(), 1, "and so are its other files");
        claims.release(video(1, 0), &Wanted::video(Path::new("/out"), &film("films/one.mp4")));
        assert!(claims.owned.is_empty() && claims.folders.is_empty());
    }

    #[test]
    fn videos_that_clash() {
        let clash = |first: (&str, &[Format]), second: (&str, &[Format])| {
            let mut claims = Claims::default();
            claims.claim(video(1, 0), &wanted(Path::new("/out"), first.0, first.1));
            !claims.clashes(&wanted(Path::new("/out"), second.0, second.1)).is_empty()
        };
        assert!(clash(("a", &[Mp4]), ("a", &[Mp4])));
        assert!(clash(("a", &[Mp4]), ("a", &[Gif])), "both write a.json");
        assert!(clash(("Night/A", &[Mp4]), ("night/a", &[Mp4])), "case");
        assert!(clash(("ÉTÉ", &[Mp4]), ("été", &[Mp4])), "case beyond ASCII");
        assert!(clash(("caf\u{e9}", &[Mp4]), ("cafe\u{301}", &[Mp4])), "two spellings of é");
        assert!(clash(("a", &[Png]), ("a/b", &[Mp4])), "inside a video's own folder");
        assert!(clash(("a/b", &[Mp4]), ("a", &[Png])), "around another video's file");
        assert!(clash(("a/b/c/d", &[Mp4]), ("a", &[Png])), "far around it");
        assert!(clash(("a", &[Mp4]), ("a.mp4/b", &[Mp4])), "a file is no folder");
        assert!(clash(("a.json", &[Png]), ("a", &[Mp4])), "the sidecar");
        assert!(clash(("a", &[Contact]), ("a.contact.png", &[Png])), "the contact sheet");
        assert!(!clash(("a", &[Mp4]), ("a/b", &[Mp4])), "a.mp4 beside folder a");
        assert!(!clash(("a/b", &[Mp4, Png, Gif, Contact]), ("a/c", &[Mp4, Png, Gif, Contact])));
        assert!(!clash(("a", &[Mp4, Png]), ("ab", &[Mp4, Png])));
        assert!(!clash(("ab/c", &[Mp4]), ("a/bc", &[Mp4])), "where a part ends matters");
    }

    #[test]
    fn a_clash_says_which_path_whose_and_whether_it_is_the_same() {
        let root = Path::new("/out");
        let mut claims = Claims::default();
        claims.claim(video(3, 7), &wanted(root, "n/a", &[Mp4, Png]));
        let clash = |output: &str, formats: &[Format]| claims.clashes(&wanted(root, output, formats));
        let told = |path: &str, same| Clash { path: path.into(), holder: video(3, 7), same };
        assert_eq!(clash("n/a", &[Gif]), [told("n/a.json", true)]);
        assert_eq!(clash("n", &[Png]), [told("n", false)]);
        assert_eq!(clash("n/a/b", &[Gif]), [told("n/a/b.gif", false), told("n/a/b.json", false)]);
        claims.claim(Holder { job: JobId(3), video: None }, &Wanted::report(root, "n.report.json"));
        for file in ["N.report.json", "n.report.html"] {
            assert_eq!(claims.clashes(&Wanted::file(root, file))[0].holder.video, None, "{file}");
        }
    }

    #[test]
    fn output_directories_inside_each_other_are_one_tree() {
        let mut claims = Claims::default();
        claims.claim(video(1, 0), &wanted(Path::new("/disk/out"), "night/a", &[Mp4]));
        assert_eq!(claims.clashes(&wanted(Path::new("/disk/out/night"), "a", &[Mp4])).len(), 2);
        assert_eq!(claims.clashes(&wanted(Path::new("/disk"), "out", &[Png])).len(), 1);
        assert!(claims.clashes(&wanted(Path::new("/other/out"), "night/a", &[Mp4])).is_empty());
        assert_eq!(claims.holder(Path::new("/disk"), "out/night/A.mp4"), Some(video(1, 0)));
    }

    #[test]
    fn what_is_released_is_free_and_what_was_taken_over_stays() {
        let root = Path::new("/out");
        let (a, b) = (wanted(root, "n/a", &[Png]), wanted(root, "n/b", &[Png]));
        let mut claims = Claims::default();
        claims.claim(video(1, 0), &a);
        claims.claim(video(1, 1), &b);
        claims.claim(video(2, 0), &a);
        claims.release(video(1, 0), &a);
        claims.release(video(1, 1), &b);
        assert_eq!(claims.clashes(&a)[0].holder, video(2, 0));
        assert!(claims.clashes(&b).is_empty());
        let around = wanted(root, "n", &[Png]);
        assert_eq!(claims.clashes(&around).len(), 1, "something is still in it");
        claims.release(video(2, 0), &a);
        assert!(claims.clashes(&around).is_empty() && claims.owned.is_empty() && claims.folders.is_empty());
    }
}
