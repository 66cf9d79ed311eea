//! Stores that are slow, full or broken.

use super::*;

#[tokio::test]
async fn nothing_leaves_before_it_is_recorded() {
    let mut desk = Desk::new();
    let mut job = desk.submit("a").await;
    assert!(matches!(desk.asked().await[..], [Row::Job(_)]));
    assert!(job.try_recv().is_err(), "a client was told the number of a job that is not recorded");
    desk.verdict(Verdict::Write);
    assert_eq!(job.await.unwrap(), Ok(taken_in(1)));

    let mut messages = desk.attach().await;
    let rows = desk.asked().await;
    let issued = |row: &Row| matches!(row, Row::Scheduler(Change::AttemptIssued { .. }));
    assert!(rows.iter().any(issued), "{rows:?}");
    while let Ok(message) = messages.try_recv() {
        assert!(!is_assignment(message), "an attempt left before it was recorded");
    }
    desk.verdict(Verdict::Write);
    assigned(&mut messages).await;
    desk.stop().await.unwrap();
}

#[tokio::test]
async fn what_arrives_while_a_batch_is_written_makes_one_batch() {
    let mut desk = Desk::new();
    let first = desk.submit("a").await;
    desk.asked().await;
    let mut others = Vec::new();
    for key in ["b", "c", "d"] {
        others.push(desk.submit(key).await);
    }
    desk.verdict(Verdict::Write);
    assert_eq!(desk.asked().await.len(), 3);
    desk.verdict(Verdict::Write);
    assert_eq!(first.await.unwrap(), Ok(taken_in(1)));
    for (number, job) in (2..).zip(others) {
        assert_eq!(job.await.unwrap(), Ok(taken_in(number)));
    }
    desk.stop().await.unwrap();
}

#[tokio::test]
async fn a_store_that_takes_no_rows_holds_everything_says_so_and_goes_on_by_itself() {
    for (verdict, word) in [(Verdict::Full, "room"), (Verdict::Locked, "locked")] {
        let mut desk = Desk::new();
        let mut job = desk.submit("a").await;
        desk.asked().await;
        desk.verdict(verdict);
        // Questions are answered; nothing new is taken in.
        let refused = desk.submit("b").await.await.unwrap().unwrap_err();
        assert!(matches!(&refused, RequestError::Full(why) if why.contains("rows")), "{refused}");
        assert!(waits_for(&desk.changes(JobId(1)).await, word));
        assert!(job.try_recv().is_err());
        // The same rows again, after a pause.
        assert!(matches!(desk.asked().await[..], [Row::Job(_)]));
        desk.verdict(Verdict::Write);
        assert_eq!(job.await.unwrap(), Ok(taken_in(1)));
        assert!(!waits_for(&desk.changes(JobId(1)).await, word));
        desk.stop().await.unwrap();
    }
}

#[tokio::test]
async fn a_broken_store_stops_the_coordinator_with_nothing_acted_on() {
    let mut desk = Desk::new();
    desk.verdict(Verdict::Write);
    desk.submit("a").await.await.unwrap().unwrap();
    desk.asked().await;
    let mut messages = desk.attach().await;
    desk.asked().await;
    desk.verdict(Verdict::Fail);
    let error = desk.driver.await.unwrap().unwrap_err();
    assert!(error.to_string().contains("it burns"), "{error}");
    while let Some(message) = messages.recv().await {
        assert!(!is_assignment(message), "an attempt left that is not recorded");
    }
}
