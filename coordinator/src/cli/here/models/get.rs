//! Files of a published model, fetched from its hub into the cache that other programs have theirs in, and linked into a
//! folder of models from there: what is in the cache already is not fetched again.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use hf_hub::api::Progress;
use hf_hub::api::sync::{Api, ApiBuilder, ApiError, ApiRepo};
use hf_hub::{Cache, Repo};
use indicatif::{ProgressBar, ProgressStyle};
use sha2::{Digest as _, Sha256};
use wanfarm_server::disk_space;
use wanfarm_tools::known::{KnownFile, KnownModel};
use wanfarm_types::Size;

use crate::cli::error::CliError;
use crate::exit::Exit;

/// Nothing has come for so long: the connection is given up.
const SILENCE: Duration = Duration::from_secs(120);
/// Times that a file is asked for again from where it broke off.
const TRIES: usize = 8;
/// What is left free on the disk.
const RESERVE: u64 = 1 << 30;
/// Where the hub is when nothing else is said.
const HUB: &str = "https://huggingface.co";

/// What came.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct Got {
    pub(super) files: usize,
    /// Files that the cache had.
    pub(super) kept: usize,
}

/// Fetches what the cache lacks of a model, and links its files into their folder.
pub(super) async fn get(model: KnownModel, folder: PathBuf) -> Result<Got, CliError> {
    let seen = Arc::new(AtomicU64::new(0));
    let fetch = {
        let (seen, model) = (seen.clone(), model.clone());
        tokio::task::spawn_blocking(move || Fetch::new(seen)?.model(&model, &folder))
    };
    tokio::select! {
        got = fetch => got.unwrap_or_else(|broken| Err(unreachable(&broken.to_string()))),
        () = silence(&seen) => Err(unreachable(&format!("nothing has come for {} s", SILENCE.as_secs()))),
    }
    .map_err(|error| match error.exit() {
        Exit::NoConnection => {
            let commands = model.commands("MODELS").join("\n  ");
            let why = format!(
                "{error}\non a machine that reaches it, these do the same, MODELS being the folder:\n  {commands}"
            );
            CliError::new(Exit::NoConnection, why)
        }
        _ => error,
    })
}

/// Resolves when nothing is read any more.
async fn silence(seen: &AtomicU64) {
    let mut before = 0;
    loop {
        tokio::time::sleep(SILENCE).await;
        let now = seen.load(Ordering::Relaxed);
        if now == before {
            return;
        }
        before = now;
    }
}

fn endpoint() -> String {
    std::env::var("HF_ENDPOINT").unwrap_or_else(|_| HUB.to_owned())
}

fn unreachable(why: &str) -> CliError {
    CliError::new(Exit::NoConnection, format!("{} cannot be read from: {why}; what came stays", endpoint()))
}

/// One at work, on a thread of its own.
struct Fetch {
    api: Api,
    cache: Cache,
    /// Grows with everything that is read.
    seen: Arc<AtomicU64>,
    /// What is in each repository, as far as that was asked.
    listed: BTreeMap<String, Vec<String>>,
}

impl Fetch {
    fn new(seen: Arc<AtomicU64>) -> Result<Self, CliError> {
        let mut builder = ApiBuilder::from_env().with_retries(TRIES).with_progress(false);
        if let Some(token) = std::env::var("HF_TOKEN").ok().filter(|token| !token.is_empty()) {
            builder = builder.with_token(Some(token));
        }
        let api = builder.build().map_err(|error| unreachable(&error.to_string()))?;
        Ok(Self { api, cache: Cache::from_env(), seen, listed: BTreeMap::new() })
    }

    fn model(&mut self, model: &KnownModel, folder: &Path) -> Result<Got, CliError> {
        let mut got = Got::default();
        for file in &model.files {
            for path in self.paths(file)? {
                let (source, is_new) = self.one(&file.from, &path)?;
                link(&source, &folder.join(&path))?;
                if is_new { got.files += 1 } else { got.kept += 1 }
            }
        }
        Ok(got)
    }

