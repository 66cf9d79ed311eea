//! Inputs to begin with. Each target makes its own, of what is committed anyway, when the variable below names a folder.

use std::fs;
use std::path::{Path, PathBuf};

/// The folder that they are written into, in place of fuzzing.
const VARIABLE: &str = "FUZZ_SEEDS";

/// Writes the inputs that `make` makes and ends the process, if that is asked for.
pub fn write(make: impl FnOnce() -> Vec<Vec<u8>>) {
    let Some(folder) = std::env::var_os(VARIABLE).map(PathBuf::from) else { return };
    fs::create_dir_all(&folder).expect("room for the folder of seeds");
    for (number, seed) in make().into_iter().enumerate() {
        fs::write(folder.join(format!("seed-{number:03}")), seed).expect("room for a seed");
    }
    std::process::exit(0);
}

/// A committed file, by its path in the repository.
pub fn committed(path: &str) -> Vec<u8> {
    let file = repository(path);
    fs::read(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()))
}

/// Where a committed file lies.
pub fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(path)
}

/// An input behind a byte that says how it is read.
pub fn behind(kind: u8, bytes: impl AsRef<[u8]>) -> Vec<u8> {
    [&[kind], bytes.as_ref()].concat()
}
