use wanfarm_manifest::Taken;
use wanfarm_scheduler::VideoPhase;
use wanfarm_types::fixtures::{info, request};
use wanfarm_types::{Excerpt, Experts, FrameOf, JobState, Stage, VideoRequest};

use super::*;
use crate::outputs::KeptExcerpt;

/// A submission of the model `m` under a key.
pub(crate) fn submission(key: &str, videos: Vec<VideoRequest>) -> Submission {
    let (client_key, name, model) = (key.into(), "n".into(), "m".into());
    Submission { client_key, name, model, priority: 50, early_look: false, taken: Taken::Refuse, videos }
}

fn submitted(jobs: &mut Jobs, key: &str, videos: Vec<VideoRequest>) -> JobId {
    let row =
        jobs.number(submission(key, videos), Digest([0; 32]), Moment::default(), "/out".into(), "n.report.json".into());
    jobs.add(&row);
    row.id
}

fn planned(jobs: &mut Jobs, id: JobId) -> JobPlan {
    let (videos, plan) = jobs.resolve(id, &info(Experts::Single), &Images::default()).unwrap();
    jobs.resolved(id, &videos);
    jobs.planned(&plan);
    plan
}

fn jobs() -> Jobs {
    Jobs::new(JobId(1))
}

#[test]
fn a_key_names_the_job_it_was_used_for() {
    let mut jobs = jobs();
    let first = submitted(&mut jobs, "k", vec![request()]);
    submitted(&mut jobs, "", vec![request()]);
    assert_eq!(jobs.with_key("k"), Some(first));
    assert_eq!(jobs.with_key(""), None);
    jobs.forget(first);
    assert_eq!(jobs.with_key("k"), None);
    assert!(submitted(&mut jobs, "k", vec![request()]) > first);
}

#[test]
fn a_video_that_does_not_fit_the_model_fails_alone() {
    let mut jobs = jobs();
    let bad = VideoRequest { width: Some(65), ..request() };
    let id = submitted(&mut jobs, "k", vec![bad, request()]);
    assert_eq!(jobs.waiting_for("m"), [id]);
    let plan = planned(&mut jobs, id);
    assert_eq!(plan.videos.len(), 1);
    let planned = VideoId { job: id, index: 0 };
    assert_eq!(jobs.in_manifest(planned), Some(VideoId { job: id, index: 1 }));
    assert_eq!(jobs.in_plan(VideoId { job: id, index: 1 }), Some(planned));
    assert_eq!(jobs.in_plan(VideoId { job: id, index: 0 }), None);
    assert_eq!(jobs.get(id).unwrap().texts[1], plan.videos[0].texts);
    let (videos, _) = jobs.changes(id, 0).unwrap();
    let summary = jobs.get(id).unwrap().summary();
    assert_eq!((summary.failed, summary.state), (1, JobState::Active));
    assert!(videos[0].error.as_ref().unwrap().contains("width = 65"), "{videos:?}");
}

#[test]
fn a_video_that_is_over_is_not_shown_as_working() {
    let mut jobs = jobs();
    let id = submitted(&mut jobs, "k", vec![request()]);
    planned(&mut jobs, id);
    let video = VideoId { job: id, index: 0 };
    jobs.set_work(video, VideoState::Running, Some(Stage::Denoise), "mac");
    jobs.set_video_phase(video, &VideoPhase::Cancelled);
    jobs.set_work(video, VideoState::Waiting, None, "");
    assert_eq!(jobs.get(id).unwrap().videos()[0].state, VideoState::Cancelled);
    jobs.set_video_phase(video, &VideoPhase::Open);
    assert_eq!(jobs.get(id).unwrap().videos()[0].state, VideoState::Waiting);
    jobs.update(VideoId { job: id, index: 0 }, |status| status.seconds_per_step = Some(0.5));
    jobs.set_video_phase(video, &VideoPhase::Done);
    assert_eq!(jobs.get(id).unwrap().videos()[0].seconds_per_step, None, "no row would tell it after a restart");
}

#[test]
fn a_job_is_shown_as_finished_when_its_report_is_there() {
    let mut jobs = jobs();
    let id = submitted(&mut jobs, "k", vec![request()]);
    jobs.set_phase(id, JobPhase::Finished);
    assert_eq!(jobs.get(id).unwrap().state(), JobState::Active);
    jobs.reported(id, Some(1.0));
    assert_eq!(jobs.get(id).unwrap().state(), JobState::Cancelled);
    assert!(!jobs.render_with("m"));
}

#[test]
fn a_job_that_was_given_up_before_it_was_planned_has_no_video_waiting() {
    let mut jobs = jobs();
    let id = submitted(&mut jobs, "k", vec![request(), request()]);
    jobs.set_phase(id, JobPhase::Finished);
    assert_eq!(jobs.get(id).unwrap().summary().cancelled, 2);
    assert!(jobs.waiting_for("m").is_empty());
}

