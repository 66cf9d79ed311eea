//! The places of a job's report and of its page, and what may be replaced there. What they say is `wanfarm_types::JobReport`.

#![expect(clippy::disallowed_methods, reason = "writes on a thread of its own")]

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::time::Duration;

use serde::Deserialize;
use wanfarm_manifest::{LAST_REPORT, REPORT, page_of, report_of};
use wanfarm_types::JobReport;

use super::look;
use super::page::{MARK, mark};
use super::volume::Volume;
use crate::obstacle::Obstacle;
use wanfarm_durable::place::{self, PlaceError, Stage};

/// Before a report that could not be written is tried again.
const RETRY_DELAY: Duration = Duration::from_secs(1);

/// The first line of a page is not longer.
const MOST_OF_A_LINE: u64 = 1024;

/// Why a report was not written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReportError {
    /// An obstacle: it is written when this is gone.
    #[error("waits for {0}")]
    Held(Obstacle),
    /// No other try can help it.
    #[error("{0}")]
    Failed(String),
}

/// The part of a report that identifies it and its job.
#[derive(Debug, Deserialize)]
struct Stamp {
    job: StampedJob,
    #[serde(rename = "output_dir")]
    _output_dir: String,
}

#[derive(Debug, Deserialize)]
struct StampedJob {
    job: u64,
    submitted: Option<String>,
}

impl Stamp {
    fn read(path: &Path) -> Option<Self> {
        serde_json::from_reader(BufReader::new(File::open(path).ok()?)).ok()
    }
}

/// The first line of a page.
fn first_line(page: &Path) -> Option<String> {
    let mut line = String::new();
    BufReader::new(File::open(page).ok()?).take(MOST_OF_A_LINE).read_line(&mut line).ok()?;
    Some(line.trim_end().to_owned())
}

/// The names of reports that stand in an output directory, or whose pages do, in lower case; of what `run` has left of its
/// last job, none. Blocks.
pub(crate) fn standing_reports(root: &Path, last: bool) -> BTreeSet<String> {
    let entries = fs::read_dir(root).into_iter().flatten().flatten();
    let names = entries.map(|entry| entry.file_name().to_string_lossy().to_lowercase());
    let own = |name: &str| match name {
        LAST_REPORT => last && Stamp::read(&root.join(name)).is_some(),
        page if page == page_of(LAST_REPORT) => {
            last && first_line(&root.join(page)).is_some_and(|line| line.starts_with(MARK))
        }
        _ => false,
    };
    let foreign = names.filter(|name| !own(name));
    let reports = foreign.filter_map(|name| {
        let is_report = name == LAST_REPORT || name.ends_with(REPORT);
        if is_report { Some(name) } else { report_of(&name) }
    });
    reports.collect()
}

/// Writes a report below the folder, and its page beside it; what may pass gets two more tries each. Blocks.
///
/// # Errors
/// Whether it can be written later.
pub(crate) fn write_report(
    volume: &Volume,
    stage: &Stage,
    path: &Path,
    report: &JobReport,
    page: &str,
) -> Result<(), ReportError> {
    let json = serde_json::to_vec_pretty(report).map_err(|error| ReportError::Failed(error.to_string()))?;
    // Its own, from before it was taken up again; and what `run` has left of its last job.
    let own = |stamp: Stamp| stamp.job.job == report.job.job.0 && stamp.job.submitted == report.job.submitted;
    let last = path.file_name() == Some(LAST_REPORT.as_ref());
    write(volume, stage, path, &json, || Stamp::read(path).is_some_and(|stamp| last || own(stamp)))?;
    let beside = path.with_file_name(page_of(&path.file_name().unwrap_or_default().to_string_lossy()));
    let own = |line: String| line == mark(report) || last && line.starts_with(MARK);
    write(volume, stage, &beside, page.as_bytes(), || first_line(&beside).is_some_and(own))
}

