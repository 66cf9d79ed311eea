//! What cannot be done is said with a reason, a remedy and the documented exit code.

use std::process::{Command, Stdio};

use wanfarm_proto::v1::cache_request::Kind;
use wanfarm_proto::v1::farm_client::FarmClient;
use wanfarm_proto::v1::{CacheRequest, EstimateRequest, Format, SubmitRequest, TeaCacheRequest, VideoRequest};

use crate::program::{Running, binary, demo};
use crate::verbs::farm::{Farm, manifest};

#[test]
fn without_a_coordinator_every_verb_ends_with_code_3() {
    for arguments in [
        &["status"][..],
        &["status", "night"],
        &["status", "--watch"],
        &["open"],
        &["pause", "1"],
        &["resume", "1"],
        &["cancel", "1/2"],
        &["retry", "night"],
        &["workers"],
        &["workers", "drain", "x"],
        &["download", "1", "."],
        &["report", "1"],
    ] {
        let mut command = Command::new(binary());
        let ended = Running::start(command.args(arguments).env("WANFARM_COORDINATOR", "http://127.0.0.1:1")).wait();
        let ended = ended.expect(3);
        for word in ["127.0.0.1:1", "coordinator serve", "--coordinator"] {
            assert!(ended.stderr.contains(word), "{arguments:?} says nothing about {word:?}: {}", ended.stderr);
        }
    }
}

#[test]
fn a_device_that_is_not_here_is_refused_at_once_in_one_sentence() {
    let listed = Running::start(Command::new(binary()).args(["devices", "--json"])).wait().expect(0);
    let listed: serde_json::Value = serde_json::from_str(&listed.stdout).expect("JSON");
    let listed = listed["devices"].as_array().expect("a list");
    assert_eq!(listed.iter().filter(|line| line["default"] == true).count(), 1);
    assert!(
        listed[0]["device"] == "cpu" && listed[0]["usable"] == true && listed[0]["memory_bytes"].as_u64() > Some(0)
    );
    let (shapes, model) = (demo().join("shapes.toml"), demo().join("wan-tiny-t2v"));
    let (shapes, model) = (shapes.to_str().expect("UTF-8"), model.to_str().expect("UTF-8"));
    for line in listed.iter().filter(|line| line["usable"] == false) {
        let (device, why) = (line["device"].as_str().expect("a name"), line["why"].as_str().expect("a reason"));
        for arguments in [
            &["run", shapes][..],
            &["doctor", "--model", model],
            &["calibrate", model, "--prompt", "a cat"],
            &["worker", "--role", "vae", "--models", model],
        ] {
            let ended =
                Running::start(Command::new(binary()).args(arguments).args(["--device", device])).wait().expect(2);
            assert_eq!(ended.stderr, format!("error: {why}\n"), "{arguments:?}");
        }
    }
}

#[test]
fn a_reader_that_has_read_enough_is_no_fault() {
    let farm = Farm::start();
    let job = farm.submit(&manifest("night", 2));
    let model = demo().join("wan-tiny-t2v").display().to_string();
    for arguments in [
        &["schema"][..],
        &["inspect", &model],
        &["inspect", &model, "--json"],
        &["status"],
        &["status", "--json"],
        &["status", "--watch"],
        &["status", &job],
        &["status", &job, "--watch", "--json"],
        &["workers"],
        &["workers", "--json"],
        &["report", &job],
        &["report", &job, "--json"],
        &["cancel", &job],
    ] {
        let mut deaf = Command::new(binary());
        deaf.args(arguments).env("WANFARM_COORDINATOR", &farm.url);
        let mut deaf = deaf.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("client");
        drop(deaf.stdout.take());
        let ended = deaf.wait_with_output().expect("it ends");
        let said = String::from_utf8_lossy(&ended.stderr);
        assert!(ended.status.code().is_some() && !said.contains("panicked"), "{arguments:?}: {}, {said}", ended.status);
    }
}

#[test]
fn what_is_not_there_is_named_with_what_is() {
    let farm = Farm::start();
    farm.submit(&manifest("night", 2));
    farm.submit(&manifest("night", 2).replace("{job}", "{job}-again"));
    farm.submit(&manifest("day", 2));
    for (arguments, says) in [
        (&["status", "17"][..], "no job 17"),
        (&["status", "night"], "2 jobs are called \"night\": job 1 (active), job 2 (active)"),
        (&["status", "dya"], "did you mean `day`?"),
        (&["cancel", "1/2"], "job 1 has no video 2: it has 2"),
        (&["cancel", "1/x"], "JOB/INDEX"),
        (&["status", "1/0"], "number or name"),
        (&["pause", "1/0"], "single video"),
        (&["workers", "drain", "nobody"], "no worker \"nobody\""),
        (&["report", "99"], "no job 99"),
        (&["download", "99", "."], "no job 99"),
        (&["status", "--coordinator", "nonsense://"], "nonsense"),
    ] {
        let ended = farm.client(arguments).expect(2);
        assert!(ended.stderr.contains(says), "{arguments:?}: nothing about {says:?} in: {}", ended.stderr);
    }
}

