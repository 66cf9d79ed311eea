//! Time that jumps: a process that was stopped finds leases due and the heartbeats of all that time waiting.

use super::*;

#[tokio::test]
async fn heartbeats_that_wait_come_before_leases_that_are_due() {
    // The loop may look at the clock or at the queue first: often enough for both to happen.
    for _ in 0..20 {
        let dir = tempfile::tempdir().unwrap();
        let (events, driver) = driver(Box::<MemoryStore>::default(), dir.path(), &Keep::All);
        let mut driver = driver.unwrap();
        let (attached, mut messages) = attached();
        let (worker, incarnation) = (attached.worker, attached.incarnation);
        driver.on_attached(attached);
        // A second past the lease: too little to be taken for an absence of the coordinator.
        driver.started -= Duration::from_secs(31);
        let event = WorkerEvent::Heartbeat;
        events.send(Event::Worker { connection: 1, worker, incarnation, event }).await.unwrap();
        let driver = tokio::spawn(driver.run());
        let (reply, answer) = oneshot::channel();
        events.send(Event::Request(Request::Submit { submission: submission("a"), reply })).await.unwrap();
        answer.await.unwrap().unwrap();
        assigned(&mut messages).await;
        events.send(Event::Stop).await.unwrap();
        driver.await.unwrap().unwrap();
    }
}
