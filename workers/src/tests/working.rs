//! An item's way through a worker, and what orders do to it on the way.

use wanfarm_proto::tensors::Puller;
use wanfarm_proto::v1;
use wanfarm_proto::v1::coordinator_message::Body as Order;
use wanfarm_proto::v1::worker_message::Body;
use wanfarm_types::{Digest, Failure};

use super::fixtures;
use super::harness::{Connection, Coordinator, Play, Worker};
use crate::runner::Output;

async fn working() -> (Coordinator, Worker, Connection) {
    let mut coordinator = Coordinator::start().await;
    coordinator.shelf.put(&fixtures::contexts());
    let worker = Worker::start(&coordinator.url).await;
    let connection = coordinator.welcome().await;
    (coordinator, worker, connection)
}

fn end(steps_done: u32) -> Play {
    Play::End(Ok(Output::State(fixtures::state(steps_done))))
}

#[tokio::test]
async fn an_item_is_computed_reported_and_its_tensors_are_served() {
    let (_coordinator, mut worker, mut connection) = working().await;
    connection.assign(1, &fixtures::contexts(), &[]).await;
    assert_eq!(connection.report().await, Body::Started(v1::Started { attempt: 1 }));
    let item = worker.hands.begun().await;
    assert_eq!(item, fixtures::prepared());
    worker.hands.play(Play::Step(1));
    let Body::StepDone(step) = connection.report().await else { panic!() };
    assert_eq!((step.attempt, step.checkpoint), (1, Some(fixtures::state(1).checkpoint().into())));
    worker.hands.play(end(1));
    let Body::ItemDone(done) = connection.report().await else { panic!() };
    assert_eq!(done.timing.as_ref().unwrap().step_seconds, [step.seconds]);
    assert_eq!(done.checkpoint, Some(fixtures::state(1).checkpoint().into()));

    let url = [connection.tensors()];
    let tensor = &fixtures::state(1).tensors[0];
    let puller = Puller::default();
    assert_eq!(puller.pull(&tensor.name, &url).await.unwrap(), tensor.bytes);
    connection.send(Order::Acknowledge(v1::Acknowledge { attempt: 1 })).await;
    connection.send(Order::Drop(v1::Drop { attempt: 1 })).await;
    // The next report proves that the drop has been seen.
    connection.assign(2, &fixtures::contexts(), &[]).await;
    connection.report().await;
    assert!(puller.pull(&tensor.name, &url).await.is_err());
    worker.leave(connection).await;
}

#[tokio::test]
async fn what_others_cannot_fetch_is_delivered_over_a_connection_of_the_worker() {
    let (mut coordinator, mut worker, mut connection) = working().await;
    connection.assign(1, &fixtures::contexts(), &[]).await;
    connection.report().await;
    worker.hands.begun().await;
    worker.hands.play(end(2));
    connection.report().await;
    let tensor = &fixtures::state(2).tensors[0];
    let send = |errand, digest: Digest, offset| Order::Send(v1::Send { errand, digest: digest.0.to_vec(), offset });
    connection.send(send(7, tensor.name.digest, 0)).await;
    assert_eq!(coordinator.delivered().await, (7, Some(tensor.bytes.clone())));
    connection.send(send(8, tensor.name.digest, 5)).await;
    assert_eq!(coordinator.delivered().await, (8, Some(tensor.bytes.slice(5..))));
    connection.send(send(9, Digest([3; 32]), 0)).await;
    assert_eq!(coordinator.delivered().await, (9, None), "it says that it does not have it");
    worker.leave(connection).await;
}

