//! What an earlier run of a manifest left: its job, and how far each of its videos came.

use std::collections::{BTreeMap, BTreeSet};

use wanfarm_scheduler::{ArtifactId, Change, JobPhase, VideoPhase};
use wanfarm_types::{Digest, Role, VideoRequest, VideoSpec, in_order};

use crate::outputs::{KeptExcerpt, Written};
use crate::store::{JobRow, Row};

/// A job as its rows tell it; videos by their place in the manifest.
pub(super) struct Earlier<'r> {
    pub(super) job: &'r JobRow,
    /// Of all videos, once they are known.
    pub(super) specs: &'r [Result<VideoSpec, String>],
    /// Place in the plan → place in the manifest.
    pub(super) planned: Vec<u32>,
    pub(super) states: BTreeMap<u32, &'r VideoPhase>,
    pub(super) written: BTreeMap<u32, &'r [Written]>,
    /// Frames that others started from.
    pub(super) kept: BTreeMap<u32, &'r [KeptExcerpt]>,
    /// Videos of which a state is kept.
    pub(super) begun: BTreeSet<u32>,
    pub(super) pins: BTreeMap<Role, Digest>,
    pub(super) paused: bool,
}

impl<'r> Earlier<'r> {
    /// The last job there is.
    pub(super) fn find(rows: &'r [Row]) -> Option<Self> {
        let jobs = rows.iter().filter_map(|row| if let Row::Job(job) = row { Some(job) } else { None });
        let job = jobs.max_by_key(|job| job.id)?;
        let mut earlier = Self {
            job,
            specs: &[],
            planned: Vec::new(),
            states: BTreeMap::new(),
            written: BTreeMap::new(),
            kept: BTreeMap::new(),
            begun: BTreeSet::new(),
            pins: BTreeMap::new(),
            paused: false,
        };
        for row in rows {
            match row {
                Row::Resolved { job: id, videos } if *id == job.id => {
                    earlier.specs = videos;
                    earlier.planned =
                        (0u32..).zip(videos).filter(|(_, video)| video.is_ok()).map(|(place, _)| place).collect();
                }
                Row::Outputs { video, written, frames, .. } if video.job == job.id => {
                    earlier.written.insert(video.index, written);
                    earlier.kept.insert(video.index, frames);
                }
                Row::Scheduler(Change::VideoPhase { video, state }) if video.job == job.id => {
                    earlier.states.extend(earlier.planned.get(video.index as usize).map(|&place| (place, state)));
                }
                Row::Scheduler(Change::ArtifactDurable { artifact: ArtifactId::Checkpoint { video, .. }, .. })
                    if video.job == job.id =>
                {
                    earlier.begun.extend(earlier.planned.get(video.index as usize))
                }
                Row::Scheduler(Change::WeightsPinned { job: id, role, weights: Some(weights) }) if *id == job.id => {
                    earlier.pins.insert(*role, *weights);
                }
                Row::Scheduler(Change::JobPhase { job: id, state }) if *id == job.id => {
                    earlier.paused = *state == JobPhase::Paused;
                }
                _ => {}
            }
        }
        Some(earlier)
    }

    /// For each of these videos its place here, by what it is computed from. Several may be computed from the same, and
    /// differ in their files alone: then the name tells which is which.
    pub(super) fn places(&self, requests: &[VideoRequest], specs: &[Result<VideoSpec, String>]) -> Vec<Option<u32>> {
        let mut left: BTreeMap<Digest, Vec<u32>> = BTreeMap::new();
        for (place, content) in (0u32..).zip(contents(self.specs)) {
            if let Some(content) = content {
                left.entry(content).or_default().push(place);
            }
        }
        let contents = contents(specs);
        let mut places = vec![None; requests.len()];
        for by_name in [true, false] {
            for ((place, request), content) in places.iter_mut().zip(requests).zip(&contents) {
                let Some(left) = content.as_ref().and_then(|content| left.get_mut(content)) else { continue };
                let same = |&place: &u32| self.request(place).is_some_and(|had| had.output == request.output);
                let found = left.iter().position(|place| !by_name || same(place)).filter(|_| place.is_none());
                *place = found.map(|at| left.remove(at)).or(*place);
            }
        }
        places
    }

    pub(super) fn request(&self, place: u32) -> Option<&'r VideoRequest> {
        self.job.submission.videos.get(place as usize)
    }

    /// True for a path at which files of it were put.
    pub(super) fn has_written(&self, path: &str) -> bool {
        self.written.values().copied().flatten().any(|written| written.path == path)
    }

    /// True when the files of a video are all that these settings ask for.
    pub(super) fn is_written_as(&self, place: u32, spec: &Result<VideoSpec, String>) -> bool {
        let (Some(Ok(had)), Ok(spec)) = (self.specs.get(place as usize), spec) else { return false };
        had.fps == spec.fps
            && spec.formats.iter().all(|format| had.formats.contains(format))
            && (spec.join.is_none() || had.join == spec.join)
    }

    pub(super) fn is_done(&self, place: u32) -> bool {
        self.states.get(&place).is_some_and(|state| **state == VideoPhase::Done)
    }
}

/// What each video is computed from: all of its settings but those of its files, and what the videos are computed from that
/// it needs frames of.
pub(super) fn contents(specs: &[Result<VideoSpec, String>]) -> Vec<Option<Digest>> {
    let videos =
        specs.iter().map(|spec| spec.iter().flat_map(VideoSpec::needs).flatten().map(|need| need.video()).collect());
    let mut contents = vec![None; specs.len()];
    for place in in_order(&videos.collect::<Vec<_>>()).unwrap_or_default() {
        let Some(Ok(spec)) = specs.get(place as usize) else { continue };
        let mut settings = serde_json::to_value(spec).unwrap_or_default();
        let Some(fields) = settings.as_object_mut() else { continue };
        for of_files in ["output", "formats", "join"] {
            fields.remove(of_files);
        }
        // How fast it is shown; of a clip it is which pictures are taken.
        if spec.video.is_none() {
            fields.remove("fps");
        }
        for (key, need) in ["image", "last_image", "video"].into_iter().zip(spec.needs()) {
            let Some(need) = need else { continue };
            let parent = specs.get(need.video() as usize).and_then(|parent| parent.as_ref().ok());
            let excerpt = parent.and_then(|parent| need.of(parent.frames));
            let of = contents.get(need.video() as usize).copied().flatten();
            fields.insert(key.to_owned(), serde_json::json!({ "of": of, "frames": excerpt }));
        }
        contents[place as usize] = Some(Digest(*blake3::hash(settings.to_string().as_bytes()).as_bytes()));
    }
    contents
}
