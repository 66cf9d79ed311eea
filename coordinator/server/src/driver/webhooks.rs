//! Who is told of what happens: rows, and how far each of them is. Who tells them is elsewhere, and reads the events that
//! are kept.

use wanfarm_types::{EventKind, WebhookId};

use super::Driver;
use crate::requests::{MAX_WEBHOOKS, RequestError};
use crate::store::{EventRow, Row, WebhookRow};

impl Driver {
    /// Somebody is told of what happens from now on.
    pub(super) fn add_webhook(&mut self, webhook: WebhookRow) -> Result<(), RequestError> {
        if self.registry.webhooks.len() >= MAX_WEBHOOKS {
            return Err(RequestError::TooManyWebhooks);
        }
        self.note_webhook(EventKind::WebhookAdded, webhook.place());
        // Not of what happened before, nor of itself.
        self.put(Row::Webhook(WebhookRow { told: self.history.next - 1, ..webhook }));
        Ok(())
    }

    /// Somebody is told nothing more.
    pub(super) fn remove_webhook(&mut self, webhook: WebhookId) -> Result<(), RequestError> {
        let known = self.registry.webhooks.get(&webhook).ok_or(RequestError::NoSuchWebhook(webhook))?;
        let place = known.place().to_owned();
        self.put(Row::WebhookForgotten(webhook));
        self.note_webhook(EventKind::WebhookRemoved, &place);
        Ok(())
    }

    /// Somebody, who may have been removed meanwhile, needs not be told any more of what happened until `event`.
    pub(super) fn webhook_told(&mut self, webhook: WebhookId, event: u64) {
        if let Some(known) = self.registry.webhooks.get(&webhook).filter(|known| known.told < event) {
            self.put(Row::Webhook(WebhookRow { told: event, ..known.clone() }));
        }
    }

    fn note_webhook(&mut self, kind: EventKind, place: &str) {
        self.note(EventRow { kind, detail: Some(place.to_owned()), ..EventRow::default() });
    }
}
