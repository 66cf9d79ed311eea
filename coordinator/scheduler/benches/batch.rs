//! What the scheduler needs for a whole batch on a farm of a hundred workers, in virtual time, and to start again from the
//! rows of a finished one.

#[path = "../tests/makespan/batch.rs"]
#[expect(dead_code, reason = "the test also computes a bound")]
mod batch;
#[path = "../tests/makespan/farm.rs"]
#[expect(dead_code, reason = "the test also wants the figures")]
mod farm;

use batch::Batch;
use divan::Bencher;
use farm::Farm;

const WORKERS: u32 = 100;
const STEPS: u32 = 10;

fn main() {
    divan::main();
}

#[divan::bench(args = [100, 1_000], sample_count = 10)]
fn render(bencher: Bencher<'_, '_>, videos: u32) {
    let batch = Batch::new(videos, WORKERS, STEPS, 0);
    bencher.with_inputs(|| Farm::new(&batch)).bench_values(|mut farm| {
        farm.render(&batch);
        farm
    });
}

#[divan::bench(args = [100, 1_000], sample_count = 10)]
fn restore(bencher: Bencher<'_, '_>, videos: u32) {
    let batch = Batch::new(videos, WORKERS, STEPS, 0);
    let rows = || {
        let mut farm = Farm::new(&batch);
        farm.render(&batch);
        farm.rows()
    };
    bencher.with_inputs(rows).bench_values(farm::restore);
}
