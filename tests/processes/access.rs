//! Whoever is not invited gets nothing; whoever is a member computes, submits, and is cut off again.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use serde_json::Value;

use crate::chaos::{STEMS, manifest, undisturbed};
use crate::farm::ROLES;
use crate::pages::browser::Browser;
use crate::program::{Ended, Running, Sandbox, binary, demo, eventually};

/// A farm that others reach, and so one that asks who they are.
pub(crate) struct Guarded<'s> {
    sandbox: &'s Sandbox,
    pub(crate) processes: Vec<Child>,
    /// Host and port.
    pub(crate) address: String,
}

impl<'s> Guarded<'s> {
    pub(crate) fn start(sandbox: &'s Sandbox) -> Self {
        let mut farm = Self { sandbox, processes: Vec::new(), address: String::new() };
        farm.serve("[::]:0", &[]);
        farm
    }

    /// Starts the coordinator; the first process is always that.
    pub(crate) fn serve(&mut self, listen: &str, options: &[&str]) {
        let mut serve = self.command("operator");
        serve.args(["serve", "--listen", listen, "--host", "127.0.0.1", "--data"]).arg(self.sandbox.path("data"));
        serve.arg("--output").arg(self.sandbox.output()).args(options).stdout(Stdio::piped());
        let mut process = serve.spawn().expect("the coordinator starts");
        let mut line = String::new();
        BufReader::new(process.stdout.take().expect("stdout")).read_line(&mut line).expect("a line");
        let port = line.trim().rsplit(':').next().expect("a port");
        assert!(line.starts_with("listening on https://"), "{line:?}");
        self.address = format!("127.0.0.1:{port}");
        self.processes.insert(0, process);
        // It listens before whoever runs it is a member.
        eventually("whoever has started it is an operator", || {
            (self.asked("operator", &["access", "list"]).code() == Some(0)).then_some(())
        });
    }

    pub(crate) fn stop_coordinator(&mut self) {
        let mut coordinator = self.processes.remove(0);
        coordinator.kill().expect("kill");
        coordinator.wait().expect("wait");
    }

    fn folder(&self, member: &str) -> PathBuf {
        self.sandbox.path(&format!("member-{member}"))
    }

    pub(crate) fn command(&self, member: &str) -> Command {
        let mut command = Command::new(binary());
        command
            .env("WANFARM_MEMBERSHIP", self.folder(member))
            .env("WANFARM_LOG", "off")
            .env_remove("WANFARM_COORDINATOR");
        command.stdin(Stdio::null()).stdout(Stdio::null());
        command
    }

    pub(crate) fn asked(&self, member: &str, arguments: &[&str]) -> Ended {
        Running::start(self.command(member).args(arguments)).wait()
    }

    /// A line to join with.
    pub(crate) fn line(&self, rights: &str, options: &[&str]) -> String {
        let granted = self.asked("operator", &[&["access", "grant", rights], options].concat()).expect(0);
        granted.stdout.trim().to_owned()
    }

    pub(crate) fn join(&self, member: &str, rights: &str) {
        self.asked(member, &["join", &self.line(rights, &[]), "--name", member]).expect(0);
    }

    fn worker(&self, member: &str, role: &str) -> Command {
        let mut worker = self.command(member);
        worker.args(["worker", "--role", role, "--name", role, "--threads", "1", "--models"]).arg(demo());
        worker.arg("--data").arg(self.sandbox.path(role));
        worker
    }

    fn grant_of(&self, name: &str) -> String {
        let listed = self.asked("operator", &["access", "list", "--json"]).expect(0).stdout;
        let listed: Value = serde_json::from_str(&listed).expect("JSON");
        let grants = listed["grants"].as_array().expect("grants");
        let found = grants.iter().find(|grant| grant["name"] == name).unwrap_or_else(|| panic!("{name}: {listed}"));
        found["id"].to_string()
    }

    /// The answer to a request over HTTP/1.1, as a browser or a script makes it that trusts the farm's authority.
    fn http(&self, request: &str) -> String {
        let mut roots = RootCertStore::empty();
        let authority =
            CertificateDer::from_pem_file(self.folder("operator").join("authority.pem")).expect("an authority");
        roots.add(authority).expect("a certificate");
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config =
            ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().expect("versions");
        let config = config.with_root_certificates(roots).with_no_client_auth();
        let name = ServerName::try_from("127.0.0.1").expect("a name");
        let connection = ClientConnection::new(Arc::new(config), name).expect("a connection");
        let socket = TcpStream::connect(&self.address).expect("it listens");
        let mut stream = StreamOwned::new(connection, socket);
        let request = request.replace('\n', "\r\n").replacen("HOST", &self.address, 1);
        stream.write_all(request.as_bytes()).expect("it is heard");
        let mut answer = Vec::new();
        // It may hang up without a goodbye.
        let _ = stream.read_to_end(&mut answer);
        String::from_utf8_lossy(&answer).into_owned()
    }

