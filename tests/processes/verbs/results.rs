//! What came of a job: its report, its files, the speeds that were measured.

use std::path::Path;

use wanfarm_proto::v1::farm_client::FarmClient;
use wanfarm_proto::v1::{ControlJobRequest, ListFilesRequest, ReadFileRequest};

use crate::program::says;
use crate::verbs::farm::{Farm, ROLES, manifest};

fn rendered(videos: usize) -> (Farm, super::farm::Process) {
    let farm = Farm::start();
    let worker = farm.worker("studio", ROLES);
    let job = farm.submit(&manifest("night", videos));
    farm.client(&["status", &job, "--watch"]).expect(0);
    (farm, worker)
}

/// Files below a directory with their bytes.
fn tree(root: &Path) -> Vec<(String, Vec<u8>)> {
    let mut found = Vec::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).expect("folder").flatten() {
            let path = entry.path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let name = path.strip_prefix(root).expect("below").display().to_string();
                found.push((name, std::fs::read(path).expect("file")));
            }
        }
    }
    found.sort();
    found
}

#[test]
fn the_morning_report_tells_what_came_of_it_and_where_the_time_went() {
    let (farm, _worker) = rendered(2);
    let told = farm.client(&["report", "night"]).expect(0).stdout;
    says(&told, &["job 1 night: 2 of 2 videos done", "quality:", "denoise_high", "studio", "files in"]);
    let report = farm.json(&["report", "1"]);
    let stage = |name: &str| {
        let stages = report["stages"].as_array().expect("stages");
        stages.iter().find(|stage| stage["name"] == name).unwrap_or_else(|| panic!("no {name} in {stages:?}")).clone()
    };
    let steps = |name: &str| stage(name)["steps"].as_u64().expect("steps");
    assert_eq!(steps("denoise_high") + steps("denoise_low"), 8, "two videos of four steps");
    assert_eq!(
        stage("encode_text")["attempts"],
        2,
        "a prompt and a negative prompt, each encoded once for both videos"
    );
    assert_eq!(stage("decode")["attempts"], 2);
    assert_eq!(report["workers"][0]["name"], "studio");
    assert_eq!(report["output_dir"], farm.sandbox.output().to_str().unwrap());
    let files = report["videos"][0]["files"].as_array().expect("files");
    assert!(files.iter().all(|file| Path::new(file.as_str().unwrap()).exists()), "{files:?}");

    let worker = farm.worker_line("studio").expect("the worker");
    let stages: Vec<&str> = worker["paces"].as_array().unwrap().iter().map(|p| p["stage"].as_str().unwrap()).collect();
    assert_eq!(stages, ["encode_text", "denoise_high", "denoise_low", "decode"]);
    assert!(worker["memory_bytes"].as_u64().is_some_and(|bytes| bytes > 1 << 28));
}

/// The report of a job on the disk.
fn report_file(farm: &Farm) -> serde_json::Value {
    let bytes = std::fs::read(farm.sandbox.output().join("night.report.json")).expect("a report");
    serde_json::from_slice(&bytes).expect("JSON")
}

#[test]
fn the_file_is_what_the_command_prints_and_tells_of_a_job_that_has_ended() {
    let (mut farm, _worker) = rendered(2);
    let printed = farm.json(&["report", "night"]);
    assert_eq!(report_file(&farm), printed);
    let job = &printed["job"];
    assert_eq!((&job["state"], &job["waiting_for"]), (&serde_json::json!("done"), &serde_json::Value::Null));
    let (submitted, ended) = (job["submitted"].as_str().unwrap(), job["ended"].as_str().unwrap());
    assert!(submitted < ended && ended.ends_with('Z') && ended.contains('T'), "{submitted} to {ended}");
    let seconds = |field: &str| printed[field].as_f64().unwrap();
    assert!(0.0 < seconds("render_seconds") && seconds("render_seconds") <= seconds("wall_seconds"), "{printed:#}");
    assert!(printed["machines"][0]["memory_bytes"].is_number(), "{printed:#}");
    assert!(printed["roles"].as_array().unwrap().iter().any(|role| role["name"] == printed["bottleneck"]));

    // Neither a later job with the same texts nor a restart changes a word of it.
    let later = farm.submit(&manifest("later", 1));
    farm.client(&["status", &later, "--watch"]).expect(0);
    farm.kill_coordinator();
    farm.start_coordinator();
    assert_eq!(farm.json(&["report", "night"]), printed);
}

