//! What a collector of traces gets of a night, also when it does not take everything.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::sync::mpsc;
use std::time::Duration;

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message;

use crate::farm::{Farm, ROLES};
use crate::program::{NIGHT, Sandbox};

const VIDEOS: &str = r#"
[[video]]
prompt = "a red circle moving left on a black background"
sweep = { seed = [1, 2, 3] }
"#;

/// A collector that answers with these statuses, then with 200: its address, and what it is sent.
fn collector(statuses: &'static [u16]) -> (String, mpsc::Receiver<Vec<u8>>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = format!("http://{}", listener.local_addr().expect("an address"));
    let (sent, bodies) = mpsc::channel();
    std::thread::spawn(move || {
        for status in statuses.iter().copied().chain(std::iter::repeat(200)) {
            let (connection, _) = listener.accept().expect("a connection");
            let mut reader = BufReader::new(&connection);
            let (mut line, mut length, mut kind) = (String::new(), 0, String::new());
            while reader.read_line(&mut line).expect("a line") > 2 {
                let (name, value) = line.trim().split_once(": ").unwrap_or_default();
                match name.to_ascii_lowercase().as_str() {
                    "content-length" => length = value.parse().expect("a number"),
                    "content-type" => kind = value.to_owned(),
                    _ => {}
                }
                line.clear();
            }
            assert_eq!(kind, "application/x-protobuf");
            let mut body = vec![0; length];
            reader.read_exact(&mut body).expect("a body");
            let answer = format!("HTTP/1.1 {status} Said\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
            (&connection).write_all(answer.as_bytes()).expect("an answer");
            // The test may have ended.
            let _ = sent.send(body);
        }
    });
    (address, bodies)
}

fn spans(body: &[u8]) -> Vec<Span> {
    let trace = ExportTraceServiceRequest::decode(body).expect("a trace");
    trace.resource_spans.into_iter().flat_map(|of| of.scope_spans).flat_map(|of| of.spans).collect()
}

#[test]
fn each_video_that_ends_is_a_trace_with_the_tries_of_it() {
    // The first is tried again, the second is left out.
    let (address, bodies) = collector(&[503, 200, 400]);
    let sandbox = Sandbox::new();
    let mut farm = Farm::serving(&sandbox, &["--otlp", &format!("{address}/")]);
    ROLES.iter().for_each(|role| farm.start_worker(&sandbox, role, role, &[]));
    farm.submit(&sandbox.manifest(&[NIGHT, VIDEOS].concat()));
    let next = || bodies.recv_timeout(Duration::from_secs(600)).expect("a trace");
    let (first, again) = (next(), next());
    assert_eq!(first, again);
    let traces: Vec<Vec<Span>> = [again, next(), next()].iter().map(|body| spans(body)).collect();
    let mut ids: Vec<&[u8]> = traces.iter().map(|spans| &spans[0].trace_id[..]).collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), 3, "each is its own, also after one that was not taken");
    for spans in &traces {
        let [root, tries @ ..] = &spans[..] else { panic!("no span") };
        let names: Vec<&str> = tries.iter().map(|span| span.name.as_str()).collect();
        assert!(["denoise_high", "denoise_low", "decode"].iter().all(|stage| names.contains(stage)), "{names:?}");
        assert_eq!(root.name, "video");
        for span in tries {
            assert_eq!((&span.trace_id, &span.parent_span_id), (&root.trace_id, &root.span_id));
            let of = root.start_time_unix_nano..=root.end_time_unix_nano;
            assert!(of.contains(&span.start_time_unix_nano), "{span:?} is not in {root:?}");
        }
    }
    farm.stop();
}
