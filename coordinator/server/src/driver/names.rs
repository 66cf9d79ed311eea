//! The names of a submission against what other jobs write and have written, and against what stands on the disk.

use std::path::Path;
use std::time::Duration;

use wanfarm_client::span;
use wanfarm_manifest::claims::{Claims, Clash, Holder, Wanted};
use wanfarm_manifest::{Submission, Taken, chains, report_names};
use wanfarm_types::{JobId, VideoId, VideoState};

use super::Driver;
use crate::jobs::Job;
use crate::outputs::{JobFiles, Look, VideoFiles};
use crate::requests::{Obstruction, Places, RequestError, Settled};
use crate::times::wall_clock;

impl Driver {
    /// Settles the names of a submission's videos.
    pub(super) fn settle_names(&self, submission: &Submission, looks: &[Look]) -> Result<Settled, RequestError> {
        let Submission { videos, taken, .. } = submission;
        let mut settled = Settled { videos: Vec::with_capacity(videos.len()), renamed: 0, left_out: 0 };
        let (mut own, mut obstructions) = (Claims::default(), Vec::new());
        let looks = looks.iter().chain(std::iter::repeat(&Look::Free));
        let mut places = Vec::with_capacity(videos.len());
        for ((index, video), look) in (0u32..).zip(videos).zip(looks) {
            let mut video = video.clone();
            match look {
                Look::Complete => {
                    settled.left_out += 1;
                    continue;
                }
                Look::Renamed(names) => {
                    names.give_to(&mut video);
                    settled.renamed += 1;
                }
                Look::Free | Look::Blocked(_) => {}
            }
            let wanted = Wanted::video(self.outputs.root(), &video);
            let clashes = self.registry.claims.clashes(&wanted).into_iter().chain(own.clashes(&wanted));
            let held = clashes.into_iter().find_map(|clash| self.held_by(&clash, *taken));
            let stands = || match look {
                Look::Blocked(obstacle) => Some(format!("{} is {}", obstacle.path, obstacle.what)),
                _ => None,
            };
            if let Some(why) = held.or_else(stands) {
                obstructions.push(Obstruction { index, why });
            }
            own.claim(Holder { job: self.registry.jobs.next(), video: Some(index) }, &wanted);
            settled.videos.push(video);
            places.push(index);
        }
        chains::renumber(&mut settled.videos, &places, |at, need| {
            let other = videos.get(need.video() as usize).map(|video| video.label(need.video())).unwrap_or_default();
            let why = format!("it needs a frame of {other}, which stands there whole and would be left out");
            obstructions.push(Obstruction { index: places[at], why });
            None
        });
        obstructions.sort_by_key(|obstruction| obstruction.index);
        if obstructions.is_empty() { Ok(settled) } else { Err(RequestError::Taken(obstructions, videos.len())) }
    }

    /// The holder of a path, in words; `None` when the path may be used all the same.
    fn held_by(&self, clash: &Clash, taken: Taken) -> Option<String> {
        let Clash { path, holder, same } = clash;
        let Some(job) = self.registry.jobs.get(holder.job) else {
            return Some(format!("{path} is what another video of the same job would get"));
        };
        let line = holder.video.and_then(|video| job.videos().get(video as usize));
        let over = line.is_some_and(|line| line.state.is_end());
        let yields = matches!(taken, Taken::Overwrite | Taken::Skip);
        if *same && over && yields {
            return None;
        }
        let age = (wall_clock() - job.submitted().at).max(0.0);
        let age = Duration::try_from_secs_f64(age).map(span).unwrap_or_default();
        let what = match holder.video {
            Some(video) => format!("video {}", VideoId { job: job.id, index: video }),
            None => "the report".to_owned(),
        };
        let is = if *same { "is of" } else { "lies around or inside what is of" };
        let mut words = format!("{path} {is} job {} {}, {what}, submitted {age} ago", job.id, job.submission.name);
        if *same && yields && holder.video.is_some() {
            words += " and not finished: cancel that video first";
        }
        Some(words)
    }

    /// The place of a job's report.
    pub(super) fn report_place(&self, submission: &Submission, places: &Places) -> String {
        let root = self.outputs.root();
        let mut own = Claims::default();
        let holder = Holder { job: self.registry.jobs.next(), video: None };
        for video in &submission.videos {
            own.claim(holder, &Wanted::video(root, video));
        }
        let free = |name: &String| {
            let wanted = Wanted::report(root, name);
            let claimed = !self.registry.claims.clashes(&wanted).is_empty() || !own.clashes(&wanted).is_empty();
            !claimed && !places.reports.contains(&name.to_lowercase())
        };
        let names = report_names(&submission.name, self.registry.jobs.next(), places.last_report);
        // Without end, so that one is free.
        names.into_iter().find(free).unwrap_or_default()
    }

    /// The files of a job's finished videos.
    pub(super) fn files(&self, id: JobId, video: Option<u32>) -> Result<JobFiles, RequestError> {
        let job = self.registry.jobs.get(id).ok_or(RequestError::NoSuchJob(id))?;
        if let Some(index) = video.filter(|index| *index as usize >= job.videos().len()) {
            return Err(RequestError::NoSuchVideo { id: VideoId { job: id, index }, videos: job.videos().len() });
        }
        Ok(self.files_of(job, video))
    }

    pub(super) fn files_of(&self, job: &Job, video: Option<u32>) -> JobFiles {
        let wanted = job.videos().iter().filter(|line| video.is_none_or(|index| line.index == index));
        let done = wanted.filter(|line| line.state == VideoState::Done);
        let yields = |other: &Job| matches!(other.submission.taken, Taken::Overwrite | Taken::Skip);
        let may_be_replaced = self.registry.jobs.iter().any(|other| other.id > job.id && yields(other));
        let videos = done.filter_map(|line| {
            let written = job.written(line.index)?.clone();
            let mut paths = written.iter().filter(|_| may_be_replaced);
            let replaced_by = paths.find_map(|one| self.replaced_by(job.id, &job.output, &one.path));
            Some(VideoFiles { video: line.index, written, replaced_by })
        });
        JobFiles { root: job.output.clone(), videos: videos.collect() }
    }

    /// The later job that has written to a path.
    fn replaced_by(&self, job: JobId, root: &Path, path: &str) -> Option<JobId> {
        let holder = self.registry.claims.holder(root, path).filter(|holder| holder.job > job)?;
        let later = self.registry.jobs.get(holder.job)?.videos().get(holder.video? as usize)?;
        (later.state == VideoState::Done).then_some(holder.job)
    }
}
