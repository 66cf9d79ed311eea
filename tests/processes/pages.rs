//! The pages in a real browser, before a real farm: live, correct after kills and restarts, steering what they say they steer.

pub(crate) mod browser;
mod webdriver;

use browser::Browser;
use serde_json::{Value, json};

use crate::farm::Farm;
use crate::program::{Sandbox, eventually};

/// Six videos, as files that a browser plays, with steps enough to see them grow.
const VIDEOS: &str = r#"
[job]
name = "night"
model = "wan-tiny-t2v"
output = "{index:04}"
formats = ["mp4"]

[defaults]
width = 64
height = 64
frames = 17
fps = 8
steps = 80
shift = 5.0
guidance = 5.0
negative = ""

[[video]]
prompt = "a {colour} circle moving left on a black background"
seed = 1
sweep = { colour = ["red", "green", "blue", "yellow", "purple", "orange"] }
"#;

/// Every page, of a farm whose first job is this one.
const PAGES: [&str; 12] = [
    "/",
    "/jobs/1",
    "/jobs/1?view=table",
    "/jobs/1?view=matrix",
    "/jobs/1/videos/0",
    "/jobs/1/report",
    "/machines",
    "/timeline",
    "/timeline?view=table",
    "/history",
    "/submit",
    "/nowhere",
];

/// Where the job and its videos stand, by the command line.
fn status(farm: &Farm) -> Value {
    let told = farm.client(&["status", "1", "--json"]).expect(0).stdout;
    serde_json::from_str(&told).expect("JSON")
}

fn states(farm: &Farm) -> Vec<String> {
    let videos = status(farm)["videos"].as_array().expect("videos").clone();
    videos.iter().map(|video| video["state"].as_str().expect("a state").to_owned()).collect()
}

#[test]
fn a_night_is_followed_through_a_killed_worker_and_a_killed_coordinator() {
    let Some(browser) = Browser::start() else { return };
    let sandbox = Sandbox::new();
    let mut farm = Farm::start(&sandbox);
    browser.open(farm.address(), "/");
    browser.sees(".hero", "Nothing to render");
    browser.sees(".lanes", "4 workers");

    // What is submitted elsewhere appears by itself.
    farm.submit(&sandbox.manifest(VIDEOS));
    browser.sees(".job-row", "night");
    browser.click(".job-row");
    browser.sees("h1", "night");
    browser.count(".tile", 6);
    browser.sees(".dial", "/ 80");
    eventually("a worker is killed in the midst of a step", || farm.kill_worker("dit-high").then_some(()));

    farm.kill_coordinator();
    browser.has(".live[data-state=away]");
    farm.start_coordinator();
    browser.has(".live[data-state=live]");
    browser.sees(".job-progress .legend", "6 done");
    browser.sees(".page-head .state", "done");
    assert_eq!(states(&farm), ["done"; 6]);

    // The pictures are the videos' own.
    browser.until("pictures are drawn", || {
        browser.run("return [...document.querySelectorAll('.tile img')].filter(i => i.naturalWidth === 64).length") == 6
    });
    browser.click(".tile-link[data-focus='2']");
    browser.sees("h1", "a blue circle");
    browser.sees(".controls .at", "1 / 17");
    browser.press("\u{e014}");
    browser.sees(".controls .at", "2 / 17");
    let blake3 = sandbox.sidecar("0002")["outputs"][0]["blake3"].as_str().expect("a digest").to_owned();
    browser.sees(".files", &blake3);
    browser.sees(".settings", "64 × 64");
    browser.sees(".track", "dit-low");

    browser.open(farm.address(), "/jobs/1/report");
    browser.sees("h1", "All 6 videos finished");
    browser.sees(".report", "dit-high");
    look_back(&browser, farm.address());
    look_at_a_worker(&browser, farm.address());

    // The same as one file, with every picture in it, from the coordinator and from the disk.
    let file = format!("file://{}", sandbox.output().join("night.report.html").display());
    for (address, page) in [(farm.address(), "/api/v1/jobs/1/report.html"), (file.as_str(), "")] {
        for (width, theme) in [(1440, "dark"), (390, "light")] {
            browser.emulate(width, theme);
            browser.open(address, page);
            browser.sees("h1", "All 6 videos finished");
            assert_eq!(browser.run("return [...document.images].filter(i => i.naturalWidth === 64).length"), 6);
            assert_eq!(browser.run(include_str!("pages/look.js")), json!([]), "{address} at {width} in {theme}");
        }
    }
    let video = browser.run("return document.querySelector('.sheet a').href");
    assert_eq!(video, format!("file://{}", sandbox.output().join("0000.mp4").display()));
    browser.emulate(1440, "dark");
    browser.open(farm.address(), "/jobs/1/compare?a=0&b=1");
    browser.sees(".figures", "prompt");

    look_at_every_page(&browser, farm.address());
    farm.stop();
}

