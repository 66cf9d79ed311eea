//! `coordinator models`: which models the farm has, and how a new machine gets their files.

mod pull;

use std::path::PathBuf;

use clap::Subcommand;
use wanfarm_client::{Client, HeldModel};
use wanfarm_model::folder;
use wanfarm_types::Role;

use crate::cli::args::CoordinatorArg;
use crate::cli::error::CliError;
use crate::cli::path;
use crate::cli::runtime::{asked_to_stop, block_on};
use crate::cli::say::{errln, out, outln, print_json};
use crate::cli::table::table;
use crate::exit::Exit;
use crate::logging;

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples, on a machine that has joined as a worker:
  coordinator models list
  coordinator models pull wan2.2-t2v-a14b --models ~/models
  coordinator models pull wan2.2-t2v-a14b --role vae --models ~/models

Files come from the farm's workers, by way of the coordinator, and are checked by
their BLAKE3. What is here already stays, and what broke off goes on.")]
pub(in crate::cli) struct ModelsArgs {
    #[command(subcommand)]
    verb: Verb,
    #[command(flatten)]
    coordinator: CoordinatorArg,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// The models that connected workers have the files of.
    List(ListArgs),
    /// Fetch the files of a model from the farm.
    Pull(PullArgs),
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

pub(super) fn models(args: ModelsArgs) -> Result<Exit, CliError> {
    logging::quiet();
    let ModelsArgs { verb, coordinator } = args;
    block_on(async {
        let target = coordinator.target()?;
        let mut client = Client::connect(&target).await?;
        let held = client.held_models().await?;
        match verb {
            Verb::List(ListArgs { json: true }) => print_json(&serde_json::json!({ "models": held }))?,
            Verb::List(_) => {
                out!("{}", lines(&held));
            }
            Verb::Pull(PullArgs { name, roles, models }) => {
                let model = chosen(held, &name, &roles)?;
                let folder = models.into_iter().next().unwrap_or_default().join(pull::plain(&name)?);
                let pulled = tokio::select! {
                    pulled = pull::pull(client, &target, &model, &folder) => pulled?,
                    () = asked_to_stop() => {
                        return Err(CliError::new(Exit::Interrupted, "interrupted; the same command goes on from here"));
                    }
                };
                whole(&model, &folder)?;
                outln!("{}", folder.display());
                errln!("{} files came, {} bytes; {} were here", pulled.files, pulled.bytes, pulled.kept);
            }
        }
        Ok(Exit::Ok)
    })
}

/// A model of that name, with those roles alone.
fn chosen(held: Vec<HeldModel>, name: &str, roles: &[Role]) -> Result<HeldModel, CliError> {
    let usage = |why: String| CliError::new(Exit::Usage, why);
    let names = held.iter().map(|model| model.name.clone()).collect::<Vec<_>>().join(", ");
    let there = if names.is_empty() { "no worker is connected that has a model".to_owned() } else { names };
    let mut model = held
        .into_iter()
        .find(|model| model.name == name)
        .ok_or_else(|| usage(format!("no worker of the farm has a model {name}; there is: {there}")))?;
    if let Some(role) = roles.iter().find(|role| model.roles.iter().all(|held| held.role != **role)) {
        return Err(usage(format!("no worker of the farm has the files of {role} of {name}")));
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
            [model.name.clone(), held.role.to_string(), held.workers.to_string(), files]
        })
    });
    table(["MODEL", "ROLE", "WORKERS", "FILES"], rows)
}

#[cfg(test)]
mod tests {
    use wanfarm_client::HeldRole;

    use super::*;

    fn held() -> Vec<HeldModel> {
        let role = |role| HeldRole { role, workers: 1, files: Vec::new() };
        let roles = vec![role(Role::Vae), role(Role::Dit)];
        vec![HeldModel { name: "wan".to_owned(), preset: "t2v".to_owned(), roles, beside: Vec::new() }]
    }

    #[test]
    fn what_nobody_has_is_refused_with_what_there_is() {
        let why = |name: &str, roles: &[Role]| chosen(held(), name, roles).unwrap_err().to_string();
        assert!(why("wam", &[]).ends_with("there is: wan"), "{}", why("wam", &[]));
        assert!(why("wan", &[Role::DitHigh]).contains("dit-high of wan"));
        assert!(chosen(Vec::new(), "wan", &[]).unwrap_err().to_string().contains("no worker is connected"));
        assert_eq!(chosen(held(), "wan", &[Role::Vae]).unwrap().roles.len(), 1);
        assert_eq!(chosen(held(), "wan", &[]).unwrap().roles.len(), 2);
    }
}
