//! The imports of a crate as a graph, and the circles in it.

use std::collections::{BTreeMap, BTreeSet};

use crate::source::{Module, Names};

/// For each module those it imports from.
pub(crate) struct Graph(BTreeMap<Names, BTreeSet<Names>>);

impl Graph {
    pub(crate) fn of(modules: &BTreeMap<Names, Module>) -> Self {
        let targets = |(name, module): (&Names, &Module)| {
            let paths = module.paths.iter().filter_map(|path| absolute(modules, name, path));
            let targets = paths.map(|path| resolve(modules, path));
            let is_parent =
                |target: &Names| !target.is_empty() && name.split_last().is_some_and(|(_, up)| up == target);
            (name.clone(), targets.filter(|target| target != name && !is_parent(target)).collect())
        };
        Self(modules.iter().map(targets).collect())
    }

    /// The same between what lies directly below the crate's root.
    pub(crate) fn folders(&self) -> Self {
        let mut folders: BTreeMap<Names, BTreeSet<Names>> = BTreeMap::new();
        for (name, targets) in self.0.iter().filter(|(name, _)| !name.is_empty()) {
            let targets = targets.iter().filter(|target| !target.is_empty() && target[0] != name[0]);
            folders.entry(vec![name[0].clone()]).or_default().extend(targets.map(|target| vec![target[0].clone()]));
        }
        Self(folders)
    }

    /// The groups of modules in which each reaches each.
    pub(crate) fn circles(&self) -> Vec<Vec<Names>> {
        let reach: BTreeMap<&Names, BTreeSet<&Names>> = self.0.keys().map(|name| (name, self.reach(name))).collect();
        let mut circles: Vec<Vec<Names>> = Vec::new();
        for name in self.0.keys().filter(|name| reach[name].contains(name)) {
            let both = |other: &Names| reach[name].contains(other) && reach[other].contains(name);
            match circles.iter_mut().find(|circle| both(&circle[0])) {
                Some(circle) => circle.push(name.clone()),
                None => circles.push(vec![name.clone()]),
            }
        }
        circles
    }

    /// Circles for people: each module with what it imports from its circle.
    pub(crate) fn show(&self, circles: &[Vec<Names>]) -> String {
        let shown = |name: &Names| if name.is_empty() { "lib".to_owned() } else { name.join("::") };
        let line = |circle: &[Names], name: &Names| {
            let inside: Vec<String> = self.0[name].iter().filter(|to| circle.contains(to)).map(shown).collect();
            format!("  {} imports from {}\n", shown(name), inside.join(", "))
        };
        circles.iter().flat_map(|circle| circle.iter().map(|name| line(circle, name))).collect()
    }

    fn reach(&self, from: &Names) -> BTreeSet<&Names> {
        let mut reached = BTreeSet::new();
        let mut open: Vec<&Names> = self.0[from].iter().collect();
        while let Some(name) = open.pop() {
            if reached.insert(name) {
                open.extend(self.0.get(name).into_iter().flatten());
            }
        }
        reached
    }
}

/// A path from the crate's root; `None` when it is not one into this crate.
fn absolute(modules: &BTreeMap<Names, Module>, module: &Names, path: &Names) -> Option<Names> {
    let (first, rest) = path.split_first()?;
    let below = |base: &[String], rest: &[String]| base.iter().chain(rest).cloned().collect::<Names>();
    match first.as_str() {
        "crate" => Some(rest.to_vec()),
        "self" => Some(below(module, rest)),
        "super" => {
            let up = path.iter().take_while(|name| *name == "super").count();
            Some(below(module.get(..module.len().checked_sub(up)?)?, &path[up..]))
        }
        _ => Some(below(module, path)).filter(|path| modules.contains_key(&path[..=module.len()])),
    }
}

/// The module that defines what a path names, through whatever exports it.
fn resolve(modules: &BTreeMap<Names, Module>, mut path: Names) -> Names {
    // An export that leads back to itself ends somewhere.
    for _ in 0..8 {
        let depth = (0..=path.len()).rev().find(|&depth| modules.contains_key(&path[..depth])).unwrap_or(0);
        let (module, item) = path.split_at(depth);
        let exported = item.first().and_then(|item| modules.get(module)?.exports.get(item));
        match exported.and_then(|target| absolute(modules, &module.to_vec(), target)) {
            Some(target) => path = target.iter().chain(&item[1..]).cloned().collect(),
            None => return module.to_vec(),
        }
    }
    Vec::new()
}