/// How fast a worker was is drawn, and told to whom sees no picture.
fn look_at_a_worker(browser: &Browser, address: &str) {
    for (width, theme) in [(1280, "dark"), (390, "light")] {
        browser.emulate(width, theme);
        browser.open(address, "/machines");
        browser.click("[aria-label='Details of dit-low']");
        browser.sees("dialog", "s/step");
        browser.has(".sparkline polyline");
        browser.has("dialog tbody th");
        assert_eq!(browser.run(include_str!("pages/look.js")), json!([]), "at {width} in {theme}");
        browser.click_named("Close");
    }
    browser.emulate(1440, "dark");
}

/// What was tried and what happened is told, by pointer, by keyboard and as a table.
fn look_back(browser: &Browser, address: &str) {
    browser.open(address, "/timeline?hours=1");
    browser.count(".gantt-list canvas", 4);
    browser.sees(".gantt-readout", "arrow keys");
    browser.run("document.querySelector('.gantt').focus(); return true");
    browser.press("\u{e015}");
    browser.sees(".gantt-readout", "Video 1/");
    browser.sees(".gantt-readout", "steps");
    browser.press("+");
    browser.press("\u{e007}");
    browser.has("h1.prompt");
    assert!(browser.address().starts_with("/jobs/1/videos/"), "{}", browser.address());

    browser.open(address, "/timeline?hours=1&view=table");
    browser.sees(".table", "worker lost");
    browser.sees(".table", "High noise");
    browser.type_into("[type=search]", "vae");
    browser.until("only one worker is told of", || {
        let workers = "return [...new Set([...document.querySelectorAll('.virtual .attempts-grid')].map(row => row.children[0].innerText))]";
        browser.run(workers) == json!(["vae"])
    });

    browser.open(address, "/history");
    browser.sees(".happened", "night was queued");
    browser.click_named("Workers");
    browser.sees(".happened", "dit-high joined");
    assert_eq!(browser.address(), "/history?kind=workers");
    browser.click_named("Videos");
    browser.count(".happened li", 6);
}

/// Every page is whole in every width and theme, names what can be operated, and loads nothing from elsewhere.
fn look_at_every_page(browser: &Browser, address: &str) {
    for page in PAGES {
        for (width, theme) in [(1440, "dark"), (390, "light")] {
            browser.emulate(width, theme);
            browser.open(address, page);
            browser.has("h1");
            browser.has(".live[data-state=live]");
            let seen = browser.run(include_str!("pages/look.js"));
            assert_eq!(seen, json!([]), "{page} at {width} in {theme}");
        }
    }
    browser.has_no_complaints();
}

