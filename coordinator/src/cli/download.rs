//! `coordinator download`.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use uuid::Uuid;
use wanfarm_client::{Client, ClientError, RemoteFile};
use wanfarm_durable::place::{Placing, Stage};
use wanfarm_types::{Digest, FileState, JobId, LostFile};

use super::reference::Target;
use super::report::lost_words;
use super::say::{errln, faultln, outln};
use super::{CliError, CoordinatorArg, asked_to_stop, block_on, print_json};
use crate::exit::Exit;
use crate::logging;
use crate::progress::counted;

/// Most bytes of one part of a path; no common file system takes more.
const MAX_PART_BYTES: usize = 255;

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  coordinator download night ~/renders    every finished file, below DIR
  coordinator download 17/3 .            the files of one video

Every file is checked by the digest it had when it was written and appears whole or not at all. A file that is already
there is not fetched again, so after an interruption, or when more videos are done, the same command goes on. Files that
are missing, damaged or replaced by a later job are named at the end; then it exits with 1.")]
pub(super) struct DownloadArgs {
    /// A job by number or name, or one video of it as JOB/INDEX.
    #[arg(value_name = "JOB[/VIDEO]")]
    which: Target,
    /// Where to put the files; made if it is not there.
    #[arg(value_parser = super::path::new())]
    dir: PathBuf,
    #[command(flatten)]
    coordinator: CoordinatorArg,
    /// Print JSON at the end.
    #[arg(long)]
    json: bool,
}

pub(super) fn download(args: DownloadArgs) -> Result<Exit, CliError> {
    logging::quiet();
    block_on(interruptible(async {
        let mut client = Client::connect(&args.coordinator.target()?).await?;
        let (job, video) = (args.which.find(&mut client).await?, args.which.video);
        let mut files = client.files(job, video).await?;
        let (mut fetched, mut kept, mut lost, mut bytes) = (Vec::new(), Vec::new(), Vec::new(), 0);
        let mut places = Places::new(&args.dir)?;
        while let Some(file) = files.next().await.map_err(interrupted)? {
            let target = args.dir.join(safe(&file.path)?);
            if let Some(gone) = file.lost {
                lost.push(gone);
                continue;
            }
            if is_there(&target, &file).await? {
                kept.push(file.path);
                continue;
            }
            match fetch(&mut client, job, &file, places.begin(&target)?).await? {
                Fetched::Whole => {}
                Fetched::Lost(gone) => {
                    lost.push(gone);
                    continue;
                }
            }
            if !args.json {
                outln!("{}", target.display());
            }
            bytes += file.bytes;
            fetched.push(file.path);
        }
        let exit = if lost.is_empty() { Exit::Ok } else { Exit::SomeFailed };
        if args.json {
            let told =
                serde_json::json!({ "job": job, "fetched": fetched, "kept": kept, "bytes": bytes, "lost": lost });
            return print_json(&told).map(|()| exit);
        }
        let (new, old) = (fetched.len(), kept.len());
        errln!("{} fetched, {old} there already, in {}", counted(new as u64, "file"), args.dir.display());
        if !lost.is_empty() {
            faultln!("{}", lost_words(&lost).trim_end());
        }
        let lines = client.jobs().await?;
        let unfinished =
            lines.iter().find(|line| line.job == job).filter(|line| !line.state.is_end() && video.is_none());
        if let Some(line) = unfinished {
            errln!("{} of {} done; the same command fetches the rest later", line.done, counted(line.videos, "video"));
        }
        Ok(exit)
    }))
}

/// Where files are put; what a download that was killed has left there is cleared.
struct Places {
    stage: Stage,
    /// Held while no other download writes below the folder.
    alone: Option<File>,
    cleared: BTreeSet<PathBuf>,
}

impl Places {
    fn new(dir: &Path) -> Result<Self, CliError> {
        std::fs::create_dir_all(dir).map_err(|error| local(dir, &error))?;
        // Where folders cannot be locked, what was left stays.
        let alone = File::open(dir).ok().filter(|dir| dir.try_lock().is_ok());
        Ok(Self { stage: Stage::new(Uuid::nil()), alone, cleared: BTreeSet::new() })
    }

    fn begin(&mut self, target: &Path) -> Result<Placing, CliError> {
        let folder = target.parent().unwrap_or(target);
        if self.alone.is_some() && self.cleared.insert(folder.to_owned()) {
            self.stage.clear(folder);
        }
        self.stage.begin(target).map_err(|error| CliError::new(Exit::SomeFailed, error))
    }
}

