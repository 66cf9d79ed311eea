//! What exists at the paths of a submission's videos, before anything is queued.
//!
//! Only looks; the writer looks again. Claims of other jobs are compared elsewhere (`claims`).

#![expect(clippy::disallowed_methods, reason = "looks on a thread of its own")]

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::Path;

use serde::Deserialize;
use wanfarm_manifest::{Submission, Taken, film, output_fault, paths_of, sidecar_of};
use wanfarm_types::{FileState, VideoRequest, VideoSpec};

use super::record::{Print, measure, state};
use super::sidecar::OutputRecord;
use wanfarm_durable::place::is_frame;

/// Numbers that are tried for a new name.
const MAX_NUMBER: u32 = 10_000;

/// What exists at the paths of a video.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Look {
    /// Nothing is in the way on disk.
    Free,
    /// Nothing is in the way under these names.
    Renamed(Names),
    /// It exists whole, and is to be skipped.
    Complete,
    /// Something is in the way.
    Blocked(InTheWay),
}

/// How the files of a video are called.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Names {
    pub output: String,
    pub join: Option<String>,
}

impl Names {
    pub(crate) fn give_to(&self, video: &mut VideoRequest) {
        video.output.clone_from(&self.output);
        video.join.clone_from(&self.join);
    }
}

/// Something that stands where a video is to go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InTheWay {
    /// Below the output directory.
    pub path: String,
    /// What it is, in words.
    pub what: &'static str,
}

/// The fields of a sidecar that are read back.
#[derive(Deserialize)]
struct Told {
    spec: VideoSpec,
    outputs: Vec<OutputRecord>,
}

/// Looks at the places of every video; `names` are those of its videos, and take in the new ones; `seen` is told after
/// each. Blocks.
pub(crate) fn look(root: &Path, submission: &Submission, names: &mut BTreeSet<String>, seen: &dyn Fn()) -> Vec<Look> {
    let Submission { model, videos, taken, .. } = submission;
    let mut of = |video: &VideoRequest| {
        let Some(obstacle) = obstacle(root, video, *taken) else { return Look::Free };
        match taken {
            Taken::NewName => free_name(root, video, names).map_or(Look::Blocked(obstacle), Look::Renamed),
            Taken::Skip if stands_whole(root, model, video) => Look::Complete,
            _ => Look::Blocked(obstacle),
        }
    };
    videos.iter().map(&mut of).inspect(|_| seen()).collect()
}

/// The next names like those of a video at which nothing stands, of which the first is none of `names`; it becomes one.
/// Blocks.
pub(crate) fn free_name(root: &Path, video: &VideoRequest, names: &mut BTreeSet<String>) -> Option<Names> {
    let renamed = |number| {
        let film = |join: &String| Some(numbered(join.strip_suffix(film::ENDING)?, number)? + film::ENDING);
        let join = video.join.as_ref().map(film);
        let names =
            Names { output: numbered(&video.output, number)?, join: join.map_or(Some(None), |join| join.map(Some))? };
        let mut video = video.clone();
        names.give_to(&mut video);
        Some((video, names))
    };
    let free = |(video, new): &(VideoRequest, Names)| {
        !names.contains(&new.output) && obstacle(root, video, Taken::NewName).is_none()
    };
    let (_, new) = (2..MAX_NUMBER).filter_map(renamed).find(free)?;
    names.insert(new.output.clone());
    Some(new)
}

/// `a-2`, cut before the number where it would be too long.
fn numbered(output: &str, number: u32) -> Option<String> {
    let (folder, leaf) = output.rsplit_once('/').map_or(("", output), |(folder, _)| output.split_at(folder.len() + 1));
    let ends = leaf.char_indices().map(|(at, _)| at).skip(1).chain([leaf.len()]);
    let names = ends.collect::<Vec<_>>().into_iter().rev().map(|end| format!("{folder}{}-{number}", &leaf[..end]));
    names.into_iter().find(|name| output_fault(name).is_none())
}

/// What is in the way of a video.
fn obstacle(root: &Path, video: &VideoRequest, taken: Taken) -> Option<InTheWay> {
    paths_of(video).into_iter().find_map(|path| {
        let what = in_the_way(&root.join(&path), taken == Taken::Overwrite)?;
        Some(InTheWay { path, what })
    })
}

