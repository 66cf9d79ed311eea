//! Seeded nights: a whole farm in virtual time, with everything that can go wrong going wrong, and the scheduler's
//! invariants checked after every single transition. A failing night prints its seed:
//! `WANFARM_SEED=17 cargo test -p wanfarm-scheduler --test night` replays it alone, `WANFARM_SEEDS=5000` runs more.

mod farm;
mod reference;
mod weather;
mod worker;

use farm::Farm;
use weather::Weather;

#[expect(clippy::disallowed_methods, reason = "a person chooses the seeds; the scheduler itself reads nothing")]
fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().expect("a seed is a number"))
}

fn nights(weather: Weather, night: impl Fn(Farm)) {
    let seeds = match number("WANFARM_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("WANFARM_SEEDS").unwrap_or(100),
    };
    for seed in seeds {
        let farm = Farm::new(seed, weather);
        let run = std::panic::AssertUnwindSafe(|| night(farm));
        if let Err(panic) = std::panic::catch_unwind(run) {
            eprintln!("night with {weather:?} failed; replay it with WANFARM_SEED={seed}");
            std::panic::resume_unwind(panic);
        }
    }
}

#[test]
fn broken_connections_and_coordinator_restarts_cost_no_video() {
    nights(Weather::NETWORK, |mut farm| {
        farm.night();
        farm.assert_everything_is_done();
    });
}

#[test]
fn whatever_dies_on_the_way_every_video_ends() {
    nights(Weather::STORM, |mut farm| {
        farm.night();
        farm.assert_everything_has_ended();
    });
}

#[test]
fn any_prefix_of_the_rows_restores_and_finishes() {
    nights(Weather::STORM, |mut farm| {
        farm.night();
        for _ in 0..3 {
            let mut again = farm.restored_from_a_prefix();
            again.morning();
            again.assert_everything_has_ended();
        }
    });
}

#[test]
fn one_seed_gives_one_night() {
    let rows = |seed| {
        let mut farm = Farm::new(seed, Weather::STORM);
        farm.night();
        farm.rows().to_vec()
    };
    assert_eq!(rows(3), rows(3));
    assert_ne!(rows(3), rows(4));
}
