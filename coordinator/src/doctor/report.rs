//! Findings as text and as JSON.

use std::fmt::Write;
use std::path::PathBuf;

use serde::Serialize;
use wanfarm_model::ops::device::DeviceKind;
use wanfarm_tools::doctor::finding::short;
use wanfarm_tools::doctor::{Finding, Outcome, Section};
use wanfarm_workers::machine;

use crate::exit::Exit;

/// Every finding of an examination.
#[derive(Debug, Serialize)]
pub struct Report {
    /// The model folder.
    pub model: PathBuf,
    /// The device: `cpu`, `metal` or `cuda`.
    pub device: &'static str,
    /// The device and what it is part of: `metal (Apple M3 Ultra)`.
    pub name: String,
    /// The operating system and its version.
    pub system: Option<String>,
    /// True when nothing failed.
    pub passed: bool,
    /// One per check, in order.
    pub checks: Vec<Finding>,
}

impl Report {
    /// Of these findings.
    pub fn new(model: PathBuf, device: DeviceKind, checks: Vec<Finding>) -> Self {
        let passed = checks.iter().all(|finding| finding.outcome != Outcome::Fail);
        let (name, system) = (machine::describe(device), machine::system());
        Self { model, device: device.name(), name, system, passed, checks }
    }

    /// How the program ends.
    pub fn exit(&self) -> Exit {
        let bad_files = |finding: &Finding| finding.section == Section::Files && finding.outcome == Outcome::Fail;
        match self.passed {
            true => Exit::Ok,
            false if self.checks.iter().any(bad_files) => Exit::BadModelFiles,
            false => Exit::SomeFailed,
        }
    }

    /// The last line of the text.
    pub fn summary(&self) -> String {
        let count = |outcome| self.checks.iter().filter(|finding| finding.outcome == outcome).count();
        let seconds: f64 = self.checks.iter().map(|finding| finding.seconds).sum();
        // Writing to a string cannot fail.
        let mut text = format!("{} of {} checks passed on {}", count(Outcome::Pass), self.checks.len(), self.name);
        if let Some(system) = &self.system {
            let _ = write!(text, ", {system}");
        }
        for (outcome, word) in [(Outcome::Fail, "failed"), (Outcome::Warn, "warned"), (Outcome::Skipped, "skipped")] {
            if count(outcome) > 0 {
                let _ = write!(text, ", {} {word}", count(outcome));
            }
        }
        let _ = write!(text, ", in {seconds:.1} s");
        text
    }
}

/// A finding as text: section, check, figure, limit, outcome, seconds; and below them why.
pub fn line(finding: &Finding) -> String {
    let Finding { section, name, figure, limit, outcome, remark, seconds } = finding;
    let figure = figure.map(short).unwrap_or_default();
    let limit = limit.map(|limit| limit.to_string()).unwrap_or_default();
    let (section, outcome) = (section.name(), outcome.name());
    let mut line = format!("{section:<13} {name:<29} {figure:>9} {limit:<16} {outcome:<7} {seconds:>6.2} s");
    if !remark.is_empty() {
        let _ = write!(line, "\n    {remark}");
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;
    use wanfarm_tools::doctor::Limit;

    fn finding(section: Section, outcome: Outcome) -> Finding {
        let (figure, limit) = (Some(f64::NAN), Some(Limit::AtMost(0.5)));
        Finding { section, name: "a check".into(), figure, limit, outcome, remark: String::new(), seconds: 1.25 }
    }

    fn report(checks: &[(Section, Outcome)]) -> Report {
        let checks = checks.iter().map(|&(section, outcome)| finding(section, outcome));
        let report = Report::new("models/m".into(), DeviceKind::Cpu, checks.collect());
        Report { name: "cpu (one)".to_owned(), system: Some("macOS 15.5".to_owned()), ..report }
    }

    #[test]
    fn exit_codes() {
        use Outcome::{Fail, Pass, Skipped, Warn};
        assert_eq!(report(&[(Section::Files, Pass), (Section::Render, Warn)]).exit(), Exit::Ok);
        assert_eq!(report(&[(Section::Operations, Fail), (Section::Render, Skipped)]).exit(), Exit::SomeFailed);
        assert_eq!(report(&[(Section::Files, Fail), (Section::Operations, Fail)]).exit(), Exit::BadModelFiles);
    }

    #[test]
    fn people_and_programs_can_read_it() {
        let report = report(&[(Section::Files, Outcome::Pass), (Section::Render, Outcome::Fail)]);
        assert_eq!(report.summary(), "1 of 2 checks passed on cpu (one), macOS 15.5, 1 failed, in 2.5 s");
        let mut finding = finding(Section::Files, Outcome::Fail);
        finding.remark = "look there".to_owned();
        let line = line(&finding);
        assert!(
            line.starts_with("files         a check") && line.ends_with("FAIL      1.25 s\n    look there"),
            "{line}"
        );
        let json = serde_json::to_value(&report).unwrap();
        assert_eq!((&json["passed"], &json["checks"][1]["outcome"]), (&false.into(), &"fail".into()));
        assert_eq!(json["checks"][0]["limit"]["at_most"], 0.5);
        assert!(json["checks"][0]["figure"].is_null(), "JSON has no word for what is not a number");
    }
}