    fn get(&self, path: &str, fields: &str) -> String {
        self.http(&format!("GET {path} HTTP/1.1\nHost: HOST\nConnection: close\n{fields}\n"))
    }
}

impl Drop for Guarded<'_> {
    fn drop(&mut self) {
        for process in &mut self.processes {
            let _ = process.kill();
            let _ = process.wait();
        }
    }
}

fn says(text: &str, parts: &[&str]) {
    for part in parts {
        assert!(text.contains(part), "{part:?} is not in:\n{text}");
    }
}

#[test]
fn members_render_over_encrypted_connections_with_the_bytes_of_an_undisturbed_run() {
    let sandbox = Sandbox::new();
    let mut farm = Guarded::start(&sandbox);
    // Each machine has a key of its own; one line is for all of them.
    let line = farm.line("worker", &["--uses", "4"]);
    for role in ROLES {
        farm.asked(role, &["join", &line, "--name", role]).expect(0);
        let worker = farm.worker(role, role).spawn().expect("a worker");
        farm.processes.push(worker);
    }
    says(&farm.asked("late", &["join", &line]).expect(2).stderr, &["opens nothing", "access grant"]);
    farm.join("artist", "submitter");
    let manifest = manifest(&sandbox).display().to_string();
    let job = farm.asked("artist", &["submit", &manifest]).expect(0).stdout.trim().to_owned();
    sandbox.first_artifact();
    // The coordinator dies in the middle, and whoever is a member is one to the next.
    let port = farm.address.rsplit(':').next().expect("a port").to_owned();
    farm.stop_coordinator();
    farm.serve(&format!("[::]:{port}"), &[]);
    eventually("the job ends", || {
        let status = farm.asked("artist", &["status", &job, "--json"]).stdout;
        let status: Value = serde_json::from_str(&status).ok()?;
        (status["job"]["state"] == "done").then_some(())
    });
    assert_eq!(sandbox.bytes(&STEMS), undisturbed());
    let workers = farm.asked("artist", &["workers"]).expect(0).stdout;
    assert!(!workers.contains("cannot reach"), "{workers}");
    // What one may not: the rights are those of the line.
    says(&farm.asked("artist", &["workers", "drain", "vae"]).expect(2).stderr, &["needs the right `operator`"]);
    says(&farm.asked("artist", &["access", "list"]).expect(2).stderr, &["needs the right `operator`"]);
    says(&farm.asked("vae", &["status"]).expect(2).stderr, &["needs the right `viewer`"]);
    let asked: Vec<String> = ["joined", "granted"].map(|what| format!("\"access.{what}\"")).to_vec();
    let token = farm.line("viewer", &["--token", "--name", "auditor"]);
    let history = farm.get("/api/v1/history?limit=200", &format!("Authorization: Bearer {token}\n"));
    asked.iter().for_each(|kind| says(&history, &[kind]));
}

