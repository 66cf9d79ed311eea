//! The document of what is served says what is served, and answers are as it says.

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::Value;
use wanfarm_server::server::Coordinator;

use crate::asked;

/// What came back: status, content type, text.
type Reply = (u16, String, String);

/// A coordinator, and the routes of its router.
async fn coordinator(folder: &tempfile::TempDir) -> (Coordinator, BTreeSet<String>) {
    let mut routes = BTreeSet::new();
    let coordinator =
        asked::start(folder.path(), Default::default(), |router| routes = paths(&format!("{router:?}"))).await;
    (coordinator, routes)
}

/// The paths that a router prints of itself, the only way to hear of them.
fn paths(printed: &str) -> BTreeSet<String> {
    let quoted = printed.split('"').skip(1).step_by(2);
    // Pages have no routes: they are what is drawn where there is none. The one that asks for a token is for people.
    let served =
        quoted.filter(|path| path.starts_with('/') && !["/", "/enter"].contains(path) && !path.contains("__private"));
    served.map(|path| path.replace("{*", "{")).collect()
}

async fn ask(coordinator: &Coordinator, method: &str, path: &str, body: Option<(&str, &str)>) -> Reply {
    let url = format!("http://{}{path}", coordinator.address);
    let mut request = axum::http::Request::builder().method(method).uri(url);
    if let Some((kind, _)) = body {
        request = request.header("content-type", kind);
    }
    asked::send(request.body(body.unwrap_or_default().1.into()).unwrap()).await
}

async fn document(coordinator: &Coordinator) -> Value {
    let (status, kind, text) = ask(coordinator, "GET", "/api/openapi.json", None).await;
    assert_eq!((status, kind.as_str()), (200, "application/json"));
    serde_json::from_str(&text).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_document_has_what_is_served_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let (coordinator, routes) = coordinator(&folder).await;
    let document = document(&coordinator).await;
    assert!(document["openapi"].as_str().unwrap().starts_with("3.1"), "{}", document["openapi"]);
    let described = document["paths"].as_object().unwrap();
    assert_eq!(described.keys().cloned().collect::<BTreeSet<_>>(), routes);
    for (path, operations) in described {
        let asked = path.replace("{job}", "1").replace("{video}", "0").replace("{path}", "a/b.png");
        let asked = asked.replace("/v1/videos/0", "/v1/videos/video_1");
        let asked = asked.replace("{webhook}", "00000000-0000-0000-0000-000000000000");
        let asked = asked.replace("{blake3}", &"0".repeat(64));
        let asked = asked.replace("{worker}", "00000000-0000-0000-0000-000000000000");
        for method in ["get", "post", "put", "patch", "delete"] {
            let (status, ..) = ask(&coordinator, &method.to_uppercase(), &asked, None).await;
            let said = operations.get(method);
            assert_eq!(status != 405, said.is_some(), "{method} {path}: {status}");
            let is_said = said.is_none_or(|said| said["responses"].get(status.to_string()).is_some());
            assert!(is_said, "{method} {path} answers {status}, which the document does not say");
        }
    }
    coordinator.stop().await;
}

