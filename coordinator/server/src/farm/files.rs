//! Sends the finished files of a job to a client: listed one after the other, read in chunks.
//!
//! Only what the registry names as a job's own outputs is touched, never through a link, and each is held against what was
//! written. Reading blocks; it runs on threads of its own (`sending`).

#![expect(clippy::disallowed_methods, reason = "reads on threads of its own, at the speed of its receiver")]

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use tonic::Status;
use wanfarm_proto::v1;
use wanfarm_types::{Digest, FileState, JobId, LostFile};

use super::Seen;
use crate::outputs::{JobFiles, Print, VideoFiles, state};

/// Bytes of one chunk.
const CHUNK_BYTES: usize = 1 << 20;
/// Most lost files that are told of.
const MAX_LOST: usize = 1000;

/// Sends a line for each file, until nobody takes one any more; folders stand for the files in them.
pub(super) fn list(files: &JobFiles, send: impl Fn(Result<v1::OutputFile, Status>) -> bool) {
    for video in &files.videos {
        for (path, print) in video.written.iter().flat_map(|written| written.files()) {
            let (state, replaced_by) = became(&files.root, video, &path, &print, true);
            let line = v1::OutputFile {
                video: video.video,
                path,
                bytes: print.bytes,
                blake3: print.blake3.0.to_vec(),
                state: v1::FileState::from(state).into(),
                replaced_by: replaced_by.map_or(0, |job| job.0),
            };
            if !send(Ok(line)) {
                return;
            }
        }
    }
}

/// A file of a finished video, as it was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutputLine {
    /// Below the job's output directory, with `/`.
    pub path: String,
    /// Length in bytes.
    pub bytes: u64,
    /// BLAKE3 digest.
    pub blake3: Digest,
    /// What it is now, as far as its length tells.
    pub state: FileState,
}

/// The files of a video, folders as the files in them; each is `seen` when it was looked at.
pub(super) fn told(files: &JobFiles, seen: &Seen) -> Vec<OutputLine> {
    let each = files.videos.iter().flat_map(|video| {
        let files_of_video = video.written.iter().flat_map(|written| written.files());
        files_of_video.map(move |(path, print)| (video, path, print))
    });
    let lines = each.map(|(video, path, print)| {
        let (state, _) = became(&files.root, video, &path, &print, false);
        OutputLine { path, bytes: print.bytes, blake3: print.blake3, state }
    });
    lines.inspect(|_| seen.one()).collect()
}

/// The files that are not there as they were written, as far as their lengths tell; each is `seen` when it was looked at.
pub(super) fn lost(files: &JobFiles, seen: &Seen) -> Vec<LostFile> {
    let each = files.videos.iter().flat_map(|video| {
        let files_of_video = video.written.iter().flat_map(|written| written.files());
        files_of_video.map(move |(path, print)| (video, path, print))
    });
    let lines = each.map(|(video, path, print)| {
        let (state, replaced_by) = became(&files.root, video, &path, &print, false);
        LostFile { video: video.video, path, state, replaced_by }
    });
    let lines = lines.inspect(|_| seen.one());
    lines.filter(|line| line.state != FileState::Whole).take(MAX_LOST).collect()
}

/// The first file among a video's outputs whose path `is_meant`, and what it was when it was written.
pub(super) fn find(files: &JobFiles, is_meant: impl Fn(&str) -> bool) -> Option<(PathBuf, Print)> {
    let mut each = files.videos.iter().flat_map(|video| video.written.iter()).flat_map(|written| written.files());
    let (path, print) = each.find(|(known, _)| is_meant(known))?;
    let file = files.root.join(path);
    fs::symlink_metadata(&file).ok()?.is_file().then_some((file, print))
}

/// Sends a file's bytes, until nobody takes them any more, and at their end an error unless they are what was written.
pub(super) fn read(path: &Path, written: (u64, Digest), send: impl Fn(Result<v1::FileChunk, Status>) -> bool) {
    let fail = |error: &io::Error| {
        let why = format!("the coordinator cannot read {}: {error}", path.display());
        send(Err(Status::internal(why)));
    };
    let mut file = match File::open(path) {
        Ok(file) => file,
        Err(error) => return fail(&error),
    };
    let mut hasher = blake3::Hasher::new();
    loop {
        let mut data = Vec::with_capacity(CHUNK_BYTES);
        match file.by_ref().take(CHUNK_BYTES as u64).read_to_end(&mut data) {
            Err(error) => return fail(&error),
            Ok(0) => break,
            Ok(_) => {
                hasher.update(&data);
                if !send(Ok(v1::FileChunk { data })) {
                    return;
                }
            }
        }
    }
    if (hasher.count(), hasher.finalize().as_bytes()) != (written.0, &written.1.0) {
        let why = format!("{} holds other bytes than were written", path.display());
        send(Err(Status::data_loss(why)));
    }
}

