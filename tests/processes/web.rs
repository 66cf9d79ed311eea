//! A night as programs see it that know nothing but HTTP: the coordinator is killed while they read, and what they are told
//! afterwards is what was recorded, all of it and once.

use std::collections::BTreeMap;
use std::io::Read;
use std::time::Duration;

use rand::SeedableRng;
use rand::rngs::SmallRng;
use serde_json::{Value, json};
use ureq::http::{HeaderMap, Request, Response};

use crate::farm::Farm;
use crate::program::{NIGHT, Sandbox};

const VIDEOS: &str = r#"
[[video]]
prompt = "a red circle moving left on a black background"
seed = 1
formats = ["mp4", "png"]

[[video]]
prompt = "a blue square moving right on a white background"
seed = 2
formats = ["mp4"]
"#;

/// The model of the farm's workers.
const MODEL: &str = "wan-tiny-t2v";

/// What came back, whatever its status.
struct Reply {
    status: u16,
    fields: HeaderMap,
    body: Vec<u8>,
}

impl Reply {
    fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|why| panic!("{why}: {}", String::from_utf8_lossy(&self.body)))
    }

    fn field(&self, name: &str) -> &str {
        self.fields.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }
}

fn ask(farm: &Farm, method: &str, path: &str, fields: &[(&str, &str)], body: &str) -> Reply {
    let agent: ureq::Agent = ureq::Agent::config_builder()
        .http_status_as_error(false)
        .allow_non_standard_methods(true)
        .timeout_global(Some(Duration::from_secs(60)))
        .build()
        .into();
    let mut request = Request::builder().method(method).uri(format!("{}{path}", farm.address()));
    for (name, value) in fields {
        request = request.header(*name, *value);
    }
    let response = agent.run(request.body(body.to_owned()).expect("a request")).expect("an answer");
    let (parts, mut body) = Response::into_parts(response);
    Reply { status: parts.status.as_u16(), fields: parts.headers, body: body.read_to_vec().expect("a body") }
}

fn get(farm: &Farm, path: &str) -> Value {
    let reply = ask(farm, "GET", path, &[], "");
    assert_eq!(reply.status, 200, "{path}: {}", reply.json());
    reply.json()
}

/// The events of a job, by number.
fn events(farm: &Farm, job: &Value) -> BTreeMap<u64, Value> {
    let events = get(farm, &format!("/api/v1/jobs/{job}/events"));
    let events = events["events"].as_array().expect("events");
    events.iter().map(|event| (event["id"].as_u64().expect("a number"), event.clone())).collect()
}

#[test]
fn a_night_over_http_is_told_whole_though_the_coordinator_is_killed_in_it() {
    let sandbox = Sandbox::new();
    let mut farm = Farm::start(&sandbox);
    let toml = [("content-type", "application/toml"), ("idempotency-key", "tonight")];
    let queued = ask(&farm, "POST", "/api/v1/jobs", &toml, &[NIGHT, VIDEOS].concat());
    assert_eq!(queued.status, 201, "{}", queued.json());
    let (job, path) = (queued.json()["id"].clone(), queued.field("location").to_owned());

    let (mut rng, mut kills, mut heard) = (SmallRng::seed_from_u64(14), 0, BTreeMap::new());
    while kills < 6 && farm.works_until_a_moment(&mut rng, 900) {
        heard.extend(events(&farm, &job));
        farm.kill_coordinator();
        kills += 1;
        farm.start_coordinator();
        let line = get(&farm, &path);
        let kept = events(&farm, &job);
        for (id, event) in &heard {
            assert_eq!(kept.get(id), Some(event), "told before kill {kills}, so it was recorded");
        }
        // What has happened to a video has its event, wherever between the two the kill came.
        for video in line["videos"].as_array().expect("videos") {
            let mut of_video = kept.values().filter(|event| event["video"] == video["index"]);
            let is_told = of_video.any(|event| event["type"] == "video.done");
            assert_eq!(is_told, video["state"] == "done", "after kill {kills}: {video}");
        }
    }
    assert!(kills > 0, "it was to be killed in the middle of the job");
    let again = ask(&farm, "POST", "/api/v1/jobs", &toml, &[NIGHT, VIDEOS].concat());
    assert_eq!((again.status, &again.json()["id"]), (200, &job), "the key names the job it was used for");
    assert!(farm.ends_within(600_000), "the job ends");

    let told = events(&farm, &job);
    let count = |kind: &str| told.values().filter(|event| event["type"] == kind).count();
    let counts = ["job.submitted", "job.planned", "job.ended", "video.done", "video.failed"].map(count);
    assert_eq!(counts, [1, 1, 1, 2, 0], "after {kills} kills: {told:#?}");
    let line = get(&farm, &path);
    assert_eq!((&line["job"]["state"], &line["job"]["done"]), (&json!("done"), &json!(2)), "{line:#}");
    for video in line["videos"].as_array().expect("videos") {
        let [started, ended] = ["started", "ended"].map(|time| video[time].as_str().expect("a time"));
        assert!(started < ended, "{video}");
    }
    files(&farm, &sandbox, &path);
    farm.stop();
}

