//! Resumes the last job of `run`, changed to what its manifest asks for now.
//!
//! Rows in, rows out, and none before every name can be had. A video is the same as long as what it is computed from
//! is the same, whatever its name, its place and its formats: what was computed of it is carried over, and where its
//! files stand as they were written, it stays done. Deliberately not here: how it is then rendered.

mod earlier;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use wanfarm_manifest::claims::{self, Claims, Holder};
use wanfarm_manifest::first_frame::Image;
use wanfarm_manifest::{Submission, Taken, chains, report_names};
use wanfarm_scheduler::{ArtifactId, Change, JobPlan, VideoPhase};
use wanfarm_types::{
    AttemptId, Digest, JobId, ModelInfo, Need, Role, VideoId, VideoRequest, VideoSpec, WorkItem, in_order,
};

use earlier::Earlier;

use crate::driver::RestoreError;
use crate::images::Images;
use crate::jobs::Jobs;
use crate::outputs::{self, Fate, Look, Volume, Written};
use crate::requests::{Obstruction, RequestError};
use crate::store::{JobRow, Row, Store, when_unlocked};

/// The job that a manifest asks for now.
#[derive(Debug, Clone)]
pub struct Wanted {
    /// The job.
    pub submission: Submission,
    /// The model.
    pub info: ModelInfo,
    /// The weights that it would be rendered with.
    pub weights: BTreeMap<Role, Digest>,
    /// The first frames that its videos start from.
    pub images: Vec<Image>,
    /// Whether what is done is rendered again.
    pub again: bool,
}

/// The earlier job of the manifest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Memory {
    /// The job.
    pub job: JobId,
    /// How many videos it has.
    pub videos: u32,
    /// How many stay done.
    pub done: u32,
    /// How many go on from what was computed of them.
    pub begun: u32,
    /// How many get a new name.
    pub renamed: u32,
    /// How many are left out, because they stand there whole.
    pub left_out: u32,
}

impl Memory {
    /// True when nothing is left to render.
    pub fn is_over(self) -> bool {
        self.done == self.videos
    }
}

/// Makes the job in a store the one that is wanted; `None` when there is none to go on from. Blocks.
///
/// # Errors
/// When names of videos are taken, the volume of their files is not there, or the store cannot be read or written.
/// Nothing has changed then.
pub fn remember(store: &mut dyn Store, wanted: &Wanted, mut volume: Volume) -> Result<Option<Memory>, RestoreError> {
    let loaded = when_unlocked(|| store.load())?;
    let Some(earlier) = Earlier::find(&loaded.rows) else { return Ok(None) };
    if !wanted.again {
        let written = volume.folder().to_string_lossy().into_owned();
        volume.expect(loaded.rows.iter().find_map(|row| match row {
            Row::Mount { folder, mount } if folder.as_os_str() == written.as_str() => Some(mount.clone()),
            _ => None,
        }));
        volume.check().map_err(RestoreError::Output)?;
    }
    let root = volume.folder();
    let submission = &wanted.submission;
    let videos = submission.videos.iter().chain(&earlier.job.submission.videos);
    let mut names = videos.map(|video| video.output.clone()).collect();
    let looks = outputs::look(root, submission, &mut names, &|| ());
    let fate = |written: &[Written]| outputs::fate(root, written);
    let now = Now::of(&earlier, wanted, root, &looks, &fate)?;
    let rows = now.rows(&loaded.rows, &earlier);
    if !rows.is_empty() {
        when_unlocked(|| store.commit(&rows))?;
    }
    Ok((!now.entries.is_empty()).then(|| now.memory()))
}

impl Wanted {
    /// The settings and the plan of some videos, as those of a job.
    fn resolve(&self, job: &JobRow, videos: &[VideoRequest]) -> (Vec<Result<VideoSpec, String>>, Option<JobPlan>) {
        let (mut jobs, mut images) = (Jobs::new(job.id), Images::default());
        self.images.iter().for_each(|image| images.insert(*image));
        let submission = Submission { videos: videos.to_vec(), ..job.submission.clone() };
        jobs.add(&JobRow { submission, ..job.clone() });
        jobs.resolve(job.id, &self.info, &images).map_or((Vec::new(), None), |(specs, plan)| (specs, Some(plan)))
    }
}

