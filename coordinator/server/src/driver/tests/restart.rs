//! What a coordinator finds when it is started again.

use super::*;

#[tokio::test]
async fn a_restart_finds_jobs_models_workers_and_images_where_they_were() {
    let mut desk = Desk::new();
    desk.write_all();
    let job = desk.queue("a").await;
    let mut messages = desk.attach().await;
    assigned(&mut messages).await;
    let rows = desk.rows.clone();
    desk.asked().await;
    desk.stop().await.unwrap();

    let dir = tempfile::tempdir().unwrap();
    let (_events, restored) = driver(Box::new(rows), dir.path());
    let restored = restored.unwrap();
    assert_eq!(restored.registry.jobs.with_key("a"), Some(job));
    assert_eq!(restored.registry.jobs.get(job).unwrap().state(), JobState::Active);
    assert!(restored.registry.catalog.get("m").is_some(), "the job goes on before a worker announces its model again");
    let worker = WorkerId(uuid::Uuid::from_u128(1));
    let known = restored.registry.ledger.worker(worker).unwrap();
    assert_eq!((known.name.as_str(), known.device.as_str()), ("mac", "cpu"));
    assert_eq!(restored.sessions.name(worker), "mac");
    assert!(!restored.registry.ledger.is_idle());
}

#[tokio::test]
async fn what_nothing_stands_behind_is_cleared_at_the_start() {
    let mut rows = MemoryStore::default();
    let image = |n| Image { digest: Digest([n; 32]), bytes: 1, width: 8, height: 8, clip: None };
    let mut job = submission("a");
    job.videos[0].image = Some(ImageSource::File(image(1).digest));
    let job = job_row(job, Moment::default(), "/out".into());
    let text = |n| ArtifactId::Text(wanfarm_scheduler::TextKey(Digest([n; 32])));
    let durable = |n| {
        let tensors = vec![TensorRef { digest: Digest([n; 32]), dtype: DType::F32, shape: vec![2] }];
        Row::Scheduler(Change::ArtifactDurable { artifact: text(n), tensors })
    };
    // A frame that another video is to start from.
    let frames = [KeptExcerpt { excerpt: wanfarm_types::Excerpt::Frame(3), file: image(5).digest }].into();
    let video = VideoId { job: JobId(1), index: 0 };
    let kept = Row::Outputs { video, written: [].into(), verdict: "ok".into(), seconds: 1.0, frames };
    let images = [image(1), image(2), image(5)].map(Row::Image);
    let batch = [&images[..], &[Row::Job(job), kept, durable(3), durable(4)]].concat();
    rows.commit(&batch).unwrap();
    // The file of the fourth is cut short.
    let present = [(Digest([3; 32]), 8), (Digest([4; 32]), 7)].into();
    let loaded = restore::prune(&mut rows, &present).unwrap();
    assert_eq!(loaded.rows, [0, 2, 3, 4, 5].map(|row| batch[row].clone()));
    assert_eq!(rows.load().unwrap(), loaded);
}

#[tokio::test]
async fn a_job_that_ended_just_before_a_restart_gets_its_report() {
    let dir = tempfile::tempdir().unwrap();
    let mut rows = unreported(&dir);
    let (events, restored) = driver(Box::new(rows.clone()), dir.path());
    let running = tokio::spawn(restored.unwrap().run());
    let reported = |row: &Row| matches!(row, Row::Reported { at: Some(_), .. });
    while !rows.load().unwrap().rows.iter().any(reported) {
        tokio::task::yield_now().await;
    }
    assert!(dir.path().join("output/n.report.json").is_file());
    events.send(Event::Stop).await.unwrap();
    running.await.unwrap().unwrap();
}