    /// The files of its repository that one of a list stands for.
    fn paths(&mut self, file: &KnownFile) -> Result<Vec<String>, CliError> {
        if !file.path.ends_with('*') {
            return Ok(vec![file.path.clone()]);
        }
        if !self.listed.contains_key(&file.from) {
            let info = self.api.model(file.from.clone()).info().map_err(|error| explain(&file.from, &error))?;
            let paths = info.siblings.into_iter().map(|sibling| sibling.rfilename).collect();
            self.listed.insert(file.from.clone(), paths);
        }
        let there = self.listed.get(&file.from).map_or(&[][..], Vec::as_slice);
        let chosen: Vec<String> = file.chosen(there).into_iter().map(str::to_owned).collect();
        let gone = || format!("{} has no {} any more; look there", file.from, file.path);
        if chosen.is_empty() { Err(CliError::new(Exit::BadModelFiles, gone())) } else { Ok(chosen) }
    }

    /// A file in the cache, and whether it was fetched.
    fn one(&self, repository: &str, path: &str) -> Result<(PathBuf, bool), CliError> {
        if let Some(here) = self.cache.repo(Repo::model(repository.to_owned())).get(path) {
            return Ok((here, false));
        }
        let repo = self.api.model(repository.to_owned());
        self.check_room(&repo, repository, path)?;
        let bar = Bar { shown: ProgressBar::new(0), seen: self.seen.clone() };
        let fetched = repo.download_with_progress(path, bar).map_err(|error| explain(repository, &error))?;
        self.check(&fetched, repository, path)?;
        Ok((fetched, true))
    }

    fn check_room(&self, repo: &ApiRepo, repository: &str, path: &str) -> Result<(), CliError> {
        let about = self.api.metadata(&repo.url(path)).map_err(|error| explain(repository, &error))?;
        let cache = self.cache.path();
        let there = cache.ancestors().find(|folder| folder.exists()).unwrap_or(cache);
        match disk_space::available(there) {
            Some(free) if free < (about.size() as u64).saturating_add(RESERVE) => {
                let (size, free, cache) = (Size(about.size() as u64), Size(free), cache.display());
                let why = format!(
                    "{path} has {size}, and {cache} has {free} left; make room, or name another folder in HF_HOME"
                );
                Err(CliError::new(Exit::SomeFailed, why))
            }
            _ => Ok(()),
        }
    }

    /// Large files are called by their SHA-256 in the cache; one that is not what it is called goes.
    fn check(&self, fetched: &Path, repository: &str, path: &str) -> Result<(), CliError> {
        let unreadable = |error: io::Error| CliError::new(Exit::SomeFailed, format!("{}: {error}", fetched.display()));
        let blob = fetched.canonicalize().map_err(unreadable)?;
        let name = blob.file_name().and_then(|name| name.to_str()).unwrap_or_default().to_owned();
        if name.len() != 64 || !name.chars().all(|c| c.is_ascii_hexdigit()) {
            return Ok(());
        }
        let mut reading = Hashing { hasher: Sha256::new(), seen: &self.seen };
        io::copy(&mut std::fs::File::open(&blob).map_err(unreadable)?, &mut reading).map_err(unreadable)?;
        let found: String = reading.hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
        if found == name.to_ascii_lowercase() {
            return Ok(());
        }
        for broken in [fetched, &blob] {
            std::fs::remove_file(broken).map_err(unreadable)?;
        }
        let why = format!(
            "{path} of {repository} came with other bytes than the hub tells of (SHA-256 {found}); it was removed, get it again"
        );
        Err(CliError::new(Exit::BadModelFiles, why))
    }
}

/// Hashes what is written to it, and counts it as a sign of life.
struct Hashing<'s> {
    hasher: Sha256,
    seen: &'s AtomicU64,
}

