//! The finished files of a job on their way to whoever asked: listed one after the other, read in pieces.
//!
//! Only what the books name as a job's own outputs is touched, and never through a link. Hashing and reading block;
//! both run off the async threads and wait for a receiver that is slower.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use tokio::sync::mpsc;
use tonic::Status;
use wanfarm_proto::v1;

/// Bytes of one piece.
const PIECE: usize = 1 << 20;

/// Sends a line for each file; folders stand for the files in them.
pub(super) fn list(root: &Path, outputs: Vec<(u32, PathBuf)>, lines: &mpsc::Sender<Result<v1::OutputFile, Status>>) {
    for (video, output) in outputs {
        let files = match files_of(&output) {
            Ok(files) => files,
            Err(error) => return drop(lines.blocking_send(Err(unreadable(&output, &error)))),
        };
        for file in files {
            let line = describe(root, video, &file).map_err(|error| unreadable(&file, &error));
            let failed = line.is_err();
            // A receiver that has left wants no more.
            if lines.blocking_send(line).is_err() || failed {
                return;
            }
        }
    }
}

/// The file of that name among a video's outputs.
pub(super) fn find(root: &Path, outputs: &[(u32, PathBuf)], path: &str) -> Option<PathBuf> {
    let wanted = outputs.iter().find_map(|(_, output)| {
        let name = wire_path(root, output)?;
        if name == path {
            return Some(output.clone());
        }
        // A frame lies directly in its video's folder.
        let frame = path.strip_prefix(&name)?.strip_prefix('/')?;
        (Path::new(frame).file_name() == Some(OsStr::new(frame))).then(|| output.join(frame))
    })?;
    fs::symlink_metadata(&wanted).ok()?.is_file().then_some(wanted)
}

/// Sends a file's bytes.
pub(super) fn read(path: &Path, pieces: &mpsc::Sender<Result<v1::FilePiece, Status>>) {
    let fail = |error: &io::Error| drop(pieces.blocking_send(Err(unreadable(path, error))));
    let mut file = match File::open(path) {
        Ok(file) => file,
        Err(error) => return fail(&error),
    };
    loop {
        let mut data = Vec::with_capacity(PIECE);
        match file.by_ref().take(PIECE as u64).read_to_end(&mut data) {
            Err(error) => return fail(&error),
            Ok(0) => return,
            Ok(_) => {
                if pieces.blocking_send(Ok(v1::FilePiece { data })).is_err() {
                    return;
                }
            }
        }
    }
}

fn files_of(output: &Path) -> io::Result<Vec<PathBuf>> {
    if !fs::symlink_metadata(output)?.is_dir() {
        return Ok(vec![output.to_owned()]);
    }
    let mut files: Vec<PathBuf> = fs::read_dir(output)?.map(|entry| Ok(entry?.path())).collect::<io::Result<_>>()?;
    files.retain(|file| fs::symlink_metadata(file).is_ok_and(|metadata| metadata.is_file()));
    files.sort();
    Ok(files)
}

fn describe(root: &Path, video: u32, file: &Path) -> io::Result<v1::OutputFile> {
    let metadata = fs::symlink_metadata(file)?;
    if !metadata.is_file() {
        return Err(io::Error::other("it is no file any more"));
    }
    let path = wire_path(root, file).ok_or_else(|| io::Error::other("it does not lie in the output directory"))?;
    let digest = blake3::Hasher::new().update_mmap(file)?.finalize();
    Ok(v1::OutputFile { video, path, bytes: metadata.len(), blake3: digest.as_bytes().to_vec() })
}

/// Below the output directory, with `/`.
fn wire_path(root: &Path, file: &Path) -> Option<String> {
    let parts = file.strip_prefix(root).ok()?.iter().map(OsStr::to_str).collect::<Option<Vec<_>>>()?;
    Some(parts.join("/"))
}

fn unreadable(path: &Path, error: &io::Error) -> Status {
    let why = format!("the coordinator cannot read {}: {error}; it was there when the video was done", path.display());
    if error.kind() == io::ErrorKind::NotFound { Status::not_found(why) } else { Status::internal(why) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_jobs_own_files_are_found() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("out");
        fs::create_dir_all(root.join("night/0000/deeper")).unwrap();
        for file in ["night/0000/00000.png", "night/0000.mp4", "night/0001.mp4", "night/0000/deeper/x", "secret"] {
            fs::write(root.join(file), file).unwrap();
        }
        let outputs = [(0, root.join("night/0000")), (0, root.join("night/0000.mp4"))];
        let found = |path: &str| find(&root, &outputs, path).is_some();
        assert!(found("night/0000.mp4") && found("night/0000/00000.png"));
        for foreign in [
            "night/0001.mp4",
            "secret",
            "/etc/passwd",
            "",
            "night/0000",
            "night/0000/",
            "night/0000/..",
            "night/0000/../0001.mp4",
            "night/0000/deeper/x",
            "night/0000//00000.png",
            "night/0000/./00000.png",
        ] {
            assert!(!found(foreign), "{foreign}");
        }
        #[cfg(unix)]
        {
            std::os::unix::fs::symlink(root.join("secret"), root.join("night/0000/link.png")).unwrap();
            assert!(!found("night/0000/link.png"), "a link leads elsewhere");
        }
    }

    #[test]
    fn folders_are_listed_file_by_file_and_read_in_pieces() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path();
        fs::create_dir_all(root.join("a/b")).unwrap();
        fs::write(root.join("a/b/1.png"), "one").unwrap();
        fs::write(root.join("a/b/0.png"), vec![7; PIECE + 5]).unwrap();
        fs::write(root.join("a/b.mp4"), "film").unwrap();
        let (lines, mut heard) = mpsc::channel(10);
        list(root, vec![(3, root.join("a/b")), (3, root.join("a/b.mp4")), (4, root.join("gone"))], &lines);
        drop(lines);
        let mut told = Vec::new();
        while let Some(line) = heard.blocking_recv() {
            told.push(line);
        }
        let paths: Vec<_> = told.iter().flatten().map(|line| (line.video, line.path.as_str(), line.bytes)).collect();
        assert_eq!(paths, [(3, "a/b/0.png", PIECE as u64 + 5), (3, "a/b/1.png", 3), (3, "a/b.mp4", 4)]);
        assert_eq!(told[1].as_ref().unwrap().blake3, blake3::hash(b"one").as_bytes());
        assert_eq!(told[3].as_ref().unwrap_err().code(), tonic::Code::NotFound);

        let (pieces, mut heard) = mpsc::channel(10);
        read(&root.join("a/b/0.png"), &pieces);
        drop(pieces);
        let sizes: Vec<_> =
            std::iter::from_fn(|| heard.blocking_recv()).map(|piece| piece.unwrap().data.len()).collect();
        assert_eq!(sizes, [PIECE, 5]);
    }
}
