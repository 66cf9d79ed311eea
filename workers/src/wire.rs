//! Messages of the control plane to and from the worker's own words. Not when they are sent (`link`).

use std::collections::BTreeMap;

use wanfarm_proto::convert::WireError;
use wanfarm_proto::{PROTOCOL, v1};
use wanfarm_types::{AttemptId, Failure, ItemInputs, ModelCard, ModelFile, Role, TensorRef};

use crate::assignments::{Assignment, Input, Outcome, Report};
use crate::identity::Identity;

/// What a hello says that stays the same for the life of the process.
#[derive(Debug, Clone)]
pub(crate) struct Profile {
    pub(crate) name: String,
    pub(crate) roles: Vec<Role>,
    pub(crate) models: Vec<Served>,
    pub(crate) device: String,
    pub(crate) memory_bytes: u64,
    /// Where others reach its tensors; `None` where the link knows best.
    pub(crate) tensor_url: Option<String>,
}

/// A model, and the files behind each role this worker serves for it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Served {
    pub(crate) card: ModelCard,
    pub(crate) roles: Vec<(Role, Vec<ModelFile>)>,
    /// How their numbers are stored: as most of them are, and the bytes of all.
    pub(crate) stored: BTreeMap<Role, (String, u64)>,
}

/// The first message; the link adds the address of the tensor service where none is given.
pub(crate) fn hello(profile: &Profile, identity: &Identity, in_hand: &[AttemptId], holding: &[AttemptId]) -> v1::Hello {
    let role = |role: Role| i32::from(v1::Role::from(role));
    let served = |served: &Served| v1::ServedModel {
        card: Some(served.card.clone().into()),
        roles: served
            .roles
            .iter()
            .map(|(name, files)| {
                let (encoding, bytes) = served.stored.get(name).cloned().unwrap_or_default();
                let files = files.iter().cloned().map(Into::into).collect();
                v1::ServedRole { role: role(*name), files, encoding, bytes }
            })
            .collect(),
    };
    v1::Hello {
        protocol: PROTOCOL,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        worker_id: identity.worker.to_string(),
        incarnation: identity.incarnation.to_string(),
        name: profile.name.clone(),
        roles: profile.roles.iter().copied().map(role).collect(),
        models: profile.models.iter().map(served).collect(),
        device: profile.device.clone(),
        memory_bytes: profile.memory_bytes,
        tensor_url: profile.tensor_url.clone().unwrap_or_default(),
        running: in_hand.iter().map(|attempt| attempt.0).collect(),
        holding: holding.iter().map(|attempt| attempt.0).collect(),
    }
}

pub(crate) fn report(attempt: AttemptId, report: Report) -> v1::worker_message::Body {
    use v1::worker_message::Body;
    let attempt = attempt.0;
    match report {
        Report::Started => Body::Started(v1::Started { attempt }),
        Report::StepDone { checkpoint, seconds } => {
            Body::StepDone(v1::StepDone { attempt, checkpoint: Some(checkpoint.into()), seconds })
        }
        Report::ItemDone { result, timing } => {
            let (tensors, checkpoint) = match result {
                Outcome::Tensors(tensors) => (tensors, None),
                Outcome::Checkpoint(checkpoint) => (Vec::new(), Some(checkpoint)),
            };
            Body::ItemDone(v1::ItemDone {
                attempt,
                tensors: tensors.into_iter().map(Into::into).collect(),
                checkpoint: checkpoint.map(Into::into),
                timing: Some(timing.into()),
            })
        }
        Report::Failed(failure) => Body::ItemFailed(v1::ItemFailed { attempt, failure: Some(failure.into()) }),
        Report::Revoked => Body::Revoked(v1::Revoked { attempt }),
    }
}

/// An order of the coordinator. `None` for messages that carry none.
pub(crate) fn order(body: v1::coordinator_message::Body) -> Option<Input> {
    use v1::coordinator_message::Body;
    Some(match body {
        Body::Assign(assign) => {
            let attempt = AttemptId(assign.attempt);
            match assignment(assign) {
                Ok(assignment) => Input::Assigned(Box::new(assignment)),
                Err(error) => Input::Unacceptable(
                    attempt,
                    Failure::deterministic(format!(
                        "this worker cannot read the assignment: {error}; run the same version everywhere"
                    )),
                ),
            }
        }
        Body::Revoke(v1::Revoke { attempt }) => Input::Revoke(AttemptId(attempt)),
        Body::StopAfterStep(v1::StopAfterStep { attempt }) => Input::StopAfterStep(AttemptId(attempt)),
        Body::Drop(v1::Drop { attempt }) => Input::Drop(AttemptId(attempt)),
        Body::Acknowledge(v1::Acknowledge { attempt }) => Input::Acknowledged(AttemptId(attempt)),
        Body::Welcome(_) | Body::Refused(_) | Body::Leave(_) | Body::Send(_) => return None,
    })
}

fn assignment(assign: v1::Assign) -> Result<Assignment, WireError> {
    let inputs = assign.inputs.unwrap_or_default();
    let checkpoint_tensors = inputs.checkpoint.iter().flat_map(|checkpoint| &checkpoint.tensors);
    let tensors = inputs.text.iter().chain(&inputs.image).chain(checkpoint_tensors);
    let locations = tensors.map(|tensor| tensor.locations.clone()).collect();
    Ok(Assignment {
        attempt: AttemptId(assign.attempt),
        item: assign.item.ok_or(WireError::Missing("item"))?.try_into()?,
        spec: assign.spec.ok_or(WireError::Missing("spec"))?.try_into()?,
        text: assign.text,
        inputs: item_inputs(inputs)?,
        locations,
    })
}

fn item_inputs(wire: v1::ItemInputs) -> Result<ItemInputs, WireError> {
    let each = |tensors: Vec<v1::TensorRef>| tensors.into_iter().map(TensorRef::try_from).collect::<Result<_, _>>();
    Ok(ItemInputs {
        text: each(wire.text)?,
        image: each(wire.image)?,
        checkpoint: wire.checkpoint.map(TryInto::try_into).transpose()?,
    })
}
