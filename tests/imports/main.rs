//! Who imports whom inside each crate: no files and no folders may import one another in a circle.
//!
//! Only what is built outside tests counts. An import of a re-export is one of the file that defines the item. A file may
//! name its parent: what extends the parent's type is a part of it.

mod graph;
mod source;

use std::path::{Path, PathBuf};

use graph::Graph;

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("tests lies in the repository").to_owned()
}

/// The folders of the workspace's crates.
fn crates() -> Vec<String> {
    let manifest = std::fs::read_to_string(repository().join("Cargo.toml")).expect("the workspace's manifest");
    let members = manifest.split_once("members = [").and_then(|(_, rest)| rest.split_once(']')).expect("members").0;
    members.split('"').skip(1).step_by(2).map(str::to_owned).collect()
}

#[test]
fn files_and_folders_import_in_one_direction() {
    let crates = crates();
    assert!(crates.len() > 10, "{crates:?}");
    let mut wrong = Vec::new();
    for name in crates {
        let modules = source::modules(&repository().join(&name).join("src"));
        let files = Graph::of(&modules);
        let circles = files.circles();
        if !circles.is_empty() {
            wrong.push(format!("files of {name} import one another:\n{}", files.show(&circles)));
        }
        let folders = files.folders();
        let circles = folders.circles();
        if !circles.is_empty() {
            wrong.push(format!("folders of {name} import one another:\n{}", folders.show(&circles)));
        }
    }
    assert!(wrong.is_empty(), "{}\nmove what both need into a file below them", wrong.join("\n"));
}
