//! The output folder as a place that may go away in the night: whether its volume is there, and whether it takes files.
//!
//! A folder below a mount point whose volume is gone looks like any other: what is written there fills the disk below.
//! So it is remembered where its volume was mounted. Everything here may block for as long as a share does not answer.

#![expect(clippy::disallowed_methods, reason = "tries the folder out on a thread of its own")]

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use wanfarm_durable::{sync, sync_folder};
use wanfarm_proto::tensors::is_out_of_descriptors;

use crate::disk_space;
use crate::obstacle::Obstacle;

/// The output folder.
#[derive(Debug, Clone)]
pub struct Volume {
    folder: PathBuf,
    /// Mount point of its volume when it was last seen.
    mount: Option<PathBuf>,
}

impl Volume {
    /// A folder of which nothing is known.
    pub fn new(folder: PathBuf) -> Self {
        Self { folder, mount: None }
    }

    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// From now on its volume has to be mounted there, or may be any with `None`.
    pub fn expect(&mut self, mount: Option<PathBuf>) {
        self.mount = mount;
    }

    /// Looks whether the volume is there that was there before; says where it is mounted.
    ///
    /// # Errors
    /// [`Obstacle::NotMounted`], or what keeps one from looking.
    pub fn check(&self) -> Result<PathBuf, Obstacle> {
        let found = mount_point(&self.folder).map_err(|error| self.refused("look at it", &error))?;
        match &self.mount {
            // A volume that was mounted over it since is no loss.
            Some(mount) if !found.starts_with(mount) => {
                Err(Obstacle::NotMounted { folder: self.folder.clone(), volume: mount.clone() })
            }
            _ => Ok(found),
        }
    }

    /// Makes the folder, writes, syncs, renames and removes a hidden file in it; says where its volume is mounted.
    ///
    /// # Errors
    /// The obstacle.
    pub fn try_out(&self) -> Result<PathBuf, Obstacle> {
        self.check()?;
        self.clear();
        let trial = self.folder.join(format!("{}{}", prefix(), std::process::id()));
        let renamed = trial.with_extension("renamed");
        let write = || {
            let mut file = File::create(&trial)?;
            file.write_all(b"Whether files can be written here.\n")?;
            sync(&file, &trial)
        };
        let tried = self
            .attempt("make it", fs::create_dir_all(&self.folder))
            .and_then(|()| self.attempt("write a file in it", write()))
            .and_then(|()| self.attempt("rename a file in it", fs::rename(&trial, &renamed)))
            .and_then(|()| self.attempt("sync it", sync_folder(&self.folder)));
        let file = if renamed.exists() { &renamed } else { &trial };
        let removed = fs::remove_file(file);
        tried.and_then(|()| self.attempt("remove a file from it", removed))?;
        self.check()
    }

    /// Removes what processes of this machine have left that were killed in such a trial.
    fn clear(&self) {
        let prefix = prefix();
        for entry in fs::read_dir(&self.folder).into_iter().flatten().flatten() {
            let name = entry.file_name();
            let process = name
                .to_str()
                .and_then(|name| name.strip_prefix(&prefix))
                .map(|rest| rest.strip_suffix(".renamed").unwrap_or(rest).parse::<i32>());
            if let Some(Ok(process)) = process
                && !lives(process)
            {
                // Best effort: it is empty of meaning, and hidden.
                let _ = fs::remove_file(entry.path());
            }
        }
    }

    fn attempt(&self, verb: &str, result: io::Result<()>) -> Result<(), Obstacle> {
        result.map_err(|error| common(&error, &self.folder, 0).unwrap_or_else(|| self.refused(verb, &error)))
    }

    fn refused(&self, verb: &str, error: &io::Error) -> Obstacle {
        Obstacle::Refused { folder: self.folder.clone(), why: format!("cannot {verb}: {error}") }
    }