#[test]
fn a_watcher_is_told_only_what_is_new() {
    let mut jobs = jobs();
    let id = submitted(&mut jobs, "k", vec![request(), request()]);
    let (all, version) = jobs.changes(id, 0).unwrap();
    assert_eq!(all.len(), 2);
    jobs.update(VideoId { job: id, index: 1 }, |status| status.steps_done = 3);
    let (changed, next) = jobs.changes(id, version).unwrap();
    assert_eq!(changed.iter().map(|video| video.index).collect::<Vec<_>>(), [1]);
    assert!(jobs.changes(id, next).unwrap().0.is_empty());
}

#[test]
fn a_text_that_is_too_long_is_noted_once_at_every_video_that_reads_it() {
    let mut jobs = jobs();
    let other = VideoRequest { prompt: "another".into(), ..request() };
    let id = submitted(&mut jobs, "k", vec![request(), other, request()]);
    planned(&mut jobs, id);
    let texts = jobs.get(id).unwrap().texts[0].clone();
    for _ in 0..2 {
        jobs.text_read(id, texts[0], 600);
        jobs.text_read(id, texts[1], 512);
    }
    let notes: Vec<Vec<String>> = jobs.get(id).unwrap().videos().iter().map(|video| video.notes.clone()).collect();
    assert!(notes[0][0].starts_with("the prompt has 600 tokens"), "{notes:?}");
    assert_eq!((notes[0].len(), notes[1].len(), &notes[2]), (1, 0, &notes[0]), "512 are read whole");
    jobs.text_read(id, texts[1], 513);
    assert!(jobs.get(id).unwrap().videos()[1].notes[0].starts_with("the negative prompt has 513 tokens"));
}

#[test]
fn what_starts_from_a_video_waits_for_it_and_gets_its_frame() {
    let mut jobs = jobs();
    let frame = |video, frame| Some(ImageSource::Frame(FrameOf { video, frame }));
    let named = |name: &str, image| VideoRequest { name: Some(name.into()), image, output: name.into(), ..request() };
    let chain = vec![named("b", frame(1, None)), named("a", None), named("c", frame(0, Some(2)))];
    let id = submitted(&mut jobs, "k", chain);
    let place = |index| VideoId { job: id, index };
    let waits = |jobs: &Jobs| [0, 1, 2].map(|index| jobs.line(place(index)).unwrap().waiting_for.clone());
    let for_both = [Some("a".to_owned()), None, Some("b".to_owned())];
    assert_eq!(waits(&jobs), for_both, "before anybody knows the model");
    let info = ModelInfo { takes_image: true, ..info(Experts::Single) };
    let (videos, plan) = jobs.resolve(id, &info, &Images::default()).unwrap();
    jobs.resolved(id, &videos);
    jobs.planned(&plan);
    assert_eq!(plan.videos.iter().map(|video| video.after.clone()).collect::<Vec<_>>(), [vec![1], vec![], vec![0]]);
    assert_eq!((waits(&jobs), plan.videos[1].name.as_str()), (for_both.clone(), "a"));
    let job = jobs.get(id).unwrap();
    assert_eq!(
        [0, 1, 2].map(|index| job.frames_wanted(index).into_iter().collect::<Vec<_>>()),
        [vec![Excerpt::Frame(2)], vec![Excerpt::Frame(80)], vec![]]
    );
    assert_eq!(job.origins(2).map(|origin| origin.map(|origin| origin.excerpt)), [Some(Excerpt::Frame(2)), None, None]);
    assert_eq!(job.origins(1), [None, None, None]);
    assert_eq!(jobs.whole_spec(place(0)).unwrap().files().count(), 0, "the frame is not there");
    let kept = |image: u8| Arc::from([KeptExcerpt { excerpt: Excerpt::Frame(80), file: Digest([image; 32]) }]);
    for image in [7, 8] {
        jobs.set_outputs(place(1), &[].into(), "ok", 1.0, &kept(image));
    }
    assert!(jobs.name_file(&Digest([8; 32])) && !jobs.name_file(&Digest([7; 32])), "of two tries the last one counts");
    assert_eq!(jobs.whole_spec(place(0)).unwrap().files().collect::<Vec<_>>(), [Digest([8; 32])]);
    jobs.set_video_phase(place(1), &VideoPhase::Done);
    assert_eq!(waits(&jobs), [None, None, Some("b".to_owned())]);
    jobs.set_video_phase(place(2), &VideoPhase::Cancelled);
    assert_eq!(waits(&jobs), [None, None, None]);
    jobs.set_video_phase(place(2), &VideoPhase::Open);
    assert_eq!(waits(&jobs)[2].as_deref(), Some("b"));
    jobs.forget(id);
    assert!(!jobs.name_file(&Digest([8; 32])));
}
