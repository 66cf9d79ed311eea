//! How webhooks stand: whether they hear, and if not why and until when. Of the moment, and in no row.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::Serialize;
use utoipa::ToSchema;
use wanfarm_server::times::rfc3339_in;
use wanfarm_types::WebhookId;

/// How telling goes, since the coordinator was started.
#[derive(Debug, Clone, Default, Serialize, ToSchema)]
#[schema(as = WebhookStanding)]
pub(super) struct Standing {
    state: State,
    /// Why the last try came to nothing, if it did.
    error: Option<String>,
    /// When the target last heard something, in UTC as RFC 3339 has it.
    heard: Option<String>,
    /// When it is tried again, likewise.
    next_try: Option<String>,
    /// Events that it was not told, because it did not take them for too long.
    pub(super) passed_over: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = WebhookState)]
enum State {
    /// It hears, as far as it was tried.
    #[default]
    Ok,
    /// It does not, and is tried again.
    Failing,
    /// The coordinator was started without its host: nothing is sent.
    Barred,
}

impl Standing {
    pub(super) fn is_barred(&mut self, why: String) {
        (self.state, self.error) = (State::Barred, Some(why));
    }

    pub(super) fn hears(&mut self) {
        *self = Self { heard: rfc3339_in(0.0), passed_over: self.passed_over, ..Self::default() };
    }

    pub(super) fn fails(&mut self, why: String, pause: Duration) {
        (self.state, self.error) = (State::Failing, Some(why));
        self.next_try = rfc3339_in(pause.as_secs_f64());
    }
}

/// How webhooks stand since the coordinator was started.
#[derive(Debug, Clone, Default)]
pub(super) struct Standings(Arc<Mutex<BTreeMap<WebhookId, Standing>>>);

impl Standings {
    /// Changes what is said of one.
    pub(super) fn change(&self, webhook: WebhookId, change: impl FnOnce(&mut Standing)) {
        change(self.all().entry(webhook).or_default());
    }

    /// How one stands.
    pub(super) fn of(&self, webhook: WebhookId) -> Standing {
        self.all().get(&webhook).cloned().unwrap_or_default()
    }

    /// Forgets all others.
    pub(super) fn keep(&self, is_there: impl Fn(&WebhookId) -> bool) {
        self.all().retain(|webhook, _| is_there(webhook));
    }

    /// Held for moments.
    fn all(&self) -> MutexGuard<'_, BTreeMap<WebhookId, Standing>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
