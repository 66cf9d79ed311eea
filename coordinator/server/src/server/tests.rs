//! What tools of gRPC ask of any server: whether it is well, and what it serves.

use std::path::Path;

use futures::FutureExt;
use tokio_stream::StreamExt;
use tonic::transport::Channel;
use tonic::{Code, Status};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use tonic_reflection::pb::{v1, v1alpha};

use super::*;

/// Of a coordinator whose data and files lie below `folder`, on a port of its own.
pub(crate) fn config(folder: &Path) -> ServerConfig {
    ServerConfig {
        listen: ([127, 0, 0, 1], 0).into(),
        data: folder.join("data"),
        output: folder.join("output"),
        wanted: None,
        security: None,
        retention: None,
        scheduler: Config::default(),
    }
}

async fn coordinator(folder: &Path) -> (Coordinator, Channel) {
    let coordinator = start(config(folder), |_| Routes::default()).await.unwrap();
    let endpoint = tonic::transport::Endpoint::from_shared(format!("http://{}", coordinator.address)).unwrap();
    (coordinator, endpoint.connect().await.unwrap())
}

async fn health(channel: &Channel, service: &str) -> Result<ServingStatus, Status> {
    let asked = HealthCheckRequest { service: service.to_owned() };
    Ok(HealthClient::new(channel.clone()).check(asked).await?.into_inner().status())
}

#[tokio::test]
async fn health_says_whether_the_coordinator_is_ready() {
    let folder = tempfile::tempdir().unwrap();
    let (coordinator, channel) = coordinator(folder.path()).await;
    for service in ["", "render.v1.Farm"] {
        assert_eq!(health(&channel, service).await.unwrap(), ServingStatus::Serving);
    }
    assert_eq!(health(&channel, "render.v1.Kitchen").await.unwrap_err().code(), Code::NotFound);
    let asked = HealthCheckRequest { service: String::new() };
    let mut watched = HealthClient::new(channel.clone()).watch(asked).await.unwrap().into_inner();
    assert_eq!(watched.message().await.unwrap().unwrap().status(), ServingStatus::Serving);

    // Its driver has ended, as it does when the database fails: the port still answers.
    coordinator.events.send(Event::Stop).await.unwrap();
    while health(&channel, "").await.unwrap() != ServingStatus::NotServing {
        tokio::task::yield_now().await;
    }
    coordinator.stop().await;
}

#[tokio::test]
async fn who_asks_and_is_not_polled_again_keeps_the_driver_from_nobody() {
    let folder = tempfile::tempdir().unwrap();
    let (coordinator, _) = coordinator(folder.path()).await;
    // On the one thread of this test the driver takes in nothing meanwhile.
    let mut unread: Vec<_> = (0..3 * EVENT_QUEUE).map(|_| Box::pin(coordinator.farm.jobs())).collect();
    assert!(unread.iter_mut().all(|asked| asked.now_or_never().is_none()));
    tokio::time::timeout(Duration::from_secs(20), coordinator.farm.jobs()).await.expect("an answer").unwrap();
    drop(unread);
    coordinator.stop().await;
}

#[tokio::test]
async fn tools_old_and_new_are_told_what_is_served() {
    let folder = tempfile::tempdir().unwrap();
    let (coordinator, channel) = coordinator(folder.path()).await;
    let wanted = ["grpc.health.v1.Health", "render.v1.Farm"];
    let mut client = v1::server_reflection_client::ServerReflectionClient::new(channel.clone());
    let ask = |request| {
        futures::stream::iter([v1::ServerReflectionRequest { host: String::new(), message_request: Some(request) }])
    };
    let list = v1::server_reflection_request::MessageRequest::ListServices(String::new());
    let mut told = client.server_reflection_info(ask(list)).await.unwrap().into_inner();
    let answer = told.next().await.unwrap().unwrap().message_response.unwrap();
    let v1::server_reflection_response::MessageResponse::ListServicesResponse(listed) = answer else {
        panic!("{answer:?}")
    };
    let names: Vec<&str> = listed.service.iter().map(|service| service.name.as_str()).collect();
    assert!(wanted.iter().all(|name| names.contains(name)), "{names:?}");

    let farm = v1::server_reflection_request::MessageRequest::FileContainingSymbol("render.v1.Farm".to_owned());
    let mut told = client.server_reflection_info(ask(farm)).await.unwrap().into_inner();
    let answer = told.next().await.unwrap().unwrap().message_response.unwrap();
    let v1::server_reflection_response::MessageResponse::FileDescriptorResponse(files) = answer else {
        panic!("{answer:?}")
    };
    assert!(!files.file_descriptor_proto.is_empty());

    let mut older = v1alpha::server_reflection_client::ServerReflectionClient::new(channel);
    let request = v1alpha::server_reflection_request::MessageRequest::ListServices(String::new());
    let request = v1alpha::ServerReflectionRequest { host: String::new(), message_request: Some(request) };
    let mut told = older.server_reflection_info(futures::stream::iter([request])).await.unwrap().into_inner();
    let answer = told.next().await.unwrap().unwrap().message_response.unwrap();
    let v1alpha::server_reflection_response::MessageResponse::ListServicesResponse(listed) = answer else {
        panic!("{answer:?}")
    };
    assert!(listed.service.iter().any(|service| service.name == "render.v1.Farm"));
    coordinator.stop().await;
}