/// As a client of other servers' video API has one made.
#[test]
fn a_video_is_made_for_a_client_of_another_servers_api() {
    let sandbox = Sandbox::new();
    let farm = Farm::start(&sandbox);
    let json = [("content-type", "application/json")];
    let wanted = json!({
        "prompt": "a red circle moving left on a black background", "seed": 1, "model": MODEL,
        "size": "64x64", "num_frames": 5, "num_inference_steps": 4, "fps": 8,
    });
    let queued = ask(&farm, "POST", "/v1/videos", &json, &wanted.to_string());
    assert_eq!(queued.status, 200, "{}", queued.json());
    let place = format!("/v1/videos/{}", queued.json()["id"].as_str().expect("a name"));
    assert!(farm.ends_within(600_000), "the job ends");
    let video = get(&farm, &place);
    let told = ["status", "progress", "error", "seed", "size", "seconds"].map(|name| video[name].clone());
    assert_eq!(told, [json!("completed"), json!(100), Value::Null, json!(1), json!("64x64"), json!("0.63")], "{video}");
    assert!(video["completed_at"].as_i64() >= video["created_at"].as_i64(), "{video}");
    let content = ask(&farm, "GET", &format!("{place}/content"), &[], "");
    assert_eq!((content.status, content.field("content-type")), (200, "video/mp4"));
    assert_eq!(&content.body[4..8], b"ftyp");
    // Its model is the only one, so it need not be named; and its frame rate is known by now.
    let wanted = json!({"prompt": "a blue square", "seconds": "0.5"});
    let queued = ask(&farm, "POST", "/v1/videos", &json, &wanted.to_string());
    assert_eq!((queued.status, &queued.json()["model"]), (200, &json!(MODEL)), "{}", queued.json());
    assert_eq!(ask(&farm, "DELETE", &place, &[], "").json()["deleted"], true);
    assert_eq!(ask(&farm, "GET", &place, &[], "").status, 404);
    farm.stop();
}

#[test]
fn a_night_has_its_figures() {
    let sandbox = Sandbox::new();
    let farm = Farm::start(&sandbox);
    let toml = [("content-type", "application/toml")];
    assert_eq!(ask(&farm, "POST", "/api/v1/jobs", &toml, &[NIGHT, VIDEOS].concat()).status, 201);
    assert!(farm.ends_within(600_000), "the job ends");
    let text = String::from_utf8(ask(&farm, "GET", "/metrics", &[], "").body).expect("text");
    let figure = |name: &str| -> f64 {
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.unwrap_or_else(|| panic!("no {name} in\n{text}")).parse().expect("a number")
    };
    assert_eq!(figure("wanfarm_videos_total{state=\"done\"}"), 2.0);
    assert_eq!(figure("wanfarm_queue_items{stage=\"decode\"}"), 0.0);
    assert!(figure("wanfarm_worker_busy_seconds_total{worker=\"dit-high\"}") > 0.0);
    // Every step is copied, unless the next one was done before.
    assert!(figure("wanfarm_checkpoint_seconds_count") > 1.0);
    assert!(figure("wanfarm_checkpoint_seconds_sum") > 0.0);
    farm.stop();
}

