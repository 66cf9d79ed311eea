//! What a collector of traces gets.

#![allow(clippy::unwrap_used, reason = "a test")]

mod asked;
mod receiver;

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message as _;
use receiver::{Message, Receiver};
use wanfarm_http::{Collector, Outside};

const NIGHT: &str = "[job]\nname = 'night'\nmodel = 'demo'\n[[video]]\nprompt = 'a'\nsweep = { seed = [1, 2] }\n";

/// The one span of a trace of a video that was never begun.
fn span(message: &Message) -> Span {
    let request = ExportTraceServiceRequest::decode(message.body.clone()).unwrap();
    let [spans] = &request.resource_spans[0].scope_spans[..] else { panic!("{request:?}") };
    let [span] = &spans.spans[..] else { panic!("{spans:?}") };
    span.clone()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_video_that_ends_is_a_trace_and_one_that_is_not_taken_holds_up_nothing() {
    let mut collector = Receiver::start([503, 200, 400, 200]).await;
    let folder = tempfile::tempdir().unwrap();
    let address: Collector = format!("{}/", collector.address()).parse().unwrap();
    let outside = Outside { collector: Some(address), ..Outside::default() };
    let coordinator = asked::start(folder.path(), outside, |_| {}).await;
    let ask = async |method: &str, path: &str, kind: &str, body: &str| {
        let url = format!("http://{}/api/v1{path}", coordinator.address);
        let request = axum::http::Request::builder().method(method).uri(url).header("content-type", kind);
        asked::send(request.body(body.as_bytes().to_vec()).unwrap()).await.0
    };
    let cancel = async |job: u32| {
        assert_eq!(ask("POST", "/jobs?taken=new_name", "application/toml", NIGHT).await, 201);
        assert_eq!(ask("PATCH", &format!("/jobs/{job}"), "application/json", r#"{"state": "cancelled"}"#).await, 200);
    };
    cancel(1).await;
    let first = collector.next().await;
    assert_eq!(first.fields["content-type"], "application/x-protobuf");
    let again = collector.next().await;
    assert_eq!(again.body, first.body, "it is tried again");
    // It refuses the second, which is left out, and takes the third.
    let (second, third) = {
        let second = collector.next().await;
        cancel(2).await;
        (second, collector.next().await)
    };
    assert!(collector.has_answered());
    let spans = [&first, &second, &third].map(span);
    for span in &spans {
        assert_eq!((span.name.as_str(), span.start_time_unix_nano), ("video", span.end_time_unix_nano));
    }
    assert!(spans[0].trace_id != spans[1].trace_id && spans[1].trace_id != spans[2].trace_id);
    let job = |span: &Span| format!("{:?}", span.attributes.iter().find(|one| one.key == "wanfarm.job").unwrap().value);
    assert!(job(&spans[1]).contains("IntValue(1)") && job(&spans[2]).contains("IntValue(2)"));
    coordinator.stop().await;
}

#[test]
fn a_collector_is_an_address_by_http() {
    assert!(
        "http://10.0.0.7:4318".parse::<Collector>().is_ok() && "https://a.example/otlp/".parse::<Collector>().is_ok()
    );
    for bad in ["", "10.0.0.7:4318", "grpc://a:4317", "http://", "http://a?x=y", "http://a b"] {
        assert!(bad.parse::<Collector>().is_err(), "{bad}");
    }
}
