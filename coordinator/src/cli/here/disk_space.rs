//! Whether the disks have room for a job, which `run` finds out itself; for other verbs the coordinator tells.

use std::path::Path;
use std::sync::mpsc;
use std::time::Duration;

use wanfarm_manifest::{Manifest, sidecar_of};
use wanfarm_server::disk_space;
use wanfarm_server::estimate::{Footprint, Space};
use wanfarm_types::{ModelInfo, VideoRequest};

use super::local;
use crate::cli::failed::Failed;
use crate::cli::say::say_shortages;
use crate::exit::Exit;

/// How long disks may take to tell. One that does not is said not to answer by whoever writes there.
const PATIENCE: Duration = Duration::from_secs(10);

/// Says what this machine's disks have too little room for, before anything is rendered. What stands there already, of a
/// run that goes on or to be replaced, needs none.
///
/// # Errors
/// A disk has no room for even one video.
pub(super) fn check(
    manifest: &Manifest,
    info: &ModelInfo,
    videos: &[VideoRequest],
    output: &Path,
    data: &Path,
) -> Result<(), Failed> {
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
    let shortages = told.recv_timeout(PATIENCE).unwrap_or_default();
    if let Some(short) = shortages.iter().find(|short| short.certain) {
        return Err(Failed::new(Exit::Usage, format!("the job {short}")));
    }
    say_shortages(&shortages);
    Ok(())
}
