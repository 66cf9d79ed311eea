//! How workers are, and the weights they and their machines have.

use wanfarm_types as domain;

use super::lenient::{all, known, some, stage};
use super::parse_uuid;
use crate::v1;

impl From<domain::StoredWeights> for v1::Weights {
    fn from(stored: domain::StoredWeights) -> Self {
        let domain::StoredWeights { model, role, encoding, bytes } = stored;
        Self { model, role: v1::Role::from(role).into(), encoding, bytes }
    }
}

/// Those of roles that this version knows.
pub(super) fn weights(wire: Vec<v1::Weights>) -> Vec<domain::StoredWeights> {
    let read = |v1::Weights { model, role, encoding, bytes }| {
        Some(domain::StoredWeights { model, role: known(role)?, encoding, bytes })
    };
    wire.into_iter().filter_map(read).collect()
}

impl From<domain::WorkerStatus> for v1::WorkerStatus {
    fn from(worker: domain::WorkerStatus) -> Self {
        let running = worker.running.map(|item| v1::RunningItem {
            video: Some(item.video.into()),
            stage: stage(item.stage),
            steps_done: item.steps_done,
            steps: item.steps,
        });
        let pace =
            |domain::Pace { model, stage: of, tokens, seconds }| v1::Pace { model, stage: stage(of), tokens, seconds };
        Self {
            worker_id: worker.id.to_string(),
            name: worker.name,
            state: worker.state,
            detail: worker.detail.unwrap_or_default(),
            roles: worker.roles.into_iter().map(|role| v1::Role::from(role).into()).collect(),
            models: worker.models,
            device: worker.device,
            memory_bytes: worker.memory_bytes.unwrap_or(0),
            running,
            paces: worker.paces.into_iter().map(pace).collect(),
            weights: all(worker.weights),
            address: worker.address.unwrap_or_default(),
            reachable: worker.reachable,
            memory: worker.memory.map(v1::WorkerMemory::from),
            assigned: worker.assigned.into_iter().flatten().map(|role| v1::Role::from(role).into()).collect(),
            version: worker.version.unwrap_or_default(),
            host: worker.host.unwrap_or_default(),
            since: worker.since.unwrap_or_default(),
            last_seen: worker.last_seen.unwrap_or_default(),
            busy: worker.busy,
            note: worker.note.unwrap_or_default(),
        }
    }
}

impl From<domain::WorkerMemory> for v1::WorkerMemory {
    fn from(memory: domain::WorkerMemory) -> Self {
        let role = |domain::ModelRole { model, role }| v1::ModelRole { model, role: v1::Role::from(role).into() };
        let domain::WorkerMemory { budget_bytes, weights_bytes, loaded, loading } = memory;
        let progress = loading.as_ref().map(|loading| loading.progress.into());
        Self {
            budget_bytes,
            weights_bytes,
            loaded: loaded.into_iter().map(role).collect(),
            loading: loading.map(|loading| role(loading.role)),
            progress,
        }
    }
}

impl From<v1::WorkerMemory> for domain::WorkerMemory {
    fn from(wire: v1::WorkerMemory) -> Self {
        // A role of a later version is left out.
        let role = |of: v1::ModelRole| Some(domain::ModelRole { model: of.model, role: known(of.role)? });
        let progress = wire.progress.map(domain::LoadProgress::from).unwrap_or_default();
        Self {
            budget_bytes: wire.budget_bytes,
            weights_bytes: wire.weights_bytes,
            loaded: wire.loaded.into_iter().filter_map(role).collect(),
            loading: wire.loading.and_then(role).map(|role| domain::Loading { role, progress }),
        }
    }
}

impl TryFrom<v1::WorkerStatus> for domain::WorkerStatus {
    type Error = super::WireError;

    fn try_from(wire: v1::WorkerStatus) -> Result<Self, Self::Error> {
        let running = wire.running.and_then(|item| {
            Some(domain::RunningItem {
                video: item.video?.into(),
                stage: known(item.stage),
                steps_done: item.steps_done,
                steps: item.steps,
            })
        });
        let pace =
            |v1::Pace { model, stage, tokens, seconds }| domain::Pace { model, stage: known(stage), tokens, seconds };
        Ok(Self {
            id: domain::WorkerId(parse_uuid("worker_id", &wire.worker_id)?),
            name: wire.name,
            state: wire.state,
            detail: some(wire.detail),
            roles: wire.roles.into_iter().filter_map(known).collect(),
            models: wire.models,
            device: wire.device,
            memory_bytes: Some(wire.memory_bytes).filter(|bytes| *bytes > 0),
            running,
            paces: wire.paces.into_iter().map(pace).collect(),
            weights: weights(wire.weights),
            address: some(wire.address),
            reachable: wire.reachable,
            memory: wire.memory.map(domain::WorkerMemory::from),
            assigned: Some(wire.assigned.into_iter().filter_map(known).collect::<Vec<_>>())
                .filter(|roles| !roles.is_empty()),
            version: some(wire.version),
            host: some(wire.host),
            since: some(wire.since),
            last_seen: some(wire.last_seen),
            busy: wire.busy.filter(|share| share.is_finite()),
            note: some(wire.note),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::Uuid;

    #[test]
    fn how_a_worker_is_crosses_the_wire_unchanged() {
        let weights = vec![domain::StoredWeights {
            model: "m".into(),
            role: domain::Role::Vae,
            encoding: "bf16".into(),
            bytes: 7,
        }];
        let video = domain::VideoId { job: domain::JobId(3), index: 4 };
        let stage = Some(domain::Stage::Decode);
        let progress = domain::LoadProgress { read: 1, of: 3, seconds: 0.25 };
        let held = |role| domain::ModelRole { model: "m".into(), role };
        let worker = domain::WorkerStatus {
            id: domain::WorkerId(Uuid::from_u128(5)),
            name: "mac".into(),
            state: "set aside".into(),
            detail: Some("why".into()),
            roles: vec![domain::Role::Dit, domain::Role::Vae],
            models: vec!["m".into()],
            device: "cpu".into(),
            memory_bytes: Some(1 << 36),
            running: Some(domain::RunningItem { video, stage, steps_done: 1, steps: 2 }),
            paces: vec![domain::Pace { model: "m".into(), stage, tokens: 9, seconds: 0.3 }],
            weights,
            address: None,
            reachable: Some(false),
            memory: Some(domain::WorkerMemory {
                budget_bytes: 9,
                weights_bytes: 5,
                loaded: vec![held(domain::Role::Vae)],
                loading: Some(domain::Loading { role: held(domain::Role::Dit), progress }),
            }),
            assigned: Some(vec![domain::Role::Vae]),
            version: Some("1.2.3".into()),
            host: Some("mac.local".into()),
            since: Some("2026-11-28T21:04:05.250Z".into()),
            last_seen: Some("2026-11-28T21:05:00.000Z".into()),
            busy: Some(0.0),
            note: Some("fan is loud".into()),
        };
        assert_eq!(domain::WorkerStatus::try_from(v1::WorkerStatus::from(worker.clone())), Ok(worker));
    }
}
