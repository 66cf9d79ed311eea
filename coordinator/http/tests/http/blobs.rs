//! Manifests over HTTP that name files: these are given first, by their digests.

use serde_json::{Value, json};
use wanfarm_server::server::Coordinator;

use crate::asked;

/// Status and JSON of an answer; text where it is none.
type Reply = (u16, Value);

const PICTURE: &[u8] = include_bytes!("../../../../deploy/demo/shapes.png");
const MANIFEST: &str = "[job]\nname = 'night'\nmodel = 'demo'\n[[video]]\nprompt = 'a fox'\nimage = 'shots/*.png'\n";

async fn start(folder: &tempfile::TempDir) -> Coordinator {
    asked::start(folder.path(), Default::default(), |_| {}).await
}

async fn ask(coordinator: &Coordinator, method: &str, path: &str, kind: &str, body: &[u8]) -> Reply {
    let url = format!("http://{}/api/v1{path}", coordinator.address);
    let request = axum::http::Request::builder().method(method).uri(url).header("content-type", kind);
    let (status, _, text) = asked::send(request.body(body.to_vec()).unwrap()).await;
    (status, serde_json::from_str(&text).unwrap_or(Value::String(text)))
}

fn digest(bytes: &[u8]) -> String {
    blake3::hash(bytes).to_hex().to_string()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_manifest_is_queued_with_the_files_that_it_names() {
    let folder = tempfile::tempdir().unwrap();
    let coordinator = start(&folder).await;
    let (status, problem) = ask(&coordinator, "POST", "/jobs", "application/toml", MANIFEST.as_bytes()).await;
    assert_eq!((status, &problem["files"]), (422, &json!(["shots/*.png"])), "{problem}");
    assert_eq!((problem["faults"][0]["line"].as_u64(), problem["faults"].as_array().unwrap().len()), (Some(6), 1));

    let with = |files: Value| json!({ "manifest": MANIFEST, "syntax": "toml", "files": files }).to_string();
    let kind = "application/vnd.wanfarm.submission+json";
    let named = with(json!({ "shots/1.png": digest(PICTURE) }));
    let (status, problem) = ask(&coordinator, "POST", "/jobs", kind, named.as_bytes()).await;
    assert_eq!((status, &problem["files"]), (422, &json!(["shots/*.png"])), "not given yet: {problem}");

    let place = format!("/blobs/{}", digest(PICTURE));
    assert_eq!(ask(&coordinator, "HEAD", &place, "text/plain", b"").await.0, 404);
    assert_eq!(ask(&coordinator, "PUT", &place, "image/png", PICTURE).await.0, 201);
    assert_eq!(ask(&coordinator, "HEAD", &place, "text/plain", b"").await.0, 200);
    assert_eq!(ask(&coordinator, "PUT", &place, "image/png", PICTURE).await.0, 204, "it was there");

    let other = with(json!({ "shots/deep/1.png": digest(PICTURE), "1.png": digest(PICTURE) }));
    assert_eq!(ask(&coordinator, "POST", "/jobs", kind, other.as_bytes()).await.0, 422, "no name matches");
    let (status, queued) = ask(&coordinator, "POST", "/jobs", kind, named.as_bytes()).await;
    assert_eq!((status, &queued["videos"]), (201, &json!(1)), "{queued}");
    for bad in [
        "[]",
        "{}",
        r#"{"manifest": "", "syntax": "ini"}"#,
        r#"{"manifest": "", "syntax": "toml", "files": {"a": "b"}}"#,
    ] {
        let (status, problem) = ask(&coordinator, "POST", "/jobs", kind, bad.as_bytes()).await;
        assert_eq!(status, 400, "{bad}: {problem}");
    }
    coordinator.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_is_what_was_announced_or_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let coordinator = start(&folder).await;
    let place = format!("/blobs/{}", digest(b"announced"));
    let (status, problem) = ask(&coordinator, "PUT", &place, "text/plain", b"sent").await;
    assert!(status == 400 && problem["detail"].as_str().unwrap().contains("other bytes"), "{status} {problem}");
    assert_eq!(ask(&coordinator, "HEAD", &place, "text/plain", b"").await.0, 404);
    assert_eq!(ask(&coordinator, "PUT", "/blobs/none", "text/plain", b"sent").await.0, 404, "no digest");
    // No picture: a LoRA file as far as anybody knows. What is wrong with it is a fault of the manifest that names it.
    let lora = b"no safetensors file";
    assert_eq!(ask(&coordinator, "PUT", &format!("/blobs/{}", digest(lora)), "text/plain", lora).await.0, 201);
    let text = "[job]\nname = 'night'\nmodel = 'demo'\n[[video]]\nprompt = 'a fox'\nloras = ['film.safetensors']\n";
    let body = json!({ "manifest": text, "syntax": "toml", "files": { "film.safetensors": digest(lora) } }).to_string();
    let kind = "application/vnd.wanfarm.submission+json";
    let (status, problem) = ask(&coordinator, "POST", "/jobs", kind, body.as_bytes()).await;
    let fault = &problem["faults"][0];
    assert_eq!((status, fault["message"].as_str()), (422, Some("cannot use the LoRA `film.safetensors`")), "{problem}");
    let artifacts = folder.path().join("data/artifacts");
    assert!(!fault.to_string().contains(artifacts.to_str().unwrap()), "no path of this machine: {fault}");
    coordinator.stop().await;
}
