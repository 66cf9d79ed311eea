//! `coordinator models`: which models there are, and how a machine gets their files, from their publishers or from the farm.

mod get;
mod known;
mod pull;
mod push;

use std::path::PathBuf;

use clap::Subcommand;
use wanfarm_client::{Client, HeldModel};
use wanfarm_model::folder;
use wanfarm_types::{Role, Size};

use super::data_directory;
use crate::cli::args::CoordinatorArg;
use crate::cli::error::CliError;
use crate::cli::path;
use crate::cli::runtime::{asked_to_stop, block_on};
use crate::cli::say::{errln, out, outln, print_json};
use crate::cli::table::table;
use crate::exit::Exit;
use crate::logging;

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  coordinator models known
  coordinator models get wan2.2-ti2v-5b-fp16 --models ~/models
And on a machine that has joined a farm as a worker:
  coordinator models list
  coordinator models pull wan2.2-t2v-a14b --models ~/models
  coordinator models pull wan2.2-t2v-a14b --role vae --models ~/models
And an operator:
  coordinator models push ~/models/my-wan
  coordinator models prune my-wan

`get` fetches what is published into the cache that other programs use as well
(HF_HOME), checks it, and links it into the folder. `pull` fetches from the farm's
workers, by way of the coordinator, or what the coordinator keeps since somebody has
pushed it, and checks by BLAKE3. All go on where they broke off, and what is there
already stays.")]
pub(in crate::cli) struct ModelsArgs {
    #[command(subcommand)]
    verb: Verb,
    #[command(flatten)]
    coordinator: CoordinatorArg,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// The published models that are rendered: what they take, what fits this machine, where they are.
    Known(known::KnownArgs),
    /// Fetch a published model.
    Get(known::GetArgs),
    /// The models that connected workers, or the coordinator, have the files of.
    List(ListArgs),
    /// Fetch the files of a model from the farm.
    Pull(PullArgs),
    /// Give the coordinator a model, which keeps it and hands it on to whoever pulls.
    Push(PushArgs),
    /// Have the coordinator forget a model that it keeps.
    Prune(PruneArgs),
}

#[derive(Debug, clap::Args)]
struct ListArgs {
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, clap::Args)]
struct PullArgs {
    /// Its name, as `coordinator models list` tells.
    #[arg(value_name = "MODEL")]
    name: String,
    /// Only what these need: text-encoder, dit-high, dit-low, dit, vae; several with commas [default: all that is there].
    #[arg(long = "role", value_name = "ROLE", value_delimiter = ',')]
    roles: Vec<Role>,
    /// The folder of models that it is to lie in.
    #[arg(long, value_name = "DIR", env = "WANFARM_MODELS", required = true, value_parser = path::new())]
    models: Vec<PathBuf>,
}

#[derive(Debug, clap::Args)]
struct PushArgs {
    /// The model's folder. What it is called there, it is called on the farm.
    #[arg(value_name = "DIR", value_parser = path::existing())]
    folder: PathBuf,
}

#[derive(Debug, clap::Args)]
struct PruneArgs {
    /// Its name, as `coordinator models list` tells.
    #[arg(value_name = "MODEL", required = true)]
    names: Vec<String>,
}

pub(super) fn models(args: ModelsArgs) -> Result<Exit, CliError> {
    logging::quiet();
    let ModelsArgs { verb, coordinator } = args;
    let (list, pull) = match verb {
        Verb::Known(args) => return known::tell(args),
        Verb::Get(args) => return block_on(known::get(args)),
        Verb::Push(args) => return block_on(give(args, coordinator)),
        Verb::Prune(args) => return block_on(prune(args, coordinator)),
        Verb::List(args) => (Some(args), None),
        Verb::Pull(args) => (None, Some(args)),
    };
    block_on(async {
        let target = coordinator.target()?;
        let mut client = Client::connect(&target).await?;
        let held = client.held_models().await?;
        match list {
            Some(ListArgs { json: true }) => print_json(&serde_json::json!({ "models": held }))?,
            Some(_) => {
                out!("{}", lines(&held));
            }
            None => {}
        }
        if let Some(PullArgs { name, roles, models }) = pull {
            let model = chosen(held, &name, &roles)?;
            let folder = models.into_iter().next().unwrap_or_default().join(pull::plain(&name)?);
            let pulled = tokio::select! {
                pulled = pull::pull(client, &target, &model, &folder) => pulled?,
                () = asked_to_stop() => return Err(interrupted()),
            };
            whole(&model, &folder)?;
            outln!("{}", folder.display());
            errln!("{} files came, {} bytes; {} were here", pulled.files, pulled.bytes, pulled.kept);
        }
        Ok(Exit::Ok)
    })
}