/// A video of the job as it is wanted now.
struct WantedVideo {
    request: VideoRequest,
    /// Its place in the earlier job.
    before: Option<u32>,
    /// Files that it may replace.
    same_place: bool,
    done: bool,
    /// Its computed results are kept.
    goes_on: bool,
    /// And that is some of its steps.
    begun: bool,
}

/// Renders again what lacks a frame that another video needs, and lets what needs a frame of a video that is rendered again
/// begin anew. `frames`: how many each has.
fn link(entries: &mut [WantedVideo], frames: &[Option<u32>], earlier: &Earlier<'_>) {
    let needed: Vec<Vec<Need>> =
        entries.iter().map(|entry| entry.request.needs().into_iter().flatten().collect()).collect();
    let parents = |needs: &Vec<Need>| needs.iter().map(|need| need.video()).collect();
    let order = in_order(&needed.iter().map(parents).collect::<Vec<_>>()).unwrap_or_default();
    for place in order.iter().rev().map(|place| *place as usize) {
        for need in needed[place].iter().filter(|_| !entries[place].done).copied().collect::<Vec<_>>() {
            let excerpt = frames.get(need.video() as usize).copied().flatten().and_then(|frames| need.of(frames));
            let Some(parent) = entries.get_mut(need.video() as usize) else { continue };
            let kept = parent.before.and_then(|before| earlier.kept.get(&before)).copied().unwrap_or_default();
            if parent.done && !kept.iter().any(|kept| Some(kept.excerpt) == excerpt) {
                (parent.done, parent.goes_on, parent.begun) = (false, false, false);
            }
        }
    }
    for place in order.iter().map(|place| *place as usize) {
        let is_there =
            needed[place].iter().all(|need| entries.get(need.video() as usize).is_some_and(|parent| parent.done));
        let entry = &mut entries[place];
        entry.goes_on &= entry.done || is_there;
        entry.begun &= entry.goes_on;
    }
}

/// The job as it is wanted now.
struct Now<'w> {
    job: JobRow,
    entries: Vec<WantedVideo>,
    wanted: &'w Wanted,
    weights: BTreeMap<Role, Digest>,
    renamed: u32,
    left_out: u32,
}