fn write(
    volume: &Volume,
    stage: &Stage,
    path: &Path,
    bytes: &[u8],
    may_replace: impl Fn() -> bool,
) -> Result<(), ReportError> {
    volume.check().map_err(ReportError::Held)?;
    let may_replace = may_replace();
    let put = || -> Result<(), PlaceError> {
        let placing = stage.begin(path)?;
        place::write(&placing, bytes)?;
        if may_replace { placing.replace() } else { placing.finish() }
    };
    let mut written = put();
    for _ in 0..2 {
        if !written.as_ref().is_err_and(PlaceError::is_transient) {
            break;
        }
        std::thread::sleep(RETRY_DELAY);
        written = put();
    }
    written.map_err(|error| match (volume.obstacle(&error, bytes.len() as u64), look::in_the_way(path, false)) {
        (Some(obstacle), _) => ReportError::Held(obstacle),
        (None, Some(what)) if error.is_taken() => {
            ReportError::Failed(format!("{} is in the way: {what}; move it away", path.display()))
        }
        _ => ReportError::Failed(error.to_string()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::Uuid;
    use wanfarm_types::{JobId, JobSummary};

    fn report(job: u64, submitted: f64) -> JobReport {
        let submitted = crate::times::rfc3339(submitted);
        let job = JobSummary { job: JobId(job), submitted, ..JobSummary::default() };
        JobReport { job, ..JobReport::default() }
    }

    fn write_report(volume: &Volume, stage: &Stage, path: &Path, report: &JobReport) -> Result<(), ReportError> {
        super::write_report(volume, stage, path, report, &format!("{}\n", mark(report)))
    }

    #[test]
    fn a_report_replaces_its_own_and_nothing_else() {
        let (dir, stage) = (tempfile::tempdir().unwrap(), Stage::new(Uuid::nil()));
        let volume = Volume::new(dir.path().to_owned());
        let path = dir.path().join("night.report.json");
        write_report(&volume, &stage, &path, &report(1, 1e9)).unwrap();
        write_report(&volume, &stage, &path, &report(1, 1e9)).unwrap();
        for other in [report(2, 1e9), report(1, 2e9)] {
            let why = write_report(&volume, &stage, &path, &other).unwrap_err().to_string();
            assert!(why.contains("night.report.json is in the way"), "{why}");
        }
        let page = dir.path().join("night.report.html");
        assert_eq!(fs::read_to_string(&page).unwrap().trim_end(), mark(&report(1, 1e9)));
        for (place, foreign) in [(&path, "{}"), (&page, "<!-- wanfarm: the report of job 2 -->")] {
            let own = fs::read(place).unwrap();
            fs::write(place, foreign).unwrap();
            write_report(&volume, &stage, &path, &report(1, 1e9)).unwrap_err();
            assert_eq!(fs::read_to_string(place).unwrap(), foreign);
            fs::write(place, own).unwrap();
        }
    }

    #[test]
    fn a_run_replaces_the_report_of_the_last_and_no_other_file() {
        let (dir, stage) = (tempfile::tempdir().unwrap(), Stage::new(Uuid::nil()));
        let volume = Volume::new(dir.path().to_owned());
        let path = dir.path().join(LAST_REPORT);
        write_report(&volume, &stage, &path, &report(1, 1e9)).unwrap();
        assert!(standing_reports(dir.path(), true).is_empty());
        assert_eq!(standing_reports(dir.path(), false).into_iter().collect::<Vec<_>>(), ["report.json"]);
        write_report(&volume, &stage, &path, &report(1, 2e9)).unwrap();
        fs::write(dir.path().join("Night.Report.json"), "").unwrap();
        fs::write(dir.path().join("day.report.html"), "").unwrap();
        let standing = || standing_reports(dir.path(), true).into_iter().collect::<Vec<String>>();
        assert_eq!(standing(), ["day.report.json", "night.report.json"], "a page stands for its report");
        fs::write(dir.path().join("report.html"), "somebody's own").unwrap();
        assert_eq!(standing().last().unwrap(), "report.json");
        fs::remove_file(dir.path().join("report.html")).unwrap();
        fs::write(&path, "{\"job\": 1}").unwrap();
        assert_eq!(standing().last().unwrap(), "report.json");
        write_report(&volume, &stage, &path, &report(1, 3e9)).unwrap_err();
    }

    #[test]
    fn a_report_waits_for_its_folder_and_is_no_ordinary_file_below_it() {
        let (dir, stage) = (tempfile::tempdir().unwrap(), Stage::new(Uuid::nil()));
        let mut volume = Volume::new(dir.path().join("renders"));
        let path = volume.folder().join("night.report.json");
        volume.expect(Some("/renders".into()));
        let gone = write_report(&volume, &stage, &path, &report(1, 1e9)).unwrap_err();
        assert!(matches!(&gone, ReportError::Held(Obstacle::NotMounted { .. })), "{gone}");
        assert!(!volume.folder().exists(), "nothing is made in its place");
        volume.expect(None);
        fs::write(volume.folder(), "a file").unwrap();
        let refused = write_report(&volume, &stage, &path, &report(1, 1e9)).unwrap_err();
        assert!(matches!(&refused, ReportError::Held(Obstacle::Refused { .. })), "{refused}");
        fs::remove_file(volume.folder()).unwrap();
        // The folder takes files, and this place does not.
        fs::create_dir_all(path.join("taken")).unwrap();
        let taken = write_report(&volume, &stage, &path, &report(1, 1e9)).unwrap_err();
        assert!(matches!(&taken, ReportError::Failed(why) if why.contains("in the way")), "{taken}");
    }
}
