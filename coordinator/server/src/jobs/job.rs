//! One job: what was asked for, and where each of its videos stands.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;

use wanfarm_manifest::claims::Wanted;
use wanfarm_manifest::film::{self, Cut};
use wanfarm_manifest::{Submission, path_of};
use wanfarm_scheduler::{JobPhase, TextKey};
use wanfarm_types::{
    About, Digest, Excerpt, Forecast, Format, JobId, JobState, JobSummary, Need, Role, VideoRequest, VideoSpec,
    VideoState, VideoStatus,
};

use crate::outputs::{Content, Film, FilmPart, KeptExcerpt, Origin, Written};
use crate::store::JobEnd;
use crate::times::{Moment, rfc3339};

/// One job.
#[derive(Debug)]
pub(crate) struct Job {
    pub id: JobId,
    pub submission: Submission,
    /// Digest of what the client asked for, before names were settled.
    pub asked: Digest,
    /// Its output directory, absolute.
    pub output: PathBuf,
    /// Where its report goes, below the output directory.
    pub report: String,
    /// Resolved videos, once the model is known; `None` for those that no size or schedule fits.
    pub specs: Vec<Option<VideoSpec>>,
    /// Texts each video reads, once the model is known.
    pub texts: Vec<Vec<TextKey>>,
    /// The weights it is rendered with, as far as they are known.
    pub weights: BTreeMap<Role, Digest>,
    pub(super) phase: Option<JobPhase>,
    pub(super) suspend_reason: Option<String>,
    /// As it is now.
    pub(super) priority: u32,
    pub(super) about: About,
    pub(super) forecast: Option<Forecast>,
    pub(super) submitted: Moment,
    pub(super) ended: Option<JobEnd>,
    pub(super) reported: bool,
    /// Why its report was given up.
    pub(super) unreported: Option<String>,
    /// Place in the scheduler's plan → place in the manifest: videos refused at resolution have no plan.
    pub(super) planned: Vec<u32>,
    /// Shared with the answers that tell them: copied when they change meanwhile.
    pub(super) videos: Vec<Arc<VideoStatus>>,
    /// The last change of each of these.
    pub(super) versions: Vec<u64>,
    pub(super) counts: Counts,
    /// Videos that start from a frame of another one, by that one; all by their place in the manifest.
    pub(super) followers: BTreeMap<u32, Vec<u32>>,
    /// The files written, or about to be, by the video's place in the manifest.
    pub(super) outputs: BTreeMap<u32, Outputs>,
    /// When its videos were first begun, by their place in the manifest, in seconds since 1970.
    pub(super) started: BTreeMap<u32, Option<f64>>,
    /// The last change of any of it.
    pub(super) version: u64,
    /// The last change of all videos at once, and which videos have changed after it, in this order.
    pub(super) whole: u64,
    pub(super) changed: BTreeMap<u64, u32>,
}

/// The files written, or about to be, of a video.
#[derive(Debug, Default)]
pub(super) struct Outputs {
    pub(super) written: Arc<[Written]>,
    pub(super) verdict: String,
    pub(super) seconds: f64,
    /// Frames that others start from.
    pub(super) frames: Arc<[KeptExcerpt]>,
}

/// Videos by where they stand.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Counts {
    done: u32,
    failed: u32,
    cancelled: u32,
    running: u32,
}

impl Counts {
    pub(super) fn of(videos: &[Arc<VideoStatus>]) -> Self {
        let mut counts = Self::default();
        for video in videos {
            if let Some(count) = counts.count(video.state) {
                *count += 1;
            }
        }
        counts
    }

    pub(super) fn moves(&mut self, from: VideoState, to: VideoState) {
        if let Some(count) = self.count(from) {
            *count = count.saturating_sub(1);
        }
        if let Some(count) = self.count(to) {
            *count += 1;
        }
    }

    fn count(&mut self, state: VideoState) -> Option<&mut u32> {
        match state {
            VideoState::Waiting | VideoState::Unknown => None,
            VideoState::Running | VideoState::Writing => Some(&mut self.running),
            VideoState::Done => Some(&mut self.done),
            VideoState::Failed => Some(&mut self.failed),
            VideoState::Cancelled => Some(&mut self.cancelled),
        }
    }
}