/// Finished files, whole and in parts.
fn files(farm: &Farm, sandbox: &Sandbox, job: &str) {
    let film = std::fs::read(sandbox.output().join("0000.mp4")).expect("a film");
    let place = format!("{job}/videos/0/video.mp4");
    let whole = ask(farm, "GET", &place, &[], "");
    assert_eq!((whole.status, whole.field("content-type"), whole.body == film), (200, "video/mp4", true));
    let tag = whole.field("etag");
    assert_eq!(tag, format!("\"{}\"", blake3::hash(&film)));
    assert_eq!(ask(farm, "GET", &place, &[("if-none-match", tag)], "").status, 304);
    let part = ask(farm, "GET", &place, &[("range", "bytes=10-19")], "");
    assert_eq!((part.status, &part.body[..]), (206, &film[10..20]));
    assert_eq!(part.field("content-range"), format!("bytes 10-19/{}", film.len()));
    let changed = [("range", "bytes=10-19"), ("if-range", "\"another\"")];
    assert_eq!(ask(farm, "GET", &place, &changed, "").body, film, "a part of another file is of no use");
    let beyond = format!("bytes={}-", film.len());
    assert_eq!(ask(farm, "GET", &place, &[("range", &beyond)], "").status, 416);
    let head = ask(farm, "HEAD", &place, &[], "");
    assert_eq!((head.status, head.field("content-length"), head.body.len()), (200, &*film.len().to_string(), 0));

    let shown = format!("{job}/videos/0/poster.jpg");
    let poster = ask(farm, "GET", &shown, &[], "");
    assert_eq!((poster.status, poster.field("content-type"), poster.field("etag")), (200, "image/jpeg", tag));
    assert!(poster.body.starts_with(&[0xff, 0xd8]) && poster.body.len() < film.len().max(60_000));
    let known = ask(farm, "GET", &shown, &[("if-none-match", tag)], "");
    assert_eq!((known.status, known.body.len()), (304, 0));

    let sidecar = ask(farm, "GET", &format!("{job}/videos/1/sidecar.json"), &[], "").json();
    assert_eq!(sidecar, sandbox.sidecar("0001"));
    let frame = ask(farm, "GET", &format!("{job}/videos/0/files/0000/00000.png"), &[], "");
    assert_eq!((frame.status, frame.field("content-type")), (200, "image/png"));
    for foreign in
        ["files/night.report.html", "files/0001.mp4", "files/../data/coordinator.sqlite", "files/0000", "files/"]
    {
        let reply = ask(farm, "GET", &format!("{job}/videos/0/{foreign}"), &[], "");
        assert_eq!(reply.status, 404, "{foreign}");
    }

    // The report's page shows both, on the disk as over HTTP, and leads to their files from either.
    let page = ask(farm, "GET", &format!("{job}/report.html"), &[], "");
    assert_eq!((page.status, page.field("content-type")), (200, "text/html; charset=utf-8"));
    let served = String::from_utf8(page.body).expect("text");
    let written = std::fs::read_to_string(sandbox.output().join("night.report.html")).expect("a page");
    for (page, lead) in [(&served, "videos/0/files/"), (&written, "./")] {
        assert_eq!(page.matches("<img src=\"data:image/jpeg;base64,").count(), 2);
        assert!(page.contains(&format!("href=\"{lead}0000.mp4\"")), "{lead}");
    }
    assert_eq!(served.replace("videos/0/files/", "./").replace("videos/1/files/", "./"), written);

    // All of it as one file, which is the same on the disk.
    let archive = ask(farm, "GET", &format!("{job}/archive.zip"), &[], "");
    assert_eq!((archive.status, archive.field("content-type")), (200, "application/zip"));
    assert_eq!(archive.field("content-disposition"), "attachment; filename=\"night.zip\"");
    let mut archive = zip::ZipArchive::new(std::io::Cursor::new(archive.body)).expect("an archive");
    let mut names: Vec<String> = archive.file_names().map(|name| name.expect("a name").into_owned()).collect();
    names.sort();
    assert_eq!(names, sandbox.files());
    for name in names {
        let mut bytes = Vec::new();
        archive.by_name(&name).expect("a file").read_to_end(&mut bytes).expect("its bytes");
        assert!(bytes == std::fs::read(sandbox.output().join(&name)).expect("a file"), "{name}");
    }

    // Bytes of the same length are not what was written: nobody is to take them for that.
    let mut damaged = film.clone();
    damaged[film.len() - 1] ^= 1;
    std::fs::write(sandbox.output().join("0000.mp4"), &damaged).expect("written");
    let agent: ureq::Agent = ureq::Agent::new_with_defaults();
    // It breaks off before its end: of a short file before anything of it has been sent.
    let asked = agent.get(format!("{}{place}", farm.address())).call();
    assert!(
        asked.and_then(|mut answer| answer.body_mut().read_to_vec()).is_err(),
        "nobody takes it for what was written"
    );
    std::fs::write(sandbox.output().join("0000.mp4"), &film[1..]).expect("written");
    assert_eq!(ask(farm, "GET", &place, &[], "").status, 410);
    std::fs::remove_file(sandbox.output().join("0000.mp4")).expect("removed");
    assert_eq!(ask(farm, "GET", &place, &[], "").status, 404);
}
