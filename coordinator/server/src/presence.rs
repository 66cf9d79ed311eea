//! When a worker was here and how much of that it computed, as this coordinator has seen it: by its own clocks, from message
//! to message, whatever the worker says of either.

use wanfarm_types::AttemptId;

use crate::times::Moment;

/// One worker's, since this coordinator began.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Presence {
    /// When this boot of it said hello first.
    since: Moment,
    /// When its last message came.
    seen: Moment,
    /// What it computed by then.
    computes: Option<AttemptId>,
    /// Seconds that it has computed, in all its boots.
    busy: f64,
    /// Those of the boots before this one.
    before: f64,
}

impl Presence {
    /// Of a worker that says hello.
    pub(crate) fn begins(now: Moment) -> Self {
        Self { since: now, seen: now, computes: None, busy: 0.0, before: 0.0 }
    }

    /// Goes on when it says hello again; `is_same`: the process that was here before.
    pub(crate) fn resumes(mut self, now: Moment, is_same: bool) -> Self {
        if is_same {
            self.hears(now);
            return self;
        }
        Self { busy: self.busy, before: self.busy, ..Self::begins(now) }
    }

    /// A message came: what it computed until now it has computed since the last one.
    pub(crate) fn hears(&mut self, now: Moment) {
        if self.computes.is_some() {
            self.busy += (now.elapsed - self.seen.elapsed).max(0.0);
        }
        self.seen = now;
    }

    /// It computes this attempt, as the message says that was heard last.
    pub(crate) fn computes(&mut self, attempt: AttemptId) {
        self.computes = Some(attempt);
    }

    /// An attempt is over.
    pub(crate) fn ends(&mut self, attempt: AttemptId) {
        self.computes.take_if(|computes| *computes == attempt);
    }

    /// When this boot of it said hello first.
    pub(crate) fn since(&self) -> Moment {
        self.since
    }

    /// When its last message came.
    pub(crate) fn seen(&self) -> Moment {
        self.seen
    }

    /// Seconds that it has computed, in all its boots.
    pub(crate) fn busy_seconds(&self) -> f64 {
        self.busy
    }

    /// How much of the time from `since` to `seen` it computed; `None` before there was any.
    pub(crate) fn share(&self) -> Option<f64> {
        let here = self.seen.elapsed - self.since.elapsed;
        (here > 0.0).then(|| ((self.busy - self.before) / here).clamp(0.0, 1.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(elapsed: f64) -> Moment {
        // The time of day is set back, which no share of the time may feel.
        Moment { at: 1e9 - elapsed, elapsed }
    }

    #[test]
    fn what_is_computed_between_messages_counts_and_what_is_not_does_not() {
        let mut presence = Presence::begins(at(100.0));
        assert_eq!(presence.share(), None, "no time has passed");
        presence.hears(at(110.0));
        assert_eq!(presence.share(), Some(0.0));
        presence.computes(AttemptId(1));
        presence.hears(at(115.0));
        // Said again, it begins nothing anew.
        presence.computes(AttemptId(1));
        presence.hears(at(120.0));
        assert_eq!(presence.share(), Some(0.5));
        presence.ends(AttemptId(7));
        presence.hears(at(130.0));
        presence.ends(AttemptId(1));
        presence.hears(at(140.0));
        assert_eq!(presence.share(), Some(0.5));
        assert_eq!((presence.since(), presence.seen()), (at(100.0), at(140.0)));
    }

    #[test]
    fn a_reconnect_goes_on_and_a_new_boot_begins_anew() {
        let mut presence = Presence::begins(at(0.0));
        presence.computes(AttemptId(1));
        let presence = presence.resumes(at(10.0), true);
        assert_eq!((presence.share(), presence.since()), (Some(1.0), at(0.0)), "it computed while it was away");
        let mut presence = presence.resumes(at(30.0), false);
        assert_eq!((presence.share(), presence.since()), (None, at(30.0)));
        presence.hears(at(40.0));
        assert_eq!(presence.share(), Some(0.0));
        assert!((presence.busy_seconds() - 10.0).abs() < 1e-9, "what earlier boots computed is not forgotten");
    }
}
