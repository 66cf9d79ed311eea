//! Files that people gave for their jobs, images, clips and LoRA files, and frames that videos start from: each stays as
//! long as a job names it, and for a while after it was last asked about, so that a job can still be submitted that will name it.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::Instant;
use wanfarm_manifest::first_frame::Image;
use wanfarm_types::Digest;

use super::Driver;
use crate::store::Row;

/// How long a file stays that no job names.
const UNUSED_FILE_LIFETIME: Duration = Duration::from_secs(3600);

/// When each file was last given or asked about.
#[derive(Debug, Default)]
pub(super) struct Uploads {
    pub(super) asked: BTreeMap<Digest, Instant>,
}

impl Uploads {
    /// Records that a client sent a file, or asked whether it is here.
    pub(super) fn given(&mut self, file: Digest) {
        self.asked.insert(file, Instant::now());
    }

    /// A job is gone that named this file, if it is one that was given.
    pub(super) fn named(&mut self, file: Digest) {
        if let Some(asked) = self.asked.get_mut(&file) {
            *asked = Instant::now();
        }
    }
}

impl Driver {
    /// Records an image whose file is among the artifacts; false: it is just being removed.
    pub(super) fn keep_image(&mut self, image: Image) -> bool {
        if self.copies.is_leaving(&image.digest) {
            return false;
        }
        if self.registry.images.get(&image.digest).is_none() {
            self.copies.keep(image.digest);
            self.put(Row::Image(image));
        }
        self.uploads.given(image.digest);
        true
    }

    /// Removes the files that no job has named for a while. They go from the disk once their rows have.
    pub(super) fn drop_uploads(&mut self) {
        let (now, jobs) = (Instant::now(), &self.registry.jobs);
        let is_idle = |file: &Digest, asked: &Instant| !jobs.name_file(file) && *asked + UNUSED_FILE_LIFETIME <= now;
        let idle = self.uploads.asked.iter().filter(|(file, asked)| is_idle(file, asked)).map(|(file, _)| *file);
        for file in idle.collect::<Vec<_>>() {
            self.uploads.asked.remove(&file);
            if self.registry.images.get(&file).is_some() {
                self.put(Row::ImageForgotten(file));
            }
            tracing::info!(%file, "a file that no job names is removed");
            self.unneeded.push(file);
        }
    }
}
