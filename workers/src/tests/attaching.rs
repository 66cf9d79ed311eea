//! Hello, refusal, reconnecting, goodbye.

use wanfarm_proto::v1;
use wanfarm_proto::v1::coordinator_message::Body as Order;
use wanfarm_proto::v1::worker_message::Body;

use super::fixtures;
use super::harness::{Connection, Coordinator, Play, Worker, soon};
use crate::runner::Output;
use crate::{ErrorKind, WorkerError};

/// A worker in the middle of item 5.
async fn computing(coordinator: &mut Coordinator) -> (Worker, Connection) {
    coordinator.shelf.put(&fixtures::contexts());
    let mut worker = Worker::start(&coordinator.url).await;
    let mut connection = coordinator.welcome().await;
    connection.assign(5, &fixtures::contexts(), &[]).await;
    assert_eq!(connection.report().await, Body::Started(v1::Started { attempt: 5 }));
    worker.hands.begun().await;
    (worker, connection)
}

#[tokio::test]
async fn a_hello_says_everything_and_heartbeats_follow() {
    let mut coordinator = Coordinator::start().await;
    let worker = Worker::start(&coordinator.url).await;
    let mut connection = coordinator.welcome().await;
    let hello = &connection.hello;
    assert_eq!(hello.protocol, wanfarm_proto::PROTOCOL);
    assert_eq!(hello.roles, [i32::from(v1::Role::Dit)]);
    assert_eq!(hello.models[0].card.as_ref().unwrap().name, "tiny");
    assert_eq!(hello.models[0].roles[0].files[0].blake3, [9; 32]);
    // Every interface, though this coordinator is reached by loopback; without IPv6 it is the other one.
    let everywhere = ["http://[::]:", "http://0.0.0.0:"].iter().any(|start| hello.tensor_url.starts_with(start));
    assert!(everywhere, "{}", hello.tensor_url);
    assert!(hello.running.is_empty() && hello.holding.is_empty());
    assert_eq!(connection.message().await, Body::Heartbeat(v1::Heartbeat {}));
    worker.leave(connection).await;
}

fn refused(reason: &str) -> v1::Refused {
    v1::Refused { reason: reason.to_owned(), take_new_identity: false }
}

#[tokio::test]
async fn a_refused_worker_ends_and_says_why() {
    let mut coordinator = Coordinator::start().await;
    let worker = Worker::start(&coordinator.url).await;
    let connection = coordinator.hello().await;
    let reason = "protocol 1 is not 2; run the same version everywhere".to_owned();
    connection.send(Order::Refused(refused(&reason))).await;
    let error = soon("the worker to end", worker.ended).await.unwrap().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Refused);
    assert!(matches!(error, WorkerError::Refused(why) if why == reason));
}

#[tokio::test]
async fn a_welcomed_worker_can_still_be_refused() {
    let mut coordinator = Coordinator::start().await;
    let worker = Worker::start(&coordinator.url).await;
    let connection = coordinator.welcome().await;
    connection.send(Order::Refused(refused("other weights"))).await;
    let error = soon("the worker to end", worker.ended).await.unwrap().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Refused);
}

#[tokio::test]
async fn a_worker_that_is_mistaken_for_another_takes_a_new_id_and_keeps_what_it_has() {
    let mut coordinator = Coordinator::start().await;
    let (worker, connection) = computing(&mut coordinator).await;
    let old = connection.hello.clone();
    drop(connection);

    let connection = coordinator.hello().await;
    let mistaken = v1::Refused { reason: "another lives".to_owned(), take_new_identity: true };
    connection.send(Order::Refused(mistaken)).await;
    let mut connection = coordinator.welcome().await;
    let new = connection.hello.clone();
    assert_ne!(new.worker_id, old.worker_id);
    assert_eq!((new.incarnation, new.running), (old.incarnation, vec![5]), "the same boot, with the same item");
    let kept = std::fs::read_to_string(worker.data.path().join("worker-id")).unwrap();
    assert!(kept.starts_with(&new.worker_id), "{kept}");
    assert_eq!(connection.report().await, Body::Started(v1::Started { attempt: 5 }));
    // Nobody knows the item under the new id.
    connection.send(Order::Drop(v1::Drop { attempt: 5 })).await;
    worker.hands.play(Play::Abandoned);
    connection.assign(6, &fixtures::contexts(), &[]).await;
    assert_eq!(connection.report().await, Body::Started(v1::Started { attempt: 6 }));
    worker.leave(connection).await;
}

#[tokio::test]
async fn a_drained_worker_says_goodbye_and_ends_well() {
    let mut coordinator = Coordinator::start().await;
    let worker = Worker::start(&coordinator.url).await;
    let mut connection = coordinator.welcome().await;
    connection.send(Order::Leave(v1::Leave {})).await;
    assert_eq!(connection.report().await, Body::Goodbye(v1::Goodbye { reason: "drained".to_owned() }));
    drop((connection, worker.hands));
    soon("the worker to leave", worker.ended).await.unwrap().unwrap();
}

#[tokio::test]
async fn a_cut_connection_disturbs_no_computation_and_loses_no_report() {
    let mut coordinator = Coordinator::start().await;
    let (worker, connection) = computing(&mut coordinator).await;
    drop(connection);

    let connection = coordinator.hello().await;
    assert_eq!((&connection.hello.running[..], &connection.hello.holding[..]), (&[5][..], &[][..]));
    // Computes on, and finishes, while nobody listens; and this connection is cut before the welcome.
    worker.hands.play(Play::Step(1));
    worker.hands.play(Play::Step(2));
    worker.hands.play(Play::End(Ok(Output::State(fixtures::state(2)))));
    drop(connection);

    let mut connection = coordinator.welcome().await;
    assert_eq!(connection.hello.running, [5]);
    assert_eq!(connection.report().await, Body::Started(v1::Started { attempt: 5 }));
    let steps = loop {
        match connection.report().await {
            // One or both steps, as the computation raced with the welcome; the newest is among them.
            Body::StepDone(step) => assert!(step.checkpoint.unwrap().steps_done <= 2),
            Body::ItemDone(done) => break done.checkpoint.unwrap(),
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(steps, fixtures::state(2).checkpoint().into());
    connection.send(Order::Acknowledge(v1::Acknowledge { attempt: 5 })).await;
    // Once acknowledged it is held, and not reported again.
    connection.send(Order::Revoke(v1::Revoke { attempt: 5 })).await;
    connection.assign(6, &fixtures::contexts(), &[]).await;
    assert_eq!(connection.report().await, Body::Started(v1::Started { attempt: 6 }));
    drop(connection);
    let mut connection = coordinator.welcome().await;
    assert_eq!((&connection.hello.running[..], &connection.hello.holding[..]), (&[6][..], &[5][..]));
    assert_eq!(connection.report().await, Body::Started(v1::Started { attempt: 6 }));
    worker.leave(connection).await;
}

#[tokio::test]
async fn a_worker_waits_for_a_coordinator_that_is_not_there_yet() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let worker = Worker::start(&format!("http://{address}")).await;
    assert!(!worker.ended.is_finished());
    worker.leave(None).await;
}
