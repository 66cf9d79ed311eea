//! The policy must keep the end of the work near the least time there could be: the benchmark of `examples/throughput`,
//! smaller and without its stopwatch, so that a change that lets videos crawl at the end does not go unnoticed.

#[path = "../../examples/throughput/batch.rs"]
mod batch;
#[path = "../../examples/throughput/bound.rs"]
mod bound;
#[path = "../../examples/throughput/farm.rs"]
#[expect(dead_code, reason = "times are not looked at")]
mod farm;

#[test]
fn the_end_of_the_work_stays_near_the_least_time() {
    for seed in 0..3 {
        let batch = batch::Batch::new(2_000, 120, 20, seed);
        let mut farm = farm::Farm::new(&batch);
        farm.hire(&batch);
        farm.submit(&batch);
        farm.run(&batch);
        let report = farm.report();
        let bound = bound::lower_bound(&batch);
        let ratio = report.makespan / bound.seconds;
        assert_eq!(report.open, 0);
        assert!(ratio <= 1.03, "seed {seed}: {ratio:.4} times the lower bound, which is due to {}", bound.role);
        assert!(report.moved < u64::from(batch.videos) / 10, "seed {seed}: {} videos were stopped", report.moved);
    }
}
