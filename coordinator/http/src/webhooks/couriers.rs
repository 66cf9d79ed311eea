//! One task for each webhook, and how each of them stands.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::sync::Notify;
use tokio_util::task::AbortOnDropHandle;
use wanfarm_server::farm::FarmService;
use wanfarm_types::WebhookId;

use super::courier::Courier;
use super::standing::{Standing, Standings};
use super::target::{self, Targets};
use crate::wire::Wire;

/// The tasks of all webhooks.
#[derive(Debug, Clone, Default)]
pub(super) struct Couriers {
    /// Who is told may have changed.
    changed: Arc<Notify>,
    standings: Standings,
}

impl Couriers {
    /// Starts what tells the webhooks of a farm; it ends with the coordinator.
    pub(super) fn start(farm: FarmService, targets: Targets) -> Self {
        let couriers = Self::default();
        tokio::spawn(keep(farm, targets, couriers.clone()));
        couriers
    }

    /// Looks anew who is to be told.
    pub(super) fn look(&self) {
        self.changed.notify_one();
    }

    /// How a webhook stands.
    pub(super) fn standing(&self, webhook: WebhookId) -> Standing {
        self.standings.of(webhook)
    }
}

/// Keeps one task for each webhook that there is.
async fn keep(farm: FarmService, targets: Targets, couriers: Couriers) {
    let (wire, mut changes) = (Wire::default(), farm.changes());
    let mut tasks: BTreeMap<WebhookId, AbortOnDropHandle<()>> = BTreeMap::new();
    while let Ok(rows) = farm.webhooks().await {
        let is_there = |webhook: &WebhookId| rows.iter().any(|row| row.id == *webhook);
        tasks.retain(|webhook, _| is_there(webhook));
        couriers.standings.keep(is_there);
        for row in rows {
            if tasks.contains_key(&row.id) {
                continue;
            }
            // It was allowed when it was added, and may not be any more.
            let uri = target::read(&row.url).ok().filter(|uri| targets.allow(uri));
            let Some(uri) = uri else {
                couriers.standings.change(row.id, |standing| standing.is_barred(target::refusal(&row.url)));
                continue;
            };
            let id = row.id;
            let (farm, wire, couriers) = (farm.clone(), wire.clone(), couriers.clone());
            let task = async move {
                let courier = Courier { farm: farm.clone(), wire, standings: couriers.standings.clone() };
                if courier.tell(row, uri).await.is_gone() && farm.remove_webhook(id, None).await.is_ok() {
                    couriers.look();
                }
            };
            tasks.insert(id, AbortOnDropHandle::new(tokio::spawn(task)));
        }
        tokio::select! {
            () = couriers.changed.notified() => {}
            // The coordinator stops.
            () = changes.ended() => return,
        }
    }
}
