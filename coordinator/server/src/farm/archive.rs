//! All finished files of a job as one archive, made while it is sent: nothing of it is kept anywhere.
//!
//! Each file is held against what was written before it goes in, and again while it does; one that is not there as it was
//! written is left out, and named in a text at the end. Reading blocks; it runs on a thread of its own, at the speed of its
//! receiver, who is given up when nothing is taken for a while.

#![expect(clippy::disallowed_methods, reason = "reads on a thread of its own")]

use std::fs::File;
use std::io::{self, Read, Seek, Write};
use std::path::{Component, Path};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use tokio::runtime::Handle;
use tokio::sync::{Semaphore, mpsc};
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;
use wanfarm_types::{FileState, JobId, JobReport};
use zip::write::{SimpleFileOptions, ZipWriter};
use zip::{CompressionMethod, DateTime};

use super::asking::Answer;
use super::files::{became, lost};
use super::pipe::{CHUNK_BYTES, Pipe, take};
use super::wire::refusal;
use super::{AHEAD, FarmService, Seen};
use crate::limits::{ARCHIVES_SENT, UNREAD_TIMEOUT};
use crate::outputs::{self, JobFiles, Print, Stands};
use crate::requests::{Report, Request};

/// More files than this are no archive: their list alone takes a hundred megabytes of memory.
const MAX_FILES: usize = 200_000;
/// Names what is not in the archive.
const MISSING: &str = "MISSING.txt";

/// Limits how many archives are sent at a time.
#[derive(Debug, Clone)]
pub(super) struct Archives(Arc<Semaphore>);

impl Archives {
    pub(super) fn new() -> Self {
        Self(Arc::new(Semaphore::new(ARCHIVES_SENT)))
    }
}

/// The bytes of an archive, as they are made.
pub type Archive = ReceiverStream<io::Result<Bytes>>;

impl FarmService {
    /// The finished files of a job, and its report so far, as a zip file. It ends with an error when it could not be made
    /// whole.
    ///
    /// # Errors
    /// When there is no such job, it has too many files, or too many archives are being sent.
    pub async fn archive(&self, job: JobId) -> Answer<(String, Archive)> {
        let busy =
            || Status::unavailable(format!("{ARCHIVES_SENT} archives are being sent already; ask again in a while"));
        let turn = self.archives.0.clone().try_acquire_owned().map_err(|_| busy())?;
        let Report { report, place, files } =
            self.ask(|reply| Request::Report { job, reply }).await?.map_err(refusal)?;
        let count: usize = files.videos.iter().flat_map(|video| video.written.iter()).map(|one| one.count()).sum();
        if count > MAX_FILES {
            let why = format!("job {job} has {count} files, and an archive at most {MAX_FILES}");
            return Err(Status::failed_precondition(format!(
                "{why}; fetch them with `coordinator download {job} DIR`"
            )));
        }
        let (chunks, outgoing) = mpsc::channel(AHEAD);
        let (runtime, stills, name) = (Handle::current(), self.stills.clone(), report.job.name.clone());
        tokio::task::spawn_blocking(move || {
            let _turn = turn;
            let reports = || {
                let report = JobReport { lost: lost(&files, &Seen::default()), ..report };
                let page = outputs::page(&report, &files, &stills.of_job(&files, &|| ()), Stands::At(&place));
                let json = serde_json::to_vec_pretty(&report).unwrap_or_default();
                [(place.clone(), json), (wanfarm_manifest::page_of(&place), page.into_bytes())]
            };
            send(&files, reports, Pipe::new(runtime, chunks));
        });
        Ok((name, ReceiverStream::new(outgoing)))
    }
}

/// Sends the archive; where it cannot be whole, an error at its end.
fn send(files: &JobFiles, reports: impl FnOnce() -> [(String, Vec<u8>); 2], pipe: Pipe) {
    let (runtime, chunks, broken) = (pipe.runtime.clone(), pipe.chunks.clone(), pipe.broken.clone());
    let mut archive = ZipWriter::new_stream(pipe);
    let whole = match fill(&mut archive, files, reports) {
        Ok(()) => archive.finish().map_err(io::Error::from).and_then(|writer| writer.into_inner().flush()),
        Err(error) => {
            broken.store(true, Ordering::Relaxed);
            Err(error)
        }
    };
    if let Err(error) = whole {
        tracing::debug!(%error, "an archive breaks off");
        // Nobody may listen any more.
        take(&runtime, &chunks, Err(error), UNREAD_TIMEOUT);
    }
}

