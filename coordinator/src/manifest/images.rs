//! First frames: the image files a manifest names, each looked at and digested once. Their pixels are the worker's.

use std::collections::HashMap;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use wanfarm_types::Digest;

use super::fault::{Fault, Place, quote};

/// A larger file is no first frame.
const MAX_BYTES: u64 = 64 << 20;

/// An image file and the digest by which videos name it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image {
    /// BLAKE3 of the file's bytes.
    pub digest: Digest,
    /// Where it lies on this machine.
    pub path: PathBuf,
}

/// The images of a manifest, in the order in which they were first named.
#[derive(Debug, Default)]
pub(crate) struct Images {
    pub(crate) list: Vec<Image>,
    looked_at: HashMap<PathBuf, Result<usize, String>>,
}

impl Images {
    /// The place in the list of the image of that name.
    pub(crate) fn find(&mut self, name: &str, base: Option<&Path>, place: &Place) -> Result<usize, Fault> {
        let Some(base) = base else {
            return Err(Fault::at(place, format!("{} cannot be read here", place.key))
                .why("this manifest came without its folder")
                .help("submit it from the machine that holds its images"));
        };
        let path = base.join(name);
        if !self.looked_at.contains_key(&path) {
            let seen = look(&path).map(|digest| {
                self.list.push(Image { digest, path: path.clone() });
                self.list.len() - 1
            });
            self.looked_at.insert(path.clone(), seen);
        }
        let seen = self.looked_at.get(&path).cloned().unwrap_or_else(|| Err("it was not looked at".into()));
        seen.map_err(|why| {
            Fault::at(place, format!("cannot use the image {}", quote(&path.display().to_string())))
                .why(why)
                .help("paths are relative to the manifest; images are PNG, JPEG or WebP files")
        })
    }
}

fn look(path: &Path) -> Result<Digest, String> {
    let about = std::fs::metadata(path).map_err(|error| error.to_string())?;
    if !about.is_file() {
        return Err("it is not a regular file".into());
    }
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(|error| error.to_string())?;
    file.take(MAX_BYTES + 1).read_to_end(&mut bytes).map_err(|error| error.to_string())?;
    if bytes.len() as u64 > MAX_BYTES {
        return Err(format!("it is larger than {} MiB", MAX_BYTES >> 20));
    }
    // Decoded here as a worker will: a broken file is to be found now, not in the night.
    wanfarm_media::load_image("it", &bytes).map_err(|error| match error {
        wanfarm_media::MediaError::Image { why, .. } => why,
        other => other.to_string(),
    })?;
    Ok(Digest(*blake3::hash(&bytes).as_bytes()))
}
