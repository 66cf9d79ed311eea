//! Seeded nights: a whole farm in virtual time, with everything that can go wrong going wrong, and the scheduler's
//! invariants checked after every single transition. A failing night prints its seed:
//! `WANFARM_SEED=17 cargo test -p wanfarm-scheduler --test night` replays it alone, `WANFARM_SEEDS=100000` runs more.

mod audit;
mod farm;
mod reference;
mod weather;
mod worker;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use farm::Farm;
use weather::Weather;

/// Nights of a normal `cargo test`.
const SEEDS: u64 = 10_000;

#[expect(clippy::disallowed_methods, reason = "a person chooses the seeds; the scheduler itself reads nothing")]
fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().expect("a seed is a number"))
}

/// One night in three has nothing but network trouble, half of them with liars among the workers, and then every video must be
/// done and nobody be blamed for a liar's results; in the others everything goes wrong, and every video must end. Now and then the coordinator is set back to some prefix of its rows as well.
fn night(seed: u64) {
    let harmless = seed.is_multiple_of(3);
    let weather = match seed % 6 {
        0 => Weather::NETWORK,
        3 => Weather::LIARS,
        _ => Weather::STORM,
    };
    let mut farm = Farm::new(seed, weather);
    farm.night();
    if harmless {
        farm.assert_everything_is_done();
    } else {
        farm.assert_everything_has_ended();
    }
    if seed % 5 == 1 {
        let mut again = farm.restored_from_a_prefix();
        again.morning();
        again.assert_everything_has_ended();
    }
}

#[test]
fn whatever_happens_at_night_every_video_ends() {
    let seeds = match number("WANFARM_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("WANFARM_SEEDS").unwrap_or(SEEDS),
    };
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let (next, failed) = (AtomicU64::new(seeds.start), AtomicBool::new(false));
    let work = || {
        while let seed = next.fetch_add(1, Ordering::Relaxed)
            && seed < seeds.end
            && !failed.load(Ordering::Relaxed)
        {
            if let Err(panic) = std::panic::catch_unwind(|| night(seed)) {
                failed.store(true, Ordering::Relaxed);
                eprintln!("night {seed} failed; replay it with WANFARM_SEED={seed}");
                std::panic::resume_unwind(panic);
            }
        }
    };
    std::thread::scope(|scope| (0..threads).for_each(|_| drop(scope.spawn(work))));
    println!("{} nights on {threads} threads", seeds.end - seeds.start);
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
