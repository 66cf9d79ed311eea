//! The first members of a farm: whoever starts its coordinator is an operator, and is told how others join.

use std::path::Path;
use std::time::Duration;

use wanfarm_identity::{Invitation, Joined, Membership};
use wanfarm_server::farm::FarmService;
use wanfarm_types::{Access, KeyId, Rights};

use crate::cli::error::CliError;
use crate::exit::Exit;

/// How long the first line to join with is valid.
const FIRST_LINE: Duration = Duration::from_secs(24 * 3600);

/// Makes whoever runs this an operator of the farm that is reached at `coordinator`, and says how others join. Where nothing can be
/// kept of that on this machine, an operator joins from another one, or with another folder.
pub(super) async fn found(
    farm: &FarmService,
    folder: &Path,
    coordinator: &str,
    authority: KeyId,
    pem: &str,
) -> Result<(), CliError> {
    let refused = |status: tonic::Status| CliError::new(Exit::SomeFailed, status.message());
    let is_first = !farm.has_members().await.map_err(refused)?;
    if let Err(why) = join(farm, folder, coordinator, authority, pem).await {
        tracing::warn!("this machine is no member of its own farm: {why}; --membership names another folder");
        if is_first {
            let line = invitation(farm, coordinator, authority, Access::Operator).await?;
            tracing::info!("whoever is to have a say in this farm, within a day:\n  coordinator join '{line}'");
        }
    }
    if is_first {
        let line = invitation(farm, coordinator, authority, Access::Worker).await?;
        tracing::info!(
            "this farm is new. On a machine that is to compute for it, within a day:\n  coordinator join '{line}'"
        );
    }
    tracing::info!(
        "others join with the line that `coordinator access grant worker` prints, or submitter for a person; browsers show a token \
         of `coordinator access grant viewer --token`"
    );
    Ok(())
}

/// Makes this machine a member that may do everything, and keeps that.
async fn join(farm: &FarmService, folder: &Path, coordinator: &str, authority: KeyId, pem: &str) -> Result<(), String> {
    let mut membership = Membership::open_or_draw(folder).map_err(|error| error.to_string())?;
    // It computes as well, where there is one machine.
    let rights = Rights::from(Access::Operator).with(&Access::Worker.into());
    let name = gethostname::gethostname().to_string_lossy().into_owned();
    let admitted = farm.admit(membership.key().id(), name.clone(), rights).await;
    admitted.map_err(|status| status.message().to_owned())?;
    let joined = Joined { coordinator: coordinator.to_owned(), authority, name };
    match membership.joined() {
        Some(other) if other.authority != authority && other.coordinator != coordinator => tracing::info!(
            "commands on this machine go to the farm at {}, which it has joined; to this one with --coordinator \
             https://{coordinator} and a --membership folder of its own",
            other.coordinator
        ),
        Some(known) if *known == joined => {}
        _ => membership.join(joined, pem).map_err(|error| error.to_string())?,
    }
    Ok(())
}

/// A line to join with as the first of a kind.
async fn invitation(
    farm: &FarmService,
    coordinator: &str,
    authority: KeyId,
    right: Access,
) -> Result<Invitation, CliError> {
    let granted = farm.grant(format!("the first {right}"), right.into(), Some(1), Some(FIRST_LINE), "serve").await;
    let (_, token) = granted.map_err(|status| CliError::new(Exit::SomeFailed, status.message()))?;
    Ok(Invitation { coordinator: coordinator.to_owned(), token: Some(token), authority })
}