fn fill<W: Write + Seek>(
    archive: &mut ZipWriter<W>,
    files: &JobFiles,
    reports: impl FnOnce() -> [(String, Vec<u8>); 2],
) -> io::Result<()> {
    let mut missing = String::new();
    for video in &files.videos {
        for (path, print) in video.written.iter().flat_map(|written| written.files()) {
            let state = match became(&files.root, video, &path, &print, true) {
                (FileState::Whole, _) if is_plain(&path) => {
                    archive.start_file(&*path, options(print.bytes))?;
                    copy(&files.root.join(&path), &print, archive)?;
                    continue;
                }
                (FileState::Whole, _) => "no safe name".to_owned(),
                (FileState::Replaced, Some(job)) => format!("replaced by job {job}"),
                (state, _) => state.name().to_owned(),
            };
            missing += &format!("{path}: {state}\n");
        }
    }
    let missing = (!missing.is_empty()).then(|| (MISSING.to_owned(), missing.into_bytes()));
    for (path, bytes) in reports().into_iter().chain(missing) {
        archive.start_file(path, options(bytes.len() as u64))?;
        archive.write_all(&bytes)?;
    }
    Ok(())
}

/// Stored as it is, for films are no smaller otherwise; without times, so that the same files are the same archive.
fn options(bytes: u64) -> SimpleFileOptions {
    let stored = SimpleFileOptions::default().compression_method(CompressionMethod::Stored);
    stored.last_modified_time(DateTime::default()).large_file(bytes >= u64::from(u32::MAX)).unix_permissions(0o644)
}

/// A path that leads nowhere but down.
fn is_plain(path: &str) -> bool {
    Path::new(path).components().all(|part| matches!(part, Component::Normal(_)))
}

