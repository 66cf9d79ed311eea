//! Checks the disk space for a job of `run`; for other verbs the coordinator does.

use std::path::Path;
use std::sync::mpsc;
use std::time::Duration;

use wanfarm_manifest::{Manifest, sidecar_of};
use wanfarm_server::disk_space;
use wanfarm_server::estimate::{Footprint, Space};
use wanfarm_types::{ModelInfo, VideoRequest};

use super::local;
use crate::cli::error::CliError;
use crate::cli::say::say_shortages;
use crate::exit::Exit;

/// How long disks may take to answer. One that does not is reported when it is written to.
const DISK_TIMEOUT: Duration = Duration::from_secs(10);

/// Reports the disks of this machine that are too small for the job, before anything is rendered. Files that exist
/// already, of a resumed run or to be replaced, need no space.
///
/// # Errors
/// A disk has no room for even one video.
pub(super) fn check(
    manifest: &Manifest,
    info: &ModelInfo,
    videos: &[VideoRequest],
    output: &Path,
    data: &Path,
) -> Result<(), CliError> {
    let specs = local::resolved(manifest, info, videos)?;
    let footprints: Vec<_> =
        specs.iter().map(|(_, spec)| (spec.output.clone(), Footprint::of(spec, &info.geometry))).collect();
    let workers = info.roles().len() as u64;
    let (output, data) = (output.to_owned(), data.to_owned());
    let (tell, told) = mpsc::channel();
    std::thread::spawn(move || {
        let missing = footprints.into_iter().filter(|(name, _)| !output.join(sidecar_of(name)).exists());
        let space = Space::of(missing.map(|(_, footprint)| footprint), workers);
        let _ = tell.send(disk_space::shortages(&space, &output, &data));
    });
    let shortages = told.recv_timeout(DISK_TIMEOUT).unwrap_or_default();
    if let Some(short) = shortages.iter().find(|short| short.certain) {
        return Err(CliError::new(Exit::Usage, format!("the job {short}")));
    }
    say_shortages(&shortages);
    Ok(())
}