#[test]
fn a_stranger_gets_nothing_by_any_protocol() {
    let sandbox = Sandbox::new();
    let farm = Guarded::start(&sandbox);
    let url = format!("https://{}", farm.address);
    // Without a key, with one that nobody knows, and in plain text.
    says(&farm.asked("stranger", &["status", "--coordinator", &url]).expect(2).stderr, &["coordinator join LINE"]);
    let other = Sandbox::new();
    let former = Guarded::start(&other);
    former.join("former", "worker,operator");
    let folder = former.folder("former").display().to_string();
    let asked =
        |arguments: &[&str]| farm.asked("x", &[arguments, &["--membership", &folder, "--coordinator", &url]].concat());
    says(&asked(&["status"]).expect(3).stderr, &["not of the farm whose authority is"]);
    let mut worker = farm.worker("x", "vae");
    worker.args(["--membership", &folder, "--coordinator", &url]).env("WANFARM_LOG", "info").stderr(Stdio::piped());
    let mut worker = worker.spawn().expect("a worker");
    let told = BufReader::new(worker.stderr.take().expect("stderr")).lines().map_while(Result::ok);
    let refused = told.take(200).find(|line| line.contains("not of the farm whose authority is"));
    worker.kill().expect("kill");
    worker.wait().expect("wait");
    assert!(refused.is_some(), "it says why it is not connected");
    let plain = format!("http://{}", farm.address);
    let told = farm.asked("operator", &["status", "--coordinator", &plain]).expect(2).stderr;
    says(&told, &["it encrypts: name it as https://"]);
    // By HTTP.
    says(&farm.get("/api/v1/jobs", ""), &["HTTP/1.1 401", "www-authenticate: Bearer", "coordinator join"]);
    says(&farm.get("/metrics", ""), &["HTTP/1.1 401"]);
    says(&farm.get("/", "Accept: text/html\n"), &["HTTP/1.1 303", "location: /enter"]);
    says(&farm.get("/enter", "Accept: text/html\n"), &["HTTP/1.1 200", "<form method=\"post\""]);
    says(&farm.get("/healthz", ""), &["HTTP/1.1 200"]);
    for wrong in ["Bearer wf_00000000000000000000000000000000", "Bearer x y", "Basic b3BlcmF0b3I6"] {
        says(&farm.get("/api/v1/jobs", &format!("Authorization: {wrong}\n")), &["HTTP/1.1 401"]);
    }
    // By a token, as far as that goes and for as long as it is valid.
    let token = farm.line("viewer", &["--token", "--name", "grafana"]);
    let bearer = format!("Authorization: Bearer {token}\n");
    says(&farm.get("/api/v1/jobs", &bearer), &["HTTP/1.1 200"]);
    says(&farm.get("/api/v1/jobs", &format!("Cookie: wanfarm={token}\n")), &["HTTP/1.1 200"]);
    says(&farm.get("/api/v1/webhooks", &bearer), &["HTTP/1.1 403", "right `operator`"]);
    let post = format!("POST /api/v1/jobs HTTP/1.1\nHost: HOST\nConnection: close\nContent-Length: 0\n{bearer}\n");
    says(&farm.http(&post), &["HTTP/1.1 403", "right `submitter`"]);
    farm.asked("operator", &["access", "revoke", &farm.grant_of("grafana")]).expect(0);
    says(&farm.get("/api/v1/jobs", &bearer), &["HTTP/1.1 401"]);
    let page = farm.get("/", &format!("Accept: text/html\nCookie: wanfarm={token}\n"));
    says(&page, &["HTTP/1.1 303", "location: /enter?refused"]);
    // What is replayed, mistyped or in pieces.
    let line = farm.line("worker", &[]);
    farm.asked("one", &["join", &line]).expect(0);
    farm.asked("one", &["join", &line]).expect(0);
    says(&farm.asked("two", &["join", &line]).expect(2).stderr, &["opens nothing"]);
    says(&farm.asked("two", &["join", &line[..line.len() - 4]]).expect(2).stderr, &["no line to join with"]);
    let forged = line.replace("#", "#f").replace("#f", "#").replacen(&line[line.len() - 8..], "00000000", 1);
    says(&farm.asked("two", &["join", &forged]).expect(3).stderr, &["not of the farm whose authority is"]);
}

#[test]
fn a_revoked_machine_is_cut_off_and_ends_and_one_that_joins_again_is_back() {
    let sandbox = Sandbox::new();
    let farm = Guarded::start(&sandbox);
    farm.join("mac-3", "worker");
    let worker = Running::start(&mut farm.worker("mac-3", "vae"));
    eventually("the worker is there", || {
        farm.asked("operator", &["workers", "--json"]).stdout.contains("\"idle\"").then_some(())
    });
    farm.asked("operator", &["access", "revoke", &farm.grant_of("mac-3")]).expect(0);
    says(&worker.wait().expect(3).stderr, &["refuses this worker", "does not know the key"]);
    farm.join("mac-3", "worker");
    let mut again = farm.worker("mac-3", "vae").spawn().expect("a worker");
    eventually("the worker is there", || {
        farm.asked("operator", &["workers", "--json"]).stdout.contains("\"idle\"").then_some(())
    });
    again.kill().expect("kill");
    again.wait().expect("wait");
}

