//! Videos as other servers' clients ask for them. Rendering is seen in the tests of whole processes; here nobody renders.

use serde_json::{Value, json};
use wanfarm_server::server::Coordinator;

use crate::asked;

const PICTURE: &[u8] = include_bytes!("../../../../deploy/demo/shapes.png");

async fn start(folder: &tempfile::TempDir) -> Coordinator {
    asked::start(folder.path(), Default::default(), |_| {}).await
}

async fn ask(coordinator: &Coordinator, method: &str, path: &str, body: Option<(&str, Vec<u8>)>) -> (u16, Value) {
    let url = format!("http://{}{path}", coordinator.address);
    let mut request = axum::http::Request::builder().method(method).uri(url);
    if let Some((kind, _)) = body {
        request = request.header("content-type", kind);
    }
    let (status, _, text) = asked::send(request.body(body.map(|(_, body)| body).unwrap_or_default()).unwrap()).await;
    (status, serde_json::from_str(&text).unwrap_or(Value::String(text)))
}

async fn create(coordinator: &Coordinator, wanted: Value) -> (u16, Value) {
    ask(coordinator, "POST", "/v1/videos", Some(("application/json", wanted.to_string().into_bytes()))).await
}

/// A form of texts, and of a picture if there is one.
fn form(texts: &[(&str, &str)], picture: Option<&[u8]>) -> Option<(&'static str, Vec<u8>)> {
    let mut body = Vec::new();
    for (name, text) in texts {
        body.extend(format!("--edge\r\ncontent-disposition: form-data; name=\"{name}\"\r\n\r\n{text}\r\n").bytes());
    }
    if let Some(picture) = picture {
        let head = "--edge\r\ncontent-disposition: form-data; name=\"input_reference\"; filename=\"a.png\"\r\n\
                    content-type: image/png\r\n\r\n";
        body.extend(head.bytes());
        body.extend(picture);
        body.extend(b"\r\n");
    }
    body.extend(b"--edge--\r\n");
    Some(("multipart/form-data; boundary=edge", body))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_video_is_queued_told_listed_and_forgotten() {
    let folder = tempfile::tempdir().unwrap();
    let coordinator = start(&folder).await;
    let wanted = json!({
        "prompt": "a {red} fox", "model": "demo", "size": "832x480", "seconds": "5", "fps": 16, "seed": 7,
        "negative_prompt": "", "guidance_scale": 4, "guidance_scale_2": 3.0, "num_inference_steps": 4,
    });
    let (status, video) = create(&coordinator, wanted).await;
    assert_eq!(status, 200, "{video}");
    let told = ["id", "object", "status", "model", "size", "seconds", "prompt"].map(|name| video[name].clone());
    assert_eq!(told, ["video_1", "video", "queued", "demo", "832x480", "5.06", "a {red} fox"].map(Value::from));
    assert_eq!((&video["seed"], &video["progress"], &video["error"]), (&json!(7), &json!(0), &Value::Null));
    assert!(video["created_at"].as_i64().unwrap() > 1_700_000_000);

    // Of a job with several videos, nothing is told here.
    let night = "[job]\nname = 'night'\nmodel = 'demo'\n[[video]]\nprompt = 'a'\nsweep = { seed = [1, 2] }\n";
    assert_eq!(ask(&coordinator, "POST", "/api/v1/jobs", Some(("application/toml", night.into()))).await.0, 201);
    assert_eq!(ask(&coordinator, "GET", "/v1/videos/video_2", None).await.0, 404);
    for seed in [8, 9] {
        let (status, video) = create(&coordinator, json!({"prompt": "a fox", "model": "demo", "seed": seed})).await;
        assert_eq!((status, &video["size"]), (200, &json!("")), "the model says nothing yet: {video}");
    }
    let names = async |query: &str| {
        let (status, list) = ask(&coordinator, "GET", &format!("/v1/videos{query}"), None).await;
        assert_eq!((status, &list["object"]), (200, &json!("list")), "{list}");
        let names: Vec<String> =
            list["data"].as_array().unwrap().iter().map(|video| video["id"].as_str().unwrap().into()).collect();
        assert_eq!((&list["first_id"], &list["last_id"]), (&json!(names.first()), &json!(names.last())));
        (names.join(" "), list["has_more"].as_bool().unwrap())
    };
    assert_eq!(names("").await, ("video_4 video_3 video_1".into(), false));
    assert_eq!(names("?limit=2").await, ("video_4 video_3".into(), true));
    assert_eq!(names("?limit=2&after=video_3").await, ("video_1".into(), false));
    assert_eq!(names("?order=asc&after=video_1&limit=1").await, ("video_3".into(), true));
    for bad in ["?limit=0", "?limit=101", "?limit=x", "?after=3", "?order=up"] {
        assert_eq!(ask(&coordinator, "GET", &format!("/v1/videos{bad}"), None).await.0, 400, "{bad}");
    }

    assert_eq!(ask(&coordinator, "GET", "/v1/videos/video_3/content", None).await.0, 409, "not rendered yet");
    let gone = json!({"id": "video_3", "object": "video.deleted", "deleted": true});
    assert_eq!(ask(&coordinator, "DELETE", "/v1/videos/video_3", None).await, (200, gone));
    assert_eq!(ask(&coordinator, "GET", "/v1/videos/video_3", None).await.0, 404);
    assert_eq!(ask(&coordinator, "DELETE", "/v1/videos/video_2", None).await.0, 404, "a whole job is not one video");
    assert_eq!(names("").await.0, "video_4 video_1");
    coordinator.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_first_frame_comes_with_the_request_and_from_nowhere_else() {
    use base64::Engine;
    let folder = tempfile::tempdir().unwrap();
    let coordinator = start(&folder).await;
    let texts = [("prompt", "42"), ("model", "demo"), ("seconds", "2"), ("fps", "16"), ("seed", "7")];
    let (status, video) = ask(&coordinator, "POST", "/v1/videos", form(&texts, Some(PICTURE))).await;
    assert_eq!(status, 200, "{video}");
    assert_eq!((&video["prompt"], &video["seed"]), (&json!("42"), &json!(7)), "a text of digits stays one");
    let address = format!("data:image/png;base64,{}", base64::engine::general_purpose::STANDARD.encode(PICTURE));
    let (status, video) =
        create(&coordinator, json!({"prompt": "a", "model": "demo", "input_reference": address})).await;
    assert_eq!(status, 200, "{video}");
    // The same picture is kept once.
    let place = format!("/api/v1/blobs/{}", blake3::hash(PICTURE).to_hex());
    assert_eq!(ask(&coordinator, "HEAD", &place, None).await.0, 200);

    for address in ["http://127.0.0.1:9/a.png", "/etc/passwd", "data:image/png;base64,!"] {
        let wanted = json!({"prompt": "a", "model": "demo", "input_reference": address});
        let (status, problem) = create(&coordinator, wanted).await;
        assert!(status == 400 && problem["detail"].as_str().unwrap().contains("input_reference"), "{problem}");
    }
    let (status, problem) = ask(&coordinator, "POST", "/v1/videos", form(&texts, Some(b"no picture"))).await;
    assert!(status == 422 && problem.to_string().contains("image"), "{status} {problem}");
    for (texts, field) in [
        (&[("prompt", "a"), ("model", "demo"), ("seed", "many")][..], "seed"),
        (&[("prompt", "a"), ("model", "demo"), ("colour", "red")], "colour"),
        (&[("prompt", "a"), ("prompt", "b")], "twice"),
        (&[("model", "demo")], "prompt"),
    ] {
        let (status, problem) = ask(&coordinator, "POST", "/v1/videos", form(texts, None)).await;
        assert!(status == 400 && problem["detail"].as_str().unwrap().contains(field), "{field}: {status} {problem}");
    }
    let cut = ("multipart/form-data; boundary=edge", b"--edge\r\ncontent-disp".to_vec());
    assert_eq!(ask(&coordinator, "POST", "/v1/videos", Some(cut)).await.0, 400);
    coordinator.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_makes_no_sense_is_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let coordinator = start(&folder).await;
    for (wanted, status, said) in [
        (json!({"prompt": "a"}), 400, "model"),
        (json!({"prompt": "a", "model": "demo", "seconds": 4}), 400, "say fps as well"),
        (json!({"prompt": "a", "model": "demo", "size": "large"}), 400, "size"),
        (json!({"prompt": "a", "model": "demo", "guidance_scale_2": 4}), 400, "guidance_scale"),
        (json!({"prompt": "a", "model": "demo", "secondz": 4}), 400, "secondz"),
        (json!({"prompt": "", "model": "demo"}), 422, "prompt"),
        (json!({"prompt": "a", "model": "demo", "num_frames": 82}), 422, "frames"),
        (json!({"prompt": "a", "model": "demo", "seconds": 599, "fps": 240}), 422, "frames"),
    ] {
        let (answered, problem) = create(&coordinator, wanted.clone()).await;
        assert!(answered == status && problem.to_string().contains(said), "{wanted}: {answered} {problem}");
    }
    coordinator.stop().await;
}
