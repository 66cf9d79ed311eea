//! Names are one job's at a time, and what files hold is recorded before they are put in their places.

use super::*;
use crate::outputs::{Look, Names};

fn renamed(output: &str) -> Look {
    Look::Renamed(Names { output: output.into(), join: None })
}

fn named(key: &str, output: &str, taken: Taken) -> Submission {
    let mut submission = Submission { taken, ..submission(key) };
    submission.videos[0].output = output.into();
    submission
}

#[tokio::test]
async fn a_name_is_one_jobs_until_that_is_forgotten_restarts_included() {
    let desk = Desk::new();
    desk.write_all();
    desk.submit("a").await.await.unwrap().unwrap();
    let again = |taken| named("b", "A", taken);
    let refused = desk.submit_as(again(Taken::Refuse), Places::default()).await.await.unwrap().unwrap_err();
    assert!(refused.to_string().contains("A.mp4 is of job 1 n, video 1/0, submitted"), "{refused}");
    let rows = desk.rows.clone();
    desk.stop().await.unwrap();

    let dir = tempfile::tempdir().unwrap();
    let (_events, restored) = driver(Box::new(rows), dir.path());
    let mut restored = restored.unwrap();
    // Another output directory has names of its own; this is the one of before.
    let (output, report) = (dir.path().join("output"), "r.json".into());
    let row = restored.registry.jobs.number(
        named("c", "a", Taken::Refuse),
        Digest([0; 32]),
        Moment::default(),
        output,
        report,
    );
    restored.put(Row::Job(row));
    for taken in [Taken::Refuse, Taken::NewName, Taken::Overwrite, Taken::Skip] {
        let RequestError::Taken(taken, 1) = restored.settle_names(&again(taken), &[]).unwrap_err() else {
            panic!("{taken:?} got another job's name while that is to be rendered");
        };
        assert!(taken[0].why.contains("job 2"), "{taken:?}");
    }
    let renamed = restored.settle_names(&again(Taken::NewName), &[renamed("a-2")]).unwrap();
    assert_eq!((renamed.videos[0].output.as_str(), renamed.renamed), ("a-2", 1));
    restored.put(Row::Scheduler(Change::JobForgotten(JobId(2))));
    assert_eq!(restored.settle_names(&again(Taken::Refuse), &[]).unwrap().videos[0].output, "A");
}

#[tokio::test]
async fn two_videos_never_get_one_new_name_and_a_report_gives_way_to_both() {
    let dir = tempfile::tempdir().unwrap();
    let (_events, driver) = driver(Box::new(MemoryStore::default()), dir.path());
    let driver = driver.unwrap();
    let mut two = named("a", "x", Taken::NewName);
    two.videos.push(wanfarm_types::VideoRequest { output: "n.report".into(), ..request() });
    let looks = [renamed("N.report"), Look::Free];
    let RequestError::Taken(taken, 2) = driver.settle_names(&two, &looks).unwrap_err() else { panic!("not taken") };
    assert_eq!(taken[0].index, 1);
    let report = |places: &Places| driver.report_place(&two, places);
    assert_eq!(report(&Places::default()), "n-1.report.json", "n.report.json is a video's sidecar");
    let standing = Places { reports: ["n-1.report.json".into()].into(), ..Places::default() };
    assert_eq!(report(&standing), "n-1-2.report.json");
    assert_eq!(report(&Places { last_report: true, ..standing }), "report.json");
}

#[tokio::test]
async fn what_files_hold_is_recorded_before_they_are_put_in_their_places() {
    let mut desk = Desk::new();
    let job = desk.submit("a").await;
    desk.asked().await;
    desk.verdict(Verdict::Write);
    let job = job.await.unwrap().unwrap().job.unwrap();
    let _messages = desk.attach().await;
    let staged = |job| {
        let (recorded, told) = oneshot::channel();
        let staged = Staged { written: Vec::new(), verdict: "ok".into(), seconds: 1.0, frames: Vec::new(), recorded };
        (Event::Staged { video: VideoId { job, index: 0 }, staged: Box::new(staged) }, told)
    };
    let (event, mut told) = staged(job);
    desk.events.send(event).await.unwrap();
    while !desk.asked().await.iter().any(|row| matches!(row, Row::Outputs { .. })) {
        desk.verdict(Verdict::Write);
    }
    assert!(told.try_recv().is_err(), "a file could have been put in its place that is not recorded");
    desk.write_all();
    told.await.unwrap();
    let shown = desk.changes(job).await.news.videos.remove(0);
    assert_eq!((&shown.verdict, shown.seconds), (&None, None), "it is not done before they are there");
    let (event, told) = staged(JobId(9));
    desk.events.send(event).await.unwrap();
    told.await.expect_err("nothing is written for a job that nobody knows");
    desk.stop().await.unwrap();
}

#[tokio::test]
async fn what_is_left_out_takes_nothing_from_those_that_start_from_it() {
    let dir = tempfile::tempdir().unwrap();
    let (_events, driver) = driver(Box::new(MemoryStore::default()), dir.path());
    let driver = driver.unwrap();
    let video = |output: &str, start: Option<u32>| wanfarm_types::VideoRequest {
        name: Some(output.into()),
        output: output.into(),
        image: start.map(|video| ImageSource::Frame(FrameOf { video, frame: None })),
        ..request()
    };
    let mut chain = named("k", "a", Taken::Skip);
    chain.videos = vec![video("a", None), video("b", Some(2)), video("c", Some(0)), video("d", Some(1))];
    let looks = |whole: [bool; 4]| whole.map(|whole| if whole { Look::Complete } else { Look::Free });
    let settled = driver.settle_names(&chain, &looks([false, false, false, true])).unwrap();
    assert_eq!((settled.videos.len(), settled.left_out, settled.videos[1].image), (3, 1, chain.videos[1].image));
    chain.videos.insert(0, video("alone", None));
    let start =
        |video: &wanfarm_types::VideoRequest| video.image.and_then(|image| image.frame()).map(|start| start.video);
    for video in &mut chain.videos[1..] {
        if let Some(ImageSource::Frame(start)) = &mut video.image {
            start.video += 1;
        }
    }
    let settled = driver.settle_names(&chain, &[vec![Look::Complete], looks([false; 4]).to_vec()].concat()).unwrap();
    assert_eq!(
        settled.videos.iter().map(start).collect::<Vec<_>>(),
        [None, Some(2), Some(0), Some(1)],
        "as they stand now"
    );
    let taken = driver.settle_names(&chain, &[vec![Look::Free], looks([true, false, true, true]).to_vec()].concat());
    let RequestError::Taken(taken, 5) = taken.unwrap_err() else { panic!("not refused") };
    assert_eq!(taken.iter().map(|one| one.index).collect::<Vec<_>>(), [2]);
    assert!(taken[0].why.contains("needs a frame of c, which stands there whole"), "{taken:?}");
}