#[tokio::test]
async fn a_waiting_item_is_given_back() {
    let (_coordinator, mut worker, mut connection) = working().await;
    connection.assign(1, &fixtures::contexts(), &[]).await;
    connection.assign(2, &fixtures::contexts(), &[]).await;
    assert_eq!(connection.report().await, Body::Started(v1::Started { attempt: 1 }));
    connection.send(Order::Revoke(v1::Revoke { attempt: 2 })).await;
    assert_eq!(connection.report().await, Body::Revoked(v1::Revoked { attempt: 2 }));
    worker.hands.begun().await;
    worker.hands.play(end(2));
    assert!(matches!(connection.report().await, Body::ItemDone(v1::ItemDone { attempt: 1, .. })));
    worker.leave(connection).await;
}

#[tokio::test]
async fn a_running_item_stops_after_its_step() {
    let (_coordinator, worker, mut connection) = working().await;
    connection.assign(1, &fixtures::contexts(), &[]).await;
    connection.report().await;
    worker.hands.play(Play::Stopped(1));
    connection.send(Order::StopAfterStep(v1::StopAfterStep { attempt: 1 })).await;
    let Body::ItemDone(done) = connection.report().await else { panic!() };
    assert_eq!(done.checkpoint.unwrap().steps_done, 1);
    worker.leave(connection).await;
}

#[tokio::test]
async fn a_dropped_item_is_abandoned_and_never_heard_of_again() {
    let (_coordinator, mut worker, mut connection) = working().await;
    connection.assign(1, &fixtures::contexts(), &[]).await;
    connection.report().await;
    worker.hands.begun().await;
    worker.hands.play(Play::Abandoned);
    connection.send(Order::Drop(v1::Drop { attempt: 1 })).await;
    connection.assign(2, &fixtures::contexts(), &[]).await;
    assert_eq!(connection.report().await, Body::Started(v1::Started { attempt: 2 }));
    worker.leave(connection).await;
}

#[tokio::test]
async fn a_panic_fails_the_item_and_not_the_worker() {
    let (_coordinator, mut worker, mut connection) = working().await;
    for attempt in [1, 2] {
        connection.assign(attempt, &fixtures::contexts(), &[]).await;
        assert_eq!(connection.report().await, Body::Started(v1::Started { attempt }));
        worker.hands.begun().await;
        worker.hands.play(Play::Panic);
        let Body::ItemFailed(failed) = connection.report().await else { panic!() };
        let failure = failed.failure.unwrap();
        assert_eq!(failure.kind, i32::from(v1::FailureKind::Transient));
        assert!(failure.message.contains("caught fire"), "{}", failure.message);
    }
    worker.leave(connection).await;
}

#[tokio::test]
async fn failures_pass_through_as_they_are() {
    let (_coordinator, worker, mut connection) = working().await;
    connection.assign(1, &fixtures::contexts(), &[]).await;
    connection.report().await;
    let failure = Failure::deterministic("out of memory at 64x64");
    worker.hands.play(Play::End(Err(failure.clone())));
    let Body::ItemFailed(failed) = connection.report().await else { panic!() };
    assert_eq!(failed.failure, Some(failure.into()));
    worker.leave(connection).await;
}

#[tokio::test]
async fn what_cannot_be_computed_here_fails_at_once() {
    let (_coordinator, worker, mut connection) = working().await;
    let video = wanfarm_types::VideoSpec { width: 65, ..fixtures::spec() };
    let assign = v1::Assign {
        attempt: 1,
        item: Some(fixtures::item().into()),
        spec: Some(video.into()),
        text: String::new(),
        inputs: None,
    };
    connection.send(Order::Assign(assign.clone())).await;
    connection.send(Order::Assign(v1::Assign { attempt: 2, spec: None, ..assign })).await;
    for (attempt, why) in [(1, "width = 65"), (2, "lacks spec")] {
        let Body::ItemFailed(failed) = connection.report().await else { panic!() };
        let failure = failed.failure.unwrap();
        assert_eq!((failed.attempt, failure.kind), (attempt, i32::from(v1::FailureKind::Deterministic)));
        assert!(failure.message.contains(why), "{}", failure.message);
    }
    worker.leave(connection).await;
}
