//! `coordinator submit --dry-run`: what a batch would take, asked of a coordinator, and of this machine where there is none.

use std::path::PathBuf;
use std::time::Duration;

use indicatif::HumanBytes;
use serde::Serialize;
use wanfarm_client::{BalanceForecast, Client, ClientError, Forecast, RoleForecast, StageForecast, Target, span};
use wanfarm_manifest::{Manifest, Taken, chains};
use wanfarm_types::{ModelInfo, VideoRequest};

#[cfg(not(feature = "farm"))]
use super::client_only::LocalModel;
#[cfg(feature = "farm")]
use super::here::local::LocalModel;
use super::say::out;
use super::table::table;
use super::{CliError, block_on, faulty, print_json};
use crate::clock::Clock;
use crate::exit::Exit;
use crate::progress::counted;

#[derive(Debug, Serialize)]
struct Answer {
    /// The job's name.
    name: String,
    model: String,
    /// A coordinator was asked; otherwise this is what the manifest and the model's files tell.
    asked: bool,
    why_not: Option<String>,
    /// Remarks though nothing is wrong.
    notes: Vec<String>,
    /// Videos that start from one another, from the first to the last of each chain.
    chains: Vec<String>,
    #[serde(flatten)]
    forecast: Forecast,
}

pub(super) struct Question<'a> {
    /// The coordinator.
    pub(super) coordinator: &'a Target,
    /// Folders that models may lie in.
    pub(super) models: Vec<PathBuf>,
    pub(super) taken: Taken,
    pub(super) json: bool,
}

pub(super) fn dry_run(question: &Question<'_>, manifest: &Manifest) -> Result<Exit, CliError> {
    let model = LocalModel::find(&question.models, &manifest.model)?;
    let here = model.as_ref().map(LocalModel::info);
    let (videos, mut notes, asked) = block_on(ask(question, manifest, here))?;
    let alone = || match &model {
        Some(model) => model.forecast(manifest, &videos),
        None => Ok(Forecast { videos: u32::try_from(videos.len()).unwrap_or(u32::MAX), ..Forecast::default() }),
    };
    let (mut forecast, why_not) = match asked {
        Ok(forecast) if forecast.model_known || here.is_none() => (forecast, None),
        // Nobody serves the model, but its files are here.
        Ok(asked) => {
            let Forecast { waiting_for, taken, renamed, left_out, .. } = asked;
            (Forecast { waiting_for, taken, renamed, left_out, ..alone()? }, None)
        }
        Err(error) => (alone()?, Some(error.to_string())),
    };
    if let Some(model) = &model {
        model.add_needs(&mut forecast.roles)?;
        notes.extend(model.notes(manifest)?);
    }
    let (name, model, asked) = (manifest.name.clone(), manifest.model.clone(), why_not.is_none());
    let chains = chains::told(&videos);
    let answer = Answer { name, model, asked, why_not, notes, chains, forecast };
    if question.json {
        print_json(&answer)?;
    } else {
        out!("{}", words(&answer, manifest));
    }
    let Forecast { faults, taken, shortages, .. } = &answer.forecast;
    let good = faults.is_empty() && taken.is_none() && !shortages.iter().any(|short| short.certain);
    Ok(if good { Exit::Ok } else { Exit::Usage })
}

/// The videos, checked against the model that is here or that the coordinator knows, and the coordinator's answer; the
/// inner error is that there is none to ask.
async fn ask(
    question: &Question<'_>,
    manifest: &Manifest,
    here: Option<&ModelInfo>,
) -> Result<(Vec<VideoRequest>, Vec<String>, Result<Forecast, ClientError>), CliError> {
    let check = |info: Option<&ModelInfo>| manifest.check(info).map_err(|faults| faulty(&faults, question.json));
    let mut client = match Client::connect(question.coordinator).await {
        Ok(client) => client,
        Err(error) => return Ok((check(here)?, Vec::new(), Err(error))),
    };
    let known = client.model(&manifest.model).await?;
    let videos = check(here.or(known.as_ref()))?;
    let notes = known.filter(|_| here.is_none()).map(|info| manifest.setting_notes(&info)).unwrap_or_default();
    let submission = manifest.submission(String::new(), question.taken, videos.clone());
    let forecast = client.estimate(submission).await?;
    Ok((videos, notes, Ok(forecast)))
}

