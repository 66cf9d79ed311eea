//! Clips one after the other in one mp4 file. Their coded pictures are copied: nothing is lost a second time, and it takes
//! as long as copying does.
//!
//! Only clips that [`write_mp4`](crate::write_mp4) made, of one size and frame rate: their parameter sets are the same, and
//! no picture needs a later one, so that a clip may end early.

use std::io::{Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use mp4_atom::{Avc1, Moov};

use crate::MediaError;
use crate::file::write_file;
use crate::mp4::{Ticks, Track, mdat_header};
use crate::mp4_in::Samples;

/// Frames that a film can have; more than a day of them.
const MAX_FRAMES: usize = 1 << 22;

/// A clip of a film.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// Its mp4 file.
    pub path: PathBuf,
    /// How many of its frames are taken, from the first on; `None`: all.
    pub frames: Option<u32>,
}

/// Writes a film of these clips. Equal clips give equal bytes. Returns how many frames it has.
///
/// # Errors
/// [`MediaError::Clip`] names a file that cannot be read, lacks frames, or differs from the first in size, frame rate or
/// encoding; otherwise what the disk reports.
pub fn write_film(parts: &[Part], path: &Path) -> Result<u32, MediaError> {
    let mut film: Option<Track> = None;
    for part in parts {
        let (track, _) = open(part)?;
        match &mut film {
            None => film = Some(track),
            Some(film) => film.append(&track).map_err(|why| MediaError::clip(&part.path, why))?,
        }
    }
    let fault = |why: String| MediaError::clip(path, why);
    let film = film.filter(|film| film.sizes.len() <= MAX_FRAMES);
    let film = film.ok_or_else(|| fault(format!("a film has one clip or more, and at most {MAX_FRAMES} frames")))?;
    let head = film.head().map_err(fault)?;
    write_file(path, |file| {
        let io = |error| MediaError::io(path, error);
        file.write_all(&head).and_then(|()| file.write_all(&mdat_header(0))).map_err(io)?;
        let mut total = 0u64;
        // Opened anew: a film may have more clips than a process may have files open.
        for part in parts {
            let (_, mut samples) = open(part)?;
            while let Some(sample) = samples.next_sample()? {
                file.write_all(&sample).map_err(io)?;
                total += sample.len() as u64;
            }
        }
        file.seek(SeekFrom::Start(head.len() as u64)).map_err(io)?;
        file.write_all(&mdat_header(total)).map_err(io)
    })?;
    Ok(film.sizes.len() as u32)
}

/// What the index of a clip says of the frames that are taken, and those frames.
fn open(part: &Part) -> Result<(Track, Samples), MediaError> {
    let fault = |why: String| MediaError::clip(&part.path, why);
    let (of_file, mut samples) = Samples::open(&part.path)?;
    let there = samples.left();
    let taken = part.frames.map_or(there, |frames| frames as usize);
    if taken > there {
        return Err(fault(format!("it has {there} frames, and {taken} are wanted of it")));
    }
    samples.end_after(taken);
    let track = track(&of_file.moov, &of_file.avc1, samples.sizes()).ok_or_else(|| {
        fault("another program wrote it: its frames last differently long, or its index says too little".to_owned())
    })?;
    Ok((track, samples))
}

/// The track of an index, with the first frames only.
fn track(moov: &Moov, avc1: &Avc1, sizes: Vec<u32>) -> Option<Track> {
    let [trak] = &moov.trak[..] else { return None };
    let table = &trak.mdia.minf.stbl;
    let [stts] = &table.stts.entries[..] else { return None };
    let (Some(stss), None) = (&table.stss, &table.ctts) else { return None };
    let ([sps], [pps]) = (&avc1.avcc.sequence_parameter_sets[..], &avc1.avcc.picture_parameter_sets[..]) else {
        return None;
    };
    Some(Track {
        remark: None,
        width: avc1.visual.width,
        height: avc1.visual.height,
        ticks: Ticks { per_second: trak.mdia.mdhd.timescale, per_frame: stts.sample_delta },
        parameter_sets: [sps.clone(), pps.clone()],
        key_frames: stss.entries.iter().copied().filter(|number| *number as usize <= sizes.len()).collect(),
        sizes,
    })
}