#[test]
fn buttons_and_keys_do_what_they_say() {
    let Some(browser) = Browser::start() else { return };
    let sandbox = Sandbox::new();
    let farm = Farm::start(&sandbox);
    // Long enough that no video ends while it is steered.
    farm.submit(&sandbox.manifest(&VIDEOS.replace("steps = 80", "steps = 1000")));
    browser.open(farm.address(), "/jobs/1");
    browser.count(".tile", 6);

    browser.has(".dial");
    browser.click_named("Higher priority");
    browser.sees(".stepper", "Priority 60");
    assert_eq!(status(&farm)["job"]["priority"], 60);
    // What is being computed is on the timeline without anybody asking again.
    browser.open(farm.address(), "/timeline");
    browser.has(".gantt");
    browser.run("document.querySelector('.gantt').focus(); return true");
    browser.until("what the first worker computes is told", || {
        ["\u{e00c}", "\u{e015}"].iter().for_each(|key| browser.press(key));
        browser.run("return document.querySelector('.gantt-readout').innerText.includes('running')") == true
    });

    browser.open(farm.address(), "/jobs/1");
    browser.click_named("Describe");
    browser.type_into("#about-owner", "ann");
    browser.type_into("#about-note", "for the client");
    browser.click_named("Add a label");
    browser.type_into("[aria-label='Name of label 1']", "shot");
    browser.type_into("[aria-label='Value of label 1']", "010");
    browser.click_named("Save");
    browser.sees(".facts", "shot: 010");
    browser.sees(".page-head", "for the client");
    assert_eq!(status(&farm)["job"]["owner"], "ann");
    assert_eq!(status(&farm)["job"]["labels"], json!({ "shot": "010" }));
    browser.click_named("Describe");
    browser.click_named("Remove label 1");
    browser.click_named("Save");
    browser.until("the label is gone", || status(&farm)["job"]["labels"] == json!({}));
    assert_eq!(status(&farm)["job"]["note"], "for the client", "the rest stays");

    browser.click_named("Pause");
    browser.sees(".page-head .state", "paused");
    browser.click(".latest summary");
    browser.sees(".latest", "was paused");
    browser.sees(".latest", "is described otherwise");
    assert_eq!(status(&farm)["job"]["state"], "paused");
    browser.sees(".legend", "6 waiting");

    // By keyboard alone: to the third video, and select it.
    browser.run("document.querySelector('.tile-link').focus(); return true");
    for key in ["\u{e014}", "\u{e014}", " "] {
        browser.press(key);
    }
    browser.sees(".selection", "1 video selected");
    assert_eq!(browser.run("return document.activeElement.dataset.focus"), "2");
    browser.click_named("Cancel the selection");
    browser.sees("dialog", "Cancel 1 video?");
    browser.click_named("Cancel them");
    browser.sees(".tile[data-index='2']", "cancelled");
    assert_eq!(states(&farm).iter().filter(|state| *state == "cancelled").count(), 1);
    assert_eq!(states(&farm)[2], "cancelled");

    // A cancelled one with another seed: a job of its own.
    browser.run("document.querySelector(\".tile[data-index='2'] input\").click(); return true");
    browser.sees(".selection", "1 video selected");
    browser.click_named("New seed");
    browser.sees(".page-head", "Job 2");
    browser.count(".tile", 1);
    browser.click_named("Cancel");
    browser.click_named("Cancel the job");
    browser.sees(".page-head .state", "cancelled");
    browser.click_named("Forget");
    browser.click_named("Forget the job");
    browser.sees(".hero", "Paused");
    browser.open(farm.address(), "/jobs/1");
    browser.count(".tile", 6);

    browser.click_named("Retry cancelled");
    browser.sees(".tile[data-index='2']", "waiting");
    browser.click_named("Resume");
    browser.sees(".page-head .state", "active");
    browser.has(".dial");
    assert!(!states(&farm).contains(&"cancelled".to_owned()));

    browser.type_into("#search", "purple");
    browser.count(".tile", 1);
    assert_eq!(browser.address(), "/jobs/1?q=purple");
    browser.click_named("Table");
    browser.sees(".virtual .table-row", "a purple circle");

    browser.open(farm.address(), "/jobs/1");
    browser.click_named("Cancel");
    browser.click_named("Cancel the job");
    browser.sees(".page-head .state", "cancelled");
    browser.click_named("Forget");
    browser.click_named("Forget the job");
    browser.sees(".hero", "Nothing to render");
    assert_eq!(browser.address(), "/");

    browser.open(farm.address(), "/machines");
    let host = &farm.worker_lines()[0].host;
    browser.click_named(&format!("Drain all of {host}"));
    browser.click_named("Drain them");
    browser.until("every worker has left", || {
        let left = "return [...document.querySelectorAll('.worker-row')].every(row => row.innerText.includes('left (drained)'))";
        browser.run(left) == true
    });
    browser.has_no_complaints();
    farm.stop();
}