impl Job {
    /// Its state as shown. It has ended only when its report is in place or was given up.
    pub(crate) fn state(&self) -> JobState {
        match self.phase {
            Some(JobPhase::Paused) => JobState::Paused,
            Some(JobPhase::Finished) if self.is_told() => self.end_state(),
            None | Some(JobPhase::Active | JobPhase::Finished) => JobState::Active,
        }
    }

    /// The state it ends in.
    pub(crate) fn end_state(&self) -> JobState {
        match self.counts {
            Counts { done: 1.., .. } => JobState::Done,
            Counts { failed: 1.., .. } => JobState::Failed,
            _ => JobState::Cancelled,
        }
    }

    /// The scheduler's phase; `None` before it is planned.
    pub(crate) fn phase(&self) -> Option<JobPhase> {
        self.phase
    }

    /// The scheduler knows it: something of it has a plan.
    pub(crate) fn is_planned(&self) -> bool {
        !self.planned.is_empty()
    }

    /// The files it names, as often as it does, with those of frames that its videos start from.
    pub(crate) fn files(&self) -> impl Iterator<Item = Digest> {
        let frames = self.outputs.values().flat_map(|outputs| outputs.frames.iter().map(|kept| kept.file));
        self.submission.videos.iter().flat_map(files).chain(frames)
    }

    /// The file of what is needed of another video, if that is kept.
    pub(crate) fn kept(&self, need: Need) -> Option<Digest> {
        let excerpt = need.of(self.specs.get(need.video() as usize)?.as_ref()?.frames)?;
        let frames = &self.outputs.get(&need.video())?.frames;
        frames.iter().find(|kept| kept.excerpt == excerpt).map(|kept| kept.file)
    }

    /// What a video (by its place in the manifest) needs of others.
    fn needs(&self, index: u32) -> impl Iterator<Item = Need> {
        self.submission.videos.get(index as usize).into_iter().flat_map(VideoRequest::needs).flatten()
    }

    /// Which frames of a video (by its place in the manifest) others are rendered from.
    pub(crate) fn frames_wanted(&self, index: u32) -> BTreeSet<Excerpt> {
        let Some(Some(spec)) = self.specs.get(index as usize) else { return BTreeSet::new() };
        let followers = self.followers.get(&index).into_iter().flatten();
        let needs = followers.flat_map(|follower| self.needs(*follower));
        needs.filter(|need| need.video() == index).filter_map(|need| need.of(spec.frames)).collect()
    }

    /// Where the first frame of a video (by its place in the manifest) is from, its last, and its clip, if from other videos.
    pub(crate) fn origins(&self, index: u32) -> [Option<Origin>; 3] {
        let Some(request) = self.submission.videos.get(index as usize) else { return [None, None, None] };
        request.needs().map(|need| {
            let video = need?.video();
            let parent = self.submission.videos.get(video as usize)?;
            let excerpt = need?.of(self.specs.get(video as usize)?.as_ref()?.frames)?;
            Some(Origin { video, name: parent.name.clone(), output: parent.output.clone(), excerpt })
        })
    }

    /// The film that a video (by its place in the manifest) ends, if it does: from which files of those before it.
    pub(crate) fn film(&self, index: u32) -> Option<Film> {
        let path = self.specs.get(index as usize)?.as_ref()?.join.clone()?;
        let spec = |video: u32| self.specs.get(video as usize).and_then(Option::as_ref);
        let mut cuts = film::cuts(&self.submission.videos, index, |video| Some(spec(video)?.frames));
        // The last is its own.
        cuts.pop();
        let before = cuts.into_iter().map(|Cut { video, frames }| {
            let path = spec(video).map(|spec| path_of(&spec.output, Format::Mp4)).unwrap_or_default();
            let written = self.outputs.get(&video).and_then(|of| of.written.iter().find(|one| one.path == path));
            let print = written.and_then(|written| match written.content {
                Content::File(print) => Some(print),
                Content::Frames(_) => None,
            });
            FilmPart { path, print, frames }
        });
        Some(Film { path, before: before.collect() })
    }

    /// What people call the video that one waits for (both by their place in the manifest), if it does.
    pub(super) fn waiting_for(&self, index: u32) -> Option<String> {
        let state = |index: u32| self.videos.get(index as usize).map(|line| line.state);
        if state(index)?.is_end() {
            return None;
        }
        let parent = self.needs(index).find(|need| state(need.video()) != Some(VideoState::Done));
        parent.map(|need| self.label(need.video()))
    }

