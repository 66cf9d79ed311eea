//! A large farm of unequal workers renders a large batch in virtual time, with a scheduler that is real: the policy must
//! keep the end of the work near the lower bound. Prints how near it comes, and how long decisions take.
//! `WANFARM_FARM="10000 1000 40" cargo test --release -p wanfarm-scheduler --test makespan -- --nocapture` does so for
//! that many videos, workers and steps.

mod batch;
mod bound;
mod elastic;
#[expect(dead_code, reason = "the benchmark also starts from rows")]
mod farm;

use batch::Batch;
use farm::{Farm, Figures};

#[test]
#[expect(clippy::disallowed_methods, reason = "a farm of another size is asked for by its environment")]
fn the_end_of_the_work_stays_near_the_least_time() {
    let size = std::env::var("WANFARM_FARM").unwrap_or_else(|_| "2000 120 20".into());
    let size: Vec<u32> = size.split(' ').map(|number| number.parse().expect("videos, workers and steps")).collect();
    for seed in 0..3 {
        let batch = Batch::new(size[0], size[1], size[2], seed);
        let mut farm = Farm::new(&batch);
        farm.render(&batch);
        let bound = bound::lower_bound(&batch);
        let Figures { makespan, inputs, assigned, stopped, total, deciding, slowest, .. } = farm.figures;
        let ratio = makespan / bound.seconds;
        println!(
            "seed {seed}: makespan {makespan:.0} s, lower bound {:.0} s ({}): {ratio:.4}; {stopped} videos stopped; \
             {assigned} assignments, {:?} each; {inputs} inputs, {:?} each, {slowest:?} at most",
            bound.seconds,
            bound.role,
            deciding / assigned,
            total / inputs,
        );
        assert_eq!(farm.open_videos(), 0);
        assert!(ratio <= 1.03, "seed {seed}: {ratio:.4} times the lower bound, which is due to {}", bound.role);
        assert!((stopped as usize) < batch.videos() / 10, "seed {seed}: {stopped} videos were stopped");
    }
}
