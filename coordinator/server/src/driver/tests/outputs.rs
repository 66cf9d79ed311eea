//! Output folders that are full, gone or none.

use super::*;

#[tokio::test]
async fn a_job_without_room_for_its_files_is_paused_and_taken_up_again() {
    let desk = Desk::new();
    desk.write_all();
    let job = desk.queue("a").await;
    let _messages = desk.attach().await;
    desk.fill_disk(job).await;
    let changes = desk.changes(job).await;
    assert_eq!(changes.news.job.state, JobState::Paused);
    assert!(waits_for(&changes, "full"), "{changes:?}");
    // There is room, as it finds out by itself.
    desk.until_it_goes_on(job).await;
    assert_eq!(desk.changes(job).await.news.job.waiting_for, None);
    desk.stop().await.unwrap();
}

#[tokio::test]
async fn a_pause_that_people_asked_for_outlasts_a_full_disk() {
    let desk = Desk::new();
    desk.write_all();
    let (job, other) = (desk.queue("a").await, desk.queue("b").await);
    let _messages = desk.attach().await;
    desk.fill_disk(job).await;
    control(&desk.events, job, JobVerb::Pause).await;
    desk.until_it_goes_on(other).await;
    assert_eq!(desk.state(job).await, JobState::Paused);
    desk.stop().await.unwrap();
}

#[tokio::test]
async fn a_report_waits_for_the_volume_of_its_folder() {
    let dir = tempfile::tempdir().unwrap();
    let (events, restored) = driver(Box::new(unreported(&dir)), dir.path());
    let mut restored = restored.unwrap();
    restored.outputs.expect_volume(Some("/renders".into()));
    let running = tokio::spawn(restored.run());
    let changes = || changes(&events, JobId(1));
    let waiting = loop {
        let told = changes().await;
        if told.news.job.waiting_for.is_some() {
            break told;
        }
        tokio::task::yield_now().await;
    };
    assert!(waits_for(&waiting, "the volume /renders, which is not mounted"), "{waiting:?}");
    assert!(!waiting.news.job.state.is_end() && waiting.news.job.unreported.is_none());
    assert!(!dir.path().join("output").exists());
    control(&events, JobId(1), JobVerb::Resume).await;
    while !changes().await.news.job.state.is_end() {
        tokio::task::yield_now().await;
    }
    assert!(dir.path().join("output/n.report.json").is_file() && changes().await.news.job.waiting_for.is_none());
    events.send(Event::Stop).await.unwrap();
    running.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_volume_that_is_gone_is_awaited_and_a_person_may_do_without_it() {
    let desk = Desk::expecting(Some("/renders".into()));
    desk.write_all();
    let _messages = desk.attach().await;
    let job = desk.queue("a").await;
    // It is tried out at once, before anything is rendered.
    let waiting_for = loop {
        let JobSummary { state, waiting_for, .. } = desk.changes(job).await.news.job;
        if state == JobState::Paused {
            break waiting_for.unwrap();
        }
        tokio::task::yield_now().await;
    };
    assert!(waiting_for.contains("/renders") && waiting_for.contains("coordinator resume 1"), "{waiting_for}");
    // Jobs that come meanwhile are held as well.
    let other = desk.queue("b").await;
    assert!(waits_for(&desk.changes(other).await, "coordinator resume 2"));
    control(&desk.events, job, JobVerb::Resume).await;
    desk.until_it_goes_on(other).await;
    assert_eq!(desk.state(job).await, JobState::Active);
    desk.stop().await.unwrap();
}

#[tokio::test]
async fn what_is_wrong_with_the_output_folder_is_told_before_the_start() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("output"), b"a file").unwrap();
    let (_events, refused) = driver(Box::<MemoryStore>::default(), dir.path());
    let refused = refused.unwrap().begin_with_outputs(true, true).await.unwrap_err();
    assert!(matches!(&refused, Obstacle::Refused { .. }), "{refused}");
    std::fs::remove_file(dir.path().join("output")).unwrap();

    // Remembered of an unfinished job: a coordinator that stays up waits for its volume, a run says so and ends.
    let mut rows = MemoryStore::default();
    let job = job_row(submission("a"), Moment::default(), dir.path().join("output"));
    let mount = Row::Mount { folder: dir.path().join("output"), mount: "/renders".into() };
    rows.commit(&[Row::Job(job), mount]).unwrap();
    for stays in [true, false] {
        let (_events, restored) = driver(Box::new(rows.clone()), dir.path());
        let begun = restored.unwrap().begin_with_outputs(stays, true).await;
        assert_eq!(begun.is_ok(), stays, "{begun:?}");
        assert!(!dir.path().join("output").exists());
    }
    // A run that begins anew takes the folder as it is.
    let (_events, restored) = driver(Box::new(rows), dir.path());
    restored.unwrap().begin_with_outputs(false, false).await.unwrap();
}
