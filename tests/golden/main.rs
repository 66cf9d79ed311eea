//! Golden data: the product's numbers beside those of the official code.
//!
//! Walks a folder of cases and runs each at the tolerance its manifest suggests. `WANFARM_GOLDEN` names another folder
//! of the same format:
//!
//! ```text
//! WANFARM_GOLDEN=FOLDER cargo test --release -p wanfarm-tests --test golden -- --nocapture
//! ```

mod cache;
mod case;
mod conditioning;
mod distill;
mod dit;
mod e2e;
mod lora;
mod repo;
mod solvers;
mod text_cleaning;
mod umt5;
mod vae;

use std::path::{Path, PathBuf};

use anyhow::Result;
use case::{Case, Checks, Folder};

/// Names the folder to walk instead of the committed one.
const FOLDER_VARIABLE: &str = "WANFARM_GOLDEN";

/// The committed folder.
fn committed() -> Result<Folder> {
    Folder::open(&Path::new(env!("CARGO_MANIFEST_DIR")).join("golden/data"))
}

/// Runs a case of a family we know.
fn run(case: &Case<'_>) -> Option<Result<Checks>> {
    match case.name {
        "solvers" => Some(solvers::run(case)),
        "cache" => Some(cache::run(case)),
        "lora" => Some(lora::run(case)),
        "text_cleaning" => Some(text_cleaning::run(case)),
        name if name.starts_with("e2e_distill") => Some(distill::run(case)),
        name if name.starts_with("dit_") => Some(dit::run(case)),
        name if ["e2e_t2v", "e2e_i2v", "e2e_ti2v"].iter().any(|kind| name.starts_with(kind)) => Some(e2e::run(case)),
        name if name.starts_with("i2v_cond") => Some(conditioning::run(case)),
        name if name.starts_with("repo_t2v") => Some(repo::run(case)),
        name if name.starts_with("umt5") => Some(umt5::run(case)),
        name if name.starts_with("vae") => Some(vae::run(case)),
        _ => None,
    }
}

#[test]
fn golden_cases() {
    let folder = std::env::var_os(FOLDER_VARIABLE).map_or_else(committed, |root| Folder::open(&PathBuf::from(root)));
    let folder = folder.unwrap();
    let mut outcomes: Vec<(String, Option<Result<Checks>>)> =
        folder.cases().unwrap().iter().map(|case| (case.name.to_owned(), run(case))).collect();
    let draws = folder.root.join("torch_randn.json");
    if draws.exists() {
        outcomes.push(("torch_randn".to_owned(), Some(solvers::run_torch_randn(&draws))));
    }
    assert!(!outcomes.is_empty(), "{} lists no case", folder.root.display());

    let mut failed = Vec::new();
    for (name, outcome) in outcomes {
        let (verdict, line) = match outcome {
            None => ("NOT RUN", "no test knows this case".to_owned()),
            Some(Err(error)) => ("FAIL", format!("{error:#}")),
            Some(Ok(checks)) => match checks.worst() {
                Ok(line) => (if checks.passed() { "ok" } else { "FAIL" }, line),
                Err(error) => ("FAIL", error.to_string()),
            },
        };
        println!("{name:<24} {line}: {verdict}");
        if verdict != "ok" {
            failed.push(name);
        }
    }
    assert!(failed.is_empty(), "not within tolerance, or not run: {}", failed.join(", "));
}