impl io::Write for Hashing<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.hasher.update(bytes);
        self.seen.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The progress of one file.
struct Bar {
    shown: ProgressBar,
    seen: Arc<AtomicU64>,
}

impl Progress for Bar {
    fn init(&mut self, size: usize, name: &str) {
        self.shown.set_length(size as u64);
        self.shown.set_position(0);
        let words = "{prefix} {binary_bytes} of {binary_total_bytes} {binary_bytes_per_sec} {eta}";
        if let Ok(style) = ProgressStyle::with_template(words) {
            self.shown.set_style(style);
        }
        self.shown.set_prefix(name.to_owned());
    }

    fn update(&mut self, size: usize) {
        self.shown.inc(size as u64);
        self.seen.fetch_add(size as u64, Ordering::Relaxed);
    }

    fn finish(&mut self) {
        self.shown.finish_and_clear();
    }
}

/// What a refusal of the hub means.
fn explain(repository: &str, error: &ApiError) -> CliError {
    let mut cause = error;
    while let ApiError::TooManyRetries(inner) = cause {
        cause = inner;
    }
    match cause {
        ApiError::RequestError(request) => match **request {
            ureq::Error::StatusCode(status @ (401 | 403)) => CliError::new(
                Exit::SomeFailed,
                format!(
                    "the hub does not give {repository} to everybody ({status}); put an account's token into HF_TOKEN, and accept \
                     its licence there"
                ),
            ),
            ureq::Error::StatusCode(404) => CliError::new(
                Exit::BadModelFiles,
                format!("the hub has no such file in {repository} any more, or no such repository"),
            ),
            ref other => unreachable(&other.to_string()),
        },
        ApiError::IoError(error) => CliError::new(
            Exit::SomeFailed,
            format!("cannot write the cache, or the connection broke: {error}; what came stays, get it again"),
        ),
        ApiError::LockAcquisition(path) => CliError::new(
            Exit::SomeFailed,
            format!("another program fetches the same file ({}); wait for it, then get it again", path.display()),
        ),
        other => unreachable(&other.to_string()),
    }
}

/// Lets a file of the cache be found at its place in the folder. What stands there and is no link stays.
fn link(source: &Path, place: &Path) -> Result<(), CliError> {
    let failed =
        |error: io::Error| CliError::new(Exit::SomeFailed, format!("cannot link {}: {error}", place.display()));
    let source = std::path::absolute(source).map_err(failed)?;
    match std::fs::symlink_metadata(place) {
        Ok(found) if !found.is_symlink() => return Ok(()),
        Ok(_) if std::fs::read_link(place).is_ok_and(|target| target == source) => return Ok(()),
        Ok(_) => std::fs::remove_file(place).map_err(failed)?,
        Err(_) => std::fs::create_dir_all(place.parent().unwrap_or(Path::new("."))).map_err(failed)?,
    }
    #[cfg(unix)]
    return std::os::unix::fs::symlink(&source, place).map_err(failed);
    #[cfg(not(unix))]
    std::fs::copy(&source, place).map(drop).map_err(failed)
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn a_link_is_renewed_and_what_is_no_link_stays() {
        let dir = tempfile::tempdir().unwrap();
        let [old, new] = ["old", "new"].map(|name| dir.path().join(name));
        std::fs::write(&old, "old").unwrap();
        std::fs::write(&new, "new").unwrap();
        let place = dir.path().join("models/wan/vae/a.safetensors");
        for source in [&old, &new, &new] {
            link(source, &place).unwrap();
            assert_eq!(std::fs::read(&place).unwrap(), std::fs::read(source).unwrap());
        }
        let own = dir.path().join("models/wan/own.safetensors");
        std::fs::write(&own, "mine").unwrap();
        link(&new, &own).unwrap();
        assert_eq!(std::fs::read(&own).unwrap(), b"mine");
    }
}
