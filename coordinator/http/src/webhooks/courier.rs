//! Tells one target of what happens: events in their order, one at a time, each until it was heard, or was tried so often
//! that the next ones should not wait any longer.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use axum::http::Uri;
use tokio::time::sleep;
use wanfarm_server::farm::FarmService;
use wanfarm_server::store::WebhookRow;
use wanfarm_types::{Backoff, FarmEvent};

use super::letter::letter;
use super::sign::Secret;
use super::standing::{Standing, Standings};
use crate::reader::Reader;
use crate::wire::{Outcome, Wire};

/// Pauses between tries.
const BACKOFF: Backoff = Backoff::new(Duration::from_secs(2), Duration::from_secs(15 * 60));
/// How often what a target refuses is tried: a new version of it may be on its way.
const TRIES: u32 = 6;
/// How long a target that cannot be reached is tried with the same event.
const PATIENCE: Duration = Duration::from_secs(24 * 3600);

/// Why nothing more is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// The target wants to hear nothing more.
    Gone,
    /// The coordinator stops.
    Stop,
}

impl End {
    pub(super) fn is_gone(self) -> bool {
        self == Self::Gone
    }
}

/// Tries of one event.
struct Tries {
    first: Instant,
    failures: u32,
}

impl Tries {
    fn new() -> Self {
        Self { first: Instant::now(), failures: 0 }
    }

    /// How long to wait after another failure; `None`: not for this event any more.
    fn again(&mut self, refused: bool, asked: Option<Duration>) -> Option<Duration> {
        let pause = BACKOFF.pause(self.failures).max(asked.unwrap_or_default());
        self.failures = self.failures.saturating_add(1);
        let is_over = if refused { self.failures >= TRIES } else { self.first.elapsed() + pause > PATIENCE };
        (!is_over).then_some(pause)
    }
}

/// Who tells a target.
pub(super) struct Courier {
    pub(super) farm: FarmService,
    pub(super) wire: Wire,
    pub(super) standings: Standings,
}

impl Courier {
    /// Tells until the target wants to hear nothing more, or the coordinator stops.
    pub(super) async fn tell(&self, row: WebhookRow, uri: Uri) -> End {
        let Ok(mut reader) = Reader::after(self.farm.clone(), row.told) else { return End::Stop };
        let Ok(secret) = Secret::read(&row.secret) else {
            self.standings
                .change(row.id, |standing| standing.is_barred("its secret cannot be read; add it anew".into()));
            return End::Stop;
        };
        loop {
            let Some(events) = reader.next().await else { return End::Stop };
            for event in events {
                if !row.kinds.contains(&event.kind) {
                    continue;
                }
                if self.deliver(&row, &uri, &secret, &event).await == Outcome::Gone {
                    return End::Gone;
                }
                if self.farm.webhook_told(row.id, event.id).await.is_err() {
                    return End::Stop;
                }
            }
        }
    }

    /// Tells one event, until it was heard or is passed over.
    async fn deliver(&self, row: &WebhookRow, uri: &Uri, secret: &Secret, event: &FarmEvent) -> Outcome {
        let mut tries = Tries::new();
        loop {
            let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
            let outcome = match letter(row.id, uri, secret, event, now) {
                Ok(request) => self.wire.send(request).await,
                Err(why) => Outcome::Refused(why),
            };
            let (why, pause) = match outcome {
                Outcome::Heard => {
                    self.standings.change(row.id, Standing::hears);
                    return outcome;
                }
                Outcome::Gone => return outcome,
                Outcome::Refused(ref why) => (why.clone(), tries.again(true, None)),
                Outcome::Failed(ref why, wait) => (why.clone(), tries.again(false, wait)),
            };
            let place = row.place();
            let Some(pause) = pause else {
                tracing::warn!(webhook = %row.id, place, event = event.id, %why, "a webhook is not told of an event");
                self.standings.change(row.id, |standing| standing.passed_over += 1);
                return outcome;
            };
            tracing::info!(webhook = %row.id, place, event = event.id, %why, "a webhook is told again later");
            self.standings.change(row.id, |standing| standing.fails(why, pause));
            sleep(pause).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_refused_is_tried_for_a_minute_and_what_cannot_be_reached_for_a_day() {
        let mut tries = Tries::new();
        let pauses: Vec<_> = std::iter::from_fn(|| tries.again(true, None)).map(|pause| pause.as_secs()).collect();
        assert_eq!(pauses, [2, 4, 8, 16, 32]);
        let mut tries = Tries::new();
        assert!((0..1000).all(|_| tries.again(false, None).is_some_and(|pause| pause <= Duration::from_secs(900))));
        assert_eq!(tries.again(false, Some(Duration::from_secs(3600))), Some(Duration::from_secs(3600)));
        tries.first -= PATIENCE;
        assert_eq!(tries.again(false, None), None);
    }
}
