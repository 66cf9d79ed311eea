//! What the tests need of the WebDriver protocol: JSON over HTTP/1.1, one connection for each command.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::TcpStream;

use serde_json::{Value, json};

/// The key under which an element's id stands.
const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";

/// A browser's session with its driver on a port of this machine.
pub(super) struct Session {
    port: u16,
    id: String,
}

impl Session {
    /// Begins one, with what Chromium is started with.
    pub(super) fn begin(port: u16, options: &[&str]) -> Result<Self, String> {
        let wanted = json!({
            "browserName": "chrome",
            // A farm vouches for itself.
            "acceptInsecureCerts": true,
            "goog:chromeOptions": { "args": options },
            "goog:loggingPrefs": { "browser": "ALL" },
        });
        let wanted = json!({ "capabilities": { "alwaysMatch": wanted } });
        let begun = call(port, "POST", "/session", &wanted)?;
        let id = begun["sessionId"].as_str().ok_or("a session without an id")?.to_owned();
        Ok(Self { port, id })
    }

    /// Ends it, and the browser with it.
    pub(super) fn end(&self) -> Result<Value, String> {
        call(self.port, "DELETE", &format!("/session/{}", self.id), &json!({}))
    }

    fn post(&self, command: &str, body: &Value) -> Result<Value, String> {
        call(self.port, "POST", &format!("/session/{}/{command}", self.id), body)
    }

    pub(super) fn go_to(&self, url: &str) -> Result<Value, String> {
        self.post("url", &json!({ "url": url }))
    }

    /// Runs a script in the page, and returns what it returns.
    pub(super) fn run(&self, script: &str) -> Result<Value, String> {
        self.post("execute/sync", &json!({ "script": script, "args": [] }))
    }

    /// A command of Chromium's own protocol.
    pub(super) fn command(&self, name: &str, parameters: &Value) -> Result<Value, String> {
        self.post("goog/cdp/execute", &json!({ "cmd": name, "params": parameters }))
    }

    /// What the browser has written to its console since the last time.
    pub(super) fn log(&self) -> Result<Vec<Value>, String> {
        Ok(self.post("se/log", &json!({ "type": "browser" }))?.as_array().cloned().unwrap_or_default())
    }

    /// Clicks where the first such element is; an error while it is not there, or something covers it.
    pub(super) fn click(&self, using: &str, selector: &str) -> Result<Value, String> {
        let element = self.find(using, selector)?;
        self.post(&format!("element/{element}/click"), &json!({}))
    }

    /// Types into the first such element.
    pub(super) fn type_into(&self, css: &str, text: &str) -> Result<Value, String> {
        let element = self.find("css selector", css)?;
        self.post(&format!("element/{element}/value"), &json!({ "text": text }))
    }

    fn find(&self, using: &str, selector: &str) -> Result<String, String> {
        let found = self.post("element", &json!({ "using": using, "value": selector }))?;
        Ok(found[ELEMENT].as_str().ok_or("an element without an id")?.to_owned())
    }

    /// Presses a key and lets it go, wherever the focus is.
    pub(super) fn press(&self, key: &str) -> Result<Value, String> {
        let strokes = ["keyDown", "keyUp"].map(|stroke| json!({ "type": stroke, "value": key }));
        self.post("actions", &json!({ "actions": [{ "type": "key", "id": "keyboard", "actions": strokes }] }))
    }
}

/// One command; the answer is its `value`.
fn call(port: u16, method: &str, path: &str, body: &Value) -> Result<Value, String> {
    let (status, body) = exchange(port, method, path, &body.to_string()).map_err(|error| error.to_string())?;
    let answer: Value = serde_json::from_slice(&body).map_err(|error| format!("{method} {path}: {error}"))?;
    if status.split(' ').nth(1) == Some("200") {
        Ok(answer["value"].clone())
    } else {
        Err(answer["value"]["message"].as_str().unwrap_or(&status).to_owned())
    }
}

/// Sends a request, and reads the answer's first line and body. The driver keeps some connections open whatever it is asked,
/// so the body ends where its length says.
fn exchange(port: u16, method: &str, path: &str, body: &str) -> io::Result<(String, Vec<u8>)> {
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    let length = body.len();
    write!(
        stream,
        "{method} {path} HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\
         connection: close\r\n\r\n{body}"
    )?;
    let mut answer = BufReader::new(stream);
    let mut line = || -> io::Result<String> {
        let mut line = String::new();
        answer.read_line(&mut line)?;
        Ok(line.trim_end().to_owned())
    };
    let status = line()?;
    let mut length = 0;
    loop {
        let field = line()?.to_ascii_lowercase();
        match field.split_once(':') {
            None => break,
            Some(("content-length", value)) => length = value.trim().parse().map_err(io::Error::other)?,
            Some(_) => {}
        }
    }
    let mut body = vec![0; length];
    answer.read_exact(&mut body)?;
    Ok((status, body))
}