#[test]
fn each_job_tells_of_the_encodings_that_it_caused() {
    let (farm, _worker) = rendered(1);
    for round in ["second", "third"] {
        let job = farm.submit(&manifest(round, 1));
        farm.client(&["status", &job, "--watch"]).expect(0);
    }
    let encodings = |job: &str| {
        let attempts = farm.sandbox.sidecar(&format!("{job}/0000"))["attempts"].as_array().unwrap().clone();
        assert!(attempts.iter().all(|attempt| attempt["begun"].as_str().unwrap().ends_with('Z')), "{attempts:#?}");
        attempts.iter().filter(|attempt| attempt["stage"] == "encode_text").count()
    };
    // Encoded texts are kept: the first job had both encoded, and the others read them.
    assert_eq!(["night", "second", "third"].map(encodings), [2, 0, 0]);
}

#[test]
fn downloads_are_whole_checked_and_go_on_where_they_ended() {
    let (farm, _worker) = rendered(2);
    let (dir, output) = (farm.sandbox.path("fetched"), farm.sandbox.output());
    let target = dir.to_str().unwrap();
    let first = farm.json(&["download", "night", target]);
    let mut wanted = tree(&output);
    wanted.retain(|(name, _)| !name.starts_with("night.report."));
    assert_eq!(tree(&dir), wanted);
    assert_eq!(first["fetched"].as_array().unwrap().len(), wanted.len());

    let frame = dir.join("night/0001/00000.png");
    let mut bytes = std::fs::read(&frame).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    std::fs::write(&frame, bytes).unwrap();
    std::fs::remove_file(dir.join("night/0000.mp4")).unwrap();
    std::fs::write(dir.join(format!("night/.wanfarm-{}-deadbeef-7.partial", "0".repeat(32))), "half of it").unwrap();
    let second = farm.json(&["download", "night", target]);
    assert_eq!(second["fetched"], serde_json::json!(["night/0000.mp4", "night/0001/00000.png"]));
    assert_eq!(tree(&dir), wanted, "nothing half-written is left");
    let one = farm.json(&["download", "night/0", farm.sandbox.path("one").to_str().unwrap()]);
    assert!(one["fetched"].as_array().unwrap().iter().all(|path| path.as_str().unwrap().starts_with("night/0000")));
    farm.client(&["download", "night/7", target]).expect(2);
}

#[tokio::test]
async fn strangers_get_a_reason_and_no_foreign_file() {
    let (farm, _worker) = rendered(1);
    std::fs::write(farm.sandbox.output().join("secret"), "s").unwrap();
    let mut client = FarmClient::connect(farm.url.clone()).await.expect("connection");
    let mut listed = client.list_files(ListFilesRequest { job: 1, video: None }).await.expect("list").into_inner();
    let first = listed.message().await.expect("a line").expect("not the end");
    let read = |path: &str| ReadFileRequest { job: 1, video: 0, path: path.to_owned() };
    assert!(client.read_file(read(&first.path)).await.is_ok());
    for path in ["secret", "../data/coordinator.lock", "/etc/passwd", "", "night", "night/0000/../../secret"] {
        let status = client.read_file(read(path)).await.expect_err(path);
        assert_eq!(status.code(), tonic::Code::NotFound, "{path}");
        assert!(status.message().contains("no finished file"), "{}", status.message());
    }
    let verb = ControlJobRequest { job: 1, video: None, verb: 77, ..ControlJobRequest::default() };
    let status = client.control_job(verb).await.expect_err("an unknown verb");
    assert_eq!(status.code(), tonic::Code::InvalidArgument);
    assert!(status.message().contains("77"), "{}", status.message());
}