#[tokio::test]
async fn a_submission_without_a_manifest_is_held_to_the_same_rules() {
    let farm = Farm::start();
    let mut client = FarmClient::connect(farm.url.clone()).await.expect("connection");
    let video = VideoRequest {
        prompt: "a cat".to_owned(),
        formats: vec![Format::Mp4.into()],
        output: "cat".to_owned(),
        ..VideoRequest::default()
    };
    let good = SubmitRequest {
        client_key: "k".to_owned(),
        name: "n".to_owned(),
        model: "m".to_owned(),
        priority: None,
        videos: vec![video.clone()],
        early_look: true,
        taken: 0,
        ..SubmitRequest::default()
    };
    let first = client.submit(good.clone()).await.expect("accepted").into_inner().job;
    let again = client.submit(good.clone()).await.expect("accepted").into_inner();
    assert_eq!((again.job, again.already), (first, true));
    let other = SubmitRequest { priority: Some(51), ..good.clone() };
    let taken = client.submit(other).await.expect_err("another submission with the same key");
    assert_eq!(taken.code(), tonic::Code::AlreadyExists, "{}", taken.message());
    let with = |video: VideoRequest| SubmitRequest { client_key: String::new(), videos: vec![video], ..good.clone() };
    let refused = [
        (with(VideoRequest { output: "../../x".to_owned(), ..video.clone() }), "output"),
        (with(VideoRequest { formats: vec![99], ..video.clone() }), "99"),
        (with(VideoRequest { solver: Some(42), ..video.clone() }), "42"),
        (with(VideoRequest { steps: Some(u32::MAX), ..video.clone() }), "steps"),
        (with(VideoRequest { image: Some(vec![1, 2]), ..video.clone() }), "image"),
        (SubmitRequest { videos: vec![], ..good.clone() }, "1 to 100000"),
        (SubmitRequest { model: "../m".to_owned(), ..good.clone() }, "model"),
        (SubmitRequest { taken: 42, ..good.clone() }, "42"),
    ];
    for (request, says) in refused {
        let status = client.submit(request).await.expect_err(says);
        assert_eq!(status.code(), tonic::Code::InvalidArgument, "{}", status.message());
        assert!(status.message().contains(says), "nothing about {says:?} in: {}", status.message());
    }
    let taken = client.submit(SubmitRequest { client_key: String::new(), ..good.clone() }).await.expect_err("taken");
    assert_eq!(taken.code(), tonic::Code::FailedPrecondition, "{}", taken.message());
    let nothing = client.estimate(EstimateRequest { of: None }).await.expect_err("nothing to estimate");
    assert_eq!(nothing.code(), tonic::Code::InvalidArgument);
}

/// What only the model tells is refused as soon as it is known; before that, the job waits for it.
#[tokio::test]
async fn a_submission_that_a_known_model_cannot_render_is_refused() {
    let farm = Farm::start();
    let mut client = FarmClient::connect(farm.url.clone()).await.expect("connection");
    let unpublished = CacheRequest { kind: Some(Kind::Teacache(TeaCacheRequest::default())) };
    let video = VideoRequest { prompt: "a cat".to_owned(), cache: Some(unpublished), ..VideoRequest::default() };
    let submission = |client_key: &str, video: &VideoRequest| SubmitRequest {
        client_key: client_key.to_owned(),
        name: "n".to_owned(),
        model: "wan-tiny-t2v".to_owned(),
        videos: vec![video.clone()],
        ..SubmitRequest::default()
    };
    let early = client.submit(submission("early", &video)).await.expect("nobody knows better").into_inner().job;
    let _worker = farm.worker("texts", "text-encoder");
    farm.until_worker("texts", "idle");
    let status = client.submit(submission("", &video)).await.expect_err("the model is known");
    assert_eq!(status.code(), tonic::Code::InvalidArgument, "{}", status.message());
    assert!(status.message().contains("video 0: no TeaCache polynomial"), "{}", status.message());
    assert_eq!(client.submit(submission("early", &video)).await.expect("asked again").into_inner().job, early);
    client
        .submit(submission("", &VideoRequest { cache: None, output: "other".to_owned(), ..video }))
        .await
        .expect("what it can render");
}
