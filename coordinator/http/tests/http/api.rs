//! A coordinator without workers, asked over HTTP as programs and browsers do.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::sync::mpsc;
use std::time::Duration;

use serde_json::{Value, json};
use wanfarm_client::{Client, Target, Way};
use wanfarm_manifest::{Submission, Taken};
use wanfarm_server::server::Coordinator;
use wanfarm_types::fixtures::request;
use wanfarm_types::{About, JobId, VideoRequest};

use crate::asked;

/// A coordinator, and what asks it.
struct Farm {
    coordinator: Coordinator,
    client: Client,
    _folder: tempfile::TempDir,
}

/// What came back: status, content type, JSON if it is some.
type Reply = (u16, String, Value);

async fn farm() -> Farm {
    let folder = tempfile::tempdir().unwrap();
    let coordinator = start(folder.path()).await;
    let client = Client::connect(&Target::new(&coordinator.address.to_string(), Way::plain())).await.unwrap();
    Farm { coordinator, client, _folder: folder }
}

async fn start(folder: &Path) -> Coordinator {
    asked::start(folder, Default::default(), |_| {}).await
}

impl Farm {
    async fn submit(&mut self, name: &str, videos: u32) -> JobId {
        let video = |seed: u32| VideoRequest { seed: seed.into(), output: format!("{name}/{seed}"), ..request() };
        let submission = Submission {
            client_key: String::new(),
            name: name.to_owned(),
            model: "demo".to_owned(),
            priority: 50,
            early_look: false,
            taken: Taken::Refuse,
            videos: (0..videos).map(video).collect(),
        };
        self.client.submit(submission, About::default()).await.unwrap().0.job.unwrap()
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.coordinator.address)
    }

    async fn ask(&self, method: &str, path: &str, fields: &[(&str, &str)], body: Option<Value>) -> Reply {
        let mut request = axum::http::Request::builder().method(method).uri(self.url(path));
        for (name, value) in fields {
            request = request.header(*name, *value);
        }
        let body = body.map(|body| body.to_string());
        if body.is_some() {
            request = request.header("content-type", "application/json");
        }
        let request = request.body(body.unwrap_or_default().into()).unwrap();
        let (status, kind, text) = asked::send(request).await;
        (status, kind, serde_json::from_str(&text).unwrap_or(Value::String(text)))
    }

    async fn get(&self, path: &str) -> Value {
        let (status, kind, body) = self.ask("GET", path, &[], None).await;
        assert_eq!((status, kind.as_str()), (200, "application/json"), "{path}: {body}");
        body
    }

    async fn refused(&self, method: &str, path: &str, body: Option<Value>) -> (u16, String) {
        let (status, kind, problem) = self.ask(method, path, &[], body).await;
        assert_eq!(kind, "application/problem+json", "{method} {path}: {status} {problem}");
        assert_eq!(problem["status"], status);
        (status, problem["detail"].as_str().unwrap().to_owned())
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_told_is_what_the_command_line_prints() {
    let mut farm = farm().await;
    assert_eq!(farm.ask("GET", "/healthz", &[], None).await.2, "ok\n");
    assert_eq!(farm.ask("GET", "/readyz", &[], None).await.2, "ready\n");
    assert_eq!(farm.get("/api/v1/version").await["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(farm.get("/api/v1/jobs").await, json!({"jobs": [], "next_cursor": null}));
    assert_eq!(farm.get("/api/v1/workers").await, json!({"workers": []}));

    let job = farm.submit("night", 5).await;
    let jobs = farm.client.jobs().await.unwrap();
    assert_eq!(farm.get("/api/v1/jobs").await["jobs"], serde_json::to_value(&jobs).unwrap());
    let mut told = farm.get(&format!("/api/v1/jobs/{job}")).await;
    assert_eq!(told.as_object_mut().unwrap().remove("next_cursor"), Some(Value::Null));
    assert_eq!(told, serde_json::to_value(farm.client.job(job).await.unwrap()).unwrap());
    let mut told = farm.get(&format!("/api/v1/jobs/{job}/report.json")).await;
    let mut report = serde_json::to_value(farm.client.report(job).await.unwrap()).unwrap();
    // Time goes on.
    told["wall_seconds"].take();
    report["wall_seconds"].take();
    assert_eq!(told, report);
    let (status, kind, page) = farm.ask("GET", &format!("/api/v1/jobs/{job}/report.html"), &[], None).await;
    assert_eq!((status, kind.as_str()), (200, "text/html; charset=utf-8"));
    let page = page.as_str().unwrap();
    assert!(page.contains("0 of 5 videos finished") && page.matches("<li id=\"video-").count() == 5, "{page}");
    assert_eq!(farm.refused("GET", "/api/v1/jobs/77/report.html", None).await.0, 404);
    let whole = farm.get("/api/v1/farm").await;
    assert_eq!((&whole["jobs"], &whole["videos"]["waiting"]), (&json!({"active": 1}), &json!(5)));
    assert_eq!(whole["waiting_for"][0]["waiting_for"], "a worker that serves model demo");
    farm.coordinator.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn long_lists_come_in_pages() {
    let mut farm = farm().await;
    for name in ["a", "b", "c"] {
        farm.submit(name, 1).await;
    }
    let names =
        |page: &Value| page["jobs"].as_array().unwrap().iter().map(|job| job["name"].clone()).collect::<Vec<_>>();
    let first = farm.get("/api/v1/jobs?limit=2").await;
    assert_eq!(names(&first), ["c", "b"]);
    let cursor = first["next_cursor"].as_str().unwrap();
    let second = farm.get(&format!("/api/v1/jobs?limit=2&cursor={cursor}")).await;
    assert_eq!((names(&second), &second["next_cursor"]), (vec![json!("a")], &Value::Null));

    let job = farm.submit("long", 2500).await;
    let mut seen = Vec::new();
    let mut cursor = String::new();
    loop {
        let page = farm.get(&format!("/api/v1/jobs/{job}/videos?{cursor}")).await;
        let videos = page["videos"].as_array().unwrap();
        assert!(videos.len() <= 1000);
        seen.extend(videos.iter().map(|video| video["index"].as_u64().unwrap()));
        let Some(next) = page["next_cursor"].as_str() else { break };
        cursor = format!("cursor={next}");
    }
    assert_eq!(seen, (0..2500).collect::<Vec<u64>>());
    assert_eq!(farm.get(&format!("/api/v1/jobs/{job}")).await["videos"].as_array().unwrap().len(), 1000);
    assert_eq!(farm.get(&format!("/api/v1/jobs/{job}/videos?state=failed")).await["videos"], json!([]));
    assert_eq!(farm.refused("GET", "/api/v1/jobs?limit=0", None).await.0, 400);
    assert_eq!(farm.refused("GET", &format!("/api/v1/jobs/{job}?cursor=x"), None).await.0, 400);
    farm.coordinator.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn jobs_are_steered_and_forgotten() {
    let mut farm = farm().await;
    let job = farm.submit("night", 2).await;
    let path = format!("/api/v1/jobs/{job}");
    // Of a job whose model nobody serves, nothing can be paused.
    let (status, why) = farm.refused("PATCH", &path, Some(json!({"state": "paused"}))).await;
    assert!(status == 409 && why.contains("waits for a worker that serves model demo"), "{status} {why}");
    assert_eq!(farm.refused("DELETE", &path, None).await.0, 409);
    let said = json!({"owner": "ann", "note": "for the morning", "labels": {"shot": "010", "take": "2"}});
    let (status, _, told) = farm.ask("PATCH", &path, &[], Some(said)).await;
    assert_eq!((status, &told["owner"], &told["labels"]["shot"]), (200, &json!("ann"), &json!("010")));
    let said = json!({"note": null, "labels": {"take": null, "sequence": "S1"}});
    let (_, _, told) = farm.ask("PATCH", &path, &[], Some(said)).await;
    let about = json!({"owner": "ann", "note": null, "labels": {"sequence": "S1", "shot": "010"}});
    assert_eq!(json!({"owner": told["owner"], "note": told["note"], "labels": told["labels"]}), about);
    let (status, why) = farm.refused("PATCH", &path, Some(json!({"labels": {"a b": "c"}}))).await;
    assert!(status == 400 && why.contains("a b"), "{status} {why}");
    // It need not be planned for that.
    let (status, _, told) = farm.ask("PATCH", &path, &[], Some(json!({"priority": 90}))).await;
    assert_eq!((status, &told["priority"]), (200, &json!(90)));
    for bad in [json!(101), json!(-1.0), json!(38.5), json!(1e300), json!("38")] {
        assert_eq!(farm.refused("PATCH", &path, Some(json!({"priority": bad}))).await.0, 400, "{bad}");
    }
    let (_, _, told) = farm.ask("PATCH", &path, &[], Some(json!({"priority": 38.0}))).await;
    assert_eq!(told["priority"], 38);
    let (_, _, told) = farm.ask("PATCH", &path, &[], Some(json!({"priority": 90}))).await;
    assert_eq!(told["priority"], 90);
    let events = farm.get(&format!("{path}/events")).await["events"].clone();
    let prioritised = events.as_array().unwrap().iter().find(|event| event["type"] == "job.prioritised").unwrap();
    assert_eq!((&prioritised["before"], &prioritised["after"]), (&json!("50"), &json!("90")));
    let line = serde_json::to_value(&farm.client.jobs().await.unwrap()[0]).unwrap();
    assert_eq!((&line["owner"], &line["labels"]["sequence"]), (&json!("ann"), &json!("S1")), "{line}");
    let (status, _, told) = farm.ask("PATCH", &path, &[], Some(json!({"state": "cancelled"}))).await;
    assert_eq!((status, &told["job"]), (200, &json!(job)));
    assert_eq!(farm.refused("PATCH", &path, Some(json!({"state": "done"}))).await.0, 400);
    let (status, why) = farm.refused("PATCH", &path, Some(json!({"colour": "red"}))).await;
    assert!(status == 400 && why.contains("colour"), "{status} {why}");
    let (status, _, told) = farm.ask("POST", &format!("{path}/retry"), &[], None).await;
    assert_eq!((status, &told["state"]), (200, &json!("active")));
    let again = format!("{path}/videos/1/rerender");
    let (status, _, one) = farm.ask("POST", &again, &[], Some(json!({"seed": 77}))).await;
    assert_eq!((status, &one["videos"], &one["priority"], &one["owner"]), (201, &json!(1), &json!(90), &json!("ann")));
    let (status, _, both) =
        farm.ask("POST", &format!("{path}/rerender"), &[], Some(json!({"videos": [1, 0, 1]}))).await;
    assert_eq!((status, &both["videos"], &both["renamed"]), (201, &json!(2), &json!(2)), "{both}");
    let [before, after] = [path.clone(), format!("/api/v1/jobs/{}", one["id"])].map(|job| format!("{job}/videos"));
    let (before, after) = (farm.get(&before).await, farm.get(&after).await);
    assert_eq!(before["videos"][1]["prompt"], after["videos"][0]["prompt"]);
    assert_ne!(before["videos"][1]["output"], after["videos"][0]["output"], "each has its own files");
    assert_eq!(farm.refused("POST", &format!("{path}/videos/9/rerender"), Some(json!({}))).await.0, 404);
    assert_eq!(farm.refused("POST", &format!("{path}/rerender"), Some(json!({"videos": []}))).await.0, 400);
    let (status, ..) = farm.ask("DELETE", &format!("{path}?cancel=1"), &[], None).await;
    assert_eq!(status, 204);
    assert_eq!(farm.refused("GET", &path, None).await.0, 404);
    farm.coordinator.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_not_there_and_what_makes_no_sense_is_a_problem() {
    let mut farm = farm().await;
    let job = farm.submit("night", 1).await;
    let nobody = "/api/v1/workers/00000000-0000-0000-0000-000000000000";
    for (method, path, status) in [
        ("GET", "/api/v1/jobs/99", 404),
        ("GET", "/api/v1/jobs/night", 404),
        ("GET", "/api/v1/jobs/-1", 404),
        ("GET", &format!("/api/v1/jobs/{job}/videos/9"), 404),
        ("GET", &format!("/api/v1/jobs/{job}/videos/99999999999"), 404),
        ("GET", &format!("/api/v1/jobs/{job}/videos/0/video.mp4"), 404),
        ("GET", &format!("/api/v1/jobs/{job}/videos/0/poster.jpg"), 404),
        ("GET", &format!("/api/v1/jobs/{job}/videos/0/files/..%2f..%2fetc%2fpasswd"), 404),
        ("GET", &format!("/api/v1/jobs/{job}/videos/0/files//etc/passwd"), 404),
        ("GET", &format!("/api/v1/jobs/{job}/videos/9/video.mp4"), 404),
        ("POST", &format!("/api/v1/jobs/{job}/videos/9/retry"), 404),
        ("DELETE", "/api/v1/jobs/99", 404),
        ("GET", nobody, 404),
        ("DELETE", nobody, 404),
        ("GET", "/api/v1/workers/studio-1", 404),
        ("GET", "/api/v1/nothing", 404),
        ("GET", "/api/v2/jobs", 404),
        ("GET", "/app.js", 404),
        ("PUT", "/api/v1/jobs", 405),
        ("POST", "/healthz", 405),
        ("POST", "/jobs/7", 405),
        ("GET", "/api/v1/events?type=nonsense", 400),
        ("GET", "/api/v1/jobs?limit=many", 400),
    ] {
        assert_eq!(farm.refused(method, path, None).await.0, status, "{method} {path}");
    }
    let (status, kind, _) = farm.ask("GET", &format!("/jobs/{job}/report"), &[], None).await;
    assert_eq!((status, kind.as_str()), (200, "text/html; charset=utf-8"));
    // What serde reads as a struct's fields in their order.
    for body in [json!([null, null]), json!(["paused"]), json!("paused"), json!(null)] {
        for path in [format!("/api/v1/jobs/{job}"), format!("/api/v1/jobs/{job}/videos/0"), nobody.to_owned()] {
            let (status, problem) = farm.refused("PATCH", &path, Some(body.clone())).await;
            assert_eq!(status, 400, "{path}, {body}: {problem}");
        }
    }
    let long = json!({"note": "x".repeat(4001)});
    assert_eq!(farm.refused("PATCH", nobody, Some(long)).await.0, 400);
    assert_eq!(farm.refused("PATCH", nobody, Some(json!({"note": "fan is loud"}))).await.0, 404);
    let large = json!({"state": "x".repeat(100_000)});
    assert_eq!(farm.refused("PATCH", &format!("/api/v1/jobs/{job}"), Some(large)).await.0, 413);
    let (status, ..) = farm.ask("PATCH", &format!("/api/v1/jobs/{job}"), &[("content-type", "text/plain")], None).await;
    assert_eq!(status, 415);
    farm.coordinator.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_manifest_is_tried_queued_once_and_refused_with_the_place_of_each_fault() {
    let farm = farm().await;
    let night = "[job]\nname = 'night'\nmodel = 'demo'\n[[video]]\nprompt = 'a red fox'\nsweep = { seed = [1, 2] }\n";
    let send = |path: &'static str, kind: &'static str, key: &'static str, text: &str| {
        let mut request = axum::http::Request::post(farm.url(path)).header("content-type", kind);
        if !key.is_empty() {
            request = request.header("idempotency-key", key);
        }
        let request = request.body(text.to_owned()).unwrap();
        tokio::task::spawn_blocking(move || {
            let mut response = asked::agent().run(request).unwrap();
            let text = response.body_mut().read_to_string().unwrap();
            (response.status().as_u16(), serde_json::from_str::<Value>(&text).unwrap())
        })
    };
    let (status, told) = send("/api/v1/jobs?dry_run=1", "application/toml", "", night).await.unwrap();
    assert_eq!(
        (status, &told["name"], &told["videos"], &told["model_known"]),
        (200, &json!("night"), &json!(2), &json!(false))
    );
    assert_eq!(farm.get("/api/v1/jobs").await["jobs"], json!([]), "nothing is queued");

    let (status, told) = send("/api/v1/jobs", "application/toml; charset=utf-8", "k", night).await.unwrap();
    assert_eq!(
        (status, &told["id"], &told["state"], &told["videos"]),
        (201, &json!(1), &json!("active"), &json!(2)),
        "{told}"
    );
    let (status, again) = send("/api/v1/jobs", "application/toml", "k", night).await.unwrap();
    assert_eq!((status, &again["id"]), (200, &json!(1)), "the same key is the same job");
    let other = night.replace("fox", "hare");
    assert_eq!(send("/api/v1/jobs", "application/toml", "k", &other).await.unwrap().0, 409);
    let (status, taken) = send("/api/v1/jobs", "application/toml", "other", night).await.unwrap();
    assert!(status == 409 && taken["detail"].as_str().unwrap().contains("names that are taken"), "{status} {taken}");
    let (status, told) = send("/api/v1/jobs?taken=new_name", "application/toml", "", night).await.unwrap();
    assert_eq!((status, &told["renamed"]), (201, &json!(2)), "{told}");
    let json = r#"{"job": {"name": "j", "model": "demo"}, "video": [{"prompt": "x"}]}"#;
    assert_eq!(send("/api/v1/jobs", "application/json", "", json).await.unwrap().0, 201);
    let yaml = "job: {name: y, model: demo}\nvideo:\n  - prompt: x\n";
    assert_eq!(send("/api/v1/jobs", "application/yaml", "", yaml).await.unwrap().0, 201);

    let bad = night.replace("sweep", "seedz").replace("'night'", "7");
    let (status, problem) = send("/api/v1/jobs?dry_run=1", "application/toml", "", &bad).await.unwrap();
    let places: Vec<_> = problem["faults"].as_array().unwrap().iter().map(|fault| fault["line"].clone()).collect();
    assert_eq!((status, places), (422, vec![json!(2), json!(6)]), "{problem}");
    assert!(problem["faults"][1]["message"].as_str().unwrap().contains("seedz"), "{problem}");
    let file = night.replace("prompt", "image = '/etc/passwd'\nprompt");
    let (status, problem) = send("/api/v1/jobs", "application/toml", "", &file).await.unwrap();
    assert!(
        status == 422 && !problem.to_string().contains("root:"),
        "files of this machine are none of a stranger's: {problem}"
    );
    assert_eq!(send("/api/v1/jobs", "text/plain", "", night).await.unwrap().0, 415);
    assert_eq!(send("/api/v1/jobs?taken=burn", "application/toml", "", night).await.unwrap().0, 400);
    assert_eq!(send("/api/v1/jobs", "application/toml", "", &"#".repeat(17 << 20)).await.unwrap().0, 413);
    let (_, kind, text) = farm.ask("GET", "/metrics", &[], None).await;
    assert!(
        kind.starts_with("text/plain") && text.as_str().unwrap().contains("wanfarm_videos{state=\"waiting\"} 6"),
        "{text}"
    );
    farm.coordinator.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pages_of_other_sites_are_kept_out() {
    let mut farm = farm().await;
    let job = farm.submit("night", 1).await;
    let path = format!("/api/v1/jobs/{job}");
    let evil = [("origin", "http://evil.example")];
    assert_eq!(farm.ask("DELETE", &format!("{path}?cancel=1"), &evil, None).await.0, 403);
    assert_eq!(farm.ask("GET", &path, &[("host", "evil.example")], None).await.0, 421);
    assert_eq!(farm.ask("GET", "/", &[("host", "evil.example")], None).await.0, 421);
    // A browser sends what a form can, without asking first.
    for kind in ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data"] {
        let fields = [("content-type", kind), ("te", "trailers")];
        let (_, _, told) = farm.ask("POST", "/render.v1.Farm/ListJobs", &fields, None).await;
        assert_eq!(told, "", "{kind}");
    }
    assert_eq!(farm.client.jobs().await.unwrap().len(), 1, "gRPC itself works beside it");
    farm.coordinator.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_happened_is_told_again_to_whoever_missed_it_even_after_a_restart() {
    let mut farm = farm().await;
    let job = farm.submit("night", 2).await;
    let path = format!("/api/v1/jobs/{job}");
    farm.ask("PATCH", &path, &[], Some(json!({"state": "cancelled"}))).await;
    farm.ask("DELETE", &path, &[], None).await;
    let types = |events: &Value| {
        events["events"].as_array().unwrap().iter().map(|event| event["type"].clone()).collect::<Vec<_>>()
    };
    let told = farm.get(&format!("{path}/events")).await;
    assert_eq!(types(&told), ["job.submitted", "job.ended", "job.forgotten"]);
    let end = &told["events"][1];
    assert_eq!(
        (&end["name"], &end["before"], &end["after"], &end["detail"], &end["video"]),
        (&json!("night"), &json!("active"), &json!("cancelled"), &json!("0 done, 0 failed, 2 cancelled"), &Value::Null)
    );
    let first = farm.get(&format!("{path}/events?limit=1")).await;
    let cursor = first["next_cursor"].as_str().unwrap();
    assert_eq!(types(&farm.get(&format!("{path}/events?cursor={cursor}")).await), ["job.ended", "job.forgotten"]);

    let Farm { coordinator, _folder: folder, .. } = farm;
    coordinator.stop().await;
    let coordinator = start(folder.path()).await;
    let client = Client::connect(&Target::new(&coordinator.address.to_string(), Way::plain())).await.unwrap();
    let mut farm = Farm { coordinator, client, _folder: folder };
    let wait = Duration::from_secs(10);
    let next = |heard: &mpsc::Receiver<(String, Value)>| heard.recv_timeout(wait).unwrap();
    let heard = listen(farm.url("/api/v1/events?last_event_id=1"));
    let (kind, hello) = next(&heard);
    assert_eq!((kind.as_str(), &hello["last_event"]), ("hello", &json!(3)));
    assert_eq!([next(&heard).1["id"].clone(), next(&heard).1["id"].clone()], [json!(2), json!(3)]);
    farm.submit("morning", 1).await;
    let event = std::iter::from_fn(|| Some(next(&heard))).find(|(kind, _)| kind == "event").unwrap().1;
    assert_eq!((&event["id"], &event["type"]), (&json!(4), &json!("job.submitted")), "numbers go on");

    let ends = listen(farm.url("/api/v1/events?last_event_id=0&type=job.ended"));
    assert_eq!((next(&ends).0.as_str(), next(&ends).1["type"].clone()), ("hello", json!("job.ended")));
    let future = listen(farm.url("/api/v1/events?last_event_id=999"));
    assert_eq!((next(&future).0.as_str(), next(&future).0.as_str()), ("hello", "resync"), "of another database");
    farm.coordinator.stop().await;
}

/// The lines of a stream, as they come: type and data.
fn listen(url: String) -> mpsc::Receiver<(String, Value)> {
    let (told, heard) = mpsc::channel();
    std::thread::spawn(move || {
        let response = asked::agent().get(url).call().unwrap();
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        let (_, body) = response.into_parts();
        let mut kind = String::new();
        for line in BufReader::new(body.into_reader()).lines().map_while(Result::ok) {
            if let Some(name) = line.strip_prefix("event: ") {
                kind = name.to_owned();
            } else if let Some(data) = line.strip_prefix("data: ")
                && told.send((kind.clone(), serde_json::from_str(data).unwrap())).is_err()
            {
                return;
            }
        }
    });
    heard
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn changes_are_told_as_they_happen_until_the_coordinator_stops() {
    let mut farm = farm().await;
    let all = listen(farm.url("/api/v1/events"));
    let wait = Duration::from_secs(10);
    assert_eq!(all.recv_timeout(wait).unwrap().0, "hello");
    let job = farm.submit("night", 3).await;
    let mut told: Vec<_> = (0..5).map(|_| all.recv_timeout(wait).unwrap()).collect();
    told.sort_by_key(|(kind, _)| kind.clone());
    let kinds: Vec<&str> = told.iter().map(|(kind, _)| kind.as_str()).collect();
    assert_eq!(kinds, ["event", "job", "video", "video", "video"]);
    assert!(told.iter().all(|(_, line)| line["job"] == json!(job)), "{told:?}");
    assert_eq!((&told[0].1["type"], &told[0].1["after"]), (&json!("job.submitted"), &json!("active")));
    assert!(told[0].1["by"].as_str().unwrap().starts_with("127.0.0.1:"));
    assert_eq!(told[2..].iter().map(|(_, line)| line["index"].clone()).collect::<Vec<_>>(), [0, 1, 2].map(Value::from));
    let jobs = listen(farm.url("/api/v1/events?type=job"));
    let other = listen(farm.url(&format!("/api/v1/events?job={}", job.0 + 1)));
    assert_eq!(jobs.recv_timeout(wait).unwrap().0, "hello");
    assert_eq!(other.recv_timeout(wait).unwrap().0, "hello");
    farm.ask("PATCH", &format!("/api/v1/jobs/{job}"), &[], Some(json!({"state": "cancelled"}))).await;
    let end = std::iter::from_fn(|| jobs.recv_timeout(wait).ok()).find(|(_, line)| line["state"] == "cancelled");
    assert_eq!(end.unwrap().0, "job");
    let large = farm.submit("large", 600).await;
    let told = std::iter::from_fn(|| all.recv_timeout(wait).ok()).find(|(kind, _)| kind == "resync");
    assert_eq!(told.unwrap().1["job"], json!(large), "too many lines to tell one by one");
    let (_, line) = other.recv_timeout(wait).unwrap();
    assert_eq!(&line["job"], &json!(large), "the other job is none of its");
    farm.coordinator.stop().await;
    assert!(matches!(jobs.recv_timeout(wait), Ok((_, _)) | Err(mpsc::RecvTimeoutError::Disconnected)));
    assert!(std::iter::from_fn(|| all.recv_timeout(wait).ok()).count() < 100, "it ends");
}
