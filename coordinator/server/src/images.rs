//! The images and clips that the coordinator has been given.

use std::collections::BTreeMap;

use wanfarm_manifest::first_frame::Image;
use wanfarm_types::Digest;

/// The images and clips a coordinator has been given. It keeps them as long as its jobs, any of which may be tried again,
/// and clears those of forgotten jobs at the next start.
#[derive(Debug, Default)]
pub(crate) struct Images {
    known: BTreeMap<Digest, Image>,
}

impl Images {
    /// Adds an image.
    pub(crate) fn insert(&mut self, image: Image) {
        self.known.insert(image.digest, image);
    }

    /// Forgets an image.
    pub(crate) fn remove(&mut self, digest: &Digest) {
        self.known.remove(digest);
    }

    /// An image by the digest of its file.
    pub(crate) fn get(&self, digest: &Digest) -> Option<&Image> {
        self.known.get(digest)
    }
}
