//! The disk under a coordinator fills up in the middle of the work: it says so, waits, and goes on when there is room.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

use super::{STEMS, manifest, undisturbed};
use crate::disk::SmallDisk;
use crate::farm::Farm;
use crate::program::{Sandbox, copy_folder, eventually};

/// Writes until nothing more fits, then gives `spare` bytes back.
fn fill(path: &Path, spare: u64) {
    let mut filler = File::create(path).expect("a filler");
    let block = vec![0xa5; 1 << 20];
    while filler.write_all(&block).is_ok() {}
    while filler.write_all(&block[..4096]).is_ok() {}
    let length = filler.metadata().expect("its length").len();
    filler.set_len(length.saturating_sub(spare)).expect("shorter");
}

/// Fills the disk up to `spare` bytes once something lies there, waits until people are told so, makes room again.
fn fills_up(spare: u64, says: &str) -> Option<Sandbox> {
    let sandbox = Sandbox::new();
    let small = SmallDisk::mount(&sandbox.path("disk"), 160 << 10)?;
    let farm = Farm::on(&small, &sandbox.path("disk"), &sandbox);
    let disk = |name: &str| -> PathBuf { small.inside(&sandbox.path("disk").join(name)) };
    farm.submit(&manifest(&sandbox));
    eventually("something is durable", || {
        let mut shelves = std::fs::read_dir(disk("data/artifacts")).ok()?.flatten();
        shelves.find(|entry| entry.path().is_dir())
    });
    fill(&disk("filler"), spare);
    let told = eventually("people are told", || Some(farm.waiting_for()).filter(|why| why.contains(says)));
    println!("with {spare} bytes to spare: waiting for {told}");
    assert!(!farm.ends_within(0));
    std::fs::remove_file(disk("filler")).expect("room");
    eventually("the job ends", || farm.ends_within(100).then_some(()));
    copy_folder(&disk("output"), &sandbox.output());
    farm.stop();
    Some(sandbox)
}

#[test]
fn a_full_disk_costs_time_and_nothing_else() {
    let expected = undisturbed();
    // Nothing fits any more, be it a row or an artifact that finds out first; rows fit, but no artifact.
    for (spare, says) in [(0, "full"), (16 << 20, "artifacts, which is full")] {
        let Some(sandbox) = fills_up(spare, says) else {
            return;
        };
        assert_eq!(sandbox.bytes(&STEMS), expected, "with {spare} bytes to spare");
    }
}
