//! The place of a job's report, and what may be replaced there. What it says is `wanfarm_types::JobReport`.

#![expect(clippy::disallowed_methods, reason = "writes on a thread of its own")]

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::BufReader;
use std::path::Path;
use std::time::Duration;

use serde::Deserialize;
use wanfarm_manifest::{LAST_REPORT, REPORT};
use wanfarm_types::JobReport;

use super::look;
use super::volume::Volume;
use crate::obstacle::Obstacle;
use wanfarm_durable::place::{self, PlaceError, Stage};

/// Before a report that could not be written is tried again.
const RETRY_DELAY: Duration = Duration::from_secs(1);

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

/// The names of reports that stand in an output directory, in lower case; of what `run` has left of its last job, none.
/// Blocks.
pub(crate) fn standing_reports(root: &Path, last: bool) -> BTreeSet<String> {
    let entries = fs::read_dir(root).into_iter().flatten().flatten();
    let names = entries.map(|entry| entry.file_name().to_string_lossy().to_lowercase());
    let reports = names.filter(|name| name == LAST_REPORT || name.ends_with(REPORT));
    let own = last && Stamp::read(&root.join(LAST_REPORT)).is_some();
    reports.filter(|name| !(own && name == LAST_REPORT)).collect()
}

/// Writes a report below the folder; what may pass gets two more tries. Blocks.
///
/// # Errors
/// Whether it can be written later.
pub(crate) fn write_report(volume: &Volume, stage: &Stage, path: &Path, report: &JobReport) -> Result<(), ReportError> {
    let json = serde_json::to_vec_pretty(report).map_err(|error| ReportError::Failed(error.to_string()))?;
    volume.check().map_err(ReportError::Held)?;
    // Its own, from before it was taken up again; and what `run` has left of its last job.
    let own = |stamp: Stamp| stamp.job.job == report.job.job.0 && stamp.job.submitted == report.job.submitted;
    let last = path.file_name() == Some(LAST_REPORT.as_ref());
    let may_replace = Stamp::read(path).is_some_and(|stamp| last || own(stamp));
    let put = || -> Result<(), PlaceError> {
        let placing = stage.begin(path)?;
        place::write(&placing, &json)?;
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
    written.map_err(|error| match (volume.obstacle(&error, json.len() as u64), look::in_the_way(path, false)) {
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
        fs::write(&path, "{}").unwrap();
        write_report(&volume, &stage, &path, &report(1, 1e9)).unwrap_err();
        assert_eq!(fs::read(&path).unwrap(), b"{}");
    }

    #[test]
    fn a_run_replaces_the_report_of_the_last_and_no_other_file() {
        let (dir, stage) = (tempfile::tempdir().unwrap(), Stage::new(Uuid::nil()));
        let volume = Volume::new(dir.path().to_owned());
        let path = dir.path().join(LAST_REPORT);
        write_report(&volume, &stage, &path, &report(1, 1e9)).unwrap();
        assert!(standing_reports(dir.path(), true).is_empty());
        assert_eq!(standing_reports(dir.path(), false).len(), 1);
        write_report(&volume, &stage, &path, &report(1, 2e9)).unwrap();
        fs::write(&path, "{\"job\": 1}").unwrap();
        fs::write(dir.path().join("Night.Report.json"), "").unwrap();
        let standing: Vec<String> = standing_reports(dir.path(), true).into_iter().collect();
        assert_eq!(standing, ["night.report.json", "report.json"]);
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
