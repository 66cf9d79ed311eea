//! Programs that are told of what happens: in order, signed, until they have heard, wherever the operator lets them be.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use tokio::time::timeout;
use wanfarm_http::{Outside, Target};
use wanfarm_server::server::Coordinator;

use crate::asked;
use crate::receiver::{Message, Receiver};

const NIGHT: &str = "[job]\nname = 'night'\nmodel = 'demo'\n[[video]]\nprompt = 'a red fox'\nseed = 1\n";
const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

impl Message {
    fn id(&self) -> &str {
        self.fields["webhook-id"].to_str().unwrap()
    }

    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    /// The name of the job that it tells of.
    fn name(&self) -> String {
        self.json()["data"]["name"].as_str().unwrap().to_owned()
    }

    fn is_signed(&self, secret: &str) -> bool {
        let key = STANDARD.decode(secret.strip_prefix("whsec_").unwrap()).unwrap();
        let text = |name: &str| self.fields[name].to_str().unwrap();
        let mut signed = format!("{}.{}.", text("webhook-id"), text("webhook-timestamp")).into_bytes();
        signed.extend(&self.body);
        let tag = STANDARD.decode(text("webhook-signature").strip_prefix("v1,").unwrap()).unwrap();
        ring::hmac::verify(&ring::hmac::Key::new(ring::hmac::HMAC_SHA256, &key), &signed, &tag).is_ok()
    }
}

fn url(receiver: &Receiver) -> String {
    format!("{}/farm?key=secret", receiver.address())
}

fn target(receiver: &Receiver) -> Target {
    receiver.address().trim_start_matches("http://").parse().unwrap()
}

async fn start(folder: &tempfile::TempDir, targets: impl IntoIterator<Item = Target>) -> Coordinator {
    let outside = Outside { targets: targets.into_iter().collect(), ..Outside::default() };
    asked::start(folder.path(), outside, |_| {}).await
}

async fn ask(coordinator: &Coordinator, method: &str, path: &str, body: Option<(&str, String)>) -> (u16, Value) {
    let mut request =
        axum::http::Request::builder().method(method).uri(format!("http://{}/api/v1{path}", coordinator.address));
    if let Some((kind, _)) = body {
        request = request.header("content-type", kind);
    }
    let (status, _, text) = asked::send(request.body(body.unwrap_or_default().1.into()).unwrap()).await;
    (status, serde_json::from_str(&text).unwrap_or_default())
}

async fn submit(coordinator: &Coordinator, name: &str) {
    let (status, job) =
        ask(coordinator, "POST", "/jobs?taken=new_name", Some(("application/toml", NIGHT.replace("night", name))))
            .await;
    assert_eq!(status, 201, "{job}");
}

async fn add(coordinator: &Coordinator, wanted: Value) -> (u16, Value) {
    ask(coordinator, "POST", "/webhooks", Some(("application/json", wanted.to_string()))).await
}