impl<'w> Now<'w> {
    fn of(
        earlier: &Earlier<'_>,
        wanted: &'w Wanted,
        root: &Path,
        looks: &[Look],
        fate: &dyn Fn(&[Written]) -> Fate,
    ) -> Result<Self, RequestError> {
        let Wanted { submission, weights, again, .. } = wanted;
        let same_weights = earlier.pins.iter().all(|(role, pin)| weights.get(role) == Some(pin));
        let specs = wanted.resolve(earlier.job, &submission.videos).0;
        // Of other weights nothing can be gone on from.
        let places = match same_weights {
            true => earlier.places(&submission.videos, &specs),
            false => vec![None; submission.videos.len()],
        };
        let (mut own, mut obstructions, mut entries) = (Claims::default(), Vec::new(), Vec::new());
        let (mut renamed, mut left_out, mut kept) = (0, 0, Vec::new());
        let videos = (0u32..).zip(&submission.videos).zip(looks).zip(&specs).zip(places);
        for ((((index, request), look), spec), before) in videos {
            let mut obstruct = |why| obstructions.push(Obstruction { index, why });
            let had = before.and_then(|place| earlier.request(place));
            let mut request = request.clone();
            if let Some(had) = had.filter(|_| submission.taken == Taken::NewName) {
                // The names that it was given then.
                request.output.clone_from(&had.output);
                request.join = request.join.and_then(|join| had.join.clone().or(Some(join)));
            }
            let same_place = had.is_some_and(|had| had.output == request.output) && earlier.job.output == root;
            let was_done = before.is_some_and(|place| earlier.is_done(place));
            let mut done = false;
            if let Some(place) = before.filter(|_| same_place) {
                let same_files = earlier.is_written_as(place, spec);
                match earlier.written.get(&place).filter(|_| was_done).map(|written| fate(written)) {
                    Some(Fate::Whole) => done = same_files && !again,
                    Some(Fate::Changed(path)) if submission.taken != Taken::Overwrite => {
                        obstruct(format!("{path} is no longer what was written there"));
                    }
                    _ => {}
                }
            } else {
                match look {
                    Look::Free => {}
                    Look::Renamed(names) => {
                        names.give_to(&mut request);
                        renamed += 1;
                    }
                    Look::Complete => {
                        left_out += 1;
                        continue;
                    }
                    Look::Blocked(obstacle) if earlier.has_written(&obstacle.path) => {
                        obstruct(format!("{} is of a video that was finished with other settings", obstacle.path));
                    }
                    Look::Blocked(obstacle) => obstruct(format!("{} is {}", obstacle.path, obstacle.what)),
                }
            }
            let paths = claims::Wanted::video(root, &request);
            if let Some(clash) = own.clashes(&paths).into_iter().next() {
                obstruct(format!("{} is what another video of the same job would get", clash.path));
            }
            own.claim(Holder { job: earlier.job.id, video: Some(index) }, &paths);
            let goes_on = before.is_some() && (done || (!was_done && !again));
            let begun = goes_on && !done && before.is_some_and(|place| earlier.begun.contains(&place));
            kept.push(index);
            entries.push(WantedVideo { request, before, same_place, done, goes_on, begun });
        }
        let mut requests: Vec<VideoRequest> = entries.iter().map(|entry| entry.request.clone()).collect();
        chains::renumber(&mut requests, &kept, |at, need| {
            let other =
                submission.videos.get(need.video() as usize).map(|video| video.label(need.video())).unwrap_or_default();
            let why = format!("it needs a frame of {other}, which stands there whole and would be left out");
            obstructions.push(Obstruction { index: kept[at], why });
            None
        });
        obstructions.sort_by_key(|obstruction| obstruction.index);
        for (entry, request) in entries.iter_mut().zip(requests) {
            entry.request = request;
        }
        let frames = kept.iter().map(|index| specs.get(*index as usize)?.as_ref().ok().map(|spec| spec.frames));
        link(&mut entries, &frames.collect::<Vec<_>>(), earlier);
        if !obstructions.is_empty() {
            return Err(RequestError::Taken(obstructions, submission.videos.len()));
        }
        let mut reports = report_names(&submission.name, earlier.job.id, true);
        let free = |name: &String| own.clashes(&claims::Wanted::report(root, name)).is_empty();
        let job = JobRow {
            id: earlier.job.id,
            submission: Submission {
                videos: entries.iter().map(|entry| entry.request.clone()).collect(),
                ..submission.clone()
            },
            asked: submission.digest(),
            submitted: earlier.job.submitted,
            output: root.to_owned(),
            // Without end, so that one is free.
            report: reports.find(free).unwrap_or_default(),
        };
        let weights = if same_weights { earlier.pins.clone() } else { BTreeMap::new() };
        Ok(Self { job, entries, wanted, weights, renamed, left_out })
    }

    /// The rows that make the earlier job this one; none where it is.
    fn rows(&self, rows: &[Row], earlier: &Earlier<'_>) -> Vec<Row> {
        let forgotten = Row::Scheduler(Change::JobForgotten(earlier.job.id));
        if self.entries.is_empty() {
            return vec![forgotten];
        }
        let as_it_was = |(place, entry): (u32, &WantedVideo)| {
            let is_open = earlier.states.get(&place).is_none_or(|state| state.is_open());
            entry.before == Some(place) && (entry.done || (is_open && entry.goes_on))
        };
        let same_job = JobRow { asked: earlier.job.asked, ..self.job.clone() } == *earlier.job;
        if same_job && !earlier.paused && (0u32..).zip(&self.entries).all(as_it_was) {
            return Vec::new();
        }
        let id = self.job.id;
        let (resolved, plan) = self.wanted.resolve(&self.job, &self.job.submission.videos);
        // Place in the earlier plan → places now, in the manifest and in the plan.
        let mut places = BTreeMap::new();
        let planned = (0u32..).zip(&resolved).filter(|(_, video)| video.is_ok()).map(|(place, _)| place);
        for (number, place) in (0u32..).zip(planned) {
            let before = self.entries.get(place as usize).and_then(|entry| entry.before);
            let before = before.and_then(|before| earlier.planned.binary_search(&before).ok());
            places.extend(before.map(|before| (before as u32, (place, VideoId { job: id, index: number }))));
        }
        let mut new = vec![forgotten, Row::Job(self.job.clone()), Row::Resolved { job: id, videos: resolved }];
        new.extend(plan.map(Change::JobAdded).map(Row::Scheduler));
        let pins = self.weights.iter().map(|(&role, &weights)| (role, Some(weights)));
        new.extend(pins.map(|(role, weights)| Row::Scheduler(Change::WeightsPinned { job: id, role, weights })));
        let mut attempts = BTreeSet::new();
        for row in rows {
            new.extend(self.carried(row, earlier, &places, &mut attempts));
        }
        new
    }

