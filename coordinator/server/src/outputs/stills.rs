//! Pictures of finished videos, stills for their job's report and posters for whoever looks at them: made of their files, so
//! that nothing has to be kept for them, and remembered while there is room.

use std::collections::{BTreeMap, VecDeque};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use wanfarm_media::MediaError;
use wanfarm_types::{Digest, FileState};

use super::JobFiles;
use super::record::{Content, Print, Written, state};

/// Pictures of one report at most. A page of them takes some 16 MiB.
pub(crate) const MOST_OF_A_JOB: usize = 2000;
/// Stills that are remembered, some 6 KiB each.
const MOST_STILLS: usize = 4000;
/// Posters that are remembered, some 60 KiB each.
const MOST_POSTERS: usize = 400;
/// Stills of one report that have to be made may take so long together; what remains is listed without.
const PATIENCE: Duration = Duration::from_secs(60);
/// What shows a video, the best first.
const ENDINGS: [&str; 3] = [".mp4", ".gif", ".contact.png"];

/// Makes and remembers stills.
#[derive(Debug, Clone)]
pub(crate) struct Stills(Pictures);

/// Makes and remembers posters.
#[derive(Debug, Clone)]
pub(crate) struct Posters(Pictures);

/// Pictures of one kind.
#[derive(Debug, Clone)]
struct Pictures {
    make: fn(&Path) -> Result<Vec<u8>, MediaError>,
    /// How many are remembered.
    most: usize,
    remembered: Arc<Mutex<Remembered>>,
}

/// By the digest of the file that each was made of.
#[derive(Debug, Default)]
struct Remembered {
    pictures: BTreeMap<Digest, Bytes>,
    /// The oldest first.
    order: VecDeque<Digest>,
}

impl Default for Stills {
    fn default() -> Self {
        Self(Pictures::new(wanfarm_media::still, MOST_STILLS))
    }
}

impl Default for Posters {
    fn default() -> Self {
        Self(Pictures::new(wanfarm_media::poster, MOST_POSTERS))
    }
}

impl Posters {
    /// The poster of a file that is as it was written; `None` where it is not, or shows nothing. Blocks.
    pub(crate) fn of(&self, path: &Path, print: &Print) -> Option<Bytes> {
        self.0.of(path, print)
    }
}

impl Stills {
    /// A still of a video with these files; `None` where they are not as they were written, or show nothing. Blocks.
    pub(crate) fn of(&self, root: &Path, written: &[Written]) -> Option<Bytes> {
        let (path, print) = shown(written)?;
        self.0.of(&root.join(path), &print)
    }

    /// Stills of a job's videos, by their places in the manifest: of the first ones, and of no more than can be made in a
    /// while. `seen` hears of each. Blocks.
    pub(crate) fn of_job(&self, files: &JobFiles, seen: &dyn Fn()) -> BTreeMap<u32, Bytes> {
        let end = Instant::now() + PATIENCE;
        let mut stills = BTreeMap::new();
        for video in files.videos.iter().take(MOST_OF_A_JOB).filter(|video| video.replaced_by.is_none()) {
            let Some((path, print)) = shown(&video.written) else { continue };
            let made = || if Instant::now() < end { self.0.make(&files.root.join(path), &print) } else { None };
            stills.extend(self.0.known(&print.blake3).or_else(made).map(|still| (video.video, still)));
            seen();
        }
        stills
    }
}

impl Pictures {
    fn new(make: fn(&Path) -> Result<Vec<u8>, MediaError>, most: usize) -> Self {
        Self { make, most, remembered: Arc::default() }
    }

    fn of(&self, path: &Path, print: &Print) -> Option<Bytes> {
        self.known(&print.blake3).or_else(|| self.make(path, print))
    }

    fn known(&self, file: &Digest) -> Option<Bytes> {
        self.remembered.lock().unwrap_or_else(PoisonError::into_inner).pictures.get(file).cloned()
    }

    /// Of a file that is as it was written: what anybody else has put there is not opened.
    fn make(&self, path: &Path, print: &Print) -> Option<Bytes> {
        if state(path, print, true) != FileState::Whole {
            return None;
        }
        let picture = (self.make)(path).inspect_err(|error| tracing::debug!(%error, "a video without a picture"));
        let picture = Bytes::from(picture.ok()?);
        let mut remembered = self.remembered.lock().unwrap_or_else(PoisonError::into_inner);
        let Remembered { pictures, order } = &mut *remembered;
        if pictures.insert(print.blake3, picture.clone()).is_none() {
            order.push_back(print.blake3);
        }
        if order.len() > self.most
            && let Some(oldest) = order.pop_front()
        {
            pictures.remove(&oldest);
        }
        Some(picture)
    }
}

