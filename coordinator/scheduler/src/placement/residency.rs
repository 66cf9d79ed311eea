//! What a worker's memory holds, what it could hold, and how long that takes. Deliberately without tickets and seats.

use std::collections::{BTreeMap, BTreeSet};

use wanfarm_types::{Footprint, ItemSize};

use crate::job::PoolId;

/// Bytes per millisecond that weights are taken to be read with before it was measured.
pub(crate) const LOAD_SPEED: u64 = 1_000_000;

/// The memory of a worker that does not hold all it serves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Residency {
    /// Bytes that weights and an item may take together.
    pub(crate) budget: u64,
    /// What it serves.
    pub(crate) roles: BTreeMap<PoolId, Footprint>,
    /// What it holds once the last item given to it has begun.
    held: BTreeSet<PoolId>,
    /// Bytes of that.
    weights: u64,
    /// What it holds and is given no work of.
    pub(crate) unwanted: BTreeSet<PoolId>,
    /// Bytes per millisecond that it reads weights with.
    pub(crate) speed: u64,
}

impl Residency {
    pub(crate) fn new(budget: u64, roles: BTreeMap<PoolId, Footprint>, held: BTreeSet<PoolId>, speed: u64) -> Self {
        let mut memory = Self { budget, roles, held: BTreeSet::new(), weights: 0, unwanted: BTreeSet::new(), speed };
        memory.hold(held);
        memory
    }

    /// Sets what it holds.
    pub(crate) fn hold(&mut self, held: BTreeSet<PoolId>) {
        // Whether there is room is asked many times for one decision.
        self.weights = held.iter().map(|pool| self.footprint(*pool).weights).fold(0, u64::saturating_add);
        self.held = held;
    }

    /// Bytes of the weights held.
    pub(crate) fn weights(&self) -> u64 {
        self.weights
    }

    pub(crate) fn held(&self) -> &BTreeSet<PoolId> {
        &self.held
    }

    /// True when an item could run with nothing held but its role.
    pub(crate) fn fits(&self, pool: PoolId, size: ItemSize) -> bool {
        self.roles.get(&pool).is_some_and(|role| role.needs(size) <= self.budget)
    }

    /// True when an item can run with all that is held, its role among it.
    pub(crate) fn has_room(&self, pool: PoolId, size: ItemSize) -> bool {
        let item = self.footprint(pool).of_item(size);
        self.held.contains(&pool) && self.weights.saturating_add(item) <= self.budget
    }

    /// What it holds and may be given work of.
    pub(crate) fn wanted(&self) -> impl Iterator<Item = PoolId> {
        self.held.difference(&self.unwanted).copied()
    }

    /// What is held beside the role of an item when that runs: of what is held now, as much as there is room for,
    /// beginning with what is `worth` most. Only for an item that fits.
    pub(crate) fn kept<W: Ord>(&self, pool: PoolId, size: ItemSize, worth: impl Fn(PoolId) -> W) -> BTreeSet<PoolId> {
        let mut others: Vec<PoolId> = self.wanted().filter(|held| *held != pool).collect();
        others.sort_by_cached_key(|other| std::cmp::Reverse(worth(*other)));
        let mut left = self.budget.saturating_sub(self.footprint(pool).needs(size));
        others.retain(|other| {
            let weights = self.footprint(*other).weights;
            let stays = weights <= left;
            left -= if stays { weights } else { 0 };
            stays
        });
        others.into_iter().collect()
    }

    /// Milliseconds until its weights are in memory.
    pub(crate) fn load_time(&self, pool: PoolId) -> u64 {
        if self.held.contains(&pool) { 0 } else { self.footprint(pool).weights / self.speed.max(1) }
    }

    fn footprint(&self, pool: PoolId) -> Footprint {
        self.roles.get(&pool).copied().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::job::Models;
    use wanfarm_types::Role;

    fn pool(role: Role) -> PoolId {
        PoolId { model: Models::default().id("m"), role }
    }

    /// Of 100 bytes; what is held.
    fn memory(held: &[Role]) -> Residency {
        let role = |role, weights| {
            (pool(role), Footprint { weights, item: 5, per_token: 1, per_frame_token: 0, per_kept_token: 0 })
        };
        let roles = [role(Role::TextEncoder, 10), role(Role::DitHigh, 60), role(Role::DitLow, 60), role(Role::Vae, 5)];
        let held = held.iter().copied().map(pool).collect();
        Residency::new(100, roles.into(), held, 2)
    }

    fn size(tokens: u64) -> ItemSize {
        ItemSize { tokens, frame: 1, kept: 0 }
    }

    #[test]
    fn an_item_takes_memory_beside_the_weights() {
        let memory = memory(&[Role::DitHigh, Role::Vae]);
        let high = pool(Role::DitHigh);
        assert!(memory.has_room(high, size(30)) && !memory.has_room(high, size(31)));
        assert!(memory.fits(high, size(35)) && !memory.fits(high, size(36)));
        assert!(!memory.has_room(pool(Role::DitLow), size(1)) && memory.fits(pool(Role::DitLow), size(1)));
        assert_eq!((memory.load_time(high), memory.load_time(pool(Role::DitLow))), (0, 30));
    }

    #[test]
    fn what_is_worth_most_stays_as_far_as_there_is_room() {
        let memory = memory(&[Role::TextEncoder, Role::DitHigh, Role::Vae]);
        let kept = |role, tokens, worth: fn(PoolId) -> u32| {
            memory.kept(pool(role), size(tokens), worth).into_iter().map(|pool| pool.role).collect::<Vec<_>>()
        };
        let text = |pool: PoolId| u32::from(pool.role == Role::TextEncoder);
        let vae = |pool: PoolId| u32::from(pool.role == Role::Vae);
        assert_eq!(kept(Role::DitLow, 10, text), [Role::TextEncoder, Role::Vae]);
        assert_eq!(kept(Role::DitLow, 24, text), [Role::TextEncoder]);
        assert_eq!(kept(Role::DitLow, 24, vae), [Role::Vae]);
        assert_eq!(kept(Role::DitLow, 33, text), []);
        assert_eq!(kept(Role::DitHigh, 20, text), [Role::TextEncoder, Role::Vae], "its own role goes without saying");
        let worthless = |pool: PoolId| u32::from(pool.role != Role::DitHigh);
        assert_eq!(kept(Role::Vae, 10, worthless), [Role::TextEncoder, Role::DitHigh]);
        let unwanted = Residency { unwanted: [pool(Role::Vae)].into(), ..memory.clone() };
        assert!(unwanted.kept(pool(Role::DitLow), size(10), |_| 0).iter().eq(&[pool(Role::TextEncoder)]));
    }
}
