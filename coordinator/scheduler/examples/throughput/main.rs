//! A large farm of unequal workers renders a large batch in virtual time, with a scheduler that is real: how close the
//! end comes to the lower bound, how long decisions take, and how much memory that needs.
//! `cargo run --release -p wanfarm-scheduler --example throughput [VIDEOS] [WORKERS] [STEPS] [SEED]`
//! Without arguments: 10,000 videos of 40 steps, as the A14B models have, on 1,000 workers.

mod batch;
mod bound;
mod farm;

use std::time::Instant;

use batch::Batch;
use farm::Farm;

#[expect(clippy::disallowed_methods, reason = "this measures the scheduler from outside")]
fn main() {
    let mut args = std::env::args().skip(1).map(|arg| arg.parse::<u32>());
    let videos = args.next().and_then(Result::ok).unwrap_or(10_000);
    let workers = args.next().and_then(Result::ok).unwrap_or(1_000);
    let steps = args.next().and_then(Result::ok).unwrap_or(40);
    let seed = args.next().and_then(Result::ok).unwrap_or(0);
    let batch = Batch::new(videos, workers, steps, seed);
    let before = resident();
    let mut farm = Farm::new(&batch);
    farm.hire(&batch);
    farm.submit(&batch);
    farm.run(&batch);

    let report = farm.report();
    let bound = bound::lower_bound(&batch);
    println!(
        "{videos} videos of {steps} steps on {workers} workers, the slowest at a quarter of the fastest; {} left open",
        report.open
    );
    println!(
        "makespan {:.0} s of virtual time, lower bound {:.0} s ({}): {:.4}",
        report.makespan,
        bound.seconds,
        bound.role,
        report.makespan / bound.seconds
    );
    println!("{} assignments, {} videos stopped after a step, {} inputs", report.assigned, report.moved, report.inputs);
    println!(
        "{:.2} µs per input, slowest {:.2} ms; {:.2} µs per assignment for the inputs that lead to assignments, \
         {:.2} µs for all inputs but heartbeats, {:.2} µs for all",
        report.spent / report.inputs as f64,
        report.slowest / 1e3,
        report.deciding / report.assigned as f64,
        (report.spent - report.heartbeats) / report.assigned as f64,
        report.spent / report.assigned as f64,
    );
    println!("memory: {} MB resident before, {} MB at most with the farm", before / 1024, peak() / 1024);

    let rows = farm.rows();
    let (count, start) = (rows.len(), Instant::now());
    let restored = farm::restore(rows);
    println!(
        "restored from {count} rows in {:.0} ms: {} jobs",
        start.elapsed().as_secs_f64() * 1e3,
        restored.job_ids().count()
    );
}

/// Kilobytes of resident memory; 0 where the system does not say.
fn resident() -> u64 {
    memory("VmRSS:")
}

fn peak() -> u64 {
    memory("VmHWM:")
}

fn memory(line: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let found = status.lines().find_map(|text| text.strip_prefix(line));
    found.and_then(|text| text.trim().trim_end_matches(" kB").parse().ok()).unwrap_or(0)
}
