//! Command lines held against the program's own parser.

use std::path::{Path, PathBuf};

use clap::Parser;
use wanfarm_coordinator::cli::Cli;

/// Where the operator's files are.
pub(crate) fn deploy() -> PathBuf {
    repository().join("deploy")
}

pub(crate) fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the crate lies in the repository").to_owned()
}

/// Fails the test unless the program takes these arguments, its own name first.
#[track_caller]
pub(crate) fn assert_parses(arguments: &[String], place: &str) {
    let (program, _) = arguments.split_first().expect("a program");
    assert!(Path::new(program).ends_with("coordinator"), "{place}: {program} is not the program");
    if let Err(error) = Cli::try_parse_from(arguments)
        && error.use_stderr()
    {
        panic!("{place}: {arguments:?}\n{error}");
    }
}

#[test]
fn a_wrong_command_line_is_noticed() {
    let parse = |line: &str| Cli::try_parse_from(line.split(' '));
    assert!(parse("coordinator worker --role dit-high --models m").is_ok());
    assert!(parse("coordinator worker --models m").is_ok());
    for wrong in [
        "coordinator worker --role painter --models m",
        "coordinator worker --role dit-high",
        "coordinator serve --lissten 1",
        "coordinator submit a.toml --dry-run --follow",
        "coordinator status --models m",
        "coordinator serve --output=~/renders",
        "coordinator run a.toml --output $HOME/renders",
        "coordinator run a.toml --data ~",
        "coordinator worker --role vae --models=${HOME}/models",
    ] {
        assert!(parse(wrong).is_err(), "{wrong}");
    }
}
