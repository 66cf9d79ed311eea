//! Golden data: the product's numbers beside those of the official code.
//!
//! Walks a folder of cases, a family at a time, and runs each at the tolerance its manifest suggests. `WANFARM_GOLDEN`
//! names another folder of the same format, `WANFARM_GOLDEN_DEVICE` another device than the CPU:
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
mod nag;
mod renoise;
mod repo;
mod solvers;
mod text_cleaning;
mod tiny;
mod umt5;
mod vae;

use std::path::PathBuf;

use anyhow::Result;
use case::{Case, Checks, Folder};
use wanfarm_model::ops::device::DeviceKind;
use wanfarm_tests::files::golden_data;

/// Names the folder to walk instead of the committed one.
const FOLDER_VARIABLE: &str = "WANFARM_GOLDEN";
/// Names the kind of device that computes.
const DEVICE_VARIABLE: &str = "WANFARM_GOLDEN_DEVICE";

/// The committed folder.
fn committed() -> Result<Folder> {
    open(golden_data())
}

fn open(root: PathBuf) -> Result<Folder> {
    let kind = std::env::var(DEVICE_VARIABLE).map_or(Ok(DeviceKind::Cpu), |name| name.parse())?;
    Folder::open(&root, kind.open()?)
}

/// The folder that the tests walk.
fn chosen() -> Result<Folder> {
    std::env::var_os(FOLDER_VARIABLE).map_or_else(committed, |root| open(root.into()))
}

/// A family of cases: how their names begin, and what runs one.
type Family = (&'static [&'static str], fn(&Case<'_>) -> Result<Checks>);

const CACHES: Family = (&["cache"], cache::run);
const CONDITIONING: Family = (&["i2v_cond"], conditioning::run);
const DISTILLED: Family = (&["e2e_distill"], distill::run);
const LORA: Family = (&["lora"], lora::run);
const NAG: Family = (&["nag"], nag::run);
const RENOISING: Family = (&["e2e_renoise"], renoise::run);
const RENDERS: Family = (&["e2e_t2v", "e2e_i2v", "e2e_ti2v", "e2e_v2v"], e2e::run);
const REPOSITORIES: Family = (&["repo_t2v"], repo::run);
const SOLVERS: Family = (&["solvers"], solvers::run);
const TEXT_CLEANING: Family = (&["text_cleaning"], text_cleaning::run);
const TEXT_ENCODERS: Family = (&["umt5"], umt5::run);
const TINY_VAES: Family = (&["tiny"], tiny::run);
const TRANSFORMERS: Family = (&["dit_"], dit::run);
const VAES: Family = (&["vae"], vae::run);

const FAMILIES: [Family; 14] = [
    CACHES,
    CONDITIONING,
    DISTILLED,
    LORA,
    NAG,
    RENDERS,
    RENOISING,
    REPOSITORIES,
    SOLVERS,
    TEXT_CLEANING,
    TEXT_ENCODERS,
    TINY_VAES,
    TRANSFORMERS,
    VAES,
];

fn is_of(case: &Case<'_>, (names, _): Family) -> bool {
    names.iter().any(|name| case.name.starts_with(name))
}

/// Runs every case of a family.
fn check(family: Family) -> Result<()> {
    let folder = chosen()?;
    let cases = folder.cases()?.into_iter().filter(|case| is_of(case, family));
    judge(cases.map(|case| (case.name.to_owned(), family.1(&case))));
    Ok(())
}

/// Prints how close each case came to its limits.
fn judge(outcomes: impl Iterator<Item = (String, Result<Checks>)>) {
    let mut failed = Vec::new();
    for (name, outcome) in outcomes {
        let (verdict, line) = match outcome.and_then(|checks| Ok((checks.passed(), checks.worst()?))) {
            Err(error) => ("FAIL", format!("{error:#}")),
            Ok((passed, line)) => (if passed { "ok" } else { "FAIL" }, line),
        };
        println!("{name:<24} {line}: {verdict}");
        if verdict != "ok" {
            failed.push(name);
        }
    }
    assert!(failed.is_empty(), "not within tolerance, or not run: {}", failed.join(", "));
}

#[test]
fn every_case_is_of_one_family() {
    let folder = chosen().unwrap();
    let cases = folder.cases().unwrap();
    assert!(!cases.is_empty(), "{} lists no case", folder.root.display());
    for case in cases {
        let families = FAMILIES.iter().filter(|family| is_of(&case, **family)).count();
        assert_eq!(families, 1, "tests that know the case {}", case.name);
    }
}

#[test]
fn caches() -> Result<()> {
    check(CACHES)
}

#[test]
fn conditioning_by_a_first_frame() -> Result<()> {
    check(CONDITIONING)
}

#[test]
fn distilled_renders() -> Result<()> {
    check(DISTILLED)
}

#[test]
fn lora_files() -> Result<()> {
    check(LORA)
}

#[test]
fn normalized_attention_guidance() -> Result<()> {
    check(NAG)
}

#[test]
fn renders() -> Result<()> {
    check(RENDERS)
}

#[test]
fn renders_that_draw_noise_anew() -> Result<()> {
    check(RENOISING)
}

#[test]
fn repositories() -> Result<()> {
    check(REPOSITORIES)
}

#[test]
fn solvers_and_noise() -> Result<()> {
    check(SOLVERS)?;
    let draws = chosen()?.root.join("torch_randn.json");
    if draws.exists() {
        judge(std::iter::once(("torch_randn".to_owned(), solvers::run_torch_randn(&draws))));
    }
    Ok(())
}

#[test]
fn text_cleaning_and_ids() -> Result<()> {
    check(TEXT_CLEANING)
}

#[test]
fn text_encoders() -> Result<()> {
    check(TEXT_ENCODERS)
}

#[test]
fn tiny_vaes() -> Result<()> {
    check(TINY_VAES)
}

#[test]
fn transformers() -> Result<()> {
    check(TRANSFORMERS)
}

#[test]
fn vaes() -> Result<()> {
    check(VAES)
}