async fn listed(coordinator: &Coordinator) -> Vec<Value> {
    ask(coordinator, "GET", "/webhooks", None).await.1["webhooks"].as_array().unwrap().clone()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_asked_for_is_told_in_order_and_again_until_it_is_heard() {
    let mut receiver = Receiver::start([500, 503, 204]).await;
    let folder = tempfile::tempdir().unwrap();
    let coordinator = start(&folder, [target(&receiver)]).await;
    submit(&coordinator, "before").await;
    let wanted = json!({"url": url(&receiver), "types": ["job.submitted"], "secret": SECRET});
    let (status, added) = add(&coordinator, wanted).await;
    assert_eq!((status, &added["secret"]), (201, &json!(SECRET)), "{added}");
    for name in ["first", "second"] {
        submit(&coordinator, name).await;
    }
    let first = receiver.next().await;
    assert!(first.is_signed(SECRET));
    let body = first.json();
    assert_eq!((&body["type"], &body["data"]["after"]), (&json!("job.submitted"), &json!("active")));
    assert_eq!(body["timestamp"], body["data"]["at"]);
    assert_eq!(first.name(), "first", "not what happened before it was asked for");
    assert_eq!(first.id(), format!("{}.{}", added["id"].as_str().unwrap(), body["data"]["id"]));
    for _ in 0..2 {
        let again = receiver.next().await;
        assert_eq!((again.id(), &again.body), (first.id(), &first.body));
        assert!(again.is_signed(SECRET), "whenever it is sent");
    }
    assert_eq!(receiver.next().await.name(), "second");
    let listed = listed(&coordinator).await;
    assert_eq!(listed[0]["place"], receiver.address(), "{listed:?}");
    assert!(!listed[0].to_string().contains("secret"), "what only the owner is to know is not told: {listed:?}");
    coordinator.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_not_heard_before_a_restart_is_told_after_it() {
    let mut receiver = Receiver::start([204, 0]).await;
    let folder = tempfile::tempdir().unwrap();
    let coordinator = start(&folder, [target(&receiver)]).await;
    let (status, added) = add(&coordinator, json!({"url": url(&receiver), "types": ["job.submitted"]})).await;
    assert_eq!(status, 201, "{added}");
    for name in ["a", "b", "c"] {
        submit(&coordinator, name).await;
    }
    assert_eq!((receiver.next().await.name(), receiver.next().await.name()), ("a".to_owned(), "b".to_owned()));
    coordinator.stop().await;

    let coordinator = start(&folder, []).await;
    let barred = listed(&coordinator).await;
    assert_eq!((barred.len(), &barred[0]["id"]), (1, &added["id"]), "it is remembered");
    submit(&coordinator, "d").await;
    coordinator.stop().await;

    let coordinator = start(&folder, [target(&receiver)]).await;
    let told = [receiver.next().await, receiver.next().await, receiver.next().await];
    assert_eq!(told.each_ref().map(Message::name), ["b", "c", "d"]);
    let secret = added["secret"].as_str().unwrap();
    assert!(told.iter().all(|message| message.is_signed(secret)));
    coordinator.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_sent_where_nobody_said_it_may_be() {
    let receiver = Receiver::start([]).await;
    let folder = tempfile::tempdir().unwrap();
    let coordinator = start(&folder, ["hooks.example".parse().unwrap()]).await;
    let (status, problem) = add(&coordinator, json!({"url": url(&receiver)})).await;
    assert_eq!(status, 403, "{problem}");
    let what_to_do = format!("--webhook-host {}", receiver.address().trim_start_matches("http://"));
    assert!(problem["detail"].as_str().unwrap().contains(&what_to_do), "{problem}");
    let hooks = "https://hooks.example/";
    for (wanted, field) in [
        (json!({"url": "hooks.example"}), "url"),
        (json!({"url": "https://ann:pw@hooks.example/"}), "url"),
        (json!({"url": hooks, "types": []}), "types"),
        (json!({"url": hooks, "types": ["job.endde"]}), "types"),
        (json!({"url": hooks, "types": ["unknown"]}), "types"),
        (json!({"url": hooks, "secret": "whsec_c2hvcnQ="}), "secret"),
        (json!({"url": hooks, "events": []}), "events"),
    ] {
        let (status, problem) = add(&coordinator, wanted).await;
        assert!(status == 400 && problem["detail"].as_str().unwrap().contains(field), "{field}: {status} {problem}");
    }
    for number in 0..16 {
        assert_eq!(add(&coordinator, json!({"url": format!("{hooks}{number}")})).await.0, 201);
    }
    let (status, problem) = add(&coordinator, json!({"url": hooks})).await;
    assert!(status == 507 && problem["detail"].as_str().unwrap().contains("remove one"), "{status} {problem}");
    coordinator.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_hangs_holds_up_nobody_and_one_that_is_gone_is_forgotten() {
    let (mut hangs, mut leaves, mut hears) =
        (Receiver::start([0]).await, Receiver::start([410]).await, Receiver::start([302]).await);
    let folder = tempfile::tempdir().unwrap();
    let coordinator = start(&folder, [target(&hangs), target(&leaves), target(&hears)]).await;
    let mut ids = Vec::new();
    for receiver in [&hangs, &leaves, &hears] {
        let (status, added) = add(&coordinator, json!({"url": url(receiver), "types": ["job.submitted"]})).await;
        assert_eq!(status, 201, "{added}");
        ids.push(added["id"].as_str().unwrap().to_owned());
    }
    submit(&coordinator, "a").await;
    hangs.next().await;
    leaves.next().await;
    let first = hears.next().await;
    assert_eq!(hears.next().await.id(), first.id(), "told again, and not where the answer leads");
    assert!(hears.has_answered());
    let gone = async {
        while listed(&coordinator).await.len() == 3 {
            tokio::task::yield_now().await;
        }
    };
    timeout(Duration::from_secs(60), gone).await.unwrap();
    let left: Vec<String> = listed(&coordinator).await.iter().map(|one| one["id"].as_str().unwrap().into()).collect();
    assert!(!left.contains(&ids[1]) && left.len() == 2, "{left:?}");
    // At once, though an answer of it is being waited for.
    assert_eq!(ask(&coordinator, "DELETE", &format!("/webhooks/{}", ids[0]), None).await.0, 204);
    assert_eq!(ask(&coordinator, "DELETE", &format!("/webhooks/{}", ids[0]), None).await.0, 404);
    submit(&coordinator, "b").await;
    assert_eq!(hears.next().await.name(), "b");
    assert!(hangs.messages.try_recv().is_err() && leaves.messages.try_recv().is_err());
    coordinator.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_to_be_encrypted_is_never_sent_otherwise() {
    let mut receiver = Receiver::start([]).await;
    let folder = tempfile::tempdir().unwrap();
    let coordinator = start(&folder, [target(&receiver)]).await;
    let encrypted = url(&receiver).replace("http:", "https:");
    assert_eq!(add(&coordinator, json!({"url": encrypted, "types": ["job.submitted"]})).await.0, 201);
    submit(&coordinator, "a").await;
    let failing = async {
        loop {
            let one = listed(&coordinator).await.remove(0);
            if one["state"] == "failing" {
                return one;
            }
            tokio::task::yield_now().await;
        }
    };
    let one = timeout(Duration::from_secs(60), failing).await.unwrap();
    assert!(one["error"].as_str().unwrap().contains("corrupt message"), "why is said: {one}");
    assert!(one["next_try"].is_string() && one["heard"].is_null(), "{one}");
    assert!(receiver.messages.try_recv().is_err(), "nothing of it in the clear");
    coordinator.stop().await;
}