/// The state of a file, and the job that has replaced it.
pub(super) fn became(
    root: &Path,
    video: &VideoFiles,
    path: &str,
    print: &Print,
    reading: bool,
) -> (FileState, Option<JobId>) {
    match (state(&root.join(path), print, reading), video.replaced_by) {
        (FileState::Whole, _) => (FileState::Whole, None),
        (_, Some(job)) => (FileState::Replaced, Some(job)),
        (state, None) => (state, None),
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::mpsc;

    use super::*;
    use crate::outputs::{Content, Written, print};

    /// Two videos: 3 with frames and a film, 4 with a film that job 7 has replaced.
    fn rendered() -> (tempfile::TempDir, JobFiles) {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().to_owned();
        fs::create_dir_all(root.join("a/b")).unwrap();
        fs::write(root.join("a/b/00000.png"), vec![7; CHUNK_BYTES + 5]).unwrap();
        for (file, text) in [("a/b/00001.png", "one"), ("a/b.mp4", "film"), ("a/c.mp4", "other"), ("secret", "s")] {
            fs::write(root.join(file), text).unwrap();
        }
        let print = |file: &str| print(&root.join(file)).unwrap();
        let film = |file: &str| Written { path: file.into(), content: Content::File(print(file)) };
        let frames = Content::Frames(vec![print("a/b/00000.png"), print("a/b/00001.png")]);
        let three = [Written { path: "a/b".into(), content: frames }, film("a/b.mp4")];
        let videos = vec![
            VideoFiles { video: 3, written: three.into(), replaced_by: None },
            VideoFiles { video: 4, written: [film("a/c.mp4")].into(), replaced_by: Some(JobId(7)) },
        ];
        (dir, JobFiles { root, videos })
    }

    fn listed(files: &JobFiles) -> Vec<(u32, String, v1::FileState, u64)> {
        let (lines, mut heard) = mpsc::channel(10);
        list(files, |line| lines.blocking_send(line).is_ok());
        drop(lines);
        let each = std::iter::from_fn(|| heard.blocking_recv()).map(Result::unwrap);
        each.map(|line| (line.video, line.path.clone(), line.state(), line.replaced_by)).collect()
    }

    #[test]
    fn only_a_jobs_own_files_are_found() {
        let (dir, files) = rendered();
        let found = |path: &str| find(&files, |known| known == path).is_some();
        assert!(found("a/b.mp4") && found("a/b/00001.png"));
        fs::write(dir.path().join("a/b/00002.png"), "foreign").unwrap();
        for foreign in
            ["secret", "/etc/passwd", "", "a/b", "a/b/", "a/b/..", "a/b/00002.png", "a/b//00000.png", "a/./b.mp4"]
        {
            assert!(!found(foreign), "{foreign}");
        }
        #[cfg(unix)]
        {
            fs::remove_file(dir.path().join("a/b.mp4")).unwrap();
            std::os::unix::fs::symlink(dir.path().join("secret"), dir.path().join("a/b.mp4")).unwrap();
            assert!(!found("a/b.mp4"), "a link leads elsewhere");
        }
    }

    #[test]
    fn each_file_is_told_with_what_became_of_it() {
        use v1::FileState::{Damaged, Missing, Replaced, Whole};
        let (dir, files) = rendered();
        let told = |states: [(v1::FileState, u64); 4]| {
            let paths = [(3, "a/b/00000.png"), (3, "a/b/00001.png"), (3, "a/b.mp4"), (4, "a/c.mp4")];
            let lines = paths.into_iter().zip(states);
            lines.map(|((video, path), (state, by))| (video, path.to_owned(), state, by)).collect::<Vec<_>>()
        };
        assert_eq!(
            listed(&files),
            told([(Whole, 0), (Whole, 0), (Whole, 0), (Whole, 0)]),
            "the same bytes are the same"
        );
        fs::write(dir.path().join("a/b/00001.png"), "eno").unwrap();
        fs::remove_file(dir.path().join("a/b.mp4")).unwrap();
        fs::write(dir.path().join("a/c.mp4"), "anew").unwrap();
        assert_eq!(listed(&files), told([(Whole, 0), (Damaged, 0), (Missing, 0), (Replaced, 7)]));
        let lost: Vec<String> = lost(&files, &Seen::default()).into_iter().map(|line| line.path).collect();
        assert_eq!(lost, ["a/b.mp4", "a/c.mp4"], "by their lengths");
    }

    #[test]
    fn files_are_read_in_pieces_and_what_is_not_as_written_ends_with_an_error() {
        let (dir, files) = rendered();
        let (path, print) = find(&files, |known| known == "a/b/00000.png").unwrap();
        let sizes = || {
            let (chunks, mut heard) = mpsc::channel(10);
            read(&path, (print.bytes, print.blake3), |chunk| chunks.blocking_send(chunk).is_ok());
            drop(chunks);
            let chunks = std::iter::from_fn(|| heard.blocking_recv());
            chunks.map(|chunk| chunk.map(|chunk| chunk.data.len()).map_err(|status| status.code())).collect::<Vec<_>>()
        };
        assert_eq!(sizes(), [Ok(CHUNK_BYTES), Ok(5)]);
        fs::write(dir.path().join("a/b/00000.png"), "cut short").unwrap();
        assert_eq!(sizes(), [Ok(9), Err(tonic::Code::DataLoss)]);
    }
}
