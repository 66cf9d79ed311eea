//! No schedule can be shorter than this: for each group of workers, its work shared out perfectly among all of them,
//! and before that the shortest way to the first of it, and after it the shortest way from the last of it to the end.

use wanfarm_types::{Role, Stage};

use crate::batch::{Batch, Machine};

pub(crate) struct Bound {
    pub(crate) seconds: f64,
    /// The group of workers that it is due to.
    pub(crate) role: &'static str,
}

const ORDER: [Stage; 5] = [Stage::EncodeText, Stage::EncodeImage, Stage::DenoiseHigh, Stage::DenoiseLow, Stage::Decode];

pub(crate) fn lower_bound(batch: &Batch) -> Bound {
    let groups: [(&str, &[Stage]); 4] = [
        ("encoders and decoders", &[Stage::EncodeText, Stage::EncodeImage, Stage::Decode]),
        ("decoders", &[Stage::Decode]),
        ("high expert", &[Stage::DenoiseHigh]),
        ("low expert", &[Stage::DenoiseLow]),
    ];
    let bounds = groups.map(|(role, stages)| Bound { seconds: bound(batch, stages), role });
    bounds
        .into_iter()
        .reduce(|a, b| if b.seconds > a.seconds { b } else { a })
        .unwrap_or(Bound { seconds: 0.0, role: "" })
}

fn bound(batch: &Batch, stages: &[Stage]) -> f64 {
    let work: f64 = batch.ids().flat_map(|video| stages.iter().map(move |&stage| batch.whole(stage, video))).sum();
    let speed: f64 = batch
        .workers
        .iter()
        .filter(|machine| stages.iter().any(|stage| serves(machine, *stage)))
        .map(|machine| machine.speed)
        .sum();
    let way = |outside: &[Stage]| {
        let ways = batch
            .ids()
            .map(|video| outside.iter().map(|&stage| batch.whole(stage, video) / fastest(batch, stage.role())).sum());
        ways.fold(f64::INFINITY, f64::min)
    };
    let first = ORDER.iter().position(|stage| stages.contains(stage)).unwrap_or(0);
    let last = ORDER.iter().rposition(|stage| stages.contains(stage)).unwrap_or(0);
    way(&ORDER[..first]) + work / speed + way(&ORDER[last + 1..])
}

fn serves(machine: &Machine, stage: Stage) -> bool {
    machine.roles.contains(&stage.role())
}

fn fastest(batch: &Batch, role: Role) -> f64 {
    let of = batch.workers.iter().filter(|machine| machine.roles.contains(&role));
    of.map(|machine| machine.speed).fold(0.0, f64::max)
}
