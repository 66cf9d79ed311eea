//! An item's way through a worker, and what orders do to it on the way.

use wanfarm_proto::tensors::Puller;
use wanfarm_proto::v1;
use wanfarm_types::{
    Assignment, AttemptId, CoordinatorMessage, Digest, Errand, Failure, FailureKind, ItemOutputs, Report, StepRange,
    VideoSpec, WorkItem, WorkerMessage,
};

use super::fixtures;
use super::harness::{Play, attached};

fn end(steps_done: u32) -> Play {
    Play::End(Ok(fixtures::state(steps_done).into_output()))
}

#[tokio::test]
async fn an_item_is_computed_reported_and_its_tensors_are_served() {
    let (_coordinator, mut worker, mut connection) = attached().await;
    connection.assign(1, &fixtures::contexts(), &[]).await;
    assert_eq!(connection.report().await, (1, Report::Started));
    let item = worker.hands.begun().await;
    assert_eq!(item, fixtures::prepared());
    worker.hands.play(Play::Step(1));
    let (1, Report::StepDone { checkpoint, seconds }) = connection.report().await else { panic!() };
    assert_eq!(checkpoint, fixtures::state(1).checkpoint());
    worker.hands.play(end(1));
    let (1, Report::ItemDone { outputs, timing }) = connection.report().await else { panic!() };
    assert_eq!(timing.step_seconds, [seconds]);
    assert_eq!(outputs, ItemOutputs::Checkpoint(checkpoint));

    let url = [connection.tensors()];
    let tensor = &fixtures::state(1).tensors[0];
    let puller = Puller::default();
    assert_eq!(puller.pull(&tensor.name, &url).await.unwrap(), tensor.bytes);
    connection.send(CoordinatorMessage::Acknowledge(AttemptId(1))).await;
    connection.send(CoordinatorMessage::Drop(AttemptId(1))).await;
    // The next report proves that the drop has been seen.
    connection.assign(2, &fixtures::contexts(), &[]).await;
    connection.report().await;
    assert!(puller.pull(&tensor.name, &url).await.is_err());
    worker.leave(connection).await;
}

#[tokio::test]
async fn what_others_cannot_fetch_is_delivered_over_a_connection_of_the_worker() {
    let (mut coordinator, mut worker, mut connection) = attached().await;
    connection.assign(1, &fixtures::contexts(), &[]).await;
    connection.report().await;
    worker.hands.begun().await;
    worker.hands.play(end(2));
    connection.report().await;
    let tensor = &fixtures::state(2).tensors[0];
    let send = |number, digest, offset| CoordinatorMessage::Send(Errand { number, digest, offset });
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
    let (_coordinator, mut worker, mut connection) = attached().await;
    connection.assign(1, &fixtures::contexts(), &[]).await;
    connection.assign(2, &fixtures::contexts(), &[]).await;
    assert_eq!(connection.report().await, (1, Report::Started));
    connection.send(CoordinatorMessage::Revoke(AttemptId(2))).await;
    assert_eq!(connection.report().await, (2, Report::Revoked));
    worker.hands.begun().await;
    worker.hands.play(end(2));
    assert!(matches!(connection.report().await, (1, Report::ItemDone { .. })));
    worker.leave(connection).await;
}

#[tokio::test]
async fn a_running_item_stops_after_its_step() {
    let (_coordinator, worker, mut connection) = attached().await;
    connection.assign(1, &fixtures::contexts(), &[]).await;
    connection.report().await;
    worker.hands.play(Play::Stopped(1));
    connection.send(CoordinatorMessage::StopAfterStep(AttemptId(1))).await;
    let (1, Report::ItemDone { outputs, .. }) = connection.report().await else { panic!() };
    assert_eq!(outputs, ItemOutputs::Checkpoint(fixtures::state(1).checkpoint()));
    worker.leave(connection).await;
}

#[tokio::test]
async fn a_dropped_item_is_abandoned_and_never_heard_of_again() {
    let (_coordinator, mut worker, mut connection) = attached().await;
    connection.assign(1, &fixtures::contexts(), &[]).await;
    connection.report().await;
    worker.hands.begun().await;
    worker.hands.play(Play::Abandoned);
    connection.send(CoordinatorMessage::Drop(AttemptId(1))).await;
    connection.assign(2, &fixtures::contexts(), &[]).await;
    assert_eq!(connection.report().await, (2, Report::Started));
    worker.leave(connection).await;
}

#[tokio::test]
async fn a_panic_fails_the_item_and_not_the_worker() {
    let (_coordinator, mut worker, mut connection) = attached().await;
    for attempt in [1, 2] {
        connection.assign(attempt, &fixtures::contexts(), &[]).await;
        assert_eq!(connection.report().await, (attempt, Report::Started));
        worker.hands.begun().await;
        worker.hands.play(Play::Panic);
        let (_, Report::Failed(failure)) = connection.report().await else { panic!() };
        assert_eq!(failure.kind, FailureKind::Transient);
        assert!(failure.message.contains("caught fire"), "{}", failure.message);
    }
    worker.leave(connection).await;
}

#[tokio::test]
async fn failures_pass_through_as_they_are() {
    let (_coordinator, worker, mut connection) = attached().await;
    connection.assign(1, &fixtures::contexts(), &[]).await;
    connection.report().await;
    let failure = Failure::deterministic("out of memory at 64x64");
    worker.hands.play(Play::End(Err(failure.clone())));
    assert_eq!(connection.report().await, (1, Report::Failed(failure)));
    worker.leave(connection).await;
}

#[tokio::test]
async fn what_cannot_be_computed_here_fails_at_once() {
    let (_coordinator, worker, mut connection) = attached().await;
    let good = fixtures::assignment(1);
    let large = Assignment { spec: VideoSpec { width: 65, ..fixtures::spec() }, ..good.clone() };
    let item = WorkItem { steps: StepRange { first: 2, end: 1 }, ..good.item };
    let backwards = Assignment { attempt: AttemptId(2), item, ..good };
    for assignment in [large, backwards] {
        connection.send(CoordinatorMessage::Assign(Box::new(assignment))).await;
    }
    for (attempt, why) in [(1, "width = 65"), (2, "steps are 2..1")] {
        let (of, Report::Failed(failure)) = connection.report().await else { panic!() };
        assert_eq!((of, failure.kind), (attempt, FailureKind::Deterministic));
        assert!(failure.message.contains(why), "{}", failure.message);
    }
    worker.leave(connection).await;
}

#[tokio::test]
async fn a_message_that_means_nothing_ends_the_connection_and_not_the_worker() {
    let (mut coordinator, worker, connection) = attached().await;
    let nonsense =
        v1::Frame { body: b"{\"assign\":{\"attempt\":1}}".to_vec(), ..v1::Frame::of(&CoordinatorMessage::Leave) };
    connection.send_frame(nonsense).await;
    connection.closed().await;
    let mut connection = coordinator.welcome().await;
    assert_eq!(connection.message().await, WorkerMessage::Heartbeat);
    worker.leave(connection).await;
}
