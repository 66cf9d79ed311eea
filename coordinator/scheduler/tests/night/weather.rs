//! How bad a night is: probabilities of faults.

/// Chances are per mille of the event they belong to.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Weather {
    /// A worker process dies, per worker and minute.
    pub(crate) crash: u32,
    /// A machine falls asleep, per worker and minute.
    pub(crate) sleep: u32,
    /// A device hangs for ever, while its process sends heartbeats, per worker and minute.
    pub(crate) hang: u32,
    /// A connection breaks, per worker and minute.
    pub(crate) cut: u32,
    /// The coordinator dies, per batch of actions.
    pub(crate) coordinator: u32,
    /// The coordinator's process is stopped for a while, per minute: its clock jumps, and everything waits for it.
    pub(crate) stop: u32,
    /// A step or item fails.
    pub(crate) failure: u32,
    /// Weights cannot be loaded.
    pub(crate) load: u32,
    /// A message is sent twice.
    pub(crate) doubled: u32,
    /// A worker says something absurd, per heartbeat.
    pub(crate) lie: u32,
    /// An operator does something, per minute.
    pub(crate) operator: u32,
    /// A video is poison or can never be rendered.
    pub(crate) bad_video: u32,
    /// A worker comes with other weights, or fails whatever it gets.
    pub(crate) bad_worker: u32,
    /// A worker passes on what nothing can be computed with.
    pub(crate) ruin: u32,
    /// Nobody can dial a worker, or one that it dials cannot be reached from there: for the whole night.
    pub(crate) hidden: u32,
}

impl Weather {
    /// Nothing fails but the network and the coordinator, and never for as long as a lease.
    pub(crate) const NETWORK: Weather = Weather {
        crash: 0,
        sleep: 0,
        hang: 0,
        cut: 300,
        coordinator: 8,
        stop: 30,
        failure: 0,
        load: 0,
        doubled: 100,
        lie: 0,
        operator: 0,
        bad_video: 0,
        bad_worker: 0,
        ruin: 0,
        hidden: 250,
    };

    /// The same with liars: nobody fails, but some workers pass on what nothing can be computed with.
    pub(crate) const LIARS: Weather = Weather { ruin: 400, ..Weather::NETWORK };

    /// Everything at once.
    pub(crate) const STORM: Weather = Weather {
        crash: 30,
        sleep: 15,
        hang: 10,
        cut: 60,
        coordinator: 3,
        stop: 10,
        failure: 8,
        load: 100,
        doubled: 50,
        lie: 20,
        operator: 60,
        bad_video: 60,
        bad_worker: 60,
        ruin: 100,
        hidden: 100,
    };

    /// The morning after: all is well.
    pub(crate) const CALM: Weather = Weather {
        crash: 0,
        sleep: 0,
        hang: 0,
        cut: 0,
        coordinator: 0,
        stop: 0,
        failure: 0,
        load: 0,
        doubled: 0,
        lie: 0,
        operator: 0,
        bad_video: 0,
        bad_worker: 0,
        ruin: 0,
        hidden: 0,
    };
}
