//! `coordinator download`.

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use wanfarm_types::JobId;

use super::say::{errln, outln};
use super::which::Which;
use super::{CoordinatorArg, Failed, asked_to_stop, block_on, client_failed, print_json};
use crate::client::{Client, ClientError, RemoteFile};
use crate::exit::Exit;
use crate::logging;
use crate::outputs::Placing;
use crate::progress::counted;

/// Most bytes of one part of a path; no common file system takes more.
const LONGEST_PART: usize = 255;

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  coordinator download night ~/renders    every finished file, below DIR
  coordinator download 17/3 .            the files of one video

Every file is checked by its digest and appears whole or not at all. A file that is already there is not fetched
again, so after an interruption, or when more videos are done, the same command goes on.")]
pub(super) struct DownloadArgs {
    /// A job by number or name, or one video of it as JOB/INDEX.
    #[arg(value_name = "JOB[/VIDEO]")]
    which: Which,
    /// Where to put the files; made if it is not there.
    dir: PathBuf,
    #[command(flatten)]
    coordinator: CoordinatorArg,
    /// Print JSON at the end.
    #[arg(long)]
    json: bool,
}

pub(super) fn download(args: DownloadArgs) -> Result<Exit, Failed> {
    logging::quiet();
    block_on(interruptible(async {
        let mut client = Client::connect(&args.coordinator.coordinator).await.map_err(client_failed)?;
        let (job, video) = (args.which.find(&mut client).await?, args.which.video);
        let mut files = client.files(job, video).await.map_err(client_failed)?;
        let (mut fetched, mut kept, mut bytes) = (Vec::new(), Vec::new(), 0);
        while let Some(file) = files.next().await.map_err(interrupted)? {
            let target = args.dir.join(safe(&file.path)?);
            if is_there(&target, &file).await? {
                kept.push(file.path);
                continue;
            }
            fetch(&mut client, job, &file, &target).await?;
            if !args.json {
                outln!("{}", target.display());
            }
            bytes += file.bytes;
            fetched.push(file.path);
        }
        if args.json {
            return print_json(&serde_json::json!({ "job": job, "fetched": fetched, "kept": kept, "bytes": bytes }))
                .map(|()| Exit::Ok);
        }
        let (new, old) = (fetched.len(), kept.len());
        errln!("{new} files fetched, {old} were there already, in {}", args.dir.display());
        let lines = client.jobs().await.map_err(client_failed)?;
        let unfinished =
            lines.iter().find(|line| line.job == job.0).filter(|line| !line.has_ended() && video.is_none());
        if let Some(line) = unfinished {
            errln!("{} of {} done; the same command fetches the rest later", line.done, counted(line.videos, "video"));
        }
        Ok(Exit::Ok)
    }))
}

/// Ends a download that is to stop so that it leaves no half of a file.
async fn interruptible(download: impl Future<Output = Result<Exit, Failed>>) -> Result<Exit, Failed> {
    tokio::select! {
        ended = download => ended,
        () = asked_to_stop() => {
            Err(Failed::new(Exit::Interrupted, "interrupted; the same command goes on where this one ended"))
        }
    }
}

fn interrupted(error: ClientError) -> Failed {
    let exit = client_failed(error);
    Failed::new(exit.exit(), format!("{exit}; the same command goes on where this one ended"))
}

/// A path that stays below the directory it is joined to, whoever sent it.
fn safe(path: &str) -> Result<PathBuf, Failed> {
    let plain = |part: &str| {
        let special = part.is_empty() || part == "." || part == ".." || part.len() > LONGEST_PART;
        !special && !part.contains(['\\', ':']) && !part.chars().any(char::is_control)
    };
    if path.split('/').all(plain) {
        return Ok(path.split('/').collect());
    }
    let message = format!(
        "the coordinator names a file {path:?}, which could lead out of the directory; nothing more is fetched"
    );
    Err(Failed::new(Exit::SomeFailed, message))
}

/// Whether this very content is in its place.
async fn is_there(target: &Path, file: &RemoteFile) -> Result<bool, Failed> {
    let (path, wanted) = (target.to_owned(), file.clone());
    let looked = tokio::task::spawn_blocking(move || {
        if std::fs::metadata(&path).is_ok_and(|there| there.is_file() && there.len() == wanted.bytes) {
            return Ok(*blake3::Hasher::new().update_mmap(&path)?.finalize().as_bytes() == wanted.blake3.0);
        }
        Ok(false)
    });
    let looked = looked.await.map_err(|error| Failed::new(Exit::SomeFailed, error))?;
    looked.map_err(|error: io::Error| local(target, &error))
}

/// Fetches a file, checks it, and puts it in its place.
async fn fetch(client: &mut Client, job: JobId, file: &RemoteFile, target: &Path) -> Result<(), Failed> {
    let placing = Placing::begin(target).map_err(|error| Failed::new(Exit::SomeFailed, error))?;
    let mut out = File::create(placing.staged()).map_err(|error| local(target, &error))?;
    let mut pieces = client.read_file(job, file).await.map_err(interrupted)?;
    let (mut hasher, mut length) = (blake3::Hasher::new(), 0u64);
    // What is longer than announced is damaged already; it must not fill the disk.
    while let Some(piece) = pieces.next().await.map_err(interrupted)?.filter(|_| length <= file.bytes) {
        length += piece.len() as u64;
        hasher.update(&piece);
        out.write_all(&piece).map_err(|error| local(target, &error))?;
    }
    if length != file.bytes || *hasher.finalize().as_bytes() != file.blake3.0 {
        let what =
            format!("{} arrived damaged, or was written anew meanwhile; the same command tries again", file.path);
        return Err(Failed::new(Exit::SomeFailed, what));
    }
    out.sync_all().map_err(|error| local(target, &error))?;
    placing.finish().map_err(|error| Failed::new(Exit::SomeFailed, error))?;
    Ok(())
}

fn local(target: &Path, error: &io::Error) -> Failed {
    Failed::new(Exit::SomeFailed, format!("cannot write {}: {error}", target.display()))
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
