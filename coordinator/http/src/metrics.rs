//! The farm in the text format of Prometheus. What only people read is not here.

use std::collections::BTreeMap;
use std::fmt::{self, Write};

use axum::Router;
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use wanfarm_server::farm::{FarmService, Figures};
use wanfarm_server::meters::{Counts, Histogram, LIMITS};
use wanfarm_types::{JobSummary, VideoState, WorkerStatus};

use crate::problem::Answer;

/// The route that is scraped.
pub(crate) fn routes() -> Router<FarmService> {
    Router::new().route("/metrics", get(metrics))
}

/// Figures for Prometheus.
#[utoipa::path(
    get,
    path = "/metrics",
    tag = "probes",
    responses((status = 200, description = "Figures in the text format", body = String, content_type = "text/plain")),
)]
async fn metrics(State(farm): State<FarmService>) -> Answer<Response> {
    let (jobs, workers) = (farm.jobs().await?, farm.workers().await?);
    // A folder that does not answer has no figure; the others are told all the same.
    let free = farm.free_bytes().await.unwrap_or_default();
    let figures = farm.figures().await?;
    let mut text = String::new();
    // Writing to a text cannot fail.
    let _ = write(&mut text, &jobs, &workers, &figures, free, &farm.counts());
    Ok(([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text).into_response())
}

fn write(
    text: &mut String,
    jobs: &[JobSummary],
    workers: &[WorkerStatus],
    figures: &Figures,
    free: [Option<u64>; 2],
    counts: &Counts,
) -> fmt::Result {
    head(text, "wanfarm_build_info", "gauge", "The version of the coordinator.")?;
    writeln!(text, "wanfarm_build_info{{version=\"{}\"}} 1", env!("CARGO_PKG_VERSION"))?;

    head(text, "wanfarm_jobs", "gauge", "Jobs that are kept, by state.")?;
    each(text, "wanfarm_jobs", "state", &tally(jobs.iter().map(|job| (job.state.name().to_owned(), 1))))?;

    head(text, "wanfarm_videos", "gauge", "Videos of the jobs that are kept, by state.")?;
    let states = jobs.iter().flat_map(|job| {
        let open = job.videos.saturating_sub(job.running + job.done + job.failed + job.cancelled);
        [
            (VideoState::Waiting, open),
            (VideoState::Running, job.running),
            (VideoState::Done, job.done),
            (VideoState::Failed, job.failed),
            (VideoState::Cancelled, job.cancelled),
        ]
    });
    each(
        text,
        "wanfarm_videos",
        "state",
        &tally(states.map(|(state, count)| (state.name().to_owned(), count.into()))),
    )?;

    // Beside the gauge: what is forgotten takes nothing from what has ended.
    head(
        text,
        "wanfarm_videos_total",
        "counter",
        "Videos that have ended, since the coordinator was started, by how.",
    )?;
    for how in [VideoState::Done, VideoState::Failed, VideoState::Cancelled] {
        // Told from the start, so that the first one is an increase.
        let count = counts.videos.get(how.name()).copied().unwrap_or(0);
        writeln!(text, "wanfarm_videos_total{{state=\"{}\"}} {count}", how.name())?;
    }

    head(text, "wanfarm_queue_items", "gauge", "Work items that are ready and wait for a worker, by stage.")?;
    for (stage, count) in &figures.queue {
        writeln!(text, "wanfarm_queue_items{{stage=\"{}\"}} {count}", stage.name())?;
    }

    head(text, "wanfarm_workers", "gauge", "Workers by role and state; one that serves several roles counts in each.")?;
    let mut served: BTreeMap<(&str, &str), u64> = BTreeMap::new();
    for worker in workers {
        for role in &worker.roles {
            *served.entry((role.name(), &worker.state)).or_default() += 1;
        }
    }
    for ((role, state), count) in served {
        writeln!(text, "wanfarm_workers{{role=\"{role}\",state=\"{}\"}} {count}", escaped(state))?;
    }

    head(
        text,
        "wanfarm_worker_busy_seconds_total",
        "counter",
        "Seconds that a worker has computed, since the coordinator was started.",
    )?;
    for (worker, seconds) in &figures.busy {
        writeln!(text, "wanfarm_worker_busy_seconds_total{{worker=\"{}\"}} {seconds}", escaped(worker))?;
    }

    head(text, "wanfarm_attempts_total", "counter", "Work items that were tried, since the coordinator was started.")?;
    for ((stage, result), count) in &counts.attempts {
        writeln!(text, "wanfarm_attempts_total{{stage=\"{}\",result=\"{result}\"}} {count}", stage.name())?;
    }

    head(text, "wanfarm_step_seconds", "histogram", "Seconds of denoising steps, as workers measured them.")?;
    for ((stage, model), steps) in &counts.steps {
        let labels = format!("stage=\"{}\",model=\"{}\"", stage.name(), escaped(model));
        histogram(text, "wanfarm_step_seconds", &labels, steps)?;
    }

    head(
        text,
        "wanfarm_checkpoint_seconds",
        "histogram",
        "Seconds from the report of a step until the durable copy of its state was recorded.",
    )?;
    histogram(text, "wanfarm_checkpoint_seconds", "", &counts.checkpoints)?;

    head(
        text,
        "wanfarm_store_commit_seconds",
        "histogram",
        "Seconds until a transaction of the database was durable.",
    )?;
    histogram(text, "wanfarm_store_commit_seconds", "", &counts.commits)?;

    head(text, "wanfarm_turn_seconds", "histogram", "Seconds of the coordinator's loop for what had arrived.")?;
    histogram(text, "wanfarm_turn_seconds", "", &counts.turns)?;

    head(
        text,
        "wanfarm_disk_free_bytes",
        "gauge",
        "Bytes that are free for finished files, and for the coordinator's data.",
    )?;
    for (folder, bytes) in ["output", "data"].into_iter().zip(free) {
        if let Some(bytes) = bytes {
            writeln!(text, "wanfarm_disk_free_bytes{{dir=\"{folder}\"}} {bytes}")?;
        }
    }
    Ok(())
}

fn head(text: &mut String, name: &str, kind: &str, help: &str) -> fmt::Result {
    writeln!(text, "# HELP {name} {help}\n# TYPE {name} {kind}")
}

fn tally(each: impl Iterator<Item = (String, u64)>) -> BTreeMap<String, u64> {
    let mut counts = BTreeMap::new();
    for (name, count) in each {
        *counts.entry(name).or_default() += count;
    }
    counts
}

fn each(text: &mut String, name: &str, label: &str, counts: &BTreeMap<String, u64>) -> fmt::Result {
    counts.iter().try_for_each(|(value, count)| writeln!(text, "{name}{{{label}=\"{}\"}} {count}", escaped(value)))
}

fn histogram(text: &mut String, name: &str, labels: &str, histogram: &Histogram) -> fmt::Result {
    let (separate, alone) = if labels.is_empty() { ("", String::new()) } else { (",", format!("{{{labels}}}")) };
    let mut below = 0;
    for (limit, count) in LIMITS.iter().zip(histogram.buckets) {
        below += count;
        writeln!(text, "{name}_bucket{{{labels}{separate}le=\"{limit}\"}} {below}")?;
    }
    writeln!(text, "{name}_bucket{{{labels}{separate}le=\"+Inf\"}} {}", histogram.count)?;
    writeln!(text, "{name}_sum{alone} {}\n{name}_count{alone} {}", histogram.sum, histogram.count)
}

/// A label's value.
fn escaped(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use wanfarm_types::{JobState, Role, Stage};

    /// What a farm tells that has something of everything.
    fn told() -> String {
        let job = JobSummary { state: JobState::Active, videos: 10, done: 3, running: 2, ..JobSummary::default() };
        let worker = WorkerStatus { state: "idle".into(), roles: vec![Role::Vae], ..WorkerStatus::default() };
        let commits = Histogram { count: 3, sum: 4000.5, ..Histogram::default() };
        let mut counts = Counts { commits, ..Counts::default() };
        counts.commits.buckets[0] = 2;
        let odd = "a \"model\"\n\\".to_owned();
        counts.steps.insert((Stage::DenoiseHigh, odd), counts.commits.clone());
        counts.attempts.insert((Stage::Decode, "lost"), 4);
        counts.videos.insert(VideoState::Failed.name(), 1);
        let figures = Figures { queue: vec![(Stage::Decode, 7)], busy: [("mac".to_owned(), 12.5)].into() };
        let mut text = String::new();
        write(&mut text, &[job.clone(), job], &[worker], &figures, [Some(5), None], &counts).unwrap();
        text
    }

    #[test]
    fn figures_are_told_in_the_text_format() {
        let text = told();
        for line in [
            "wanfarm_jobs{state=\"active\"} 2",
            "wanfarm_videos{state=\"waiting\"} 10",
            "wanfarm_videos{state=\"done\"} 6",
            "wanfarm_videos_total{state=\"done\"} 0",
            "wanfarm_videos_total{state=\"failed\"} 1",
            "wanfarm_queue_items{stage=\"decode\"} 7",
            "wanfarm_workers{role=\"vae\",state=\"idle\"} 1",
            "wanfarm_worker_busy_seconds_total{worker=\"mac\"} 12.5",
            "wanfarm_attempts_total{stage=\"decode\",result=\"lost\"} 4",
            "wanfarm_checkpoint_seconds_count 0",
            "wanfarm_store_commit_seconds_bucket{le=\"0.001\"} 2",
            "wanfarm_store_commit_seconds_bucket{le=\"1800\"} 2",
            "wanfarm_store_commit_seconds_bucket{le=\"+Inf\"} 3",
            "wanfarm_store_commit_seconds_sum 4000.5",
            "wanfarm_step_seconds_count{stage=\"denoise_high\",model=\"a \\\"model\\\"\\n\\\\\"} 3",
            "wanfarm_disk_free_bytes{dir=\"output\"} 5",
        ] {
            assert!(text.lines().any(|told| told == line), "{line} is not in\n{text}");
        }
        assert!(!text.contains("dir=\"data\""), "what is not known is not told");
    }

    /// The figures that a text of ours names.
    fn named(text: &str) -> BTreeSet<&str> {
        let is_of_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
        text.split(|c| !is_of_name(c)).filter(|word| word.starts_with("wanfarm_")).collect()
    }

    #[test]
    fn dashboard_and_alerts_ask_for_what_is_told() {
        let text = told();
        let mut known = BTreeSet::new();
        for line in text.lines().filter_map(|line| line.strip_prefix("# TYPE ")) {
            let (name, kind) = line.split_once(' ').unwrap();
            assert!(text.contains(&format!("# HELP {name} ")), "{name} is not explained");
            match kind {
                "histogram" => known.extend(["bucket", "sum", "count"].map(|part| format!("{name}_{part}"))),
                _ => drop(known.insert(name.to_owned())),
            }
        }
        let explained: BTreeSet<&str> = known.iter().map(String::as_str).collect();
        let samples = text.lines().filter(|line| !line.starts_with('#')).collect::<Vec<_>>().join("\n");
        assert!(named(&samples).is_subset(&explained), "all that is told has its type");
        for (file, text) in [
            ("grafana/wanfarm.json", include_str!("../../../deploy/grafana/wanfarm.json")),
            ("prometheus/alerts.yml", include_str!("../../../deploy/prometheus/alerts.yml")),
            ("prometheus/alerts-test.yml", include_str!("../../../deploy/prometheus/alerts-test.yml")),
        ] {
            let asked = named(text);
            assert!(!asked.is_empty(), "{file} asks for nothing");
            let untold: Vec<_> = asked.difference(&explained).collect();
            assert!(untold.is_empty(), "{file} asks for {untold:?}, which nobody tells");
        }
    }
}