/// Ends a download that is to stop so that it leaves no half of a file.
async fn interruptible(download: impl Future<Output = Result<Exit, CliError>>) -> Result<Exit, CliError> {
    tokio::select! {
        ended = download => ended,
        () = asked_to_stop() => {
            Err(CliError::new(Exit::Interrupted, "interrupted; the same command goes on where this one ended"))
        }
    }
}

fn interrupted(error: ClientError) -> CliError {
    let exit = CliError::from(error);
    CliError::new(exit.exit(), format!("{exit}; the same command goes on where this one ended"))
}

/// A path that stays below the directory it is joined to; the sender is not trusted.
fn safe(path: &str) -> Result<PathBuf, CliError> {
    let plain = |part: &str| {
        let special = part.is_empty() || part == "." || part == ".." || part.len() > MAX_PART_BYTES;
        !special && !part.contains(['\\', ':']) && !part.chars().any(char::is_control)
    };
    if path.split('/').all(plain) {
        return Ok(path.split('/').collect());
    }
    let message = format!(
        "the coordinator names a file {path:?}, which could lead out of the directory; nothing more is fetched"
    );
    Err(CliError::new(Exit::SomeFailed, message))
}

/// True when the file exists with this content.
async fn is_there(target: &Path, file: &RemoteFile) -> Result<bool, CliError> {
    let (path, wanted) = (target.to_owned(), file.clone());
    let looked = tokio::task::spawn_blocking(move || {
        if std::fs::metadata(&path).is_ok_and(|there| there.is_file() && there.len() == wanted.bytes) {
            return Ok(digest(&path)? == wanted.blake3);
        }
        Ok(false)
    });
    let looked = looked.await.map_err(|error| CliError::new(Exit::SomeFailed, error))?;
    looked.map_err(|error: io::Error| local(target, &error))
}

/// BLAKE3 of a file.
fn digest(path: &Path) -> io::Result<Digest> {
    let mut hasher = blake3::Hasher::new();
    io::copy(&mut File::open(path)?, &mut hasher)?;
    Ok(Digest(*hasher.finalize().as_bytes()))
}

/// The result of fetching a file.
enum Fetched {
    Whole,
    /// It has changed since it was listed.
    Lost(LostFile),
}

/// Fetches a file, checks it, and puts it in its place.
async fn fetch(client: &mut Client, job: JobId, file: &RemoteFile, placing: Placing) -> Result<Fetched, CliError> {
    let gone =
        |state| Ok(Fetched::Lost(LostFile { video: file.video, path: file.path.clone(), state, replaced_by: None }));
    let target = placing.target().to_owned();
    let mut out = File::create_new(placing.staged()).map_err(|error| local(&target, &error))?;
    let mut chunks = match client.read_file(job, file).await {
        Ok(chunks) => chunks,
        Err(error) if error.is_broken() => return Err(interrupted(error)),
        Err(_) => return gone(FileState::Missing),
    };
    let (mut hasher, mut length) = (blake3::Hasher::new(), 0u64);
    loop {
        let chunk = match chunks.next().await {
            // What is longer than announced is damaged already; it must not fill the disk.
            Ok(chunk) => chunk.filter(|_| length <= file.bytes),
            Err(error) if error.is_broken() => return Err(interrupted(error)),
            Err(_) => return gone(FileState::Damaged),
        };
        let Some(chunk) = chunk else { break };
        length += chunk.len() as u64;
        hasher.update(&chunk);
        out.write_all(&chunk).map_err(|error| local(&target, &error))?;
    }
    if length != file.bytes || *hasher.finalize().as_bytes() != file.blake3.0 {
        return gone(FileState::Damaged);
    }
    out.sync_all().map_err(|error| local(&target, &error))?;
    placing.replace().map_err(|error| CliError::new(Exit::SomeFailed, error))?;
    Ok(Fetched::Whole)
}

fn local(target: &Path, error: &io::Error) -> CliError {
    CliError::new(Exit::SomeFailed, format!("cannot write {}: {error}", target.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_name_leads_out_of_the_directory() {
        assert_eq!(safe("night/0000/00000.png").unwrap(), PathBuf::from("night/0000/00000.png"));
        let long = "x".repeat(256);
        for bad in ["", "/etc/passwd", "../x", "a/../../x", "a//b", "a/./b", "a\\..\\b", "C:x", "a\0", "a\n", &long] {
            assert!(safe(bad).is_err(), "{bad:?}");
        }
    }
}
