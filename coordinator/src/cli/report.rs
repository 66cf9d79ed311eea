//! `coordinator report`: what came of a job, and where the time went.

use std::collections::BTreeMap;
use std::time::Duration;

use indicatif::HumanBytes;
use wanfarm_client::{Client, span};
use wanfarm_manifest::one_line;
use wanfarm_types::{EffortLine, Forecast, JobReport, LostFile, Machine};

use super::follow::retry_command;
use super::reference::JobReference;
use super::say::out;
use super::status::accelerations_of;
use super::table::table;
use super::{CliError, CoordinatorArg, block_on, print_json};
use crate::clock;
use crate::exit::Exit;
use crate::logging;
use crate::progress::{Summary, counted};

/// Lost files that are named one by one.
const MAX_LOST: usize = 20;

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  coordinator report night       done, failed and why, what took long
  coordinator report 17 --json | jq '.videos[] | select(.verdict !=\"ok\")'

Exits with 0 when every video is done, and with 1 when some failed, were cancelled or are still to come.")]
pub(super) struct ReportArgs {
    /// Number or name of a job.
    job: JobReference,
    #[command(flatten)]
    coordinator: CoordinatorArg,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

pub(super) fn report(args: ReportArgs) -> Result<Exit, CliError> {
    logging::quiet();
    block_on(async {
        let target = args.coordinator.target()?;
        let mut client = Client::connect(&target).await?;
        let job = args.job.find(&mut client).await?;
        let report = client.report(job).await?;
        let whole = report.job.done == report.job.videos;
        if args.json {
            print_json(&report)?;
        } else {
            out!("{}", words(report, &target.url()));
        }
        Ok(if whole { Exit::Ok } else { Exit::SomeFailed })
    })
}

fn words(report: JobReport, url: &str) -> String {
    let JobReport {
        job,
        output_dir,
        wall_seconds,
        bottleneck,
        stages,
        roles,
        workers,
        videos,
        machines,
        lost,
        forecast,
        ..
    } = report;
    let mut verdicts: BTreeMap<String, usize> = BTreeMap::new();
    for verdict in videos.iter().filter_map(|video| video.verdict.clone()) {
        *verdicts.entry(verdict).or_default() += 1;
    }
    let accelerations = accelerations_of(&videos);
    let summary = Summary {
        retry: retry_command(job.job, url),
        wall: Duration::try_from_secs_f64(wall_seconds).ok(),
        output_dir: output_dir.into(),
        job,
        videos,
    };
    let mut text = format!("{summary}\n");
    if let Some(waiting_for) = &summary.job.waiting_for {
        text += &format!("waiting for {waiting_for}\n");
    }
    if !lost.is_empty() {
        text += &format!("\n{}", lost_words(&lost));
    }
    if let Some(forecast) = &forecast {
        text += &format!("\n{}\n", forecast_words(forecast, summary.job.ended.as_deref()));
    }
    if !accelerations.is_empty() {
        text += &format!("\n{accelerations}");
    }
    if !verdicts.is_empty() {
        let verdicts = verdicts.iter().map(|(verdict, count)| format!("{count} {verdict}"));
        text += &format!("\nquality: {}\n", verdicts.collect::<Vec<_>>().join(", "));
    }
    if !roles.is_empty() {
        text += "\n";
        text += &table(["ROLE", "WORKERS", "BUSY", ""], roles.iter().map(|line| role(line, bottleneck.as_deref())));
    }
    for (head, lines) in [("STAGE", &stages), ("WORKER", &workers)] {
        if !lines.is_empty() {
            text += "\n";
            text += &efforts(head, lines);
        }
    }
    if !machines.is_empty() {
        text += "\n";
        text += &table(["MACHINE", "DEVICE", "MEMORY", "WEIGHTS"], machines.iter().map(machine));
    }
    text
}

/// What was forecast when that could first be told, against what came.
fn forecast_words(forecast: &Forecast, ended: Option<&str>) -> String {
    let expected = Duration::try_from_secs_f64(forecast.seconds).unwrap_or_default();
    let told = forecast.at.as_deref().and_then(clock::moment);
    let took = told.zip(ended.and_then(clock::moment)).and_then(|(told, ended)| (ended - told).to_std().ok());
    let took = took.map(|took| format!(", took {}", span(took))).unwrap_or_default();
    format!("forecast when it could first be told: {}{took}", span(expected))
}

/// How busy the workers of a role were while the job was rendered.
fn role(line: &EffortLine, bottleneck: Option<&str>) -> [String; 4] {
    let remark = if bottleneck == Some(&line.name) { "the bottleneck" } else { "" };
    [line.name.clone(), line.workers.to_string(), percent(line.busy), remark.to_owned()]
}

fn percent(share: Option<f64>) -> String {
    share.map(|share| format!("{:.0} %", 100.0 * share)).unwrap_or_default()
}

fn efforts(head: &'static str, lines: &[EffortLine]) -> String {
    let time = |seconds: f64| Duration::try_from_secs_f64(seconds).map(span).unwrap_or_default();
    let row = |line: &EffortLine| {
        [
            line.name.clone(),
            time(line.effort.seconds),
            percent(line.busy),
            line.effort.attempts.to_string(),
            line.effort.failed.to_string(),
            line.effort.steps.to_string(),
            if line.effort.steps > 0 {
                format!("{:.2}", line.effort.seconds / line.effort.steps as f64)
            } else {
                String::new()
            },
            time(line.effort.queue_seconds),
            time(line.effort.input_wait_seconds),
            if line.effort.loads > 0 {
                format!("{}x {}", line.effort.loads, time(line.effort.load_seconds))
            } else {
                String::new()
            },
            if line.effort.skipped > 0 {
                share(line.effort.skipped, line.effort.forward_passes)
            } else {
                String::new()
            },
        ]
    };
    let head = [
        head,
        "COMPUTED",
        "BUSY",
        "ITEMS",
        "NOT DONE",
        "STEPS",
        "S/STEP",
        "ITEMS WAITED, IN ALL",
        "WAITED FOR INPUTS",
        "LOADED",
        "SKIPPED",
    ];
    table(head, lines.iter().map(row))
}

/// The files that are gone, one by one as long as there are few.
pub(super) fn lost_words(lost: &[LostFile]) -> String {
    let mut text = format!("not there as written: {}\n", counted(lost.len() as u64, "file"));
    for file in lost.iter().take(MAX_LOST) {
        text += &format!("  {}\n", one_line(&file.to_string(), 300));
    }
    if lost.len() > MAX_LOST {
        text += &format!("  … and {} more\n", lost.len() - MAX_LOST);
    }
    text
}

/// How much of the transformer's passes step caches stood in for.
fn share(skipped: u64, computed: u64) -> String {
    let all = skipped.saturating_add(computed).max(1);
    format!("{:.0} % of {all} passes", 100.0 * skipped as f64 / all as f64)
}

fn machine(worker: &Machine) -> [String; 4] {
    let weights = worker.weights.iter().map(|of| format!("{} {} {}", of.role, of.encoding, HumanBytes(of.bytes)));
    [
        worker.name.clone(),
        worker.device.clone(),
        worker.memory_bytes.map(|bytes| HumanBytes(bytes).to_string()).unwrap_or_default(),
        weights.collect::<Vec<_>>().join(", "),
    ]
}
