use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use wanfarm_scheduler::{Config, Instant, Scheduler};
use wanfarm_types::fixtures::{info, request};
use wanfarm_types::{
    AttemptId, DType, Excerpt, Experts, Failure, Format, FrameOf, ImageSource, Incarnation, Stage, StepRange,
    TensorRef, WorkerId,
};

use super::earlier::contents;
use super::*;
use crate::outputs::{Content, KeptExcerpt, print};
use crate::store::{DataDirectory, SqliteStore};
use crate::times::Moment;

/// The folders of a run whose job `a b c` was interrupted: `a` is done, five steps of `b` are kept, and `c` has failed.
struct Night {
    dir: tempfile::TempDir,
    store: SqliteStore,
    _data: DataDirectory,
}

fn video(output: &str) -> VideoRequest {
    VideoRequest { prompt: output.into(), output: output.into(), ..request() }
}

fn wanted(outputs: &[&str]) -> Wanted {
    let videos = outputs.iter().map(|output| video(output)).collect();
    Wanted {
        submission: crate::jobs::tests::submission("run", videos),
        info: info(Experts::Single),
        weights: [(Role::Dit, Digest([1; 32]))].into(),
        images: Vec::new(),
        again: false,
    }
}

impl Night {
    fn interrupted() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let data = DataDirectory::open(&dir.path().join("data")).unwrap();
        let mut night = Self { store: SqliteStore::open(&data).unwrap(), dir, _data: data };
        std::fs::create_dir(night.root()).unwrap();
        std::fs::write(night.root().join("a.mp4"), "a video").unwrap();
        let content = Content::File(print(&night.root().join("a.mp4")).unwrap());
        let written: Arc<[Written]> = [Written { path: "a.mp4".into(), content }].into();
        let wanted = wanted(&["a", "b", "c"]);
        let id = JobId(1);
        let job = JobRow {
            id,
            submission: wanted.submission.clone(),
            asked: Digest([9; 32]),
            submitted: Moment { at: 1e9, elapsed: 5.0 },
            output: night.root(),
            report: "report.json".into(),
        };
        let (videos, plan) = wanted.resolve(&job, &job.submission.videos);
        let place = |index| VideoId { job: id, index };
        let steps = StepRange { first: 0, end: 5 };
        let kept = |index, steps_done| Change::ArtifactDurable {
            artifact: ArtifactId::Checkpoint { video: place(index), steps_done },
            tensors: vec![TensorRef { digest: Digest([steps_done as u8; 32]), dtype: DType::F32, shape: vec![1] }],
        };
        let changes = [
            Change::JobAdded(plan.unwrap()),
            Change::WeightsPinned { job: id, role: Role::Dit, weights: Some(Digest([1; 32])) },
            Change::VideoPhase { video: place(0), state: VideoPhase::Done },
            kept(1, 5),
            Change::AttemptIssued {
                attempt: AttemptId(3),
                item: WorkItem { video: place(1), stage: Stage::Denoise, steps },
                text: None,
                worker: WorkerId(uuid::Uuid::nil()),
                incarnation: Incarnation(uuid::Uuid::nil()),
            },
            kept(2, 40),
            Change::VideoPhase { video: place(2), state: VideoPhase::Failed(Failure::deterministic("no room")) },
        ];
        let frames = [].into();
        let outputs = Row::Outputs { video: place(0), written, verdict: "ok".into(), seconds: 7.0, frames };
        let mut rows = vec![Row::Job(job), Row::Resolved { job: id, videos }, outputs];
        rows.extend(changes.map(Row::Scheduler));
        night.store.commit(&rows).unwrap();
        night
    }

    fn root(&self) -> PathBuf {
        self.dir.path().join("output")
    }

    fn remember(&mut self, wanted: &Wanted) -> Result<Option<Memory>, RestoreError> {
        let volume = Volume::new(self.root());
        remember(&mut self.store, wanted, volume)
    }

    /// Why they are not, on error.
    fn refusal(&mut self, wanted: &Wanted) -> String {
        let before = self.store.load().unwrap();
        let refusal = self.remember(wanted).unwrap_err().to_string();
        assert_eq!(self.store.load().unwrap(), before, "nothing changes");
        refusal
    }

    /// Done and begun videos, and the state of each by its name: where a scheduler takes them up.
    fn goes_on(&mut self, wanted: &Wanted) -> ((u32, u32), BTreeMap<String, &'static str>) {
        let memory = self.remember(wanted).unwrap().unwrap();
        let loaded = self.store.load().unwrap();
        let earlier = Earlier::find(&loaded.rows).unwrap();
        assert_eq!(memory.videos as usize, earlier.job.submission.videos.len());
        let state = |place: u32| match (earlier.is_done(place), earlier.begun.contains(&place)) {
            (true, _) => "done",
            (_, true) => "goes on",
            _ if earlier.written.contains_key(&place) => "again",
            _ => "new",
        };
        let names = earlier.job.submission.videos.iter().map(|video| video.output.clone());
        let states = names.zip((0u32..).map(state)).collect();
        let changes = loaded.rows.iter().filter_map(|row| match row {
            Row::Scheduler(change) => Some(change.clone()),
            _ => None,
        });
        Scheduler::restore(Config::default(), Instant(0), loaded.next_attempt, changes).unwrap();
        ((memory.done, memory.begun), states)
    }
}

