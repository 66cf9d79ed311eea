//! Has the pages embedded again when a file of them is added, changed or removed.

fn main() {
    println!("cargo::rerun-if-changed=pages");
}
