//! Files of a model, fetched one after another: each is there whole and checked, or as a part that is gone on with.

use std::io;
use std::path::{Component, Path, PathBuf};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use tokio::fs::{File, OpenOptions};
use tokio::io::AsyncWriteExt;
use wanfarm_client::{Client, ClientError, HeldModel, Target};
use wanfarm_server::disk_space;
use wanfarm_types::{Backoff, Digest, ModelFile};

use crate::cli::error::CliError;
use crate::exit::Exit;

/// How long a sender may be silent.
const SILENCE: Duration = Duration::from_secs(60);
/// Tries in a row that bring nothing.
const TRIES: u32 = 20;
/// Times that a file may come with other bytes than it was told by.
const WRONG: u32 = 3;
/// What is left free on the disk.
const RESERVE: u64 = 1 << 30;
/// How often the disk is looked at, in bytes.
const LOOK_EVERY: u64 = 64 << 20;
/// Between two tries.
const BACKOFF: Backoff = Backoff::new(Duration::from_millis(200), Duration::from_secs(10));

/// What came.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct Pulled {
    pub(super) files: usize,
    pub(super) bytes: u64,
    /// Files that were here.
    pub(super) kept: usize,
}

/// A part of a file, as far as it has come.
struct Part {
    path: PathBuf,
    hasher: blake3::Hasher,
    length: u64,
}

/// Why a try came to nothing.
enum Failure {
    /// Another may do better.
    Passing(String),
    /// None will.
    Lasting(CliError),
}

/// A name that is one folder, wherever it came from.
pub(super) fn plain(name: &str) -> Result<&Path, CliError> {
    let path = Path::new(name);
    let is_one = matches!(path.components().collect::<Vec<_>>()[..], [Component::Normal(_)]);
    if is_one { Ok(path) } else { Err(CliError::new(Exit::Usage, format!("{name:?} is no name of a model"))) }
}

/// Fetches what is not there yet of a model's files into its folder.
pub(super) async fn pull(
    mut client: Client,
    target: &Target,
    model: &HeldModel,
    folder: &Path,
) -> Result<Pulled, CliError> {
    let mut pulled = Pulled::default();
    for file in model.files() {
        let path = below(folder, &file.path)?;
        if is_here(&path, file.blake3).await {
            pulled.kept += 1;
            continue;
        }
        pulled.bytes += fetch(&mut client, target, file, &path).await?;
        pulled.files += 1;
    }
    Ok(pulled)
}

/// A path below a folder, if it leads nowhere else.
fn below(folder: &Path, path: &str) -> Result<PathBuf, CliError> {
    let relative = Path::new(path);
    let is_below = !path.is_empty() && relative.components().all(|part| matches!(part, Component::Normal(_)));
    if !is_below || path.contains('\\') {
        return Err(CliError::new(
            Exit::BadModelFiles,
            format!("the farm has a file {path:?}, which would lie elsewhere"),
        ));
    }
    Ok(folder.join(relative))
}

async fn is_here(path: &Path, digest: Digest) -> bool {
    let path = path.to_owned();
    let hashed = tokio::task::spawn_blocking(move || {
        let mut hasher = blake3::Hasher::new();
        hasher.update_reader(std::fs::File::open(&path)?)?;
        io::Result::Ok(Digest(*hasher.finalize().as_bytes()))
    });
    hashed.await.is_ok_and(|hashed| hashed.is_ok_and(|here| here == digest))
}

async fn fetch(client: &mut Client, target: &Target, file: &ModelFile, path: &Path) -> Result<u64, CliError> {
    let bar = ProgressBar::new_spinner().with_prefix(file.path.clone());
    if let Ok(style) = ProgressStyle::with_template("{prefix} {binary_bytes} {binary_bytes_per_sec}") {
        bar.set_style(style);
    }
    let (mut tries, mut wrong) = (0, 0);
    loop {
        let mut part = Part::of(path, file.blake3).await.map_err(|error| unwritable(path, &error))?;
        let before = part.length;
        match some(client, file, &mut part, &bar).await {
            Ok(()) if part.is(file.blake3) => {
                let length = part.length;
                part.finish(path).await.map_err(|error| unwritable(path, &error))?;
                bar.finish_and_clear();
                return Ok(length);
            }
            Ok(()) => {
                wrong += 1;
                tokio::fs::remove_file(&part.path).await.map_err(|error| unwritable(&part.path, &error))?;
                if wrong >= WRONG {
                    let why = format!(
                        "{}: {WRONG} times other bytes came than the farm tells of; its file has changed there",
                        file.path
                    );
                    return Err(CliError::new(Exit::BadModelFiles, why));
                }
            }
            Err(Failure::Lasting(error)) => return Err(error),
            Err(Failure::Passing(why)) => {
                tries = if part.length > before { 0 } else { tries + 1 };
                if tries >= TRIES {
                    let why = format!("{}: {why}; what came stays, and the same command goes on from there", file.path);
                    return Err(CliError::new(Exit::NoConnection, why));
                }
                tokio::time::sleep(BACKOFF.pause(tries)).await;
                if let Ok(again) = Client::connect(target).await {
                    *client = again;
                }
            }
        }
    }
}

