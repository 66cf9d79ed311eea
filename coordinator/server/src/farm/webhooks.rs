//! Who is told of what happens: what is asked of the driver.

use wanfarm_types::WebhookId;

use super::FarmService;
use super::asking::Answer;
use super::wire::refusal;
use crate::requests::Request;
use crate::store::WebhookRow;

impl FarmService {
    /// Everybody who is told.
    ///
    /// # Errors
    /// As of [`Self::jobs`].
    pub async fn webhooks(&self) -> Answer<Vec<WebhookRow>> {
        self.ask(|reply| Request::Webhooks { reply }).await
    }

    /// Has somebody told of what happens from now on, wherever `told` says they are. `by`: who asks.
    ///
    /// # Errors
    /// When there are as many as there may be.
    pub async fn add_webhook(&self, webhook: WebhookRow, by: &str) -> Answer<()> {
        self.ask(|reply| Request::AddWebhook { webhook, by: by.to_owned(), reply }).await?.map_err(refusal)
    }

    /// Has somebody told nothing more. `by`: who asks; `None`: the target itself.
    ///
    /// # Errors
    /// When nobody is called so.
    pub async fn remove_webhook(&self, webhook: WebhookId, by: Option<&str>) -> Answer<()> {
        let by = by.map(str::to_owned);
        self.ask(|reply| Request::RemoveWebhook { webhook, by, reply }).await?.map_err(refusal)
    }

    /// Records that somebody needs not be told any more of what happened until `event`.
    ///
    /// # Errors
    /// As of [`Self::jobs`].
    pub async fn webhook_told(&self, webhook: WebhookId, event: u64) -> Answer<()> {
        self.ask(|reply| Request::WebhookTold { webhook, event, reply }).await
    }
}
