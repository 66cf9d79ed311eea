//! `coordinator models known` and `get`: what is published, and how it comes here.

use std::fs;
use std::path::PathBuf;

use wanfarm_model::folder;
use wanfarm_model::ops::device::DeviceKind;
use wanfarm_tools::known::{Fit, KnownModel, known};
use wanfarm_types::Size;

use super::{get, interrupted};
use crate::cli::error::CliError;
use crate::cli::path;
use crate::cli::runtime::asked_to_stop;
use crate::cli::say::{errln, out, outln, print_json};
use crate::cli::table::table;
use crate::exit::Exit;

#[derive(Debug, clap::Args)]
pub(super) struct KnownArgs {
    /// Tell everything of this model: its files, and how to download it without this program.
    #[arg(value_name = "MODEL")]
    name: Option<String>,
    /// What a worker may take, as of `worker --memory` [default: what it would take on this machine].
    #[arg(long, value_name = "SIZE")]
    memory: Option<Size>,
    #[command(flatten)]
    list: ListArg,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, clap::Args)]
pub(super) struct GetArgs {
    /// Its name, as `coordinator models known` tells.
    #[arg(value_name = "MODEL")]
    name: String,
    /// The folder of models that it is to lie in.
    #[arg(long, value_name = "DIR", env = "WANFARM_MODELS", value_parser = path::new())]
    models: PathBuf,
    #[command(flatten)]
    list: ListArg,
}

#[derive(Debug, clap::Args)]
struct ListArg {
    /// A list of one's own instead, in TOML, as `shared/tools/src/known/list.toml` is.
    #[arg(long, value_name = "FILE", value_parser = path::existing())]
    list: Option<PathBuf>,
}

impl ListArg {
    fn read(&self) -> Result<Vec<KnownModel>, CliError> {
        let bad = |path: &PathBuf, why: String| CliError::new(Exit::Usage, format!("{}: {why}", path.display()));
        match &self.list {
            None => known(None).map_err(|why| CliError::new(Exit::SomeFailed, why)),
            Some(path) => {
                let own = fs::read_to_string(path).map_err(|error| bad(path, error.to_string()))?;
                known(Some(&own)).map_err(|why| bad(path, why))
            }
        }
    }

    fn one(&self, name: &str) -> Result<KnownModel, CliError> {
        let known = self.read()?;
        let names = known.iter().map(|model| model.name.clone()).collect::<Vec<_>>().join(", ");
        let unknown = || CliError::new(Exit::Usage, format!("no model is known as {name:?}; there is: {names}"));
        known.into_iter().find(|model| model.name == name).ok_or_else(unknown)
    }
}

pub(super) fn tell(args: KnownArgs) -> Result<Exit, CliError> {
    let KnownArgs { name, memory, list, json } = args;
    let models = match &name {
        Some(name) => vec![list.one(name)?],
        None => list.read()?,
    };
    let budget = memory.unwrap_or_else(|| wanfarm_workers::budget(DeviceKind::preferred()));
    if json {
        let line = |model: &KnownModel| {
            let (fit, commands) = (model.fit(budget), model.commands("models"));
            serde_json::json!({ "model": model, "fit": fit, "commands": commands })
        };
        let lines: Vec<_> = models.iter().map(line).collect();
        print_json(&serde_json::json!({ "memory_bytes": budget.0, "models": lines }))?;
        return Ok(Exit::Ok);
    }
    out!("{}", lines(&models, budget));
    if let (Some(_), Some(model)) = (name, models.first()) {
        for file in &model.files {
            outln!("  {} {}", file.from, file.path);
        }
        outln!("Without this program:");
        for command in model.commands("models") {
            outln!("  {command}");
        }
    } else {
        outln!(
            "Memory is that of a GPU for a video of the model's own size, all roles at once or the largest alone; here a \
             worker may take {budget}.\nSmaller videos take less. More of one: coordinator models known MODEL"
        );
    }
    Ok(Exit::Ok)
}

fn lines(models: &[KnownModel], budget: Size) -> String {
    let rows = models.iter().map(|model| {
        let fit = match model.fit(budget) {
            Fit::Whole => "all at once",
            Fit::InTurns => "in turns",
            Fit::TooLarge => "too large",
        };
        let KnownModel { name, preset, weights, licence, download, largest, together, .. } = model;
        [
            name.clone(),
            preset.clone(),
            weights.clone(),
            format!("{download:.1} GB"),
            format!("{together:.1} / {largest:.1} GB"),
            fit.to_owned(),
            licence.clone(),
        ]
    });
    table(["MODEL", "IS A", "WEIGHTS", "DOWNLOAD", "MEMORY", "HERE", "LICENCE"], rows)
}

pub(super) async fn get(args: GetArgs) -> Result<Exit, CliError> {
    let GetArgs { name, models, list } = args;
    let model = list.one(&name)?;
    let folder = models.join(&model.name);
    let got = tokio::select! {
        got = get::get(model, folder.clone()) => got?,
        () = asked_to_stop() => return Err(interrupted()),
    };
    folder::open(&folder).map_err(|error| CliError::new(Exit::BadModelFiles, error.to_string()))?;
    outln!("{}", folder.display());
    errln!("{} files came; {} were in the cache", got.files, got.kept);
    Ok(Exit::Ok)
}