/// What exists at a path, unless it may be replaced.
pub(super) fn in_the_way(path: &Path, may_replace: bool) -> Option<&'static str> {
    let stands = match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
        Err(error) if error.kind() == io::ErrorKind::NotADirectory => return Some("it would lie in what is a file"),
        Err(_) => return Some("it cannot be looked at"),
        Ok(stands) => stands,
    };
    match (stands.is_dir(), may_replace) {
        (false, true) => None,
        (true, true) if holds_only_frames(path).is_ok_and(|only| only) => None,
        (true, true) => Some("a folder with more in it than frames, which is never replaced"),
        (true, false) => Some("a folder"),
        (false, false) if stands.is_symlink() => Some("a link"),
        (false, false) => Some("a file"),
    }
}

fn holds_only_frames(folder: &Path) -> io::Result<bool> {
    for entry in fs::read_dir(folder)? {
        if !is_frame(&entry?) {
            return Ok(false);
        }
    }
    Ok(true)
}

/// True when a sidecar tells of this very video, and its files are as it says.
fn stands_whole(root: &Path, model: &str, video: &VideoRequest) -> bool {
    let told = fs::read(root.join(sidecar_of(&video.output))).ok();
    let Some(told) = told.and_then(|json| serde_json::from_slice::<Told>(&json).ok()) else { return false };
    let sidecar = sidecar_of(&video.output);
    let whole = |path: String| {
        let record = told.outputs.iter().find(|record| record.path == path);
        record.is_some_and(|record| is_whole(&root.join(&path), record))
    };
    told.spec.answers(model, video) && paths_of(video).into_iter().filter(|path| *path != sidecar).all(whole)
}