/// What the pages ask to be changed, as their sources have it: method and path.
fn changes_of_pages(folder: &Path, found: &mut BTreeSet<(String, String)>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            changes_of_pages(&path, found);
        } else if path.extension().is_some_and(|ending| ending == "js") {
            let source = std::fs::read_to_string(&path).unwrap();
            for call in source.split("send(\"").skip(1) {
                let said: Vec<&str> = call.splitn(4, '"').collect();
                let [method, ", ", template, _] = said[..] else { panic!("{}: send(\"{call:.60}", path.display()) };
                found.insert((method.to_lowercase(), format!("/api/v1{template}")));
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_pages_ask_to_be_changed_can_be() {
    let folder = tempfile::tempdir().unwrap();
    let (coordinator, _) = coordinator(&folder).await;
    let document = document(&coordinator).await;
    let described = document["paths"].as_object().unwrap();
    let unnamed = |path: &str| {
        path.split('/').map(|part| if part.starts_with('{') { "{}" } else { part }).collect::<Vec<_>>().join("/")
    };
    let served: BTreeSet<(String, String)> = described
        .iter()
        .flat_map(|(path, operations)| {
            operations.as_object().unwrap().keys().map(move |method| (method.clone(), unnamed(path)))
        })
        .collect();
    let mut asked = BTreeSet::new();
    changes_of_pages(&Path::new(env!("CARGO_MANIFEST_DIR")).join("pages"), &mut asked);
    assert!(asked.contains(&("post".to_owned(), "/api/v1/jobs/{}/rerender".to_owned())), "{asked:?}");
    assert_eq!(asked.difference(&served).collect::<Vec<_>>(), Vec::<&(String, String)>::new());
    coordinator.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_are_as_the_document_says() {
    let folder = tempfile::tempdir().unwrap();
    let (coordinator, _) = coordinator(&folder).await;
    let document = document(&coordinator).await;
    let night = "[job]\nname = 'night'\nmodel = 'demo'\n[[video]]\nprompt = 'a red fox'\n\
                 cache = 'magcache'\nsweep = { seed = [1, 2] }\n";
    let toml = |text| Some(("application/toml", text));
    let json = |text| Some(("application/json", text));
    let nobody = "00000000-0000-0000-0000-000000000000";
    let bad = night.replace("prompt", "promptt").replace("'night'", "7");
    for (method, path, body, status, template) in [
        ("POST", "/api/v1/jobs?dry_run=1", toml(night), 200, "/api/v1/jobs"),
        ("POST", "/api/v1/jobs", toml(night), 201, "/api/v1/jobs"),
        ("POST", "/api/v1/jobs", toml(night), 409, "/api/v1/jobs"),
        ("POST", "/api/v1/jobs?taken=new_name", toml(night), 201, "/api/v1/jobs"),
        ("POST", "/api/v1/jobs", toml(bad.as_str()), 422, "/api/v1/jobs"),
        ("POST", "/api/v1/jobs", json("{"), 422, "/api/v1/jobs"),
        ("GET", "/api/v1/jobs", None, 200, "/api/v1/jobs"),
        ("GET", "/api/v1/jobs?limit=1", None, 200, "/api/v1/jobs"),
        ("GET", "/api/v1/jobs?state=asleep", None, 400, "/api/v1/jobs"),
        ("GET", "/api/v1/jobs/1", None, 200, "/api/v1/jobs/{job}"),
        ("GET", "/api/v1/jobs/77", None, 404, "/api/v1/jobs/{job}"),
        ("PATCH", "/api/v1/jobs/1", json(r#"{"owner": "ann", "labels": {"shot": "1"}}"#), 200, "/api/v1/jobs/{job}"),
        ("PATCH", "/api/v1/jobs/1", json(r#"{"state": "done"}"#), 400, "/api/v1/jobs/{job}"),
        ("GET", "/api/v1/jobs/1/videos", None, 200, "/api/v1/jobs/{job}/videos"),
        ("GET", "/api/v1/jobs/1/videos?state=asleep", None, 400, "/api/v1/jobs/{job}/videos"),
        ("GET", "/api/v1/jobs/1/videos/0", None, 200, "/api/v1/jobs/{job}/videos/{video}"),
        ("PATCH", "/api/v1/jobs/1/videos/0", json(r#"{"state": "done"}"#), 400, "/api/v1/jobs/{job}/videos/{video}"),
        ("GET", "/api/v1/jobs/1/videos/0/files", None, 200, "/api/v1/jobs/{job}/videos/{video}/files"),
        ("GET", "/api/v1/jobs/1/report.json", None, 200, "/api/v1/jobs/{job}/report.json"),
        ("GET", "/api/v1/jobs/1/events", None, 200, "/api/v1/jobs/{job}/events"),
        ("GET", "/api/v1/history?job=1&type=job.submitted", None, 200, "/api/v1/history"),
        ("GET", "/api/v1/history?type=job.sings", None, 400, "/api/v1/history"),
        ("GET", "/api/v1/attempts?since=2026-11-28T21:04:05Z&job=1", None, 200, "/api/v1/attempts"),
        ("GET", "/api/v1/attempts?until=later", None, 400, "/api/v1/attempts"),
        ("GET", "/api/v1/attempts?job=9007199254740992", None, 400, "/api/v1/attempts"),
        ("GET", "/api/v1/history?type=", None, 200, "/api/v1/history"),
        ("GET", "/api/v1/workers", None, 200, "/api/v1/workers"),
        ("GET", &format!("/api/v1/workers/{nobody}/log"), None, 404, "/api/v1/workers/{worker}/log"),
        ("GET", &format!("/api/v1/workers/{nobody}/log?tail=1001"), None, 400, "/api/v1/workers/{worker}/log"),
        ("GET", "/api/v1/farm", None, 200, "/api/v1/farm"),
        ("GET", "/api/v1/version", None, 200, "/api/v1/version"),
        ("PATCH", "/api/v1/jobs/1", json(r#"{"state": "cancelled"}"#), 200, "/api/v1/jobs/{job}"),
        ("POST", "/api/v1/jobs/1/retry", None, 200, "/api/v1/jobs/{job}/retry"),
        ("DELETE", "/api/v1/jobs/1", None, 409, "/api/v1/jobs/{job}"),
        ("DELETE", "/api/v1/jobs/1?cancel=1", None, 204, "/api/v1/jobs/{job}"),
    ] {
        let (answered, kind, text) = ask(&coordinator, method, path, body).await;
        assert_eq!(answered, status, "{method} {path}: {text}");
        let said = &document["paths"][template][method.to_lowercase()]["responses"][status.to_string()];
        assert!(said.is_object(), "{method} {path}: {status} is not in the document");
        if status == 204 {
            continue;
        }
        let schema = &said["content"][kind.as_str()]["schema"];
        assert!(schema.is_object(), "{method} {path}: {status} as {kind} is not in the document");
        let told: Value = serde_json::from_str(&text).unwrap();
        let checked = Schemas { document: &document }.check(schema, &told);
        assert!(checked.is_ok(), "{method} {path}: {}\n{told:#}", checked.unwrap_err());
    }
    coordinator.stop().await;
}

/// Holds values against the schemas of a document, as far as the document uses the words of schemas.
struct Schemas<'a> {
    document: &'a Value,
}

impl Schemas<'_> {
    /// Says what is wrong with a value. A field that its schema does not name is wrong as well.
    fn check(&self, schema: &Value, value: &Value) -> Result<(), String> {
        self.check_shape(schema, value)?;
        let known = self.names(schema);
        let fields = value.as_object().into_iter().flatten();
        let unknown: Vec<_> = fields.filter(|(name, _)| !known.contains(*name)).map(|(name, _)| name).collect();
        let is_map = schema["additionalProperties"].is_object();
        if is_map || unknown.is_empty() { Ok(()) } else { Err(format!("{unknown:?} not in the document")) }
    }

    fn check_shape(&self, schema: &Value, value: &Value) -> Result<(), String> {
        let wrong = |why: &str| Err(format!("{why}: {value} is not {schema}"));
        if let Some(place) = schema["$ref"].as_str() {
            return self.check(self.referred(place), value);
        }
        let is_of = |kind: &Value| match kind.as_str() {
            Some("null") => value.is_null(),
            Some("boolean") => value.is_boolean(),
            Some("integer") => value.is_u64() || value.is_i64(),
            Some("number") => value.is_number(),
            Some("string") => value.is_string(),
            Some("array") => value.is_array(),
            Some("object") => value.is_object(),
            _ => panic!("the test does not know {kind}"),
        };
        match &schema["type"] {
            Value::Null => {}
            Value::Array(kinds) if kinds.iter().any(is_of) => {}
            kind @ Value::String(_) if is_of(kind) => {}
            _ => return wrong("type"),
        }
        if schema["enum"].as_array().is_some_and(|values| !values.contains(value)) {
            return wrong("enum");
        }
        if let Some(required) = schema["required"].as_array().filter(|_| value.is_object())
            && required.iter().any(|name| value.get(name.as_str().unwrap_or_default()).is_none())
        {
            return wrong("required");
        }
        for (name, field) in value.as_object().into_iter().flatten() {
            if let Some(schema) = schema["properties"].get(name) {
                self.check(schema, field).map_err(|why| format!("{name}: {why}"))?;
            } else if schema["additionalProperties"].is_object() {
                self.check(&schema["additionalProperties"], field).map_err(|why| format!("{name}: {why}"))?;
            } else if schema["additionalProperties"] == false {
                return wrong("additionalProperties");
            }
        }
        for element in value.as_array().into_iter().flatten().filter(|_| schema["items"].is_object()) {
            self.check(&schema["items"], element)?;
        }
        schema["allOf"].as_array().into_iter().flatten().try_for_each(|part| match part["$ref"].as_str() {
            Some(place) => self.check_shape(self.referred(place), value),
            None => self.check_shape(part, value),
        })?;
        let Some(choices) = schema["oneOf"].as_array() else { return Ok(()) };
        let tried: Vec<_> = choices.iter().map(|choice| self.check_shape(choice, value)).collect();
        let whys = || tried.iter().filter_map(|tried| tried.clone().err()).collect::<Vec<_>>().join("; ");
        match tried.iter().filter(|tried| tried.is_ok()).count() {
            1 => Ok(()),
            0 => Err(format!("none of oneOf: {}", whys())),
            _ => wrong("more than one of oneOf"),
        }
    }

    fn referred(&self, place: &str) -> &Value {
        self.document.pointer(place.trim_start_matches('#')).unwrap()
    }

    /// The fields that a schema names, of all that it is made of.
    fn names(&self, schema: &Value) -> BTreeSet<String> {
        let own = schema["properties"].as_object().into_iter().flatten().map(|(name, _)| name.clone());
        let mut names: BTreeSet<String> = own.collect();
        if let Some(place) = schema["$ref"].as_str() {
            names.extend(self.names(self.referred(place)));
        }
        for parts in ["allOf", "oneOf"] {
            names.extend(schema[parts].as_array().into_iter().flatten().flat_map(|part| self.names(part)));
        }
        names
    }
}
