//! How busy a batch kept its workers, from the sidecars of its videos.
//!
//!     cargo run --release -p wanfarm-tests --example busy -- OUTPUT_DIRECTORY
//!
//! Prints a line per worker: the part of its time between its first and its last item that it computed, and the whole
//! batch's time beside the least it could have taken with these workers. That is, for the worker with the most to do:
//! the earliest it could begin, all of its work, and the least that is to be done after it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use anyhow::{Context, Result};
use serde_json::Value;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// An attempt that ran to its end.
struct Item {
    worker: String,
    stage: String,
    start: f64,
    seconds: f64,
}

impl Item {
    fn end(&self) -> f64 {
        self.start + self.seconds
    }
}

fn main() -> Result<()> {
    let directory = std::env::args().nth(1).context("usage: busy OUTPUT_DIRECTORY")?;
    let videos = videos(Path::new(&directory))?;
    let mut workers: BTreeMap<&str, Vec<&Item>> = BTreeMap::new();
    for item in videos.iter().flatten() {
        workers.entry(&item.worker).or_default().push(item);
    }
    let bounds = |items: &[&Item]| {
        let first = items.iter().map(|item| item.start).fold(f64::INFINITY, f64::min);
        (first, items.iter().map(|item| item.end()).fold(f64::NEG_INFINITY, f64::max))
    };
    for (worker, items) in &workers {
        let (first, last) = bounds(items);
        let work: f64 = items.iter().map(|item| item.seconds).sum();
        let stages: BTreeSet<_> = items.iter().map(|item| item.stage.as_str()).collect();
        let stages: Vec<_> = stages.into_iter().collect();
        let (count, span) = (items.len(), last - first);
        println!(
            "{worker} ({}): {count} items, {work:.3} s of work in {span:.3} s: busy {:.1} %",
            stages.join(", "),
            100. * work / span
        );
    }
    let all: Vec<&Item> = videos.iter().flatten().collect();
    let (first, last) = bounds(&all);
    let (bottleneck, bound) = lower_bound(&videos, &workers).context("no sidecar tells of any work")?;
    let makespan = last - first;
    println!("makespan {makespan:.3} s, lower bound {bound:.3} s (by {bottleneck}): ratio {:.3}", makespan / bound);
    Ok(())
}

/// The greatest of: least head + all work + least tail, over the workers.
fn lower_bound<'a>(videos: &[Vec<Item>], workers: &BTreeMap<&'a str, Vec<&Item>>) -> Option<(&'a str, f64)> {
    let bound = |worker: &str| {
        let mine = |item: &&Item| item.worker == worker;
        let with: Vec<&Vec<Item>> =
            videos.iter().filter(|items| items.iter().any(|item| item.worker == worker)).collect();
        let least = |of: &dyn Fn(&Vec<Item>) -> f64| with.iter().map(|items| of(items)).fold(f64::INFINITY, f64::min);
        let head = least(&|items| items.iter().take_while(|item| !mine(item)).map(|item| item.seconds).sum());
        let tail = least(&|items| items.iter().rev().take_while(|item| !mine(item)).map(|item| item.seconds).sum());
        head + workers[worker].iter().map(|item| item.seconds).sum::<f64>() + tail
    };
    workers.keys().map(|&worker| (worker, bound(worker))).max_by(|a, b| a.1.total_cmp(&b.1))
}

/// The finished items of every video, in the order they ran. Texts are left out: a farm encodes each of them once,
/// perhaps for a batch before this one, and in no time.
fn videos(directory: &Path) -> Result<Vec<Vec<Item>>> {
    let mut paths = Vec::new();
    for entry in std::fs::read_dir(directory).with_context(|| directory.display().to_string())? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if name.ends_with(".json") && !name.ends_with("report.json") {
            paths.push(path);
        }
    }
    paths.sort();
    let mut videos = Vec::new();
    for path in paths {
        let sidecar: Value =
            serde_json::from_slice(&std::fs::read(&path)?).with_context(|| path.display().to_string())?;
        let mut items = Vec::new();
        let counts = |attempt: &&Value| attempt["result"] == "done" && attempt["stage"] != "encode_text";
        for attempt in sidecar["attempts"].as_array().into_iter().flatten().filter(counts) {
            let text = |key: &str| attempt[key].as_str().unwrap_or_default().to_owned();
            let begun = attempt["begun"].as_str().with_context(|| format!("{}: no begun", path.display()))?;
            let begun =
                OffsetDateTime::parse(begun, &Rfc3339).with_context(|| format!("{}: {begun}", path.display()))?;
            let start = begun.unix_timestamp_nanos() as f64 / 1e9;
            let seconds = attempt["seconds"].as_f64().unwrap_or_default();
            items.push(Item { worker: text("worker"), stage: text("stage"), start, seconds });
        }
        items.sort_by(|a, b| a.start.total_cmp(&b.start));
        videos.push(items);
    }
    Ok(videos)
}
