//! Which `[[video]]` table needs frames of which, by their names. It makes no videos.

use std::collections::HashMap;

use wanfarm_types::in_order;

use super::fault::{Fault, Findings, Place, Placed, clipped, near, quote};
use super::values::FrameFrom;

/// Circles of videos that start from one another that are told of.
const MAX_CIRCLES: usize = 20;
/// Names that one which is not there is compared with.
const MAX_COMPARED: usize = 1000;

/// What of a table decides that.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Start<'t> {
    pub(crate) place: &'t Place,
    pub(crate) name: Option<&'t Placed<String>>,
    /// The frames of other videos that it starts from and ends at, and the video that it is made of.
    pub(crate) from: [Option<(&'t FrameFrom, &'t Place)>; 3],
}

/// The tables, each after those that it needs frames of. Those that need frames of themselves are told of, and need none.
pub(crate) fn order(tables: &[Start<'_>], parents: &mut [Parents], found: &mut Findings) -> Vec<u32> {
    for _ in 0..MAX_CIRCLES {
        let needs = parents.iter().map(|parents| parents.iter().flatten().map(|parent| *parent as u32).collect());
        match in_order(&needs.collect::<Vec<_>>()) {
            Ok(order) => return order,
            Err(circle) => {
                found.add(goes_round(tables, &circle));
                circle.iter().for_each(|table| parents[*table as usize] = [None; 3]);
            }
        }
    }
    Vec::new()
}

/// The tables that a table starts from, ends at and is made of, where it does and there is one.
pub(crate) type Parents = [Option<usize>; 3];

/// Those of each table.
pub(crate) fn parents(tables: &[Start<'_>], found: &mut Findings) -> Vec<Parents> {
    let mut names: HashMap<&str, usize> = HashMap::new();
    for (at, table) in tables.iter().enumerate() {
        let Some(Placed { value, place }) = table.name else { continue };
        let first = *names.entry(value).or_insert(at);
        if let Some(other) = tables[first].name.filter(|_| first != at) {
            let fault = Fault::at(place, format!("{} is the name of two videos", quote(value)));
            found.add(
                fault
                    .why("what starts from it could start from either")
                    .help("rename one of them")
                    .see(other.place.span, "also here"),
            );
        }
    }
    let known = || tables.iter().filter_map(|table| Some(table.name?.value.as_str())).take(MAX_COMPARED);
    let mut parent = |table: &Start<'_>, from: Option<(&FrameFrom, &Place)>| {
        let (frame, place) = from?;
        let parent = names.get(frame.from.as_str()).copied();
        if parent.is_none() {
            let fault = Fault::at(place, format!("no video is called {}", quote(&frame.from)));
            let help = near(&frame.from, known())
                .unwrap_or_else(|| format!("add name = {:?} to the [[video]] that is meant", clipped(&frame.from)));
            found.add(fault.why(format!("{} needs a frame of it", table.place.key)).help(help).near(&*frame.from));
        }
        parent
    };
    tables.iter().map(|table| table.from.map(|from| parent(table, from))).collect()
}

/// The fault of videos that need frames of one another.
fn goes_round(tables: &[Start<'_>], circle: &[u32]) -> Fault {
    let table = |place: usize| &tables[circle[place] as usize];
    let name = |place: usize| table(place).name.map_or_else(String::new, |name| clipped(&name.value));
    // Where it names the next one.
    let at = |place: usize| {
        let next = table((place + 1) % circle.len()).name.map(|name| &name.value);
        let from = table(place).from.into_iter().flatten().find(|(frame, _)| Some(&frame.from) == next);
        from.map_or(table(place).place, |(_, at)| at)
    };
    let place = at(0);
    let fault = Fault::at(place, format!("{} needs a frame of itself", table(0).place.key));
    let help = "let one of them take a file instead, or nothing";
    if circle.len() == 1 {
        return fault.why("a video has frames when it has been rendered").help(help);
    }
    // From the first on: each needs the next.
    let names: Vec<String> = (1..circle.len()).take(8).map(name).chain([name(0)]).collect();
    let other = at(1);
    fault
        .why(format!("by way of {}", names.join(", then ")))
        .help(help)
        .see(other.span, format!("{} needs another one of them", table(1).place.key))
}
