//! A browser that is driven as a person would: Debian's Chromium through its WebDriver.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::webdriver::Session;

/// Longer than any page takes to show what the farm does on a busy machine.
const PATIENCE: Duration = Duration::from_secs(120);
/// A page draws what it has just read within so long.
const BLINK: Duration = Duration::from_millis(50);
/// It shares its machine with the farm, and in continuous integration it runs as root.
const OPTIONS: [&str; 4] = ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"];
/// What the browser says of requests while there is no coordinator, and of what is asked for and is not there.
const EXPECTED: [&str; 2] = ["net::ERR_", "Failed to load resource"];

/// A browser with one window. It ends when it goes out of scope.
pub(crate) struct Browser {
    window: Session,
    driver: Child,
}

impl Browser {
    /// Starts it. Where there is no browser the answer is none and says so, but never in continuous integration.
    pub(crate) fn start() -> Option<Self> {
        let started = Command::new("chromedriver").arg("--port=0").stdin(Stdio::null()).stdout(Stdio::piped()).spawn();
        let mut driver = match started {
            Ok(driver) => driver,
            Err(error) => {
                let why = format!(
                    "the tests of the pages need Chromium with its WebDriver (Debian: apt-get install chromium-driver; \
                     macOS: brew install chromedriver): chromedriver: {error}"
                );
                assert!(std::env::var_os("CI").is_none(), "{why}");
                eprintln!("NOT TESTED: {why}");
                return None;
            }
        };
        let said = BufReader::new(driver.stdout.take().expect("its output")).lines();
        let port = said.map_while(Result::ok).find_map(|line| port_in(&line)).expect("the port that it listens on");
        let browser = Self { window: Session::begin(port, &OPTIONS).expect("a window"), driver };
        browser.emulate(1440, "dark");
        Some(browser)
    }

    /// Shows a page of the coordinator at `address`.
    pub(crate) fn open(&self, address: &str, page: &str) {
        self.window.go_to(&format!("{address}{page}")).expect("the page");
    }

    /// Makes the window so wide, and the system's theme this one. Nothing moves that need not.
    pub(crate) fn emulate(&self, width: u32, theme: &str) {
        let features = [("prefers-color-scheme", theme), ("prefers-reduced-motion", "reduce")];
        let features = features.map(|(name, value)| json!({ "name": name, "value": value }));
        let size = json!({ "width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 600 });
        self.window.command("Emulation.setDeviceMetricsOverride", &size).expect("a size");
        self.window.command("Emulation.setEmulatedMedia", &json!({ "features": features })).expect("a theme");
    }

    /// The page's path and query.
    pub(crate) fn address(&self) -> String {
        self.run("return location.pathname + location.search").as_str().expect("an address").to_owned()
    }

    /// Runs a script in the page.
    pub(crate) fn run(&self, script: &str) -> Value {
        self.window.run(script).unwrap_or_else(|error| panic!("{script}: {error}"))
    }

    /// Waits until something holds.
    #[track_caller]
    pub(crate) fn until(&self, what: &str, holds: impl Fn() -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !holds() {
            assert!(Instant::now() < deadline, "waited in vain until {what}; the page says:\n{}", self.text("body"));
            std::thread::sleep(BLINK);
        }
    }

    fn text(&self, css: &str) -> String {
        let script = format!(
            "return [...document.querySelectorAll({})].map(e => e.innerText).join(' ').replace(/\\s+/g, ' ')",
            json!(css)
        );
        self.run(&script).as_str().unwrap_or_default().to_owned()
    }

    /// Waits until a part of the page has these words.
    #[track_caller]
    pub(crate) fn sees(&self, css: &str, words: &str) {
        self.until(&format!("{css} says {words:?}"), || self.text(css).contains(words));
    }

    /// Waits until there is such a part of the page.
    #[track_caller]
    pub(crate) fn has(&self, css: &str) {
        self.until(&format!("there is {css}"), || self.number(css) > 0);
    }

    /// Waits until there are so many.
    #[track_caller]
    pub(crate) fn count(&self, css: &str, wanted: u64) {
        self.until(&format!("there are {wanted} of {css}"), || self.number(css) == wanted);
    }

    fn number(&self, css: &str) -> u64 {
        self.run(&format!("return document.querySelectorAll({}).length", json!(css))).as_u64().unwrap_or_default()
    }

    /// Clicks the first such part of the page, once it is there.
    #[track_caller]
    pub(crate) fn click(&self, css: &str) {
        self.until(&format!("{css} can be clicked"), || self.window.click("css selector", css).is_ok());
    }

    /// Clicks the button that is called so, once it is there.
    #[track_caller]
    pub(crate) fn click_named(&self, name: &str) {
        let path = format!("//button[normalize-space()='{name}' or @aria-label='{name}']");
        self.until(&format!("{name:?} can be clicked"), || self.window.click("xpath", &path).is_ok());
    }

    /// Presses a key, wherever the focus is.
    pub(crate) fn press(&self, key: &str) {
        self.window.press(key).expect("a key");
    }

    /// Types into a field.
    pub(crate) fn type_into(&self, css: &str, text: &str) {
        self.window.type_into(css, text).expect("a field");
    }

    /// Fails the test when the browser has complained: of a script, of what a page must not load, of markup.
    #[track_caller]
    pub(crate) fn has_no_complaints(&self) {
        let log = self.window.log().expect("the log");
        let said = log.iter().filter_map(|line| line["message"].as_str());
        let complaints: Vec<_> = said.filter(|line| !EXPECTED.iter().any(|known| line.contains(known))).collect();
        assert!(complaints.is_empty(), "{complaints:#?}");
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // A driver that is killed leaves its browser behind.
        let _ = self.window.end();
        let _ = self.driver.kill();
        let _ = self.driver.wait();
    }
}

/// The port in `… was started successfully on port 12345.`
fn port_in(line: &str) -> Option<u16> {
    line.split_once("successfully on port ")?.1.trim_end_matches('.').parse().ok()
}