#[test]
fn what_is_rendered_is_seen_as_far_as_it_has_come() {
    let Some(browser) = Browser::start() else { return };
    let sandbox = Sandbox::new();
    let farm = Farm::start(&sandbox);
    // The first video of a model teaches what its latents look like.
    let one = |name: &str, steps: &str| {
        let end = VIDEOS.find("sweep").expect("a sweep");
        VIDEOS[..end]
            .replace("steps = 80", steps)
            .replace("name = \"night\"", &format!("name = \"{name}\""))
            .replace("\"{index:04}\"", "\"{job}\"")
    };
    farm.submit(&sandbox.manifest(&one("first", "steps = 20").replace("{colour}", "red")));
    browser.open(farm.address(), "/jobs/1");
    browser.sees(".page-head .state", "done");
    farm.submit(&sandbox.manifest(&one("second", "steps = 1000").replace("{colour}", "red")));
    browser.open(farm.address(), "/");
    browser.has(".wall .preview");
    browser.open(farm.address(), "/jobs/2");
    browser.has(".tile .preview");
    browser.click(".tile-link");
    browser.has(".big-picture .preview");
    let picture = browser.run(
        "return [document.querySelector('.preview').naturalWidth, document.querySelector('.preview').naturalHeight]",
    );
    assert_eq!(picture, json!([8, 8]), "a pixel for each place of the latents");
    browser.has_no_complaints();
    farm.stop();
}

#[test]
fn machines_are_told_with_how_busy_they_are_and_what_they_log() {
    let Some(browser) = Browser::start() else { return };
    let sandbox = Sandbox::new();
    let mut farm = Farm::without_workers(&sandbox);
    farm.start_talker(&sandbox, "talker", "vae");
    browser.open(farm.address(), "/machines");
    browser.sees(".worker-row", "0 % busy");
    browser.sees(".host-row", env!("CARGO_PKG_VERSION"));
    browser.click("[aria-label='Log of talker']");
    browser.sees("dialog .log", "attached coordinator=");
    browser.click_named("Close");
    browser.click("[aria-label='Note on talker']");
    browser.type_into("#worker-note", "fan is loud");
    browser.click_named("Save");
    browser.sees(".worker-row", "fan is loud");
    assert_eq!(farm.worker_lines()[0].note, "fan is loud");
    // Said elsewhere it appears by itself.
    let said = farm.client(&["workers", "note", "talker", "fan is new"]).expect(0).stdout;
    assert!(said.contains("fan is new"), "{said}");
    browser.sees(".worker-row", "fan is new");
    // On a phone there is room for it in the details alone.
    browser.emulate(390, "light");
    browser.click("[aria-label='Details of talker']");
    browser.sees("dialog", "It has computed nothing");
    browser.click_named("Change the note");
    browser.type_into("#worker-note", " and quiet");
    browser.click_named("Save");
    browser.sees(".worker-row", "fan is new and quiet");
    browser.emulate(1440, "dark");
    farm.client(&["workers", "note", "talker", "--remove"]).expect(0);
    browser.until("the note is gone", || {
        browser.run("return !document.querySelector('.worker-row').innerText.includes('fan')") == true
    });
    browser.click("[aria-label='Log of talker']");
    browser.sees("dialog .log", "attached coordinator=");
    farm.end_worker("talker");
    // What comes while it is looked at, and what was there when it is looked at again.
    browser.sees("dialog", "Log of talker");
    browser.click_named("Close");
    browser.sees(".worker-row", "last seen");
    browser.click("[aria-label='Log of talker']");
    browser.sees("dialog .log", "attached coordinator=");
    let seen = browser.run(include_str!("pages/look.js"));
    assert_eq!(seen, json!([]));
    browser.has_no_complaints();
    farm.stop();
}