fn words(answer: &Answer, manifest: &Manifest) -> String {
    let Answer { name, model, why_not, notes, forecast, .. } = answer;
    let mut text = format!("{name}: {} with {model}; nothing is queued\n", counted(forecast.videos, "video"));
    if let Some(why) = why_not {
        text += &format!("{why}\nso nobody could say who serves the model, or how long it takes\n");
    }
    if let Some(taken) = &forecast.taken {
        text += &format!("{taken}\n");
    }
    for (videos, what) in [
        (forecast.renamed, "would get a new name, because theirs is taken"),
        (forecast.left_out, "would be left out, as all files stand there whole"),
    ] {
        if videos > 0 {
            text += &format!("{} {what}\n", counted(videos, "video"));
        }
    }
    for note in notes {
        text += &format!("note: {note}\n");
    }
    for short in &forecast.shortages {
        text += &format!("{}the job {short}\n", if short.certain { "" } else { "note: " });
    }
    if let Some(waiting_for) = &forecast.waiting_for {
        text += &format!("it would wait for {waiting_for}\n");
    }
    if !forecast.model_known {
        text += "what the model needs is not known here; say where its folder is with --models DIR\n";
        return text;
    }
    for fault in &forecast.faults {
        let line = manifest.line_of(fault.index as usize).map(|line| format!(" (line {line})")).unwrap_or_default();
        text += &format!("video {}{line} cannot be rendered: {}\n", fault.index, fault.why);
    }
    for chain in &answer.chains {
        text += &format!("one after the other: {chain}\n");
    }
    for line in &forecast.accelerations {
        text += &format!("{line}\n");
    }
    text += "\n";
    text += &table(["STAGE", "WORK", "WORKERS", "EACH", "ALONE"], forecast.stages.iter().map(stage));
    text += "\n";
    text += &table(["ROLE", "WORKERS", "IN MEMORY", "NEEDS", "SMALLEST MACHINE", ""], forecast.roles.iter().map(role));
    text += "\n";
    text += &time(answer, &Clock::now());
    text += expectations(&forecast.stages);
    if let Some(balance) = &forecast.balance {
        text += &balanced(balance);
    }
    text
}

/// A basis that is no measurement.
const EXPECTED: &str = "expected";

fn stage(line: &StageForecast) -> [String; 5] {
    let unit = if line.stage.starts_with("denoise") { "steps" } else { "items" };
    let basis = match line.basis {
        "scaled" => " (from another size)",
        EXPECTED => " (expected)",
        _ => "",
    };
    [
        line.stage.to_owned(),
        if (line.work - line.units as f64).abs() < 0.05 {
            format!("{} {unit}", line.units)
        } else {
            format!("{} {unit}, {:.1} computed", line.units, line.work)
        },
        line.workers.to_string(),
        line.seconds_per_unit.map(|seconds| format!("{seconds:.2} s{basis}")).unwrap_or_else(|| "not measured".into()),
        line.seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok()).map(span).unwrap_or_default(),
    ]
}

fn role(line: &RoleForecast) -> [String; 6] {
    let size = |bytes| HumanBytes(bytes).to_string();
    let fits = line.needs_bytes.zip(line.least_memory_bytes).map(|(needs, has)| needs <= has);
    [
        line.role.to_owned(),
        line.workers.to_string(),
        held(line),
        line.needs_bytes.map(size).unwrap_or_else(|| "unknown".into()),
        line.least_memory_bytes.map(size).unwrap_or_default(),
        match fits {
            Some(true) => "fits",
            Some(false) => "does not fit",
            None => "",
        }
        .to_owned(),
    ]
}

/// On how many of the workers the weights are in memory, and how long loading them takes.
fn held(line: &RoleForecast) -> String {
    match line.load_seconds {
        _ if line.workers == 0 => String::new(),
        None => format!("{} of {}", line.holders, line.workers),
        Some(seconds) => format!("{} of {}, else {seconds:.0} s", line.holders, line.workers),
    }
}

fn time(answer: &Answer, clock: &Clock) -> String {
    let forecast = &answer.forecast;
    let seconds = forecast.seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    match (seconds, forecast.bottleneck) {
        (Some(time), Some(stage)) => {
            let end = clock.end(time);
            format!(
                "done at about {end}, with the workers of now, if they do nothing else; {stage} takes the longest\n"
            )
        }
        _ if !answer.asked => String::new(),
        _ => {
            let unmeasured = forecast.stages.iter().filter(|line| line.seconds_per_unit.is_none());
            let names: Vec<&str> = unmeasured.map(|line| line.stage).collect();
            format!("how long it takes is not known: no measurements yet of {}\n", names.join(", "))
        }
    }
}

/// What it means that stages are expected to take so long.
fn expectations(stages: &[StageForecast]) -> &'static str {
    if stages.iter().any(|line| line.basis == EXPECTED) {
        "expected: from the chip's figures, not measured; the first steps will tell\n"
    } else {
        ""
    }
}

fn balanced(balance: &BalanceForecast) -> String {
    let basis =
        if balance.measured { "by measured step times" } else { "by counting steps, as if both took as long for one" };
    let mut text = format!(
        "the high-noise expert has {:.0} % of the denoising, {basis}: {} dit-high to {} dit-low workers balance it",
        balance.high_share * 100.0,
        balance.high,
        balance.low
    );
    if let (Some(high), Some(low)) = (balance.high_workers, balance.low_workers) {
        text += &format!("; of the {} there are: {high} and {low}", high + low);
    }
    text + "\n"
}
