//! A published model comes here from where it is published: a hub that breaks off, lies, refuses, or is not there.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::thread;

use sha2::{Digest, Sha256};

use crate::program::{Ended, Running, Sandbox, binary, demo, says};

const LARGE: &str = "text_encoder/model.safetensors";

/// What a hub does with the files of `studio/tiny`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Manners {
    /// The first answer with a large file ends in its middle.
    BreaksOff,
    /// A large file comes with other bytes than its digest tells.
    Lies,
    /// It wants to know who asks.
    Asks,
}

struct Hub {
    address: String,
    /// The requests for bytes of files: path and where from.
    asked: Arc<Mutex<Vec<(String, u64)>>>,
}

impl Hub {
    fn open(manners: Manners) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = format!("http://{}", listener.local_addr().expect("address"));
        let asked: Arc<Mutex<Vec<(String, u64)>>> = Arc::default();
        let files = Arc::new(files(&demo().join("wan-tiny-t2v"), ""));
        let told = asked.clone();
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (files, told) = (files.clone(), told.clone());
                thread::spawn(move || answer(stream, manners, &files, &told));
            }
        });
        Self { address, asked }
    }

    fn get(&self, sandbox: &Sandbox, name: &str) -> Ended {
        Running::start(&mut get(sandbox, name, &self.address)).wait()
    }
}

/// Paths and bytes of all files below a folder.
fn files(folder: &Path, below: &str) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(folder).expect("a folder").flatten() {
        let name = format!("{below}{}", entry.file_name().to_string_lossy());
        match entry.path().is_dir() {
            true => found.extend(files(&entry.path(), &format!("{name}/"))),
            false => drop(found.insert(name, fs::read(entry.path()).expect("a file"))),
        }
    }
    found
}

/// One connection, as the hub's programs expect it: a range of a file, or the list of all.
fn answer(
    mut stream: TcpStream,
    manners: Manners,
    files: &BTreeMap<String, Vec<u8>>,
    asked: &Mutex<Vec<(String, u64)>>,
) {
    let mut lines = BufReader::new(stream.try_clone().expect("a second end")).lines().map_while(Result::ok);
    while let Some(request) = lines.next() {
        let heads: Vec<String> = lines.by_ref().take_while(|line| !line.is_empty()).collect();
        let range =
            heads.iter().find_map(|head| head.to_ascii_lowercase().strip_prefix("range: bytes=").map(str::to_owned));
        let path = request.split(' ').nth(1).unwrap_or_default().to_owned();
        let allowed = heads.iter().any(|head| head.eq_ignore_ascii_case("authorization: Bearer secret"));
        let whole: Vec<u8>;
        let (status, head, mut body): (_, _, &[u8]) = if manners == Manners::Asks && !allowed {
            ("401 Unauthorized", String::new(), b"")
        } else if path == "/api/models/studio/tiny/revision/main" {
            let siblings: Vec<_> = files.keys().map(|name| serde_json::json!({ "rfilename": name })).collect();
            whole = serde_json::json!({ "siblings": siblings, "sha": "c0ffee" }).to_string().into_bytes();
            ("200 OK", String::new(), &whole)
        } else if let Some((name, bytes)) =
            path.strip_prefix("/studio/tiny/resolve/main/").and_then(|name| files.get_key_value(name))
        {
            let (from, to) = range.as_deref().unwrap_or("0-").split_once('-').expect("a range");
            let from: usize = from.parse().expect("a number");
            let to = to.parse().map_or(bytes.len(), |to: usize| (to + 1).min(bytes.len()));
            if to == bytes.len() && bytes.len() > 1 {
                asked.lock().expect("alone").push((name.clone(), from as u64));
            }
            let digest: String = Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect();
            whole = match manners == Manners::Lies && name == LARGE {
                true => vec![0; bytes.len()],
                false => bytes.clone(),
            };
            let range = format!("content-range: bytes {from}-{}/{}\r\n", to.saturating_sub(1), bytes.len());
            let head = format!("x-repo-commit: c0ffee\r\netag: \"{digest}\"\r\n{range}");
            ("206 Partial Content", head, &whole[from.min(to)..to])
        } else {
            ("404 Not Found", String::new(), b"")
        };
        let head = format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\n{head}\r\n", body.len());
        let is_first = asked.lock().expect("alone").iter().filter(|(name, _)| name == LARGE).count() == 1;
        let breaks = manners == Manners::BreaksOff && path.ends_with(LARGE) && is_first && body.len() > 1;
        if breaks {
            body = &body[..body.len() / 2];
        }
        if stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(body)).is_err() || breaks {
            return;
        }
    }
}