    /// What people call a video (by its place in the manifest).
    pub(crate) fn label(&self, index: u32) -> String {
        self.submission.videos.get(index as usize).map(|video| video.label(index)).unwrap_or_default()
    }

    /// Its priority as it is now.
    pub(crate) fn priority(&self) -> u32 {
        self.priority
    }

    /// What people say of it.
    pub(crate) fn about(&self) -> &About {
        &self.about
    }

    /// What was forecast of it when that could first be told.
    pub(crate) fn forecast(&self) -> Option<&Forecast> {
        self.forecast.as_ref()
    }

    /// Why the coordinator has paused it, if so.
    pub(crate) fn suspend_reason(&self) -> Option<&str> {
        self.suspend_reason.as_deref()
    }

    /// The files written, or about to be, of a video (by its place in the manifest).
    pub(crate) fn written(&self, index: u32) -> Option<&Arc<[Written]>> {
        self.outputs.get(&index).map(|outputs| &outputs.written)
    }

    /// When a video (by its place in the manifest) was first begun, in seconds since 1970.
    pub(crate) fn started(&self, index: u32) -> Option<f64> {
        self.started.get(&index).copied().flatten()
    }

    /// The paths that one of its videos writes to.
    pub(crate) fn wants(&self, video: &VideoRequest) -> Wanted {
        Wanted::video(&self.output, video)
    }

    /// Its line. What it waits for is not known here.
    pub(crate) fn summary(&self) -> JobSummary {
        let Counts { done, failed, cancelled, running } = self.counts;
        JobSummary {
            job: self.id,
            name: self.submission.name.clone(),
            model: self.submission.model.clone(),
            priority: self.priority,
            state: self.state(),
            videos: u32::try_from(self.videos.len()).unwrap_or(u32::MAX),
            done,
            failed,
            cancelled,
            running,
            waiting_for: None,
            unreported: self.unreported.clone(),
            submitted: rfc3339(self.submitted.at),
            ended: self.ended.as_ref().and_then(|end| rfc3339(end.at.at)),
            report: Some(self.output.join(&self.report).display().to_string()),
            about: self.about.clone(),
        }
    }

    /// Its line in its own report, which tells of a job that has ended though to watchers it ends with it.
    pub(crate) fn summary_in_report(&self) -> JobSummary {
        let state = if self.ended.is_some() { self.end_state() } else { self.state() };
        JobSummary { state, ..self.summary() }
    }

    /// When it was submitted.
    pub(crate) fn submitted(&self) -> Moment {
        self.submitted
    }

    /// Its end, once every video has ended.
    pub(crate) fn ended(&self) -> Option<&JobEnd> {
        self.ended.as_ref()
    }

    /// Its report is in place, or was given up.
    pub(crate) fn is_told(&self) -> bool {
        self.reported || self.unreported.is_some()
    }

    /// Its videos' lines.
    pub(crate) fn videos(&self) -> &[Arc<VideoStatus>] {
        &self.videos
    }

    /// Grows with every change of it.
    pub(crate) fn version(&self) -> u64 {
        self.version
    }

    /// Every video has changed.
    pub(super) fn changes_whole(&mut self, version: u64) {
        self.changed.clear();
        self.counts = Counts::of(&self.videos);
        (self.version, self.whole) = (version, version);
    }
}

/// The lines of videos that nothing has happened to.
pub(super) fn lines(videos: &[VideoRequest]) -> Vec<Arc<VideoStatus>> {
    let line = |(index, request): (u32, &VideoRequest)| {
        let parent = request.needs().into_iter().flatten().next().map(|need| need.video());
        let waiting_for = parent.and_then(|parent| Some(videos.get(parent as usize)?.label(parent)));
        Arc::new(VideoStatus { waiting_for, ..VideoStatus::new(index, request) })
    };
    (0u32..).zip(videos).map(line).collect()
}

/// Videos that need a frame of another one, by that one.
pub(super) fn followers(videos: &[VideoRequest]) -> BTreeMap<u32, Vec<u32>> {
    let mut followers: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
    for (index, request) in (0u32..).zip(videos) {
        for parent in request.needs().into_iter().flatten().map(|need| need.video()).collect::<BTreeSet<_>>() {
            followers.entry(parent).or_default().push(index);
        }
    }
    followers
}

/// The files that a request names: its images, its clip, its LoRA files.
pub(super) fn files(request: &VideoRequest) -> impl Iterator<Item = Digest> {
    request.files().chain(request.loras.iter().map(|lora| lora.blake3))
}