#[test]
fn a_manifest_is_checked_as_it_is_written_and_then_submitted() {
    let Some(browser) = Browser::start() else { return };
    let sandbox = Sandbox::new();
    let farm = Farm::without_workers(&sandbox);
    browser.open(farm.address(), "/submit");
    browser.has("textarea");
    let faulty = VIDEOS.trim_start().replace("width = 64", "widht = 64");
    browser.type_into("textarea", &faulty);
    browser.sees(".fault", "Line 8");
    browser.has(".editor-lines i:nth-child(8)[data-fault]");
    browser.run("const area = document.querySelector('textarea'); area.select(); return true");
    browser.type_into("textarea", &faulty.replace("widht", "width"));
    browser.sees(".panel", "6 videos");
    browser.click_named("Submit");
    browser.sees("h1", "night");
    browser.count(".tile", 6);
    assert_eq!(browser.address(), "/jobs/1");
    assert_eq!(states(&farm), ["waiting"; 6]);
    farm.stop();
}

/// Seven videos of two lists, and of one more that makes several of a pair; and one that no list made.
const SWEPT: &str = r#"
[[video]]
prompt = "a {colour} circle moving {direction} on a black background"
sweep = { colour = ["red", "blue", "green"], direction = ["left", "right"] }

[[video]]
prompt = "a red circle moving left on a black background"
zip = { seed = [8, 9], steps = [81, 82] }

[[video]]
prompt = "a purple circle"
"#;

#[test]
fn what_was_swept_is_shown_as_a_matrix() {
    let Some(browser) = Browser::start() else { return };
    let sandbox = Sandbox::new();
    let farm = Farm::without_workers(&sandbox);
    let end = VIDEOS.find("[[video]]").expect("a video");
    farm.submit(&sandbox.manifest(&format!("{}{SWEPT}", &VIDEOS[..end])));
    assert_eq!(status(&farm)["videos"][3]["swept"], json!({ "colour": "blue", "direction": "right" }));
    browser.open(farm.address(), "/jobs/1");
    browser.count(".tile", 9);
    browser.click_named("Matrix");
    assert_eq!(browser.address(), "/jobs/1?view=matrix");
    // The values of the first list, and a row of those that it did not make.
    browser.count(".matrix-box [role=row]", 4);
    browser.count(".matrix-link", 7);
    browser.sees(".matrix-head", "right");
    browser.sees(".matrix-box [aria-rowindex='5']", "0 of 3 done");
    assert_eq!(browser.run("return document.querySelector('.matrix-link').tabIndex"), 0);

    // By keyboard: to the right, down, and onto a pair of which there is no video.
    browser.run("document.querySelector('.matrix-link').focus(); return true");
    for (key, label) in [
        ("\u{e014}", "red, right: waiting"),
        ("\u{e015}", "blue, right: waiting"),
        ("\u{e014}", "blue, –: no video"),
        ("\u{e012}", "blue, right: waiting"),
    ] {
        browser.press(key);
        browser.until(label, || browser.run("return document.activeElement.getAttribute('aria-label')") == label);
    }
    browser.run(
        "const [, columns] = document.querySelectorAll('.matrix-axis select'); columns.value = 'seed'; \
                 columns.dispatchEvent(new Event('change')); return true",
    );
    browser.sees(".matrix-head", "9");
    assert_eq!(browser.address(), "/jobs/1?view=matrix&columns=seed");
    for (width, theme) in [(1280, "dark"), (390, "light")] {
        browser.emulate(width, theme);
        browser.open(farm.address(), "/jobs/1?view=matrix&rows=direction&columns=colour");
        browser.sees(".matrix-head", "blue");
        assert_eq!(browser.run(include_str!("pages/look.js")), json!([]), "at {width} in {theme}");
    }
    browser.has_no_complaints();

    // Nothing was swept, so there is no matrix.
    let plain = format!("{}[[video]]\nprompt = \"a red circle\"\n", &VIDEOS[..end]).replace("{index:04}", "plain");
    farm.submit(&sandbox.manifest(&plain));
    browser.open(farm.address(), "/jobs/2?view=matrix");
    browser.count(".tile", 1);
    browser.count(".switch button", 2);
    farm.stop();
}
