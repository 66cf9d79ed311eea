//! Stages as people are told of them, and where the work is: for each stage, who can do it and who does.

use wanfarm_types::{Role, Stage, WorkerStatus};

/// A stage in words.
pub(super) fn words(stage: Option<Stage>) -> &'static str {
    match stage {
        Some(Stage::EncodeText) => "Text",
        Some(Stage::EncodeImage) => "First frame",
        Some(Stage::DenoiseHigh) => "High noise",
        Some(Stage::DenoiseLow) => "Low noise",
        Some(Stage::Denoise) => "Denoise",
        Some(Stage::Decode) => "Decode",
        None => "unknown",
    }
}

/// A stage and its workers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Lane {
    pub(super) stage: Stage,
    pub(super) able: usize,
    pub(super) busy: usize,
}

/// The stages that anybody can do.
pub(super) fn lanes(workers: &[WorkerStatus]) -> Vec<Lane> {
    let here: Vec<&WorkerStatus> = workers.iter().filter(|worker| is_here(worker)).collect();
    let lane = |stage: Stage| {
        let role = stage.role();
        let given = |worker: &&&WorkerStatus| roles(worker).contains(&role);
        let does = |worker: &&&WorkerStatus| worker.running.as_ref().is_some_and(|item| item.stage == Some(stage));
        Lane { stage, able: here.iter().filter(given).count(), busy: here.iter().filter(does).count() }
    };
    Stage::ALL.into_iter().map(lane).filter(|lane| lane.able > 0 || lane.busy > 0).collect()
}

/// A worker that can be given work as far as is known.
pub(super) fn is_here(worker: &WorkerStatus) -> bool {
    !worker.is_gone() && worker.state != "lost"
}

/// What a worker is given work of.
fn roles(worker: &WorkerStatus) -> &[Role] {
    worker.assigned.as_deref().unwrap_or(&worker.roles)
}
