//! Things that come after others: all of them in an order in which each comes after those that it needs.

use std::collections::VecDeque;

/// The numbers of all things, each after those that it needs; of two that need nothing of each other, the smaller first
/// at the beginning. `needs`: for each thing the numbers of those it needs; a number beyond the last is nobody's.
///
/// # Errors
/// Things that need one another in a circle, in this order: each needs the next, and the last the first.
pub fn in_order(needs: &[Vec<u32>]) -> Result<Vec<u32>, Vec<u32>> {
    let count = needs.len();
    let of = |thing: u32| needs[thing as usize].iter().copied().filter(|need| (*need as usize) < count);
    let all = || (0u32..).take(count);
    let (mut left, mut needed_by) = (vec![0usize; count], vec![Vec::new(); count]);
    for thing in all() {
        for need in of(thing) {
            left[thing as usize] += 1;
            needed_by[need as usize].push(thing);
        }
    }
    let mut free: VecDeque<u32> = all().filter(|thing| left[*thing as usize] == 0).collect();
    let mut order = Vec::with_capacity(count);
    while let Some(thing) = free.pop_front() {
        order.push(thing);
        for &other in &needed_by[thing as usize] {
            left[other as usize] -= 1;
            if left[other as usize] == 0 {
                free.push_back(other);
            }
        }
    }
    let is_left = |thing: &u32| left[*thing as usize] > 0;
    let Some(mut thing) = all().find(is_left) else { return Ok(order) };
    // Whoever is left needs somebody who is left, so that this walk comes back to where it has been.
    let mut walk = Vec::new();
    let mut seen = vec![false; count];
    while !std::mem::replace(&mut seen[thing as usize], true) {
        walk.push(thing);
        thing = of(thing).find(is_left).unwrap_or(thing);
    }
    let begin = walk.iter().position(|passed| *passed == thing).unwrap_or(0);
    Err(walk.split_off(begin))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_comes_after_those_it_needs() {
        assert_eq!(in_order(&[]), Ok(vec![]));
        assert_eq!(in_order(&[vec![], vec![], vec![]]), Ok(vec![0, 1, 2]));
        assert_eq!(in_order(&[vec![2], vec![], vec![1]]), Ok(vec![1, 2, 0]));
        assert_eq!(in_order(&[vec![1, 2], vec![3], vec![3], vec![9]]), Ok(vec![3, 1, 2, 0]), "9 is nobody");
        assert_eq!(in_order(&[vec![1, 1], vec![]]), Ok(vec![1, 0]), "said twice");
        let long: Vec<Vec<u32>> = (0..100_000u32).map(|thing| vec![thing + 1]).collect();
        assert_eq!(in_order(&long).map(|order| order[0]), Ok(99_999), "however long the way is");
    }

    #[test]
    fn a_circle_is_told_as_it_runs() {
        assert_eq!(in_order(&[vec![0]]), Err(vec![0]));
        assert_eq!(in_order(&[vec![], vec![0, 3], vec![1], vec![2]]), Err(vec![1, 3, 2]));
        assert_eq!(in_order(&[vec![1], vec![2], vec![1]]), Err(vec![1, 2]), "who only leads there is not in it");
    }
}
