//! A worker of another version is told so, at the first message.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use wanfarm_proto::PROTOCOL;
use wanfarm_proto::v1::Frame;
use wanfarm_proto::v1::dispatch_client::DispatchClient;
use wanfarm_types::{CoordinatorMessage, WorkerMessage};

use crate::program::{Sandbox, binary, says};

#[tokio::test]
async fn a_worker_of_another_protocol_version_is_refused_with_both_versions() {
    let sandbox = Sandbox::new();
    let mut serve = Command::new(binary())
        .args(["serve", "--listen", "127.0.0.1:0", "--data"])
        .arg(sandbox.path("data"))
        .arg("--output")
        .arg(sandbox.output())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the coordinator starts");
    let mut line = String::new();
    BufReader::new(serve.stdout.take().expect("stdout")).read_line(&mut line).expect("the address");
    let address = line.trim().rsplit(' ').next().expect("the address").to_owned();

    let heartbeat = Frame::of(&WorkerMessage::Heartbeat);
    let message = Frame { protocol: PROTOCOL + 41, version: "9.9.9".to_owned(), ..heartbeat };
    let mut client = DispatchClient::connect(address).await.expect("connection");
    let reply = client.attach(tonic::codegen::tokio_stream::iter([message])).await.expect("an answer");
    let answer = reply.into_inner().message().await.expect("a message").expect("not the end");
    let Ok(CoordinatorMessage::Refused { reason, .. }) = answer.read() else { panic!("not refused: {answer:?}") };
    let (ours, theirs) = (format!("protocol {PROTOCOL}"), (PROTOCOL + 41).to_string());
    says(&reason, &[ours.as_str(), &theirs, "9.9.9", "same version"]);
    serve.kill().expect("kill");
    serve.wait().expect("wait");
}