fn states<const N: usize>(states: [(&str, &'static str); N]) -> BTreeMap<String, &'static str> {
    states.into_iter().map(|(name, state)| (name.to_owned(), state)).collect()
}

#[test]
fn the_same_manifest_goes_on_and_tries_what_failed_again() {
    let mut night = Night::interrupted();
    let same = wanted(&["a", "b", "c"]);
    let expected = ((1, 2), states([("a", "done"), ("b", "goes on"), ("c", "goes on")]));
    assert_eq!(night.goes_on(&same), expected);
    let before = night.store.load().unwrap();
    assert_eq!(night.goes_on(&same), expected);
    assert_eq!(night.store.load().unwrap(), before, "once everything is open, no row is written");
    let attempt = |row: &Row| matches!(row, Row::Scheduler(Change::AttemptIssued { .. }));
    assert_eq!(before.rows.iter().filter(|row| attempt(row)).count(), 1, "who did what is told of");
    assert_eq!(before.next_attempt, AttemptId(4));
}

#[test]
fn videos_are_known_wherever_they_stand_in_the_manifest() {
    let mut night = Night::interrupted();
    let expected = states([("new", "new"), ("c", "goes on"), ("a", "done")]);
    assert_eq!(night.goes_on(&wanted(&["new", "c", "a"])), ((1, 1), expected));
    let only_one = night.goes_on(&wanted(&["a"]));
    assert_eq!(only_one, ((1, 0), states([("a", "done")])));
}

#[test]
fn a_video_of_other_settings_is_another_and_never_takes_the_place_of_one_that_is_done() {
    let mut night = Night::interrupted();
    let mut other = wanted(&["a", "b", "c"]);
    other.submission.videos[1].seed += 1;
    assert_eq!(night.goes_on(&other).1, states([("a", "done"), ("b", "new"), ("c", "goes on")]));
    other.submission.videos[0].seed += 1;
    let refusal = night.refusal(&other);
    assert!(refusal.contains("video 0: a.mp4 is of a video that was finished with other settings"), "{refusal}");
    other.submission.taken = Taken::Overwrite;
    assert_eq!(night.goes_on(&other).1, states([("a", "new"), ("b", "new"), ("c", "goes on")]));
    // What decides nothing of the pixels: what was computed stays, what is done is written anew.
    let mut files = wanted(&["a", "c"]);
    files.submission.videos[1].formats = vec![Format::Png];
    let mut night = Night::interrupted();
    assert_eq!(night.goes_on(&files).1, states([("a", "done"), ("c", "goes on")]));
    files.submission.videos[0].formats.push(Format::Gif);
    assert_eq!(night.goes_on(&files).1, states([("a", "again"), ("c", "goes on")]));
}

#[test]
fn what_is_done_is_rendered_again_where_its_files_are_gone_and_left_where_they_were_changed() {
    let mut night = Night::interrupted();
    let same = wanted(&["a", "b", "c"]);
    let file = night.root().join("a.mp4");
    std::fs::write(&file, "edited!").unwrap();
    let refusal = night.refusal(&same);
    assert!(refusal.contains("video 0: a.mp4 is no longer what was written there"), "{refusal}");
    std::fs::remove_file(&file).unwrap();
    let ((done, begun), states) = night.goes_on(&same);
    assert_eq!((done, begun, states["a"]), (0, 2, "again"));
}

#[test]
fn with_other_weights_or_by_force_nothing_is_carried_over() {
    let mut night = Night::interrupted();
    let mut other = wanted(&["b", "c"]);
    other.weights.insert(Role::Dit, Digest([2; 32]));
    assert_eq!(night.goes_on(&other), ((0, 0), states([("b", "new"), ("c", "new")])));
    let mut night = Night::interrupted();
    let mut forced = wanted(&["a", "b"]);
    forced.again = true;
    assert_eq!(night.goes_on(&forced), ((0, 0), states([("a", "again"), ("b", "new")])));
}

#[test]
fn videos_that_differ_in_their_files_alone_are_told_apart_by_name() {
    let mut night = Night::interrupted();
    let mut rates = wanted(&["a", "b", "c", "d"]);
    let slow = VideoRequest { fps: Some(wanfarm_types::FrameRate::whole(8)), ..video("a") };
    rates.submission.videos[3] = VideoRequest { output: "d".into(), ..slow };
    let expected = states([("a", "done"), ("b", "goes on"), ("c", "goes on"), ("d", "new")]);
    assert_eq!(night.goes_on(&rates), ((1, 2), expected.clone()));
    let before = night.store.load().unwrap();
    assert_eq!(night.goes_on(&rates), ((1, 2), expected));
    assert_eq!(night.store.load().unwrap(), before);
}

#[test]
fn what_was_swept_makes_no_other_video() {
    let mut night = Night::interrupted();
    let mut told = wanted(&["a", "b", "c"]);
    let swept: wanfarm_types::Swept = [("letter", "any")].into_iter().collect();
    told.submission.videos.iter_mut().for_each(|video| video.swept = swept.clone());
    let expected = states([("a", "done"), ("b", "goes on"), ("c", "goes on")]);
    assert_eq!(night.goes_on(&told), ((1, 2), expected), "as of a job of an earlier version");
    let loaded = night.store.load().unwrap();
    let earlier = Earlier::find(&loaded.rows).unwrap();
    assert!(earlier.job.submission.videos.iter().all(|video| video.swept == swept), "it is told from now on");
}

#[test]
fn a_name_that_was_given_stays() {
    let mut night = Night::interrupted();
    let mut named = wanted(&["b", "new"]);
    // As the manifest has it now; what it was called is what it stays.
    named.submission.videos[0].output = "a".into();
    named.submission.taken = Taken::NewName;
    assert_eq!(night.goes_on(&named), ((0, 1), states([("b", "goes on"), ("new", "new")])));
}

#[test]
fn a_volume_that_is_gone_is_not_taken_for_files_that_are() {
    let mut night = Night::interrupted();
    let mount = Row::Mount { folder: night.root(), mount: "/renders".into() };
    night.store.commit(&[mount]).unwrap();
    let refusal = night.refusal(&wanted(&["a", "b", "c"]));
    assert!(refusal.contains("/renders"), "{refusal}");
}

#[test]
fn where_nothing_was_there_is_nothing_to_go_on_from() {
    let dir = tempfile::tempdir().unwrap();
    let data = DataDirectory::open(dir.path()).unwrap();
    let mut store = SqliteStore::open(&data).unwrap();
    let volume = Volume::new(dir.path().join("output"));
    assert_eq!(remember(&mut store, &wanted(&["a"]), volume).unwrap(), None);
}

#[test]
fn a_video_is_also_what_it_starts_from() {
    let info = ModelInfo { takes_image: true, ..info(Experts::Single) };
    let from = |video, frame| Some(ImageSource::Frame(FrameOf { video, frame }));
    let of = |videos: &[VideoRequest]| {
        let specs: Vec<_> = videos.iter().map(|video| video.resolve(&info).map_err(|_| String::new())).collect();
        contents(&specs)
    };
    let chain = [
        video("a"),
        VideoRequest { image: from(0, None), ..video("b") },
        VideoRequest { image: from(1, Some(0)), ..video("c") },
    ];
    let before = of(&chain);
    let turned = [
        VideoRequest { image: from(2, Some(0)), ..video("c") },
        video("a"),
        VideoRequest { image: from(1, Some(80)), ..video("b") },
    ];
    assert_eq!(of(&turned), [before[2], before[0], before[1]], "wherever it stands, and however the frame is called");
    let mut other = chain.clone();
    other[0].seed += 1;
    assert!(of(&other).iter().zip(&before).all(|(now, before)| now != before && now.is_some()));
    other = chain.clone();
    other[2].image = from(1, Some(1));
    assert_eq!(of(&other)[..2], before[..2]);
    assert_ne!(of(&other)[2], before[2]);
    other[0].output = "elsewhere".into();
    assert_eq!(of(&other)[..2], before[..2], "files are no pixels");
}

#[test]
fn a_video_that_lacks_the_frame_another_is_to_start_from_is_rendered_again() {
    let from = |video, frame| Some(ImageSource::Frame(FrameOf { video, frame }));
    let frame = KeptExcerpt { excerpt: Excerpt::Frame(80), file: Digest([5; 32]) };
    let done = |kept: &[KeptExcerpt], first: Option<u32>| {
        let mut night = Night::interrupted();
        let mut rows = night.store.load().unwrap().rows;
        let outputs = rows.iter_mut().find(|row| matches!(row, Row::Outputs { .. })).unwrap();
        if let Row::Outputs { frames, .. } = outputs {
            *frames = kept.into();
        }
        let outputs = outputs.clone();
        night.store.commit(&[outputs]).unwrap();
        let mut wanted = wanted(&["a", "b", "d"]);
        wanted.info.takes_image = true;
        wanted.submission.videos[2].image = from(0, first);
        night.remember(&wanted).unwrap().unwrap().done
    };
    assert_eq!(done(&[frame], None), 1, "it stays done");
    assert_eq!(done(&[frame], Some(80)), 1);
    assert_eq!(done(&[frame], Some(0)), 0);
    assert_eq!(done(&[], None), 0);
}
