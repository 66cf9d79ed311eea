//! How much computing may be lost: when a state becomes durable.

use std::time::Duration;

use wanfarm_scheduler::{Action, ArtifactId, Config};
use wanfarm_types::{Stage, StepRange};

use crate::desk::{ALL, Desk, job};

/// The steps after which a video of 10 and 2 steps, 2 s each, was made durable.
fn durable(config: Config) -> Vec<u32> {
    let mut desk = Desk::with(config);
    let mut plan = job(1, 0, 1);
    plan.videos[0].stages = vec![
        (Stage::DenoiseHigh, StepRange { first: 0, end: 10 }),
        (Stage::DenoiseLow, StepRange { first: 10, end: 12 }),
    ];
    desk.boot(1, ALL);
    desk.add(plan);
    desk.play_keeping_the_log();
    let mut steps = desk.taken(|action| match action {
        Action::MakeDurable { artifact: ArtifactId::Checkpoint { steps_done, .. }, .. } => Some(*steps_done),
        _ => None,
    });
    steps.dedup();
    steps
}

#[test]
fn every_step_is_durable_unless_told_otherwise() {
    assert_eq!(durable(Config::default()), (1..=12).collect::<Vec<_>>());
}

#[test]
fn an_interval_in_steps_is_counted_from_the_last_durable_one_and_stages_end_durable() {
    assert_eq!(durable(Config { checkpoint_steps: 4, ..Config::default() }), [4, 8, 10, 12]);
}

#[test]
fn an_interval_in_time_bounds_the_computing_that_may_be_lost() {
    let seconds = |seconds| Config {
        checkpoint_steps: u32::MAX,
        checkpoint_time: Duration::from_secs(seconds),
        ..Config::default()
    };
    assert_eq!(durable(seconds(6)), [3, 6, 9, 10, 12]);
    assert_eq!(durable(seconds(5)), [3, 6, 9, 10, 12], "no sooner than after a step");
    assert_eq!(durable(seconds(3600)), [10, 12]);
}

#[test]
fn whichever_interval_ends_first_counts() {
    let config = Config { checkpoint_steps: 4, checkpoint_time: Duration::from_secs(6), ..Config::default() };
    assert_eq!(durable(config), [3, 6, 9, 10, 12]);
}
