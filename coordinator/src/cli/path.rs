//! Paths as people type them, and what a shell should have made of them.

use std::path::PathBuf;

use clap::builder::{PathBufValueParser, TypedValueParser};

/// A path for what may not be there yet: as it is, after a shell has replaced `~` and `$HOME`.
pub(super) fn new() -> impl TypedValueParser<Value = PathBuf> {
    PathBufValueParser::new().try_map(expanded)
}

/// A path of what is read: what is called so is meant, whatever a shell would have made of it.
pub(super) fn existing() -> impl TypedValueParser<Value = PathBuf> {
    PathBufValueParser::new().try_map(|path: PathBuf| if path.exists() { Ok(path) } else { expanded(path) })
}

fn expanded(path: PathBuf) -> Result<PathBuf, String> {
    match path.to_str().and_then(wanfarm_manifest::shell_fault) {
        None => Ok(path),
        Some(why) => Err(format!(
            "{why}; write the whole path, or let the shell do it: without quotes, and without `=` before it"
        )),
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::super::Cli;

    #[test]
    fn what_a_shell_has_left_in_a_path_is_refused_wherever_a_path_is_typed() {
        let refused = |line: &str| {
            let error = Cli::try_parse_from(["coordinator"].into_iter().chain(line.split(' ')));
            let error = error.err().map(|error| error.to_string()).unwrap_or_default();
            error.contains("only a shell") && error.contains("write the whole path")
        };
        for line in [
            "run ~/night.toml",
            "run night.toml --models ~/m",
            "run night.toml --output $HOME/x",
            "submit ~/night.toml",
            "submit night.toml --dry-run --models=~/models",
            "serve --data ${DATA}/x",
            "download night ~/renders",
            "inspect ~/models",
            "doctor --model=~/models/wan",
            "calibrate ~/wan",
            "calibrate wan --image $HOME/a.png",
            "calibrate wan --out ~/curve.json",
            "compare ~/a b",
            "compare a $B/b",
        ] {
            assert!(refused(line), "{line}");
            let right = line.replace(['~', '$'], "").replace("{DATA}", "data").replace('=', " ");
            assert!(Cli::try_parse_from(["coordinator"].into_iter().chain(right.split(' '))).is_ok(), "{right}");
        }
        // A file that is really called so, and standard input.
        let odd = tempfile::tempdir().unwrap().keep().join("a$AP~1");
        std::fs::create_dir(&odd).unwrap();
        assert!(Cli::try_parse_from(["coordinator", "inspect", odd.to_str().unwrap()]).is_ok());
        assert!(Cli::try_parse_from(["coordinator", "download", "1", odd.to_str().unwrap()]).is_err());
        assert!(!refused("submit -") && !refused("inspect costs$5"));
    }
}