/// A list with the demo model, and one whose file is nowhere.
fn get(sandbox: &Sandbox, name: &str, hub: &str) -> Command {
    let model = |name: &str, paths: &[&str]| {
        let files = paths.iter().map(|path| format!("{{ from = \"studio/tiny\", path = \"{path}\" }}"));
        format!(
            "[[model]]\nname = \"{name}\"\npreset = \"t2v-a14b\"\nweights = \"f32\"\nlicence = \"MIT\"\ndownload = 0.1\n\
             largest = 0.1\ntogether = 0.1\nfiles = [{}]\n",
            files.collect::<Vec<_>>().join(", ")
        )
    };
    let all = ["*", "transformer/*", "transformer_2/*", "text_encoder/*", "vae/*", "tokenizer/*", "scheduler/*"];
    let list = sandbox.path("list.toml");
    fs::write(&list, model("tiny", &all) + &model("gone", &["vae/other.safetensors"])).expect("a list");
    let mut command = Command::new(binary());
    command.args(["models", "get", name, "--list"]).arg(list).arg("--models").arg(sandbox.path("models"));
    command.env("HF_ENDPOINT", hub).env("HF_HOME", sandbox.path("hub")).env_remove("HF_TOKEN");
    command
}

#[test]
fn a_model_comes_whole_though_its_hub_breaks_off_and_nothing_twice() {
    let (sandbox, hub) = (Sandbox::new(), Hub::open(Manners::BreaksOff));
    says(hub.get(&sandbox, "tiny").expect(0).stderr, &["13 files came; 0 were in the cache"]);
    let large: Vec<u64> = {
        let asked = hub.asked.lock().expect("alone");
        asked.iter().filter(|(name, _)| name == LARGE).map(|(_, from)| *from).collect()
    };
    assert!(large.len() == 2 && large[0] == 0 && large[1] > 0, "it goes on where it broke off: {large:?}");
    let model = sandbox.path("models/tiny");
    assert_eq!(
        fs::read(model.join(LARGE)).expect("linked"),
        fs::read(demo().join("wan-tiny-t2v").join(LARGE)).unwrap()
    );
    Running::start(Command::new(binary()).arg("inspect").arg(&model)).wait().expect(0);

    let before = hub.asked.lock().expect("alone").len();
    says(hub.get(&sandbox, "tiny").expect(0).stderr, &["0 files came; 13 were in the cache"]);
    assert_eq!(hub.asked.lock().expect("alone").len(), before);
    let known = Running::start(Command::new(binary()).args(["models", "known", "wan2.2-t2v-a14b", "--memory", "1TB"]));
    says(known.wait().expect(0).stdout, &["Apache-2.0", "hf download Wan-AI/Wan2.2-T2V-A14B", "all at once"]);
}

#[test]
fn a_hub_that_lies_or_refuses_or_is_not_there_is_said_so() {
    let sandbox = Sandbox::new();
    let lies = Hub::open(Manners::Lies);
    says(lies.get(&sandbox, "tiny").expect(4).stderr, &["other bytes than the hub tells of", "was removed"]);
    assert!(!sandbox.path("models/tiny").join(LARGE).exists());
    says(lies.get(&sandbox, "gone").expect(4).stderr, &["no such file in studio/tiny any more"]);
    says(lies.get(&sandbox, "other").expect(2).stderr, &["no model is known as \"other\"", "tiny, gone"]);

    let asks = Hub::open(Manners::Asks);
    let sandbox = Sandbox::new();
    says(asks.get(&sandbox, "tiny").expect(1).stderr, &["HF_TOKEN", "401"]);
    let mut member = get(&sandbox, "tiny", &asks.address);
    Running::start(member.env("HF_TOKEN", "secret")).wait().expect(0);

    let nowhere = TcpListener::bind("127.0.0.1:0").and_then(|port| port.local_addr()).expect("a port");
    let sandbox = Sandbox::new();
    let mut unreachable = get(&sandbox, "tiny", &format!("http://{nowhere}"));
    let ended = Running::start(&mut unreachable).wait().expect(3);
    says(
        ended.stderr,
        &["cannot be read from", "on a machine that reaches it", "hf download studio/tiny --include '*'"],
    );
}
