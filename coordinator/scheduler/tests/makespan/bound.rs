//! No schedule can be shorter than this. For each group of workers: its work shared out perfectly among all of them,
//! before that the shortest way to the first of it, and after it the shortest way from the last of it to the end. For the
//! two experts together also: videos that the high one has not finished too late for all low workers together to finish
//! them in time, so of those there can be only so many towards the end, and no more high workers than that are of use.

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
    let both = Bound { seconds: experts(batch), role: "both experts" };
    bounds
        .into_iter()
        .chain([both])
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
    let first = ORDER.iter().position(|stage| stages.contains(stage)).unwrap_or(0);
    let last = ORDER.iter().rposition(|stage| stages.contains(stage)).unwrap_or(0);
    way(batch, &ORDER[..first]) + work / speed + way(batch, &ORDER[last + 1..])
}

/// While `count` videos have not passed the high expert, the low one needs `count` times `pace` seconds for them after
/// that, so they cannot be that many any later; and each occupies one high worker at most.
fn experts(batch: &Batch) -> f64 {
    let (high, low) = (Stage::DenoiseHigh, Stage::DenoiseLow);
    let least = |stage| batch.ids().map(|video| batch.whole(stage, video)).fold(f64::INFINITY, f64::min);
    let mut speeds: Vec<f64> = of(batch, high.role()).collect();
    speeds.sort_by(|a, b| b.total_cmp(a));
    let pace = least(low) / of(batch, low.role()).sum::<f64>();
    let mut left: f64 = batch.ids().map(|video| batch.whole(high, video)).sum();
    // Seconds between now and the end of the low expert's work, backwards from the end; and what high workers do in it.
    let (mut until, mut speed) = (least(low) / fastest(batch, low.role()), 0.0);
    for (count, fastest) in (1..).zip(speeds) {
        let begin = f64::from(count) * pace;
        if begin > until {
            let done = (begin - until).min(left / f64::max(speed, f64::MIN_POSITIVE));
            left -= done * speed;
            until += done;
        }
        speed += fastest;
    }
    way(batch, &ORDER[..2]) + until + left / speed + way(batch, &ORDER[4..])
}

fn way(batch: &Batch, stages: &[Stage]) -> f64 {
    let way = |video| stages.iter().map(|&stage| batch.whole(stage, video) / fastest(batch, stage.role())).sum();
    batch.ids().map(way).fold(f64::INFINITY, f64::min)
}

fn serves(machine: &Machine, stage: Stage) -> bool {
    machine.roles.iter().any(|role| role.role == stage.role())
}

fn of(batch: &Batch, role: Role) -> impl Iterator<Item = f64> {
    batch
        .workers
        .iter()
        .filter(move |machine| machine.roles.iter().any(|of| of.role == role))
        .map(|machine| machine.speed)
}

fn fastest(batch: &Batch, role: Role) -> f64 {
    of(batch, role).fold(0.0, f64::max)
}