fn is_whole(path: &Path, record: &OutputRecord) -> bool {
    if path.is_dir() {
        return measure(path).is_ok_and(|(bytes, blake3, _)| (bytes, blake3) == (record.bytes, record.blake3));
    }
    state(path, &Print { bytes: record.bytes, blake3: record.blake3 }, true) == FileState::Whole
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outputs::sidecar::{ModelRecord, Sidecar, Versions};
    use wanfarm_manifest::path_of;
    use wanfarm_types::fixtures::{info, request};
    use wanfarm_types::{Digest, Experts, Format};

    fn video(output: &str) -> VideoRequest {
        VideoRequest { output: output.into(), formats: vec![Format::Mp4, Format::Png], ..request() }
    }

    fn looks(root: &Path, taken: Taken, videos: &[VideoRequest]) -> Vec<Look> {
        let (client_key, name, model) = (String::new(), "n".into(), "m".into());
        let videos = videos.to_vec();
        let submission = Submission { client_key, name, model, priority: 50, early_look: false, taken, videos };
        let mut names = submission.videos.iter().map(|video| video.output.clone()).collect();
        look(root, &submission, &mut names, &|| ())
    }

    fn put(root: &Path, path: &str) {
        let path = root.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, "something").unwrap();
    }

    /// A video with its files and its sidecar.
    fn finish(root: &Path, output: &str) -> VideoRequest {
        let video = video(output);
        put(root, &format!("{output}.mp4"));
        put(root, &format!("{output}/00000.png"));
        let spec = video.resolve(&info(Experts::Single)).unwrap();
        let record = |format: &Format| {
            let path = path_of(output, *format);
            let (bytes, blake3, _) = measure(&root.join(&path)).unwrap();
            OutputRecord { path, bytes, blake3, note: None }
        };
        let sidecar = Sidecar {
            spec: &spec,
            started_from: None,
            led_to: None,
            made_from: None,
            model: ModelRecord { name: "m", files: &[] },
            versions: Versions::current(),
            attempts: &[],
            notes: &[],
            unwritten: &[],
            passes: &[],
            quality: &wanfarm_media::assess(&wanfarm_media::Frames::new(&[0; 12], 1, 2, 2).unwrap()),
            outputs: &video.formats.iter().map(record).collect::<Vec<_>>(),
            latents_blake3: Digest([0; 32]),
        };
        fs::write(root.join(sidecar_of(output)), serde_json::to_vec(&sidecar).unwrap()).unwrap();
        video
    }

    #[test]
    fn a_film_gets_a_new_name_with_its_video() {
        let dir = tempfile::tempdir().unwrap();
        put(dir.path(), "films/one.mp4");
        put(dir.path(), "films/one-2.mp4");
        let film = VideoRequest { join: Some("films/one.mp4".into()), ..video("a") };
        let renamed = Look::Renamed(Names { output: "a-3".into(), join: Some("films/one-3.mp4".into()) });
        assert_eq!(looks(dir.path(), Taken::NewName, &[film.clone(), video("b")]), [renamed, Look::Free]);
        assert_eq!(looks(dir.path(), Taken::Refuse, &[film]), [blocked("films/one.mp4", "a file")]);
    }

    fn blocked(path: &str, what: &'static str) -> Look {
        Look::Blocked(InTheWay { path: path.into(), what })
    }

    #[test]
    fn whatever_stands_at_any_path_of_a_video_is_in_its_way() {
        let dir = tempfile::tempdir().unwrap();
        put(dir.path(), "file.mp4");
        put(dir.path(), "told.json");
        put(dir.path(), "folder/x");
        put(dir.path(), "above");
        let videos = ["free", "file", "told", "folder", "above/a", "new/folder/a"].map(video);
        let seen = looks(dir.path(), Taken::Refuse, &videos);
        let inside = blocked("above/a.mp4", "it would lie in what is a file");
        let file = "a file";
        let expected = [
            Look::Free,
            blocked("file.mp4", file),
            blocked("told.json", file),
            blocked("folder", "a folder"),
            inside,
            Look::Free,
        ];
        assert_eq!(seen, expected);
    }

    #[test]
    fn overwriting_spares_folders_that_hold_more_than_frames() {
        let dir = tempfile::tempdir().unwrap();
        put(dir.path(), "a.mp4");
        put(dir.path(), "a/00000.png");
        put(dir.path(), "b/00000.png");
        put(dir.path(), "b/notes.txt");
        put(dir.path(), "c.mp4/x");
        put(dir.path(), "d/e/00000.png");
        let seen = looks(dir.path(), Taken::Overwrite, &["a", "b", "c", "d"].map(video));
        let more = "a folder with more in it than frames, which is never replaced";
        assert_eq!(seen, [Look::Free, blocked("b", more), blocked("c.mp4", more), blocked("d", more)]);
    }

    #[test]
    fn new_names_are_free_and_fit_a_file_system() {
        let dir = tempfile::tempdir().unwrap();
        for path in ["n/a.mp4", "n/a-2/x", "n/a-3.json"] {
            put(dir.path(), path);
        }
        let videos = ["n/a", "n/a-4", "n/b"].map(video);
        let new = |name: &str| Look::Renamed(Names { output: name.into(), join: None });
        assert_eq!(looks(dir.path(), Taken::NewName, &videos), [new("n/a-5"), Look::Free, Look::Free]);
        let long = format!("n/{}", "é".repeat(100));
        put(dir.path(), &format!("{long}.mp4"));
        let short = format!("n/{}-2", "é".repeat(99));
        assert_eq!(looks(dir.path(), Taken::NewName, &[video(&long)]), [new(&short)]);
    }

    #[test]
    fn only_a_whole_video_of_the_same_settings_is_left_out() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path();
        let whole = finish(root, "n/a");
        let seen = |video: &VideoRequest| looks(root, Taken::Skip, std::slice::from_ref(video)).remove(0);
        assert_eq!(seen(&whole), Look::Complete);
        let file = || blocked("n/a.mp4", "a file");
        assert_eq!(seen(&VideoRequest { prompt: "another".into(), ..whole.clone() }), file());
        assert_eq!(seen(&VideoRequest { steps: Some(7), ..whole.clone() }), file());
        assert_eq!(seen(&VideoRequest { formats: vec![Format::Gif], ..whole.clone() }), blocked("n/a.json", "a file"));
        fs::write(root.join("n/a/00000.png"), "something else").unwrap();
        assert_eq!(seen(&whole), file());
    }
}
