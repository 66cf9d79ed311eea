//! The constants of the policy. Deliberately not read from anywhere: the caller fills them.

use std::time::Duration;

use crate::placement::Board;

/// What an operator may tune. The defaults suit steps of seconds to minutes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// A worker not heard of for this long loses its attempts. Heartbeats should come four times as often.
    pub lease: Duration,
    /// A worker that is there but shows no progress of its item for this long, and for ten times as long as its steps
    /// take, loses it; twelve times this long while its speed is unknown.
    pub stall: Duration,
    /// Different workers a video may fail on before it is failed (or tries, when fewer workers exist).
    pub max_strikes: u32,
    /// Different videos a worker may fail in a row before it is set aside.
    pub max_streak: u32,
    /// Ready items that may wait per downstream worker before no new video is started upstream.
    pub queue_per_worker: u32,
    /// Steps of an expert given out in one assignment; the default is all that remain.
    pub steps_per_assignment: u32,
    /// A worker is given its next item when at most this many steps of the running one remain.
    pub prefetch_steps: u32,
    /// Time that moving a running video to a faster worker may cost: it must gain more than that.
    pub move_margin: Duration,
    /// Times a video may move in one stage, whatever the measurements say.
    pub max_moves: u32,
    /// A durable checkpoint is made after this many steps, or after `checkpoint_time`, whichever comes first.
    /// The last one of each stage is always made durable.
    pub checkpoint_steps: u32,
    /// Computing time that steps without a durable checkpoint may have cost.
    pub checkpoint_time: Duration,
    /// Pause before a failed copy or a failed write of outputs is tried again; doubles for every failed write.
    pub retry_pause: Duration,
    /// Tries to write the outputs of a video before it is failed.
    pub max_output_tries: u32,
    /// Decoded videos that a worker may hold or be about to hold before it is given no more to decode: writing has to
    /// catch up first. Three keep it busy: one being written, one being decoded, one waiting.
    pub unwritten_videos: u32,
    /// The same by bytes; what is being decoded counts as much as the largest it holds.
    pub unwritten_bytes: u64,
    /// How long a worker that could not load the weights of a role is given nothing of that role; doubles each time.
    pub load_pause: Duration,
    /// Bytes of encoded texts that are kept when no open video reads them; 0 keeps none.
    pub kept_text_bytes: u64,
    /// How long a drained worker without an item waits at most for its results to be copied before it may leave.
    pub drain_timeout: Duration,
}

impl Config {
    /// An empty board under these rules.
    pub(crate) fn board(&self) -> Board {
        let move_margin = u64::try_from(self.move_margin.as_millis()).unwrap_or(u64::MAX);
        Board::new(self.queue_per_worker, move_margin)
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            lease: Duration::from_secs(30),
            stall: Duration::from_secs(600),
            max_strikes: 3,
            max_streak: 3,
            queue_per_worker: 2,
            steps_per_assignment: u32::MAX,
            prefetch_steps: 2,
            move_margin: Duration::from_secs(5),
            max_moves: 6,
            checkpoint_steps: 1,
            checkpoint_time: Duration::MAX,
            retry_pause: Duration::from_secs(2),
            max_output_tries: 6,
            unwritten_videos: 4,
            unwritten_bytes: 2 << 30,
            load_pause: Duration::from_secs(300),
            kept_text_bytes: 0,
            drain_timeout: Duration::from_secs(600),
        }
    }
}
