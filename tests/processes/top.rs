//! `coordinator top` in a terminal that is none: a pseudo terminal, read back as a person sees it.

use std::io::{Read, Write};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};

use crate::farm::Farm;
use crate::program::{NIGHT, Sandbox, binary, eventually, says, signal_process};

const ROWS: u16 = 24;
const COLUMNS: u16 = 80;

/// A program on a terminal.
struct OnTerminal {
    script: Child,
    screen: Arc<Mutex<vt100::Parser>>,
}

impl OnTerminal {
    /// `script` makes the terminal; a shell gives it a size.
    fn start(arguments: &str) -> Self {
        let line = format!("stty rows {ROWS} cols {COLUMNS}; {} {arguments}; echo left with $?", binary().display());
        let mut script = Command::new("script")
            .args(["--quiet", "--command", &line, "/dev/null"])
            .env("TERM", "xterm-256color")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("util-linux has it");
        let screen = Arc::new(Mutex::new(vt100::Parser::new(ROWS, COLUMNS, 0)));
        let (drawn, mut told) = (screen.clone(), script.stdout.take().expect("piped"));
        std::thread::spawn(move || {
            let mut bytes = [0; 4096];
            while let Ok(read @ 1..) = told.read(&mut bytes) {
                drawn.lock().expect("nobody panics").process(&bytes[..read]);
            }
        });
        Self { script, screen }
    }

    fn shows(&self) -> String {
        self.screen.lock().expect("nobody panics").screen().contents()
    }

    fn until(&self, words: &str) -> String {
        eventually(&format!("the terminal shows {words:?}"), || Some(self.shows()).filter(|text| text.contains(words)))
    }

    fn press(&mut self, keys: &str) {
        self.script.stdin.as_mut().expect("piped").write_all(keys.as_bytes()).expect("it listens");
    }

    /// It has left the terminal as it was: on its usual screen, with the cursor.
    fn until_left(&self, code: u8) {
        self.until(&format!("left with {code}"));
        let parser = self.screen.lock().expect("nobody panics");
        assert!(!parser.screen().alternate_screen() && !parser.screen().hide_cursor());
        assert!(!parser.screen().contents().contains("Rendering now"), "{}", parser.screen().contents());
    }
}

impl Drop for OnTerminal {
    fn drop(&mut self) {
        let _ended = self.script.kill();
        let _ended = self.script.wait();
    }
}

/// A night of videos that take a while.
fn night() -> String {
    let prompt = "\n[[video]]\nprompt = \"a red circle moving right on a black background\"\n";
    format!("{NIGHT}{prompt}sweep = {{ seed = [1, 2, 3, 4, 5, 6, 7, 8] }}\n")
}

#[test]
fn a_night_is_seen_and_steered_from_a_terminal() {
    let sandbox = Sandbox::new();
    let mut farm = Farm::start(&sandbox);
    farm.submit(&sandbox.manifest(&night()));
    let mut top = OnTerminal::start(&format!("top --coordinator {}", farm.address()));
    let seen = top.until("a red circle");
    says(&seen, &[farm.address(), "Rendering now", "▸    1 night", "Workers (4)", "computing", "q quit"]);
    top.press("p");
    top.until("1: paused");
    top.until("Paused; 1 job will go on when resumed");
    top.press("c");
    top.until("Cancel 1 night");
    top.press("n");
    top.press("?");
    top.until("quit; the farm goes on");
    top.press(" ");
    farm.kill_coordinator();
    top.until("no answer since");
    farm.start_coordinator();
    top.until("Paused; 1 job");
    top.press("q");
    top.until_left(0);
}

#[test]
fn a_terminal_is_given_back_when_a_signal_ends_top() {
    let sandbox = Sandbox::new();
    let farm = Farm::without_workers(&sandbox);
    let top = OnTerminal::start(&format!("top --coordinator {}", farm.address()));
    top.until("Nothing to render");
    signal_process(child_of(top.script.id()), "TERM");
    top.until_left(130);
}

/// The coordinator that runs on the terminal of this `script`, which is its shell's child.
fn child_of(script: u32) -> u32 {
    let children = |of: u32| -> Vec<u32> {
        let list = std::fs::read_to_string(format!("/proc/{of}/task/{of}/children")).unwrap_or_default();
        list.split_whitespace().filter_map(|id| id.parse().ok()).collect()
    };
    eventually("top runs", || {
        let mut left = children(script);
        while let Some(id) = left.pop() {
            if std::fs::read_link(format!("/proc/{id}/exe")).is_ok_and(|exe| exe == binary()) {
                return Some(id);
            }
            left.extend(children(id));
        }
        None
    })
}

#[test]
fn without_a_terminal_another_way_is_named() {
    let sandbox = Sandbox::new();
    let farm = Farm::without_workers(&sandbox);
    says(farm.client(&["top"]).expect(2).stderr, &["standard output is none", "coordinator status --watch"]);
}