#[test]
fn an_authority_that_is_lost_is_not_replaced_unasked_and_members_learn_a_new_one_without_a_token() {
    let sandbox = Sandbox::new();
    let mut farm = Guarded::start(&sandbox);
    farm.join("mac-3", "submitter");
    let old = farm.line("worker", &[]);
    farm.stop_coordinator();
    let port = farm.address.rsplit(':').next().expect("a port").to_owned();
    let listen = format!("[::]:{port}");
    std::fs::rename(sandbox.path("data/authority"), sandbox.path("lost")).expect("it was there");
    let mut serve = farm.command("operator");
    serve.args(["serve", "--listen", &listen, "--data"]).arg(sandbox.path("data"));
    let told = Running::start(serve.arg("--output").arg(sandbox.output())).wait();
    assert_ne!(told.code(), Some(0));
    says(&told.stderr, &["by an authority that is not in", "--new-authority"]);
    farm.serve(&listen, &["--new-authority"]);
    says(&farm.asked("mac-3", &["status"]).expect(3).stderr, &["not of the farm whose authority is"]);
    let line = farm.line("worker", &[]);
    assert_ne!(authority(&line), authority(&old));
    let known = format!("wanfarm://{}#{}", farm.address, authority(&line));
    says(&farm.asked("mac-3", &["join", &known]).expect(2).stderr, &["--replace"]);
    farm.asked("mac-3", &["join", &known, "--replace"]).expect(0);
    farm.asked("mac-3", &["status"]).expect(0);
    says(&farm.asked("nobody", &["join", &known]).expect(2).stderr, &["opens nothing"]);
}

fn authority(line: &str) -> &str {
    line.rsplit('#').next().expect("an authority")
}

#[test]
fn a_person_enters_by_browser_with_a_token_until_it_is_revoked() {
    let Some(browser) = Browser::start() else { return };
    let sandbox = Sandbox::new();
    let farm = Guarded::start(&sandbox);
    let url = format!("https://{}", farm.address);
    browser.open(&url, "/machines");
    browser.sees("h1", "This farm is for those it knows");
    browser.type_into("#token", "wf_00000000000000000000000000000000");
    browser.click("button");
    let refused = || browser.address() == "/enter?refused";
    browser.until("it is refused", refused);
    browser.has("#refused:not([hidden])");
    let token = farm.line("submitter", &["--token", "--name", "ann"]);
    browser.type_into("#token", &token);
    browser.click("button");
    browser.sees(".hero", "Nothing to render");
    browser.open(&url, "/machines");
    browser.sees("h1", "No machine is here yet");
    farm.asked("operator", &["access", "revoke", &farm.grant_of("ann")]).expect(0);
    browser.open(&url, "/machines");
    browser.until("it is refused", refused);
    // As `coordinator open` does it: the token goes neither over the network in an address nor into the history.
    let token = farm.line("viewer", &["--token", "--name", "ann"]);
    browser.open(&url, &format!("/enter?to=/machines#{token}"));
    browser.until("the page that was wanted is shown", || browser.address() == "/machines");
    browser.sees("h1", "No machine is here yet");
    browser.has_no_complaints();
}

/// Nothing of what is kept can be read by others of the machine.
#[cfg(unix)]
#[test]
fn keys_are_for_their_owners_eyes() {
    use std::os::unix::fs::PermissionsExt;
    let sandbox = Sandbox::new();
    let farm = Guarded::start(&sandbox);
    let mode = |path: &Path| std::fs::metadata(path).expect("it is there").permissions().mode() & 0o777;
    for key in [sandbox.path("data/authority/key.pem"), farm.folder("operator").join("key.pem")] {
        assert_eq!(mode(&key), 0o600, "{}", key.display());
        assert_eq!(mode(key.parent().expect("a folder")), 0o700, "{}", key.display());
    }
}

/// As where a service's user has no folder of its own.
#[test]
fn a_coordinator_that_can_keep_no_key_of_its_own_says_how_an_operator_joins() {
    let sandbox = Sandbox::new();
    std::fs::write(sandbox.path("file"), "").expect("a file");
    let mut serve = Command::new(binary());
    serve.args(["serve", "--listen", "[::]:0", "--host", "127.0.0.1", "--data"]).arg(sandbox.path("data"));
    serve.arg("--output").arg(sandbox.output()).arg("--membership").arg(sandbox.path("file/membership"));
    serve.env("WANFARM_LOG", "info").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut process = serve.spawn().expect("the coordinator starts");
    let told = BufReader::new(process.stderr.take().expect("stderr")).lines().map_while(Result::ok);
    let mut lines =
        told.filter_map(|told| Some(told.split_once("coordinator join '")?.1.trim_end_matches('\'').to_owned()));
    let line = lines.next().expect("a line to join with");
    let farm = Guarded { sandbox: &sandbox, processes: vec![process], address: String::new() };
    farm.asked("operator", &["join", &line]).expect(0);
    says(&farm.asked("operator", &["access", "list"]).expect(0).stdout, &["operator"]);
}
