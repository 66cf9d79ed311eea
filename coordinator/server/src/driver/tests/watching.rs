//! What watchers are told, and what it costs the loop.

use super::*;

/// A driver with a job of so many videos, and a worker that holds all roles but the VAE.
fn without_vae(videos: usize) -> (Driver, Messages, tempfile::TempDir) {
    let dir = tempfile::tempdir().unwrap();
    let (_events, driver) = driver(Box::<MemoryStore>::default(), dir.path());
    let mut driver = driver.unwrap();
    let (mut attached, messages) = attached();
    attached.models[0].roles.retain(|(role, _)| *role != Role::Vae);
    driver.on_attached(attached);
    let mut submission = submission("a");
    submission.videos = vec![submission.videos[0].clone(); videos];
    let job = driver.books.jobs.number(submission, Digest([0; 32]), Moment::default(), "/out".into(), "r.json".into());
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
    assert!(first.waiting_for.contains("a vae worker"), "{}", first.waiting_for);
    assert_eq!((first.videos.len(), first.job.videos), (3, 3));
    let before = driver.version();
    let again = changes(&mut driver, first.version);
    assert!(again.videos.is_empty() && again.version == first.version && driver.version() == before);
    assert_eq!(again.waiting_for, first.waiting_for);

    let (mut vae, _others) = attached();
    (vae.worker, vae.connection) = (WorkerId(uuid::Uuid::from_u128(9)), 2);
    vae.models[0].roles.retain(|(role, _)| *role == Role::Vae);
    driver.on_attached(vae);
    assert!(driver.version() > before, "watchers look again");
    assert_eq!(changes(&mut driver, first.version).waiting_for, "");
    driver.on_event(Event::Detached {
        connection: 2,
        worker: WorkerId(uuid::Uuid::from_u128(9)),
        incarnation: Incarnation(uuid::Uuid::from_u128(2)),
    });
    assert!(changes(&mut driver, first.version).waiting_for.contains("a vae worker"));
}

/// `cargo test -p wanfarm-server --lib -- --ignored --nocapture a_follower`
#[tokio::test]
#[ignore = "measures: prints how much of the loop's time a follower takes"]
async fn a_follower_of_a_job_of_100_000_videos_costs_the_loop_next_to_nothing() {
    let (mut driver, _messages, _dir) = without_vae(100_000);
    let mut version = changes(&mut driver, 0).version;
    let started = std::time::Instant::now();
    let mut answers = 0;
    while started.elapsed() < Duration::from_secs(2) {
        let place = VideoId { job: JobId(1), index: answers % 100_000 };
        driver.books.jobs.update(place, |status| status.steps_done += 1);
        version = changes(&mut driver, version).version;
        answers += 1;
    }
    let each = started.elapsed().as_secs_f64() / f64::from(answers);
    println!("{:.3} ms an answer: {:.3} % of the loop at ten a second", 1e3 * each, 1e3 * each);
}