/// The file that shows most of a video, by its path below the output directory.
pub(crate) fn shown(written: &[Written]) -> Option<(String, Print)> {
    let file = |ending: &str| {
        written.iter().find_map(|one| match one.content {
            Content::File(print) if one.path.ends_with(ending) => Some((one.path.clone(), print)),
            _ => None,
        })
    };
    let frame = || {
        let frames = written.iter().filter(|one| matches!(one.content, Content::Frames(_)));
        frames.flat_map(Written::files).next()
    };
    let [film, gif, sheet] = ENDINGS;
    file(film).or_else(frame).or_else(|| file(gif)).or_else(|| file(sheet))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outputs::{VideoFiles, print};
    use wanfarm_media::{Frames, write_gif};
    use wanfarm_types::FrameRate;

    /// A job with so many videos, each of another grey.
    fn rendered(videos: u32) -> (tempfile::TempDir, JobFiles) {
        let dir = tempfile::tempdir().unwrap();
        let video = |video: u32| {
            let path = format!("{video}.gif");
            let file = dir.path().join(&path);
            let pixels = vec![video as u8; 8 * 8 * 3];
            write_gif(&Frames::new(&pixels, 1, 8, 8).unwrap(), FrameRate::whole(8), &file).unwrap();
            let written = Written { path, content: Content::File(print(&file).unwrap()) };
            VideoFiles { video, written: [written].into(), replaced_by: None }
        };
        let videos = (0..videos).map(video).collect();
        let root = dir.path().to_owned();
        (dir, JobFiles { root, videos })
    }

    #[test]
    fn only_what_was_written_is_shown_and_what_was_shown_is_remembered() {
        let (dir, files) = rendered(3);
        let (stills, of_job) = (Stills::default(), |stills: &Stills| stills.of_job(&files, &|| ()));
        std::fs::write(dir.path().join("1.gif"), "another file").unwrap();
        let first = of_job(&stills);
        assert_eq!(first.keys().collect::<Vec<_>>(), [&0, &2], "one file is not as it was written");
        assert!(first[&0].starts_with(&[0xff, 0xd8]), "a JPEG");
        assert_eq!(of_job(&Stills::default()), first, "the same after a restart");
        std::fs::remove_file(dir.path().join("2.gif")).unwrap();
        assert_eq!(of_job(&stills), first, "made once");
        assert_eq!(of_job(&Stills::default()).len(), 1);
    }

    #[test]
    fn only_the_newest_pictures_are_remembered() {
        let (dir, files) = rendered(3);
        let few = Pictures::new(wanfarm_media::poster, 2);
        let prints: Vec<(String, Print)> = files.videos.iter().filter_map(|video| shown(&video.written)).collect();
        for (path, print) in &prints {
            assert!(few.of(&dir.path().join(path), print).unwrap().starts_with(&[0xff, 0xd8]), "a JPEG");
        }
        let known: Vec<bool> = prints.iter().map(|(_, print)| few.known(&print.blake3).is_some()).collect();
        assert_eq!(known, [false, true, true]);
    }

    #[test]
    fn a_video_is_shown_by_its_film_before_anything_else() {
        let print = Print { bytes: 1, blake3: Digest([1; 32]) };
        let file = |path: &str| Written { path: path.into(), content: Content::File(print) };
        let frames = Written { path: "a".into(), content: Content::Frames(vec![print]) };
        let (sheet, gif, film, sidecar) = (file("a.contact.png"), file("a.gif"), file("a.mp4"), file("a.json"));
        let shown = |written: &[&Written]| {
            let written: Vec<Written> = written.iter().map(|one| (*one).clone()).collect();
            super::shown(&written).map(|(path, _)| path)
        };
        assert_eq!(shown(&[&sheet, &gif, &frames, &film, &sidecar]).unwrap(), "a.mp4");
        assert_eq!(shown(&[&sheet, &gif, &frames]).unwrap(), "a/00000.png");
        assert_eq!(shown(&[&sheet, &gif]).unwrap(), "a.gif");
        assert_eq!(shown(&[&sheet, &sidecar]).unwrap(), "a.contact.png");
        assert_eq!(shown(&[&sidecar]), None);
    }
}
