//! Time that jumps: a process that was stopped finds leases due and the heartbeats of all that time waiting.

use super::*;

#[tokio::test]
async fn heartbeats_that_wait_come_before_leases_that_are_due() {
    // The loop may look at the clock or at the queue first: often enough for both to happen.
    for _ in 0..20 {
        let dir = tempfile::tempdir().unwrap();
        let (events, driver) = driver(Box::<MemoryStore>::default(), dir.path());
        let mut driver = driver.unwrap();
        let (attached, mut messages) = attached();
        let (worker, incarnation) = (attached.hello.worker, attached.hello.incarnation);
        driver.on_attached(attached);
        // A second past the lease: too little to be taken for an absence of the coordinator.
        driver.started -= Duration::from_secs(31);
        let message = WorkerMessage::Heartbeat;
        events.send(Event::Worker { connection: 1, worker, incarnation, message }).await.unwrap();
        let driver = tokio::spawn(driver.run());
        let (reply, answer) = oneshot::channel();
        let request = submitting(submission("a"), Places::default(), reply);
        events.send(Event::Request(request)).await.unwrap();
        answer.await.unwrap().unwrap();
        assigned(&mut messages).await;
        events.send(Event::Stop).await.unwrap();
        driver.await.unwrap().unwrap();
    }
}

/// The report of a job that was submitted, by the time of day then, so many seconds before a restart.
fn wall_seconds(before_restart: f64) -> f64 {
    let dir = tempfile::tempdir().unwrap();
    let mut rows = MemoryStore::default();
    let submitted = Moment { at: wall_clock() - before_restart, elapsed: 70.0 };
    let job = job_row(submission("a"), submitted, "/out".into());
    rows.commit(&[Row::Job(job)]).unwrap();
    let (_events, driver) = driver(Box::new(rows), dir.path());
    driver.unwrap().job_report(JobId(1)).unwrap().report.wall_seconds
}

#[tokio::test]
async fn a_clock_that_was_set_meanwhile_makes_no_duration_of_years_and_none_below_nothing() {
    let near = |seconds: f64, wanted: f64| (wanted..wanted + 60.0).contains(&seconds);
    assert!(near(wall_seconds(3600.0), 3600.0), "an hour away");
    assert!(near(wall_seconds(-86_400.0), 0.0), "set back by a day");
    assert!(near(wall_seconds(wall_clock()), 0.0), "submitted in 1970");
}