    /// What an error of writing below the folder comes down to, if it is not the file's own: then trying the folder
    /// itself fails as well. `bytes`: the room that another try wants.
    pub fn obstacle(&self, error: &(dyn std::error::Error + 'static), bytes: u64) -> Option<Obstacle> {
        common(error, &self.folder, bytes).or_else(|| self.try_out().err())
    }
}

/// How files of trials begin, of processes on this machine: others may write to the same folder.
fn prefix() -> String {
    format!(".wanfarm-trial-{}-", gethostname::gethostname().display())
}

/// True of a process that is running, and of one that nothing can be told of.
#[cfg(unix)]
fn lives(process: i32) -> bool {
    use rustix::io::Errno;
    use rustix::process::{Pid, test_kill_process};
    let gone = |process| matches!(test_kill_process(process), Err(Errno::SRCH));
    Pid::from_raw(process).is_none_or(|process| !gone(process))
}

#[cfg(not(unix))]
fn lives(_: i32) -> bool {
    true
}

/// The obstacle that the error itself shows.
fn common(error: &(dyn std::error::Error + 'static), folder: &Path, bytes: u64) -> Option<Obstacle> {
    if disk_space::is_full(error) {
        return Some(Obstacle::Full { path: folder.to_owned(), bytes });
    }
    is_out_of_descriptors(error).then_some(Obstacle::NoDescriptors)
}

/// Where the volume is mounted that a path lies on, or would; for comparing and for people.
#[cfg(unix)]
fn mount_point(path: &Path) -> io::Result<PathBuf> {
    use std::os::unix::fs::MetadataExt;
    let missing = |found: &io::Result<PathBuf>| matches!(found, Err(error) if error.kind() == io::ErrorKind::NotFound);
    let nearest = path.ancestors().map(Path::canonicalize).find(|found| !missing(found));
    let mut here = nearest.unwrap_or_else(|| Ok(PathBuf::new()))?;
    let device = |path: &Path| path.metadata().map(|found| found.dev());
    while let Some(above) = here.parent() {
        if device(above)? != device(&here)? {
            break;
        }
        here = above.to_owned();
    }
    // As it stands in rows.
    Ok(here.to_string_lossy().into_owned().into())
}

/// Where the volume is mounted that a path lies on: not to be told here, and the same for all.
#[cfg(not(unix))]
fn mount_point(_: &Path) -> io::Result<PathBuf> {
    Ok(PathBuf::new())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(unix)]
    #[test]
    fn what_a_killed_process_left_of_a_trial_goes_with_the_next_and_others_stay() {
        let dir = tempfile::tempdir().unwrap();
        // No process has this number: the highest that there may be is below it.
        let (dead, own) = (i32::MAX, std::process::id());
        let names = [
            format!("{}{dead}", prefix()),
            format!("{}{dead}.renamed", prefix()),
            format!("{}1", prefix()),
            format!(".wanfarm-trial-another-{dead}"),
            format!("{}x", prefix()),
        ];
        names.iter().for_each(|name| fs::write(dir.path().join(name), "").unwrap());
        Volume::new(dir.path().to_owned()).try_out().unwrap();
        let left: Vec<bool> = names.iter().map(|name| dir.path().join(name).exists()).collect();
        assert_eq!(left, [false, false, true, true, true], "own: {own}");
    }

    #[test]
    fn a_folder_is_made_tried_out_and_left_as_it_was() {
        let dir = tempfile::tempdir().unwrap();
        let mut volume = Volume::new(dir.path().join("a/b"));
        let mount = volume.try_out().unwrap();
        assert_eq!(fs::read_dir(volume.folder()).unwrap().count(), 0);
        volume.expect(Some(mount.clone()));
        assert_eq!(volume.try_out(), Ok(mount));
        // Emptied, or made anew, by people: it lies where it lay.
        fs::remove_dir_all(volume.folder()).unwrap();
        volume.try_out().unwrap();
    }

    #[test]
    fn a_volume_that_is_gone_is_named_and_nothing_is_made_in_its_place() {
        let dir = tempfile::tempdir().unwrap();
        let mut volume = Volume::new(dir.path().join("renders/wan"));
        // It lay on a volume mounted at "renders", which is an ordinary folder now.
        volume.expect(Some(dir.path().canonicalize().unwrap().join("renders")));
        let gone = volume.try_out().unwrap_err();
        assert!(matches!(gone, Obstacle::NotMounted { .. }) && gone.to_string().contains("renders"), "{gone}");
        assert!(!dir.path().join("renders").exists());
        volume.expect(None);
        volume.try_out().unwrap();
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn the_volume_behind_a_link_is_the_one_that_counts() {
        let (disk, memory) = (tempfile::tempdir().unwrap(), tempfile::tempdir_in("/dev/shm").unwrap());
        let folder = disk.path().join("out");
        std::os::unix::fs::symlink(memory.path(), &folder).unwrap();
        let mut volume = Volume::new(folder.clone());
        let mount = volume.try_out().unwrap();
        assert_eq!(mount, Path::new("/dev/shm"));
        volume.expect(Some(mount));
        fs::remove_file(&folder).unwrap();
        fs::create_dir(&folder).unwrap();
        assert!(matches!(volume.check(), Err(Obstacle::NotMounted { .. })));
    }

    #[test]
    fn what_is_wrong_with_the_folder_is_told_from_what_is_wrong_with_a_file() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("out");
        let volume = Volume::new(folder.clone());
        let of_the_file = io::Error::from(io::ErrorKind::PermissionDenied);
        assert_eq!(volume.obstacle(&of_the_file, 0), None);
        fs::remove_dir(&folder).unwrap();
        fs::write(&folder, b"a file where the folder was").unwrap();
        let refused = volume.obstacle(&of_the_file, 0).unwrap();
        assert!(matches!(&refused, Obstacle::Refused { .. }), "{refused}");
        assert!(refused.to_string().contains("cannot make it"), "{refused}");
        let full = io::Error::from(io::ErrorKind::StorageFull);
        assert_eq!(volume.obstacle(&full, 7), Some(Obstacle::Full { path: folder, bytes: 7 }));
    }
}
