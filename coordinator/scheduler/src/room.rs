//! The memory that workers have for a model's items. Deliberately without which of them is free.

use std::collections::BTreeMap;

use wanfarm_types::{Footprint, ItemSize, Role};

/// By role, what each worker that serves it has.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Rooms(BTreeMap<Role, Vec<Option<Room>>>);

/// One worker's memory for a role.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Room {
    /// Bytes that weights and an item may take together.
    pub budget: u64,
    /// What they take.
    pub footprint: Footprint,
}

/// A role that has no room on any worker, for a video of some size.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NoRoom {
    /// The role.
    pub role: Role,
    /// Bytes that its weights and the item take together, where they take least.
    pub needs: u64,
    /// Bytes that there are where there are most.
    pub has: u64,
}

impl Rooms {
    /// Adds a worker that serves a role; `None`: it takes everything.
    pub fn add(&mut self, role: Role, room: Option<Room>) {
        self.0.entry(role).or_default().push(room);
    }

    /// Bytes that weights and an item take together, where they take least and that is known.
    pub fn needs(&self, role: Role, size: ItemSize) -> Option<u64> {
        self.0.get(&role)?.iter().flatten().map(|room| room.footprint.needs(size)).min()
    }

    /// Why an item of a role can run on none of those that serve it; `None` also where nobody does.
    pub fn lack(&self, role: Role, size: ItemSize) -> Option<NoRoom> {
        let rooms: Vec<Room> = self.0.get(&role)?.iter().copied().collect::<Option<_>>()?;
        if rooms.iter().any(|room| room.footprint.needs(size) <= room.budget) {
            return None;
        }
        Some(NoRoom { role, needs: self.needs(role, size)?, has: rooms.iter().map(|room| room.budget).max()? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_item_lacks_room_where_no_worker_has_it() {
        let room = |budget, weights| Room {
            budget,
            footprint: Footprint { weights, item: 2, per_token: 1, per_frame_token: 0, per_kept_token: 0 },
        };
        let size = ItemSize { tokens: 10, frame: 1, kept: 0 };
        let mut rooms = Rooms::default();
        assert_eq!(rooms.lack(Role::Dit, size), None, "nobody is known");
        rooms.add(Role::Dit, Some(room(40, 30)));
        rooms.add(Role::Dit, Some(room(30, 24)));
        assert_eq!(rooms.lack(Role::Dit, size), Some(NoRoom { role: Role::Dit, needs: 36, has: 40 }));
        assert_eq!(rooms.needs(Role::Dit, size), Some(36));
        assert_eq!(rooms.lack(Role::Dit, ItemSize { tokens: 8, frame: 1, kept: 0 }), None);
        rooms.add(Role::Dit, None);
        assert_eq!(rooms.lack(Role::Dit, size), None, "one that takes everything");
    }
}