fn copy(path: &Path, print: &Print, archive: &mut impl Write) -> io::Result<()> {
    let mut file = File::open(path)?.take(print.bytes + 1);
    let (mut hasher, mut chunk) = (blake3::Hasher::new(), vec![0; CHUNK_BYTES]);
    loop {
        let read = file.read(&mut chunk)?;
        if read == 0 {
            break;
        }
        hasher.update(&chunk[..read]);
        archive.write_all(&chunk[..read])?;
    }
    if (hasher.count(), *hasher.finalize().as_bytes()) != (print.bytes, print.blake3.0) {
        return Err(io::Error::other(format!("{} has changed while it was sent", path.display())));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outputs::{Content, VideoFiles, Written, print};
    use std::io::Cursor;
    use zip::ZipArchive;

    /// A film larger than a chunk, two frames, and a film of another video.
    fn rendered() -> (tempfile::TempDir, JobFiles) {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().to_owned();
        std::fs::create_dir_all(root.join("n/a")).unwrap();
        std::fs::write(root.join("n/a.mp4"), vec![7; 3 * CHUNK_BYTES + 5]).unwrap();
        for (file, text) in [("n/a/00000.png", "zero"), ("n/a/00001.png", "one"), ("n/ü.mp4", "film"), ("secret", "s")]
        {
            std::fs::write(root.join(file), text).unwrap();
        }
        let of = |file: &str| print(&root.join(file)).unwrap();
        let film = |file: &str| Written { path: file.into(), content: Content::File(of(file)) };
        let frames = Content::Frames(vec![of("n/a/00000.png"), of("n/a/00001.png")]);
        let first = [Written { path: "n/a".into(), content: frames }, film("n/a.mp4")];
        let videos = vec![
            VideoFiles { video: 0, written: first.into(), replaced_by: None },
            VideoFiles { video: 1, written: [film("n/ü.mp4")].into(), replaced_by: Some(JobId(7)) },
        ];
        (dir, JobFiles { root, videos })
    }

    fn reports() -> [(String, Vec<u8>); 2] {
        [("n.report.json".into(), b"{}".to_vec()), ("n.report.html".into(), b"<!DOCTYPE html>".to_vec())]
    }

    /// What a receiver gets who takes so many chunks, and how it ended.
    fn received(files: JobFiles, chunks: usize) -> (Vec<u8>, Result<(), String>) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let (sender, mut heard) = mpsc::channel(AHEAD);
        let pipe = Pipe::new(runtime.handle().clone(), sender);
        let sending = std::thread::spawn(move || send(&files, reports, pipe));
        let (mut bytes, mut end) = (Vec::new(), Ok(()));
        for chunk in std::iter::from_fn(|| runtime.block_on(heard.recv())).take(chunks) {
            match chunk {
                Ok(chunk) => bytes.extend(chunk),
                Err(error) => end = Err(error.to_string()),
            }
        }
        drop(heard);
        sending.join().unwrap();
        (bytes, end)
    }

    fn contents(archive: Vec<u8>) -> Vec<(String, Vec<u8>)> {
        let mut archive = ZipArchive::new(Cursor::new(archive)).unwrap();
        let files = archive.len();
        let read = |at| {
            let (mut file, mut bytes) = (archive.by_index(at).unwrap(), Vec::new());
            file.read_to_end(&mut bytes).unwrap();
            (file.name().unwrap().into_owned(), bytes)
        };
        (0..files).map(read).collect()
    }

    #[test]
    fn an_archive_holds_what_was_written_and_names_what_is_lacking() {
        let (dir, files) = rendered();
        let names = |contents: &[(String, Vec<u8>)]| contents.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>();
        let (archive, end) = received(files.clone(), usize::MAX);
        assert_eq!((received(files.clone(), usize::MAX).0, end), (archive.clone(), Ok(())), "the same of the same");
        let whole = contents(archive);
        let all = ["n/a/00000.png", "n/a/00001.png", "n/a.mp4", "n/ü.mp4", "n.report.json", "n.report.html"];
        assert_eq!(names(&whole), all);
        assert_eq!((whole[2].1.len(), whole[3].1.as_slice()), (3 * CHUNK_BYTES + 5, b"film".as_slice()));

        std::fs::write(dir.path().join("n/a/00001.png"), "eno").unwrap();
        std::fs::remove_file(dir.path().join("n/a.mp4")).unwrap();
        std::fs::write(dir.path().join("n/ü.mp4"), "anew").unwrap();
        let part = contents(received(files, usize::MAX).0);
        assert_eq!(names(&part), ["n/a/00000.png", "n.report.json", "n.report.html", MISSING]);
        let told = String::from_utf8(part[3].1.clone()).unwrap();
        assert_eq!(told, "n/a/00001.png: damaged\nn/a.mp4: missing\nn/ü.mp4: replaced by job 7\n");
    }

    #[test]
    fn a_receiver_that_leaves_ends_it() {
        let (_dir, files) = rendered();
        assert_eq!(received(files, 1).1, Ok(()));
    }

    #[test]
    fn a_file_that_changes_while_it_is_sent_breaks_the_archive_off() {
        let (dir, files) = rendered();
        let print = Print { bytes: 4, ..print(&dir.path().join("n/ü.mp4")).unwrap() };
        std::fs::write(dir.path().join("n/ü.mp4"), "grown since").unwrap();
        let why = copy(&files.root.join("n/ü.mp4"), &print, &mut Vec::new()).unwrap_err().to_string();
        assert!(why.contains("ü.mp4 has changed"), "{why}");
        let broken = || -> [(String, Vec<u8>); 2] { [("same".into(), Vec::new()), ("same".into(), Vec::new())] };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let (sender, mut heard) = mpsc::channel(100);
        let pipe = Pipe::new(runtime.handle().clone(), sender);
        std::thread::spawn(move || send(&files, broken, pipe)).join().unwrap();
        let heard: Vec<_> = std::iter::from_fn(|| runtime.block_on(heard.recv())).collect();
        assert!(heard.last().unwrap().is_err(), "its end says so");
        let sent: Vec<u8> = heard.into_iter().flatten().flatten().collect();
        assert!(ZipArchive::new(Cursor::new(sent)).is_err(), "and nobody takes it for whole");
    }

    #[test]
    fn names_lead_nowhere_but_down() {
        for (path, plain) in [("a/b.mp4", true), ("../a", false), ("/a", false), ("a/../../b", false)] {
            assert_eq!(is_plain(path), plain, "{path}");
        }
    }
}
