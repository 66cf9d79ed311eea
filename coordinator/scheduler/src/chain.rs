//! What follows from `VideoPlan::after`: who waits for whom, and how much hangs on each. Deliberately without states.

use wanfarm_types::in_order;

/// The place of a video among those of its job that wait for one another.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Link {
    /// Videos that come right after it, by their place in the job.
    pub(crate) followers: Vec<u32>,
    /// How many videos come after it, one after the other, on the longest such way.
    pub(crate) behind: u32,
    /// Its turn among the videos of its job: the lower goes first.
    pub(crate) turn: u8,
}

/// The links of a job's videos, in order; `after`: for each those that it comes after, which are there and go in no circle.
/// Those have its turn, if that is the earlier one.
pub(crate) fn links(after: &[Vec<u32>], turn: impl Fn(u32) -> u8) -> Vec<Link> {
    let mut links: Vec<Link> =
        (0u32..).zip(after).map(|(index, _)| Link { turn: turn(index), ..Link::default() }).collect();
    for index in in_order(after).unwrap_or_default().into_iter().rev() {
        let Link { behind, turn, .. } = links[index as usize];
        for &before in &after[index as usize] {
            let Some(before) = links.get_mut(before as usize) else { continue };
            before.followers.push(index);
            before.behind = before.behind.max(behind + 1);
            before.turn = before.turn.min(turn);
        }
    }
    links.iter_mut().for_each(|link| link.followers.sort_unstable());
    links
}