async fn give(args: PushArgs, coordinator: CoordinatorArg) -> Result<Exit, CliError> {
    let target = coordinator.target()?;
    let client = Client::connect(&target).await?;
    // Where it remembers the digests of large files.
    let data = data_directory(None, "push")?;
    let looked = tokio::task::spawn_blocking(move || push::look(&args.folder, &data)).await;
    let (folder, model) = looked.map_err(|error| CliError::new(Exit::SomeFailed, error))??;
    let pushed = tokio::select! {
        pushed = push::push(client, &target, folder.path(), &model) => pushed?,
        () = asked_to_stop() => return Err(interrupted()),
    };
    outln!("{}", model.name);
    errln!("{} files went, {} bytes; {} were there", pushed.files, pushed.bytes, pushed.kept);
    Ok(Exit::Ok)
}

async fn prune(args: PruneArgs, coordinator: CoordinatorArg) -> Result<Exit, CliError> {
    let mut client = Client::connect(&coordinator.target()?).await?;
    for name in args.names {
        let bytes = client.forget_model(&name).await?;
        errln!("{name} is forgotten; {} are free", Size(bytes));
    }
    Ok(Exit::Ok)
}

fn interrupted() -> CliError {
    CliError::new(Exit::Interrupted, "interrupted; the same command goes on from here")
}

/// A model of that name, with those roles alone.
fn chosen(held: Vec<HeldModel>, name: &str, roles: &[Role]) -> Result<HeldModel, CliError> {
    let usage = |why: String| CliError::new(Exit::Usage, why);
    let names = held.iter().map(|model| model.name.clone()).collect::<Vec<_>>().join(", ");
    let there = if names.is_empty() { "nothing".to_owned() } else { names };
    let mut model = held
        .into_iter()
        .find(|model| model.name == name)
        .ok_or_else(|| usage(format!("the farm has no model {name}; there is: {there}")))?;
    if let Some(role) = roles.iter().find(|role| model.roles.iter().all(|held| held.role != **role)) {
        return Err(usage(format!("the farm has no files of {role} of {name}")));
    }
    model.roles.retain(|held| roles.is_empty() || roles.contains(&held.role));
    Ok(model)
}

/// Refuses a folder that is not what the farm has: a file may be missing that nobody told of.
fn whole(model: &HeldModel, folder: &std::path::Path) -> Result<(), CliError> {
    let bad = |why: String| CliError::new(Exit::BadModelFiles, why);
    let found = folder::open(folder).map_err(|error| bad(error.to_string()))?;
    for held in &model.roles {
        let wanted: Vec<PathBuf> = held.files.iter().map(|file| folder.join(&file.path)).collect();
        let here = found.files(held.role);
        if let Some(missing) = wanted.iter().find(|path| !here.contains(path)) {
            let (role, path) = (held.role, missing.display());
            return Err(bad(format!(
                "{path} came, but is not among the files of {role} here; look with `coordinator inspect`"
            )));
        }
    }
    Ok(())
}

fn lines(held: &[HeldModel]) -> String {
    let rows = held.iter().flat_map(|model| {
        model.roles.iter().map(|held| {
            let files = held.files.iter().map(|file| file.path.clone()).collect::<Vec<_>>().join(", ");
            let kept = if held.kept { "yes" } else { "" }.to_owned();
            [model.name.clone(), held.role.to_string(), held.workers.to_string(), kept, files]
        })
    });
    table(["MODEL", "ROLE", "WORKERS", "KEPT", "FILES"], rows)
}

#[cfg(test)]
mod tests {
    use wanfarm_client::HeldRole;

    use super::*;

    fn held() -> Vec<HeldModel> {
        let role = |role| HeldRole { role, workers: 1, files: Vec::new(), kept: false };
        let roles = vec![role(Role::Vae), role(Role::Dit)];
        vec![HeldModel { name: "wan".to_owned(), preset: "t2v".to_owned(), roles, beside: Vec::new() }]
    }

    #[test]
    fn what_nobody_has_is_refused_with_what_there_is() {
        let why = |name: &str, roles: &[Role]| chosen(held(), name, roles).unwrap_err().to_string();
        assert!(why("wam", &[]).ends_with("there is: wan"), "{}", why("wam", &[]));
        assert!(why("wan", &[Role::DitHigh]).contains("dit-high of wan"));
        assert!(chosen(Vec::new(), "wan", &[]).unwrap_err().to_string().contains("there is: nothing"));
        assert_eq!(chosen(held(), "wan", &[Role::Vae]).unwrap().roles.len(), 1);
        assert_eq!(chosen(held(), "wan", &[]).unwrap().roles.len(), 2);
    }
}
