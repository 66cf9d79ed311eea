//! Arguments that several verbs take.

use std::path::Path;

use clap::Args;
use wanfarm_manifest::{Faults, Manifest, Taken};
use wanfarm_types::About;

use super::address;
use super::error::CliError;
use super::say::{faultln, outln};
use crate::exit::Exit;
use crate::logging;

/// What becomes of videos whose names are taken, by files or by other jobs. None of these: nothing is rendered.
#[derive(Debug, Clone, Copy, Args)]
#[group(multiple = false)]
pub(super) struct TakenArgs {
    /// Replace what stands where videos are to go: files, and folders that hold nothing but frames.
    #[arg(long)]
    overwrite: bool,
    /// Give videos whose names are taken names that are free: NAME-2 and so on.
    #[arg(long)]
    new_name: bool,
    /// Leave out the videos that stand there whole, as their sidecars tell; render the others.
    #[arg(long)]
    skip_existing: bool,
}

impl TakenArgs {
    pub(super) fn taken(self) -> Taken {
        match self {
            Self { overwrite: true, .. } => Taken::Overwrite,
            Self { new_name: true, .. } => Taken::NewName,
            Self { skip_existing: true, .. } => Taken::Skip,
            _ => Taken::Refuse,
        }
    }
}

/// What people say of a job, in the place of what its manifest says.
#[derive(Debug, Args)]
pub(super) struct AboutArgs {
    /// Whose it is.
    #[arg(long, value_name = "NAME", env = "WANFARM_OWNER")]
    owner: Option<String>,
    /// What there is to say of it.
    #[arg(long, value_name = "TEXT")]
    note: Option<String>,
    /// By which it is found again, shot=010; may be repeated.
    #[arg(long = "label", value_name = "NAME=TEXT", value_parser = label)]
    labels: Vec<(String, String)>,
}

impl AboutArgs {
    /// With what is typed in the place of what is written.
    pub(super) fn over(&self, written: &About) -> Result<About, CliError> {
        let mut about = written.clone();
        about.owner = self.owner.clone().or(about.owner);
        about.note = self.note.clone().or(about.note);
        about.labels.extend(self.labels.iter().cloned());
        about.check().map_err(|bad| CliError::new(Exit::Usage, format!("what is said of the job: {bad}")))?;
        Ok(about)
    }
}

fn label(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("write NAME=TEXT, as in shot=010")?;
    Ok((name.to_owned(), value.to_owned()))
}

#[derive(Debug, Args)]
pub(super) struct CoordinatorArg {
    /// The coordinator's address: HOST, HOST:PORT or http://HOST:PORT.
    #[arg(
        long,
        value_parser = address::coordinator,
        value_name = "URL",
        env = "WANFARM_COORDINATOR",
        default_value = "http://127.0.0.1:7700",
        global = true
    )]
    pub(super) coordinator: String,
}

/// Reads a manifest whose files lie below `files`, or where it lies itself.
pub(super) fn read_manifest(path: &Path, files: Option<&Path>, json: bool) -> Result<Manifest, CliError> {
    Manifest::read_with(path, files).map_err(|faults| faulty(&faults, json))
}

/// A manifest with faults: all of them, for a person or for a program.
pub(super) fn faulty(faults: &Faults, json: bool) -> CliError {
    if json {
        outln!("{:#}", faults.to_json());
    } else {
        faultln!("{}", faults.render(logging::colour(&std::io::stderr())).trim_end());
    }
    CliError::new(Exit::Usage, "")
}
