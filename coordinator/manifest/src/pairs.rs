//! Which videos of other tables a table's videos are rendered from: one that they start from, one that they end at, one that
//! they are made of.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use super::draft::{Draft, Follows};

/// What the videos of a table have of those of another one that they need frames of.
#[derive(Clone, Copy)]
pub(crate) struct Above<'t> {
    /// Its place among the tables.
    pub(crate) table: usize,
    /// Names that stand for values there, and do here.
    pub(crate) names: &'t BTreeSet<Arc<str>>,
    /// All names that it was swept by, which are told apart by them.
    pub(crate) swept: &'t BTreeSet<Arc<str>>,
    pub(crate) drafts: &'t [Draft],
}

/// All that belong together, in the order of the first. Of two tables those belong together that agree in every name that both
/// were swept by; of one and the same, each with itself. `None`: more than `most`.
pub(crate) fn pairs(above: [Option<Above<'_>>; 3], most: usize) -> Option<Vec<Follows>> {
    let mut all: Vec<Follows> = vec![[None; 3]];
    for (end, next) in above.iter().enumerate().filter_map(|(end, above)| Some((end, (*above)?))) {
        let before = || above[..end].iter().enumerate().filter_map(|(at, above)| Some((at, (*above)?)));
        if let Some((same, _)) = before().find(|(_, other)| other.table == next.table) {
            all.iter_mut().for_each(|follows| follows[end] = follows[same]);
            continue;
        }
        // Those before agree with one another, so that any of them will do.
        let shared = |name: &Arc<str>| before().find(|(_, other)| other.swept.contains(name));
        let shared: Vec<(&Arc<str>, (usize, Above<'_>))> =
            next.swept.iter().filter_map(|name| Some((name, shared(name)?))).collect();
        let mut ends: HashMap<Vec<&str>, Vec<usize>> = HashMap::new();
        for (place, draft) in next.drafts.iter().enumerate() {
            ends.entry(shared.iter().map(|(name, _)| value(draft, name)).collect()).or_default().push(place);
        }
        let mut longer = Vec::new();
        for follows in &all {
            let of_before = shared.iter().map(|(name, (at, other))| {
                follows[*at].and_then(|place| other.drafts.get(place)).map_or("", |draft| value(draft, name))
            });
            let ends = ends.get(&of_before.collect::<Vec<_>>()).map_or(&[][..], |ends| ends);
            if longer.len() + ends.len() > most {
                return None;
            }
            longer.extend(ends.iter().map(|place| {
                let mut follows = *follows;
                follows[end] = Some(*place);
                follows
            }));
        }
        all = longer;
    }
    Some(all)
}

/// What a name stands for in a video.
fn value<'d>(draft: &'d Draft, name: &Arc<str>) -> &'d str {
    draft.words.iter().find(|(word, _)| word == name).map_or("", |(_, text)| text)
}