    /// A row of the earlier job as one of this.
    fn carried(
        &self,
        row: &Row,
        earlier: &Earlier<'_>,
        places: &BTreeMap<u32, (u32, VideoId)>,
        attempts: &mut BTreeSet<AttemptId>,
    ) -> Option<Row> {
        let of_job = |video: &VideoId| video.job == earlier.job.id;
        let find = |video: &VideoId| {
            let &(place, video) = places.get(&video.index).filter(|_| of_job(video))?;
            Some((self.entries.get(place as usize)?, place, video))
        };
        let goes_on = |video: &VideoId| find(video).filter(|(entry, ..)| entry.goes_on).map(|(.., video)| video);
        let change = match row {
            Row::Outputs { video, written, verdict, seconds, frames } if of_job(video) => {
                let number = earlier.planned.binary_search(&video.index).ok()? as u32;
                let (entry, place, _) = find(&VideoId { index: number, ..*video })?;
                let video = VideoId { index: place, ..*video };
                let (written, verdict, frames) = (written.clone(), verdict.clone(), frames.clone());
                let seconds = *seconds;
                return entry.same_place.then_some(Row::Outputs { video, written, verdict, seconds, frames });
            }
            Row::About { job, about } if *job == earlier.job.id => {
                return Some(Row::About { job: self.job.id, about: about.clone() });
            }
            Row::VideoTimes { video, started, ended } if of_job(video) => {
                let number = earlier.planned.binary_search(&video.index).ok()? as u32;
                let (entry, place, _) = find(&VideoId { index: number, ..*video })?;
                let (video, ended) = (VideoId { index: place, ..*video }, ended.filter(|_| entry.done));
                let times = Row::VideoTimes { video, started: *started, ended };
                return (entry.done || entry.goes_on).then_some(times);
            }
            Row::Begun { attempt, .. } if attempts.contains(attempt) => return Some(row.clone()),
            Row::Scheduler(change) => change,
            _ => return None,
        };
        let change = match change {
            Change::VideoPhase { video, state: VideoPhase::Done } => {
                let (_, _, video) = find(video).filter(|(entry, ..)| entry.done)?;
                Change::VideoPhase { video, state: VideoPhase::Done }
            }
            Change::ArtifactDurable { artifact, tensors } => {
                let artifact = match *artifact {
                    // As it is: it belongs to no job.
                    ArtifactId::Text(_) => return None,
                    ArtifactId::Image(video) => ArtifactId::Image(goes_on(&video)?),
                    ArtifactId::Checkpoint { video, steps_done } => {
                        ArtifactId::Checkpoint { video: goes_on(&video)?, steps_done }
                    }
                };
                Change::ArtifactDurable { artifact, tensors: tensors.clone() }
            }
            Change::AttemptIssued { attempt, item, text, worker, incarnation } => {
                let item = WorkItem { video: goes_on(&item.video)?, ..*item };
                attempts.insert(*attempt);
                let (attempt, text, worker, incarnation) = (*attempt, *text, *worker, *incarnation);
                Change::AttemptIssued { attempt, item, text, worker, incarnation }
            }
            Change::AttemptEnded { attempt, .. } if attempts.contains(attempt) => change.clone(),
            _ => return None,
        };
        Some(Row::Scheduler(change))
    }

    fn memory(&self) -> Memory {
        let count = |is: fn(&WantedVideo) -> bool| self.entries.iter().filter(|entry| is(entry)).count() as u32;
        Memory {
            job: self.job.id,
            videos: self.entries.len() as u32,
            done: count(|entry| entry.done),
            begun: count(|entry| entry.begun),
            renamed: self.renamed,
            left_out: self.left_out,
        }
    }
}

#[cfg(test)]
mod tests;
