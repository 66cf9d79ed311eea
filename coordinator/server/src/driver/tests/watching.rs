//! What watchers are told, and what it costs the loop.

use super::*;

/// A driver with a job of so many videos, and a worker that holds all roles but the VAE.
fn without_vae(videos: usize) -> (Driver, Messages, tempfile::TempDir) {
    let dir = tempfile::tempdir().unwrap();
    let (_events, driver) = driver(Box::<MemoryStore>::default(), dir.path());
    let mut driver = driver.unwrap();
    let (mut attached, messages) = attached();
    attached.hello.models[0].roles.retain(|served| served.role != Role::Vae);
    driver.on_attached(attached);
    let mut submission = submission("a");
    submission.videos = vec![submission.videos[0].clone(); videos];
    let job =
        driver.registry.jobs.number(submission, Digest([0; 32]), Moment::default(), "/out".into(), "r.json".into());
    driver.put(Row::Job(job));
    driver.plan(JobId(1));
    (driver, messages, dir)
}

fn changes(driver: &mut Driver, since: u64) -> Changes {
    let (reply, mut answer) = oneshot::channel();
    driver.on_request(Request::Changes { job: JobId(1), since, reply });
    answer.try_recv().unwrap().unwrap()
}

#[tokio::test]
async fn a_missing_worker_is_told_until_it_comes_and_only_while_it_is_needed() {
    let (mut driver, _messages, _dir) = without_vae(3);
    let first = changes(&mut driver, 0);
    assert!(waits_for(&first, "a vae worker"), "{first:?}");
    assert_eq!((first.news.videos.len(), first.news.job.videos), (3, 3));
    let before = driver.version();
    let again = changes(&mut driver, first.version);
    assert!(again.news.videos.is_empty() && again.version == first.version && driver.version() == before);
    assert_eq!(again.news.job.waiting_for, first.news.job.waiting_for);

    let (mut vae, _others) = attached();
    (vae.hello.worker, vae.connection) = (WorkerId(uuid::Uuid::from_u128(9)), 2);
    vae.hello.models[0].roles.retain(|served| served.role == Role::Vae);
    driver.on_attached(vae);
    assert!(driver.version() > before, "watchers look again");
    assert_eq!(changes(&mut driver, first.version).news.job.waiting_for, None);
    driver.on_event(Event::Detached {
        connection: 2,
        worker: WorkerId(uuid::Uuid::from_u128(9)),
        incarnation: Incarnation(uuid::Uuid::from_u128(2)),
    });
    assert!(waits_for(&changes(&mut driver, first.version), "a vae worker"));
}

#[tokio::test]
async fn a_follower_of_a_large_job_is_told_of_what_changed_alone() {
    let (mut driver, _messages, _dir) = without_vae(5_000);
    let mut version = changes(&mut driver, 0).version;
    for index in [7, 4_999, 7] {
        driver.registry.jobs.update(VideoId { job: JobId(1), index }, |status| status.steps_done += 1);
        let news = changes(&mut driver, version);
        assert_eq!(news.news.videos.iter().map(|line| line.index).collect::<Vec<_>>(), [index]);
        version = news.version;
    }
    assert!(changes(&mut driver, version).news.videos.is_empty());
}
