//! Where inputs come from, and when.

use std::sync::Arc;

use bytes::Bytes;
use tokio::net::TcpListener;
use wanfarm_proto::tensors::Puller;
use wanfarm_types::{FailureKind, Incarnation, ItemOutputs, Report};

use super::fixtures;
use super::harness::{Coordinator, Play, Shelf, Worker, attached, soon};
use crate::loras::Loras;
use crate::prefetch::Prefetch;
use crate::runner::{HostTensor, refs};
use crate::tensors::TensorStore;

#[tokio::test]
async fn inputs_of_the_next_item_are_fetched_while_the_device_computes() {
    let (mut coordinator, mut worker, mut connection) = attached().await;
    let other = [HostTensor::from_f32(&[2, 8], &[1.0; 16]), HostTensor::from_f32(&[2, 8], &[2.0; 16])];
    coordinator.shelf.put(&other);
    connection.assign(1, &fixtures::contexts(), &[]).await;
    worker.hands.begun().await;
    for _ in 0..2 {
        soon("the first inputs to be read", coordinator.was_read.recv()).await;
    }
    // The first item computes until it is told to end, which is not yet.
    connection.assign(2, &other, &[]).await;
    for _ in 0..2 {
        let read = soon("the next inputs to be read", coordinator.was_read.recv()).await.unwrap();
        assert!(other.iter().any(|tensor| tensor.name.digest == read));
    }
    assert!(worker.hands.begun.try_recv().is_err(), "one item at a time");
    worker.hands.play(Play::End(Ok(fixtures::state(2).into_output())));
    assert_eq!(worker.hands.begun().await.contexts, other);
    assert!(matches!(connection.report().await, (1, Report::Started)));
    assert!(matches!(connection.report().await, (1, Report::ItemDone { .. })));
    assert!(matches!(connection.report().await, (2, Report::Started)));
    worker.leave(connection).await;
}

#[tokio::test]
async fn what_this_worker_made_itself_is_not_fetched() {
    let (_coordinator, mut worker, mut connection) = attached().await;
    connection.assign(1, &fixtures::contexts(), &[]).await;
    worker.hands.begun().await;
    let made = [HostTensor::from_f32(&[2, 8], &[1.0; 16]), HostTensor::from_f32(&[2, 8], &[2.0; 16])];
    worker.hands.play(Play::End(Ok((ItemOutputs::Image(refs(&made)), made.to_vec()))));
    connection.report().await;
    assert!(matches!(connection.report().await, (1, Report::ItemDone { .. })));
    connection.assign(2, &made, &["127.0.0.1:1".to_owned()]).await;
    assert_eq!(worker.hands.begun().await.contexts, made);
    worker.leave(connection).await;
}

#[tokio::test]
async fn wrong_bytes_are_thrown_away_and_the_next_place_is_asked() {
    let mut coordinator = Coordinator::start().await;
    let contexts = fixtures::contexts();
    let (liar, honest) = (Shelf::alone(), Shelf::alone());
    for context in &contexts {
        liar.put_as(context.name.digest, Bytes::from(vec![1; context.bytes.len()]));
    }
    honest.put(&contexts);
    let (liar, honest) = (liar.serve().await, honest.serve().await);
    let mut worker = Worker::start(&coordinator.url).await;
    let mut connection = coordinator.welcome().await;
    connection.assign(1, &contexts, &[liar.clone(), honest]).await;
    assert_eq!(worker.hands.begun().await.contexts, contexts);
    connection.report().await;

    worker.hands.play(Play::End(Ok(fixtures::state(2).into_output())));
    connection.report().await;
    connection.assign(2, &contexts, std::slice::from_ref(&liar)).await;
    let (2, Report::Failed(failure)) = connection.report().await else { panic!() };
    assert_eq!(failure.kind, FailureKind::InputsLost);
    assert!(
        failure.message.contains("delivered other bytes") && failure.message.contains(&liar),
        "{}",
        failure.message
    );
    assert!(failure.message.contains(&coordinator.url), "the coordinator is always asked last: {}", failure.message);
    assert!(coordinator.was_read.recv().await.is_some());
    worker.leave(connection).await;
}

#[tokio::test]
async fn nothing_is_lost_while_the_coordinator_cannot_be_asked() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let coordinator = format!("{}", listener.local_addr().unwrap());
    let own = Arc::new(TensorStore::new(Incarnation(uuid::Uuid::nil())));
    let prefetch = Prefetch::new(own, Arc::new(Loras::new(&[], std::path::Path::new("none"))), Puller::default());
    let fetching = tokio::spawn(async move { prefetch.fetch(&fixtures::assignment(1), coordinator).await });
    // One connection is cut before a word was said: nobody knows yet whether the inputs exist.
    drop(soon("the first question", listener.accept()).await.unwrap());
    let shelf = Shelf::alone();
    shelf.put(&fixtures::contexts());
    shelf.serve_on(listener);
    let item = soon("the inputs", fetching).await.unwrap().unwrap();
    assert_eq!(item, fixtures::prepared());
}
