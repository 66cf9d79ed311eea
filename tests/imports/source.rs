//! The modules of a crate, read from its files, and the paths that each of them names.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use syn::parse::Parser;
use syn::punctuated::Punctuated;
use syn::visit::{self, Visit};
use syn::{Attribute, Expr, Item, ItemUse, Macro, Token, UseTree, Visibility};

/// A path of names; that of the crate's root is empty.
pub(crate) type Names = Vec<String>;

/// What one file names.
#[derive(Default)]
pub(crate) struct Module {
    /// Paths as they are written.
    pub(crate) paths: BTreeSet<Names>,
    /// What it exports under a name of its own.
    pub(crate) exports: BTreeMap<String, Names>,
    /// Child modules that are built for tests only.
    tests: Vec<String>,
}

/// The modules below a source folder that are not only built for tests, by their paths.
pub(crate) fn modules(src: &Path) -> BTreeMap<Names, Module> {
    let mut modules = BTreeMap::new();
    walk(src, &mut Vec::new(), &mut modules);
    let tests = modules.iter().flat_map(|(path, module)| {
        module.tests.iter().map(|test| path.iter().cloned().chain([test.clone()]).collect::<Names>())
    });
    let tests: Vec<Names> = tests.collect();
    modules.retain(|path, _| !tests.iter().any(|test| path.starts_with(test)));
    modules
}

fn walk(folder: &Path, at: &mut Names, modules: &mut BTreeMap<Names, Module>) {
    for entry in fs::read_dir(folder).expect("a source folder").flatten() {
        let path = entry.path();
        let stem = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        if path.is_dir() {
            at.push(stem);
            walk(&path, at, modules);
            at.pop();
        } else if path.extension().is_some_and(|ending| ending == "rs") && stem != "main" {
            let own = (stem != "mod" && stem != "lib").then_some(stem);
            let name = at.iter().cloned().chain(own).collect();
            let text = fs::read_to_string(&path).expect("a source file");
            let file = syn::parse_file(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            let mut module = Module::default();
            module.visit_file(&file);
            modules.insert(name, module);
        }
    }
}

fn is_for_tests(attributes: &[Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        let list = attribute.path().is_ident("cfg").then(|| attribute.meta.require_list().ok()).flatten();
        list.is_some_and(|list| list.tokens.to_string().contains("test"))
    })
}

fn attributes(item: &Item) -> &[Attribute] {
    match item {
        Item::Const(item) => &item.attrs,
        Item::Enum(item) => &item.attrs,
        Item::Fn(item) => &item.attrs,
        Item::Impl(item) => &item.attrs,
        Item::Mod(item) => &item.attrs,
        Item::Struct(item) => &item.attrs,
        Item::Use(item) => &item.attrs,
        _ => &[],
    }
}

/// Every path of a tree, with the name it is imported under.
fn flatten(tree: &UseTree, before: &mut Names, found: &mut Vec<(Names, String)>) {
    match tree {
        UseTree::Path(path) => {
            before.push(path.ident.to_string());
            flatten(&path.tree, before, found);
            before.pop();
        }
        UseTree::Group(group) => group.items.iter().for_each(|tree| flatten(tree, before, found)),
        UseTree::Glob(_) => found.push((before.clone(), String::new())),
        UseTree::Name(name) if name.ident == "self" => found.push((before.clone(), String::new())),
        UseTree::Name(name) => {
            let name = name.ident.to_string();
            found.push((before.iter().cloned().chain([name.clone()]).collect(), name));
        }
        UseTree::Rename(rename) => {
            let path = before.iter().cloned().chain([rename.ident.to_string()]).collect();
            found.push((path, rename.rename.to_string()));
        }
    }
}

impl Visit<'_> for Module {
    fn visit_item(&mut self, item: &Item) {
        if !is_for_tests(attributes(item)) {
            visit::visit_item(self, item);
        } else if let Item::Mod(module) = item {
            self.tests.push(module.ident.to_string());
        }
    }

    fn visit_item_use(&mut self, item: &ItemUse) {
        let mut found = Vec::new();
        flatten(&item.tree, &mut Vec::new(), &mut found);
        for (path, name) in found {
            match item.vis {
                Visibility::Inherited => drop(self.paths.insert(path)),
                _ => drop(self.exports.insert(name, path)),
            }
        }
    }

    /// Who may see an item is no import.
    fn visit_visibility(&mut self, _: &Visibility) {}

    fn visit_path(&mut self, path: &syn::Path) {
        self.paths.insert(path.segments.iter().map(|segment| segment.ident.to_string()).collect());
        visit::visit_path(self, path);
    }

    fn visit_macro(&mut self, item: &Macro) {
        // What is no list of expressions names nothing that imports do not.
        let arguments = Punctuated::<Expr, Token![,]>::parse_terminated.parse2(item.tokens.clone());
        arguments.iter().flatten().for_each(|argument| self.visit_expr(argument));
        visit::visit_macro(self, item);
    }
}
