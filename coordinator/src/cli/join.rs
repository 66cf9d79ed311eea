//! `coordinator join`: makes this machine a member of a farm.

use wanfarm_client::{Client, Target, Way};
use wanfarm_identity::{Invitation, Joined, Membership};

use super::args::MembershipArg;
use super::say::outln;
use super::{CliError, block_on};
use crate::exit::Exit;
use crate::logging;

#[derive(Debug, clap::Args)]
#[command(after_help = "Example, with the line that `coordinator serve` or `coordinator access grant` printed:
  coordinator join 'wanfarm://studio-1:7700/TOKEN#AUTHORITY'
  coordinator worker --models DIR

This machine draws a key, which is its identity, and the farm takes it in. From
then on its commands find the farm without an address, and encrypt.")]
pub(super) struct JoinArgs {
    /// The line: where the farm is, a token that opens it once, and how to know it.
    #[arg(value_name = "LINE")]
    invitation: Invitation,
    /// Name shown to people [default: host name].
    #[arg(long)]
    name: Option<String>,
    /// Leave the farm that this machine has joined before.
    #[arg(long)]
    replace: bool,
    #[command(flatten)]
    membership: MembershipArg,
}

pub(super) fn join(args: JoinArgs) -> Result<Exit, CliError> {
    logging::quiet();
    let JoinArgs { invitation, name, replace, membership } = args;
    let name = name.unwrap_or_else(|| gethostname::gethostname().to_string_lossy().into_owned());
    let unusable = |error| CliError::new(Exit::SomeFailed, error);
    let mut membership = Membership::open_or_draw(&membership.folder()?).map_err(unusable)?;
    if let Some(joined) = membership.joined().filter(|joined| joined.authority != invitation.authority && !replace) {
        let why = format!(
            "this machine belongs to the farm at {}, or that farm has a new authority; to leave what it knows, add --replace",
            joined.coordinator
        );
        return Err(CliError::new(Exit::Usage, why));
    }
    let farm = membership.at(invitation.authority).map_err(unusable)?;
    let way = Way::to_coordinator(&farm).map_err(|error| CliError::new(Exit::SomeFailed, error))?;
    let target = Target::new(&invitation.coordinator, way);
    block_on(async {
        let mut client = Client::connect(&target).await?;
        let token = invitation.token.as_ref().map(|token| token.reveal());
        let (rights, authority) = client.enrol(token, &name).await?;
        let joined = Joined { coordinator: invitation.coordinator, authority: invitation.authority, name };
        membership.join(joined.clone(), &authority).map_err(unusable)?;
        outln!("{} is a member of the farm at {}: {rights}", joined.name, joined.coordinator);
        Ok(Exit::Ok)
    })
}