/// Reads on from where a part ends, to the end of the file.
async fn some(client: &mut Client, file: &ModelFile, part: &mut Part, bar: &ProgressBar) -> Result<(), Failure> {
    let passing = |error: ClientError| match &error {
        // Two that read at a time are enough for a worker; and one that is gone may come back.
        ClientError::Failed(_) => Failure::Passing(error.to_string()),
        error if error.is_broken() => Failure::Passing(error.to_string()),
        ClientError::Refused(why) if why.contains("is held here") => Failure::Passing(why.clone()),
        _ => Failure::Lasting(error.into()),
    };
    let lasting = |error: io::Error| Failure::Lasting(unwritable(&part.path, &error));
    let mut out = OpenOptions::new().append(true).create(true).open(&part.path).await.map_err(lasting)?;
    let mut bytes = client.read_held(&file.blake3, part.length).await.map_err(passing)?;
    let mut looked = part.length;
    bar.set_position(part.length);
    loop {
        let silent = |_| Failure::Passing(format!("nothing has come for {} s", SILENCE.as_secs()));
        let next = tokio::time::timeout(SILENCE, bytes.next()).await.map_err(silent)?;
        let Some(chunk) = next.map_err(passing)? else { break };
        out.write_all(&chunk).await.map_err(|error| Failure::Lasting(unwritable(&part.path, &error)))?;
        part.hasher.update(&chunk);
        part.length += chunk.len() as u64;
        bar.set_position(part.length);
        if part.length - looked >= LOOK_EVERY {
            looked = part.length;
            part.room().map_err(Failure::Lasting)?;
        }
    }
    // What is behind is a part of the file only when it is on the disk.
    out.flush().await.map_err(|error| Failure::Lasting(unwritable(&part.path, &error)))
}

impl Part {
    /// What there is of a file, beside its place. Its name tells of which bytes, so that a newer file is not put behind an older one.
    async fn of(path: &Path, digest: Digest) -> io::Result<Self> {
        let folder = path.parent().unwrap_or(Path::new("."));
        tokio::fs::create_dir_all(folder).await?;
        let part = folder.join(format!(".{}.part", digest.short()));
        let hashed = part.clone();
        let hash = move || -> io::Result<(blake3::Hasher, u64)> {
            let mut hasher = blake3::Hasher::new();
            match std::fs::File::open(&hashed) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
                Ok(file) => drop(hasher.update_reader(file)?),
            }
            let length = hasher.count();
            Ok((hasher, length))
        };
        let (hasher, length) = tokio::task::spawn_blocking(hash).await.map_err(io::Error::other)??;
        Ok(Self { path: part, hasher, length })
    }

    fn is(&self, digest: Digest) -> bool {
        *self.hasher.finalize().as_bytes() == digest.0
    }

    /// Whether there is room for more.
    fn room(&self) -> Result<(), CliError> {
        let folder = self.path.parent().unwrap_or(Path::new("."));
        match disk_space::available(folder) {
            Some(free) if free < RESERVE => Err(CliError::new(
                Exit::SomeFailed,
                format!("{} is nearly full; make room, and the same command goes on", folder.display()),
            )),
            _ => Ok(()),
        }
    }

    /// Puts it in its place.
    async fn finish(self, path: &Path) -> io::Result<()> {
        File::open(&self.path).await?.sync_all().await?;
        tokio::fs::rename(&self.path, path).await
    }
}

fn unwritable(path: &Path, error: &io::Error) -> CliError {
    CliError::new(Exit::SomeFailed, format!("cannot write {}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_file_of_the_farm_lies_outside_its_folder() {
        let folder = Path::new("/models/wan");
        assert_eq!(below(folder, "vae/a.safetensors").unwrap(), Path::new("/models/wan/vae/a.safetensors"));
        for bad in ["", "/etc/passwd", "../other/a", "vae/../../a", "vae\\..\\a", "."] {
            assert!(below(folder, bad).is_err(), "{bad}");
        }
        for bad in ["", "..", "a/b", "/a", "."] {
            assert!(plain(bad).is_err(), "{bad}");
        }
        assert!(plain("wan2.2").is_ok());
    }

    #[tokio::test]
    async fn a_part_is_gone_on_with_and_put_in_its_place_whole() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("vae/a.safetensors");
        let digest = Digest(*blake3::hash(b"weights").as_bytes());
        let part = Part::of(&path, digest).await.unwrap();
        assert_eq!(part.length, 0);
        std::fs::write(&part.path, b"weig").unwrap();
        let part = Part::of(&path, digest).await.unwrap();
        assert!(part.length == 4 && !part.is(digest));
        std::fs::write(&part.path, b"weights").unwrap();
        let part = Part::of(&path, digest).await.unwrap();
        assert!(part.is(digest));
        part.finish(&path).await.unwrap();
        assert!(is_here(&path, digest).await);
        assert!(!is_here(&path, Digest([0; 32])).await);
        assert_eq!(std::fs::read_dir(path.parent().unwrap()).unwrap().count(), 1);
    }
}
