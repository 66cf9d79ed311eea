//! Hello, refusal, reconnecting, goodbye.

use wanfarm_types::{AttemptId, CoordinatorMessage, ItemOutputs, LogLevel, Report, Role, WorkerMessage};

use super::fixtures;
use super::harness::{Connection, Coordinator, Play, Worker, attached, soon};
use crate::{ErrorKind, WorkerError};

/// A worker in the middle of item 5.
async fn computing() -> (Coordinator, Worker, Connection) {
    let (coordinator, mut worker, mut connection) = attached().await;
    connection.assign(5, &fixtures::contexts(), &[]).await;
    assert_eq!(connection.report().await, (5, Report::Started));
    worker.hands.begun().await;
    (coordinator, worker, connection)
}

#[tokio::test]
async fn a_hello_says_everything_and_heartbeats_follow() {
    let (_coordinator, worker, mut connection) = attached().await;
    let hello = &connection.hello;
    assert_eq!(connection.protocol, wanfarm_proto::PROTOCOL);
    assert_eq!(hello.models[0].info.name, "tiny");
    assert_eq!(hello.models[0].roles, [fixtures::role(Role::Dit)]);
    // Every interface, though this coordinator is reached by loopback; without IPv6 it is the other one.
    let everywhere = ["[::]:", "0.0.0.0:"].iter().any(|start| hello.tensor_address.starts_with(start));
    assert!(everywhere, "{}", hello.tensor_address);
    assert!(hello.running.is_empty() && hello.holding.is_empty());
    assert_eq!(connection.message().await, WorkerMessage::Heartbeat);
    worker.leave(connection).await;
}

fn refused(reason: &str) -> CoordinatorMessage {
    CoordinatorMessage::Refused { reason: reason.to_owned(), take_new_identity: false }
}

#[tokio::test]
async fn a_refused_worker_ends_and_says_why() {
    let mut coordinator = Coordinator::start().await;
    let worker = Worker::start(&coordinator.url).await;
    let connection = coordinator.hello().await;
    let reason = "protocol 1 is not 2; run the same version everywhere".to_owned();
    connection.send(refused(&reason)).await;
    let error = soon("the worker to end", worker.ended).await.unwrap().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Refused);
    assert!(matches!(error, WorkerError::Refused(why) if why == reason));
}

#[tokio::test]
async fn a_welcomed_worker_can_still_be_refused() {
    let (_coordinator, worker, connection) = attached().await;
    connection.send(refused("other weights")).await;
    let error = soon("the worker to end", worker.ended).await.unwrap().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Refused);
}

#[tokio::test]
async fn a_worker_that_is_mistaken_for_another_takes_a_new_id_and_keeps_what_it_has() {
    let (mut coordinator, worker, connection) = computing().await;
    let old = connection.hello.clone();
    drop(connection);

    let connection = coordinator.hello().await;
    let mistaken = CoordinatorMessage::Refused { reason: "another lives".to_owned(), take_new_identity: true };
    connection.send(mistaken).await;
    let mut connection = coordinator.welcome().await;
    let new = connection.hello.clone();
    assert_ne!(new.worker, old.worker);
    assert_eq!(
        (new.incarnation, new.running),
        (old.incarnation, vec![AttemptId(5)]),
        "the same boot, with the same item"
    );
    let kept = std::fs::read_to_string(worker.data.path().join("worker-id")).unwrap();
    assert!(kept.starts_with(&new.worker.to_string()), "{kept}");
    assert_eq!(connection.report().await, (5, Report::Started));
    // Nobody knows the item under the new id.
    connection.send(CoordinatorMessage::Drop(AttemptId(5))).await;
    worker.hands.play(Play::Abandoned);
    connection.assign(6, &fixtures::contexts(), &[]).await;
    assert_eq!(connection.report().await, (6, Report::Started));
    worker.leave(connection).await;
}

#[tokio::test]
async fn a_drained_worker_says_goodbye_and_ends_well() {
    let (_coordinator, worker, mut connection) = attached().await;
    connection.send(CoordinatorMessage::Leave).await;
    assert_eq!(connection.goodbye().await, "drained");
    drop((connection, worker.hands));
    soon("the worker to leave", worker.ended).await.unwrap().unwrap();
}

#[tokio::test]
async fn a_cut_connection_disturbs_no_computation_and_loses_no_report() {
    let (mut coordinator, worker, connection) = computing().await;
    drop(connection);

    let connection = coordinator.hello().await;
    assert_eq!((&connection.hello.running[..], &connection.hello.holding[..]), (&[AttemptId(5)][..], &[][..]));
    // Computes on, and finishes, while nobody listens; and this connection is cut before the welcome.
    worker.hands.play(Play::Step(1));
    worker.hands.play(Play::Step(2));
    worker.hands.play(Play::End(Ok(fixtures::state(2).into_output())));
    drop(connection);

    let mut connection = coordinator.welcome().await;
    assert_eq!(connection.hello.running, [AttemptId(5)]);
    assert_eq!(connection.report().await, (5, Report::Started));
    let steps = loop {
        match connection.report().await.1 {
            // One or both steps, as the computation raced with the welcome; the newest is among them.
            Report::StepDone { checkpoint, .. } => assert!(checkpoint.steps_done <= 2),
            Report::ItemDone { outputs, .. } => break outputs,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(steps, ItemOutputs::Checkpoint(fixtures::state(2).checkpoint()));
    connection.send(CoordinatorMessage::Acknowledge(AttemptId(5))).await;
    // Once acknowledged it is held, and not reported again.
    connection.send(CoordinatorMessage::Revoke(AttemptId(5))).await;
    connection.assign(6, &fixtures::contexts(), &[]).await;
    assert_eq!(connection.report().await, (6, Report::Started));
    drop(connection);
    let mut connection = coordinator.welcome().await;
    assert_eq!(
        (&connection.hello.running[..], &connection.hello.holding[..]),
        (&[AttemptId(6)][..], &[AttemptId(5)][..])
    );
    assert_eq!(connection.report().await, (6, Report::Started));
    worker.leave(connection).await;
}

#[tokio::test]
async fn a_worker_waits_for_a_coordinator_that_is_not_there_yet() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let worker = Worker::start(&address.to_string()).await;
    assert!(!worker.ended.is_finished());
    worker.leave(None).await;
}

#[tokio::test]
async fn what_it_logs_is_told_to_who_wants_it_and_again_after_a_reconnect() {
    let mut coordinator = Coordinator::start().await;
    let worker = Worker::start(&coordinator.url).await;
    worker.log.say(LogLevel::Info, "ready");
    // An older one, to which a line would mean nothing.
    let mut deaf = coordinator.welcome().await;
    for _ in 0..3 {
        assert_eq!(deaf.message().await, WorkerMessage::Heartbeat);
    }
    drop(deaf);
    worker.log.say(LogLevel::Warn, "not attached\nERROR forged");
    let mut connection = coordinator.welcome_as(true).await;
    let told = vec!["ready".to_owned(), "not attached ERROR forged".to_owned()];
    assert_eq!(connection.log().await, (0, told.clone()));
    drop(connection);
    let mut connection = coordinator.welcome_as(true).await;
    assert_eq!(connection.log().await, (0, told));
    worker.leave(connection).await;
}
