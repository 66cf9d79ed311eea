//! Whether there is a machine on which a video fits into memory.

use std::collections::BTreeMap;

use wanfarm_scheduler::{NoRoom, Rooms, VideoPlan};
use wanfarm_types::{Role, Size, Stage};

use super::stages_left;

/// What of a video has room on none of the workers that serve it.
pub fn lack(plan: &VideoPlan, rooms: &Rooms) -> Option<NoRoom> {
    let size = plan.item_size();
    stages_left(plan, Default::default()).find_map(|stage: Stage| rooms.lack(stage.role(), size))
}

/// Bytes that weights and items of each role take, of the largest of some videos.
pub fn needs<'p>(plans: impl IntoIterator<Item = &'p VideoPlan>, rooms: &Rooms) -> BTreeMap<Role, u64> {
    let mut most = BTreeMap::new();
    for plan in plans {
        for stage in stages_left(plan, Default::default()) {
            if let Some(bytes) = rooms.needs(stage.role(), plan.item_size()) {
                let known = most.entry(stage.role()).or_insert(bytes);
                *known = bytes.max(*known);
            }
        }
    }
    most
}

/// Of an item that no worker has room for: how much is missing, and what would help.
pub fn room_words(NoRoom { needs, has, .. }: NoRoom) -> String {
    format!(
        "weights and a video of this size take {}, and the largest budget here is {}; a smaller or shorter video, weights \
         as Q8_0, or a machine with more memory would do",
        Size(needs),
        Size(has)
    )
}
