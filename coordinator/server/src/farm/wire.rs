//! Converts the driver's answers to wire messages.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use tonic::Status;
use wanfarm_client::{DiskShortage, Submitted};
use wanfarm_manifest::Taken;
use wanfarm_proto::v1;
use wanfarm_types::Role;

use crate::estimate::{Basis, Estimate, StageEstimate};
use crate::requests::{RequestError, ServedRole};

/// Reads the policy for names that are taken.
pub(super) fn taken(wire: i32) -> Result<Taken, Status> {
    match v1::Taken::try_from(wire) {
        Ok(v1::Taken::Unspecified | v1::Taken::Refuse) => Ok(Taken::Refuse),
        Ok(v1::Taken::Overwrite) => Ok(Taken::Overwrite),
        Ok(v1::Taken::NewName) => Ok(Taken::NewName),
        Ok(v1::Taken::Skip) => Ok(Taken::Skip),
        Err(_) => Err(Status::invalid_argument(format!("taken {wire} is none of what this version knows"))),
    }
}

/// Reads the roles that a worker is assigned to: one at least, each of a kind that this version knows.
pub(super) fn roles(wire: &[i32]) -> Result<BTreeSet<Role>, Status> {
    let role = |&wire: &i32| {
        let known = v1::Role::try_from(wire).ok().and_then(|role| Role::try_from(role).ok());
        known.ok_or_else(|| Status::invalid_argument(format!("role {wire} is none that this version knows")))
    };
    let roles: BTreeSet<Role> = wire.iter().map(role).collect::<Result<_, _>>()?;
    if roles.is_empty() {
        return Err(Status::invalid_argument("a worker is assigned to one role at least; drain it to give it no work"));
    }
    Ok(roles)
}

/// JSON of a domain value, as the wire carries it.
pub(super) fn json(value: &impl Serialize) -> Result<String, Status> {
    serde_json::to_string(value).map_err(|error| Status::internal(error.to_string()))
}

/// Why a request came to nothing, with the code that says whether asking again can help.
pub(super) fn refusal(error: RequestError) -> Status {
    let message = error.to_string();
    match error {
        RequestError::NoSuchImage(_)
        | RequestError::NoSuchLora(_)
        | RequestError::NoSuchJob(_)
        | RequestError::NoSuchVideo { .. }
        | RequestError::NoSuchWorker(_)
        | RequestError::NoSuchGrant(_)
        | RequestError::NoSuchWebhook(_) => Status::not_found(message),
        RequestError::NotInvited => Status::permission_denied(message),
        RequestError::Full(_) | RequestError::TooManyWebhooks | RequestError::TooManyGrants => {
            Status::resource_exhausted(message)
        }
        RequestError::OneVideo(_)
        | RequestError::Needs { .. }
        | RequestError::Unfit(_)
        | RequestError::About(_)
        | RequestError::NotServed { .. } => Status::invalid_argument(message),
        RequestError::KeyTaken { .. } => Status::already_exists(message),
        RequestError::Taken(..)
        | RequestError::NeverPlanned(_)
        | RequestError::NotPlanned(_)
        | RequestError::Waits(..)
        | RequestError::Ended(_)
        | RequestError::NotEnded(_)
        | RequestError::NothingToRetry(_)
        | RequestError::NotRetriable(_)
        | RequestError::RefusedAgain(_)
        | RequestError::WorkerLives { .. } => Status::failed_precondition(message),
    }
}

/// What came of a submission.
pub(super) fn submitted(submitted: Submitted, shortages: Vec<DiskShortage>) -> v1::SubmitReply {
    let Submitted { job, already, renamed, left_out } = submitted;
    let shortages = shortages.into_iter().map(shortage).collect();
    v1::SubmitReply { job: job.map(|job| job.0), already, renamed, left_out, shortages }
}

pub(super) fn shortage(short: DiskShortage) -> v1::Shortage {
    let DiskShortage { place, needs_bytes, free_bytes, certain } = short;
    v1::Shortage { place, needs_bytes, free_bytes, certain }
}

/// An estimate; the caller adds what it knows of the model and of single videos.
pub(super) fn estimate(estimate: Estimate, roles: Vec<ServedRole>, needs: &BTreeMap<Role, u64>) -> v1::EstimateReply {
    let served = |served: ServedRole| v1::ServedBy {
        role: v1::Role::from(served.role).into(),
        workers: served.workers,
        least_memory_bytes: served.least_memory.unwrap_or(0),
        holders: served.holders,
        load_seconds: served.load_seconds,
        needs_bytes: needs.get(&served.role).copied(),
    };
    let balance = estimate.balance.map(|balance| {
        let (high_workers, low_workers) = balance.now.unwrap_or_default();
        let (high, low) = balance.team;
        v1::Balance { measured: balance.measured, high_share: balance.high_share, high, low, high_workers, low_workers }
    });
    v1::EstimateReply {
        model_known: true,
        roles: roles.into_iter().map(served).collect(),
        stages: estimate.stages.into_iter().map(stage).collect(),
        seconds: estimate.seconds,
        bottleneck: estimate.bottleneck.map_or(v1::Stage::Unspecified, Into::into).into(),
        balance,
        ..v1::EstimateReply::default()
    }
}

fn stage(line: StageEstimate) -> v1::StageEstimate {
    let basis = match line.basis {
        None => v1::Basis::Unspecified,
        Some(Basis::Measured) => v1::Basis::Measured,
        Some(Basis::Scaled) => v1::Basis::Scaled,
        Some(Basis::Expected) => v1::Basis::Expected,
    };
    v1::StageEstimate {
        stage: v1::Stage::from(line.stage).into(),
        units: line.units,
        work: line.work,
        workers: u32::try_from(line.workers).unwrap_or(u32::MAX),
        seconds_per_unit: line.seconds_per_unit,
        basis: basis.into(),
        seconds: line.seconds,
    }
}
