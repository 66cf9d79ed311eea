//! What the scheduler needs for a whole batch on a farm of a hundred workers, in virtual time, and to start again from the
//! rows of a finished one.

#[path = "../examples/throughput/batch.rs"]
#[expect(dead_code, reason = "the example wants more of it")]
mod batch;
#[path = "../examples/throughput/farm.rs"]
#[expect(dead_code, reason = "the example wants more of it")]
mod farm;

use batch::Batch;
use divan::Bencher;
use farm::Farm;

const WORKERS: u32 = 100;
const STEPS: u32 = 10;

fn main() {
    divan::main();
}

fn hired(batch: &Batch) -> Farm {
    let mut farm = Farm::new(batch);
    farm.hire(batch);
    farm
}

#[divan::bench(args = [100, 1_000], sample_count = 10)]
fn render(bencher: Bencher<'_, '_>, videos: u32) {
    let batch = Batch::new(videos, WORKERS, STEPS, 0);
    bencher.with_inputs(|| hired(&batch)).bench_values(|mut farm| {
        farm.submit(&batch);
        farm.run(&batch);
        farm
    });
}

#[divan::bench(args = [100, 1_000], sample_count = 10)]
fn restore(bencher: Bencher<'_, '_>, videos: u32) {
    let batch = Batch::new(videos, WORKERS, STEPS, 0);
    let rows = || {
        let mut farm = hired(&batch);
        farm.submit(&batch);
        farm.run(&batch);
        farm.rows()
    };
    bencher.with_inputs(rows).bench_values(farm::restore);
}
