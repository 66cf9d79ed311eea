//! Arguments that several verbs take.

use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use wanfarm_client::{Target, Way};
use wanfarm_identity::{Farm, Joined, Membership};
use wanfarm_manifest::{Faults, Manifest, Taken};
use wanfarm_types::About;

use super::address::{self, Address};
use super::error::CliError;
use super::path;
use super::say::{faultln, outln};
use crate::exit::Exit;
use crate::logging;

/// How long a coordinator is tried where it was last.
const SHORTLY: Duration = Duration::from_secs(2);
/// How long it is listened for on the network.
const DISCOVERY: Duration = Duration::from_secs(3);
/// Addresses of its name that are tried.
const MOST_ADDRESSES: usize = 4;

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
    /// The coordinator's address: HOST, HOST:PORT or https://HOST:PORT [default: that of the farm this machine has joined, else
    /// 127.0.0.1:7700].
    #[arg(long, value_parser = address::coordinator, value_name = "URL", env = "WANFARM_COORDINATOR", global = true)]
    coordinator: Option<Address>,
    /// Speak to a coordinator on another machine unencrypted, and to whoever answers there: for one that was started so.
    #[arg(long, global = true)]
    insecure: bool,
    #[command(flatten)]
    membership: MembershipArg,
}

/// What this machine keeps of its farm.
#[derive(Debug, Args)]
pub(super) struct MembershipArg {
    /// What this machine keeps of the farm it has joined [default: the platform's data directory].
    #[arg(long, value_name = "DIR", env = "WANFARM_MEMBERSHIP", value_parser = path::new(), global = true)]
    membership: Option<PathBuf>,
}

impl CoordinatorArg {
    /// The coordinator that is meant, and how it is dialled.
    pub(super) fn target(&self) -> Result<Target, CliError> {
        self.target_and_farm().map(|(target, _)| target)
    }

    /// The same, and what this machine is known by there; `None` where nothing is encrypted.
    pub(super) fn target_and_farm(&self) -> Result<(Target, Option<Farm>), CliError> {
        let membership = self.membership.open()?;
        let joined = membership.as_ref().and_then(|membership| Some((membership, membership.joined()?)));
        let known = joined.map(|(_, joined)| joined.coordinator.as_str());
        let way = address::way(self.coordinator.as_ref(), known, self.insecure);
        let (address, encrypted) = way.map_err(|why| CliError::new(Exit::Usage, why))?;
        let Some((membership, joined)) = joined.filter(|_| encrypted) else {
            return Ok((Target::new(&address, Way::plain()), None));
        };
        let address = if self.coordinator.is_none() { whereabouts(membership, joined) } else { address };
        let farm = membership.at(joined.authority).map_err(|error| CliError::new(Exit::Usage, error))?;
        let way = Way::to_coordinator(&farm).map_err(|error| CliError::new(Exit::SomeFailed, error))?;
        Ok((Target::new(&address, way), Some(farm)))
    }

    /// What this machine keeps of its farm.
    pub(super) fn membership(&self) -> &MembershipArg {
        &self.membership
    }
}

/// Where the coordinator of the farm is that was joined: where it was last, or where it says on this network that it is now.
fn whereabouts(membership: &Membership, joined: &Joined) -> String {
    let addresses = joined.coordinator.to_socket_addrs().into_iter().flatten().take(MOST_ADDRESSES);
    let answers = |address: SocketAddr| TcpStream::connect_timeout(&address, SHORTLY).is_ok();
    if addresses.into_iter().any(answers) {
        return joined.coordinator.clone();
    }
    match wanfarm_discovery::find(&joined.authority, DISCOVERY) {
        Ok(Some(found)) => {
            // Known from now on; where that cannot be written, it is found again.
            let _ = membership.moved(&found);
            found
        }
        // Whoever dials it says why nobody is there.
        _ => joined.coordinator.clone(),
    }
}

impl MembershipArg {
    /// The folder.
    pub(super) fn folder(&self) -> Result<PathBuf, CliError> {
        let default = || dirs::data_dir().map(|data| data.join("wanfarm").join("membership"));
        self.membership.clone().or_else(default).ok_or_else(|| {
            CliError::new(Exit::Usage, "this system names no data directory for you; say where with --membership DIR")
        })
    }

    /// What lies there.
    fn open(&self) -> Result<Option<Membership>, CliError> {
        // Whoever has no such folder, and names none, has joined nothing.
        let Ok(folder) = self.folder() else { return Ok(None) };
        Membership::open(&folder).map_err(|error| CliError::new(Exit::Usage, error))
    }
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
