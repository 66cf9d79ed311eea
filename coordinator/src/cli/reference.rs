//! Parses and resolves job, video and worker references.

use std::str::FromStr;

use wanfarm_client::Client;
use wanfarm_manifest::near;
use wanfarm_types::{JobId, JobSummary, VideoId, WorkerStatus};

use super::CliError;
use crate::exit::Exit;

/// A job by number or name. Where a number is another job's name as well, `number:17` and `name:17` say which is meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum JobReference {
    /// Either.
    Any(String),
    /// `number:17`.
    Number(u64),
    /// `name:17`.
    Name(String),
}

/// A job, or one video of it: `17`, `night`, `17/3`, `night/3`, `name:17/3`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Target {
    job: JobReference,
    /// Place in the manifest; all of them if absent.
    pub(super) video: Option<u32>,
}

/// The text names no job.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("name a job by its number or name{}, not {text:?}; `coordinator status` lists them", match (*.video, .text.contains('/')) {
    (true, _) => ", and a video of it as JOB/INDEX",
    (false, true) => ", no single video",
    (false, false) => "",
})]
pub(super) struct InvalidReference {
    text: String,
    video: bool,
}

impl FromStr for JobReference {
    type Err = InvalidReference;

    fn from_str(text: &str) -> Result<Self, InvalidReference> {
        let bad = || InvalidReference { text: text.to_owned(), video: false };
        let name = text.strip_prefix("name:").unwrap_or(text);
        if name.trim().is_empty() || name.contains('/') {
            return Err(bad());
        }
        Ok(match text.strip_prefix("number:") {
            Some(number) => Self::Number(number.parse().map_err(|_| bad())?),
            None if name.len() < text.len() => Self::Name(name.to_owned()),
            None => Self::Any(text.to_owned()),
        })
    }
}

impl FromStr for Target {
    type Err = InvalidReference;

    fn from_str(text: &str) -> Result<Self, InvalidReference> {
        let bad = || InvalidReference { text: text.to_owned(), video: true };
        let (job, video) = match text.split_once('/') {
            None => (text, None),
            Some((job, video)) => (job, Some(video.parse().map_err(|_| bad())?)),
        };
        Ok(Self { job: job.parse().map_err(|_| bad())?, video })
    }
}

impl From<JobReference> for Target {
    fn from(job: JobReference) -> Self {
        Self { job, video: None }
    }
}

impl JobReference {
    /// Asks the coordinator who is meant.
    pub(super) async fn find(&self, client: &mut Client) -> Result<JobId, CliError> {
        Ok(self.line(client).await?.job)
    }

    /// As [`Self::find`], with what else is known of it.
    pub(super) async fn line(&self, client: &mut Client) -> Result<JobSummary, CliError> {
        let jobs = client.jobs().await?;
        pick_job(self, &jobs).cloned()
    }
}

impl Target {
    /// As [`JobReference::find`].
    pub(super) async fn find(&self, client: &mut Client) -> Result<JobId, CliError> {
        self.job.find(client).await
    }
}

/// `JOB` or `JOB/INDEX`.
pub(super) fn name(job: JobId, video: Option<u32>) -> String {
    video.map_or_else(|| job.to_string(), |index| VideoId { job, index }.to_string())
}

fn pick_job<'j>(which: &JobReference, jobs: &'j [JobSummary]) -> Result<&'j JobSummary, CliError> {
    let numbered = |number: u64| jobs.iter().find(|job| job.job.0 == number);
    let none = |what: String| unknown(format!("there is no job {what}; `coordinator status` lists them"));
    let (name, number) = match which {
        JobReference::Number(number) => return numbered(*number).ok_or_else(|| none(number.to_string())),
        JobReference::Name(name) => (name, None),
        // As it is printed: 007 is a name.
        JobReference::Any(text) => (text, text.parse().ok().filter(|number: &u64| number.to_string() == *text)),
    };
    let by_number = number.and_then(numbered);
    let named: Vec<&JobSummary> = jobs.iter().filter(|job| job.name == *name).collect();
    match (by_number, named.as_slice()) {
        (Some(job), []) => Ok(job),
        (Some(job), [same]) if same.job == job.job => Ok(job),
        (Some(job), named) => Err(unknown(format!(
            "{name} is job {name}, which is called {:?}, and the name of {}; say number:{name} or name:{name}",
            job.name,
            list(named)
        ))),
        (None, [one]) => Ok(one),
        (None, []) if number.is_some() => Err(none(name.clone())),
        (None, []) => {
            let near = near_to(name, jobs.iter().map(|job| job.name.as_str()));
            Err(unknown(format!("there is no job {name:?}; `coordinator status` lists them{near}")))
        }
        (None, several) => {
            let all = list(several);
            Err(unknown(format!("{} jobs are called {name:?}: {all}; say which by its number", several.len())))
        }
    }
}

/// Jobs by number, each with where it stands.
fn list(jobs: &[&JobSummary]) -> String {
    let job = |job: &&JobSummary| format!("job {} ({})", job.job, job.state.name());
    jobs.iter().map(job).collect::<Vec<_>>().join(", ")
}

/// The worker of that name, or whose id starts so. Of several with one name the only one that lives is meant.
pub(super) fn pick_worker<'w>(name: &str, workers: &'w [WorkerStatus]) -> Result<&'w WorkerStatus, CliError> {
    let found = workers_called(name, workers)?;
    let living: Vec<&WorkerStatus> = found.iter().copied().filter(|worker| !worker.is_gone()).collect();
    match (found.as_slice(), living.as_slice()) {
        ([one], _) | (_, [one]) => Ok(one),
        (several, _) => {
            let worker = |worker: &&WorkerStatus| format!("{} ({})", worker.id, worker.state);
            let ids = several.iter().map(worker).collect::<Vec<_>>().join(", ");
            Err(unknown(format!(
                "{} workers are meant by {name:?}: {ids}; name one by the start of its id",
                several.len()
            )))
        }
    }
}

/// Every worker of that name, or else those whose id starts so; at least one.
pub(super) fn workers_called<'w>(name: &str, workers: &'w [WorkerStatus]) -> Result<Vec<&'w WorkerStatus>, CliError> {
    let by_name: Vec<&WorkerStatus> = workers.iter().filter(|worker| worker.name == name).collect();
    let by_id =
        || workers.iter().filter(|worker| !name.is_empty() && worker.id.to_string().starts_with(&name.to_lowercase()));
    let found = if by_name.is_empty() { by_id().collect() } else { by_name };
    if found.is_empty() {
        let near = near_to(name, workers.iter().map(|worker| worker.name.as_str()));
        return Err(unknown(format!("there is no worker {name:?}; `coordinator workers` lists them{near}")));
    }
    Ok(found)
}

/// Similar names, as the end of a sentence.
fn near_to<'k>(name: &str, known: impl Iterator<Item = &'k str>) -> String {
    near(name, known).map(|near| format!("; {near}")).unwrap_or_default()
}

fn unknown(message: String) -> CliError {
    CliError::new(Exit::Usage, message)
}

#[cfg(test)]
mod tests {
    use super::*;
    use wanfarm_types::{JobState, WorkerId};

    fn job(number: u64, name: &str) -> JobSummary {
        JobSummary { job: JobId(number), name: name.into(), state: JobState::Active, ..JobSummary::default() }
    }

    #[test]
    fn names_are_read_as_they_are_printed() {
        let which: Target = "night/3".parse().unwrap();
        assert_eq!((which.job, which.video), (JobReference::Any("night".into()), Some(3)));
        let which: Target = "name:17/3".parse().unwrap();
        assert_eq!((which.job, which.video), (JobReference::Name("17".into()), Some(3)));
        assert_eq!("number:17".parse::<Target>().unwrap().job, JobReference::Number(17));
        assert_eq!("name:number:1".parse::<JobReference>().unwrap(), JobReference::Name("number:1".into()));
        assert_eq!("17".parse::<Target>().unwrap().video, None);
        let bad =
            ["", " ", "/3", "night/", "night/x", "night/-1", "a/b/c", "17/99999999999", "name:", "number:", "number:x"];
        for bad in bad {
            assert!(bad.parse::<Target>().is_err(), "{bad}");
        }
        assert!("a/3".parse::<JobReference>().is_err());
    }

    /// The number of the job that is meant.
    fn pick(which: &str, jobs: &[JobSummary]) -> Result<u64, CliError> {
        pick_job(&which.parse().unwrap(), jobs).map(|job| job.job.0)
    }

    #[test]
    fn a_name_must_mean_one_job() {
        let jobs = [job(1, "night"), job(2, "day"), job(3, "night")];
        assert_eq!(pick("day", &jobs).unwrap(), 2);
        assert_eq!(pick("3", &jobs).unwrap(), 3);
        let several = pick("night", &jobs).unwrap_err();
        assert_eq!(several.exit(), Exit::Usage);
        assert!(several.to_string().contains("job 1 (active), job 3 (active)"), "{several}");
        let none = pick("dya", &jobs).unwrap_err().to_string();
        assert!(none.ends_with("`coordinator status` lists them; did you mean `day`?"), "{none}");
        assert!(pick("4", &jobs).unwrap_err().to_string().contains("no job"));
        assert!(pick("number:4", &jobs).unwrap_err().to_string().contains("no job 4"));
    }

    #[test]
    fn a_number_that_is_a_name_as_well_is_asked_about() {
        let jobs = [job(1, "first"), job(2, "1"), job(3, "3"), job(4, "2026"), job(5, "007"), job(7, "x")];
        let asked = pick("1", &jobs).unwrap_err().to_string();
        for says in ["\"first\"", "job 2 (active)", "number:1", "name:1"] {
            assert!(asked.contains(says), "{says}: {asked}");
        }
        let meant =
            ["number:1", "name:1", "3", "2026", "name:2026", "007", "7", "2"].map(|name| pick(name, &jobs).unwrap());
        assert_eq!(meant, [1, 2, 3, 4, 4, 5, 7, 2]);
        assert!(pick("number:2026", &jobs).is_err() && pick("name:4", &jobs).is_err());
    }

    /// The id that starts so, and is zeros from there.
    fn id_starting(text: &str) -> WorkerId {
        WorkerId(format!("{text:0<32}").parse().unwrap())
    }

    #[test]
    fn a_worker_goes_by_name_or_by_the_start_of_its_id() {
        let worker = |id: &str, name: &str| WorkerStatus {
            id: id_starting(id),
            name: name.into(),
            state: "idle".into(),
            ..WorkerStatus::default()
        };
        let workers = [worker("ab12", "mac-1"), worker("ab34", "mac-2"), worker("cd56", "mac-2")];
        assert_eq!(pick_worker("mac-1", &workers).unwrap().id, id_starting("ab12"));
        assert_eq!(pick_worker("CD", &workers).unwrap().id, id_starting("cd56"));
        for (name, says) in [
            ("mac-2", "ab340000-0000-0000-0000-000000000000 (idle), cd56"),
            ("ab", "ab120000-0000-0000-0000-000000000000 (idle), ab34"),
            ("mac-4", "did you mean"),
            ("", "no worker"),
        ] {
            let error = pick_worker(name, &workers).unwrap_err().to_string();
            assert!(error.contains(says), "{error}");
        }
        // Those that are gone do not count beside one that lives.
        let mut workers = [worker("a1", "mac"), worker("b2", "mac"), worker("c3", "mac")];
        for (worker, state) in workers.iter_mut().zip(["gone", "busy", "left (drained)"]) {
            worker.state = state.into();
        }
        assert_eq!(pick_worker("mac", &workers).unwrap().id, id_starting("b2"));
        workers[1].state = "refused".into();
        assert!(
            pick_worker("mac", &workers).unwrap_err().to_string().contains(
                "a1000000-0000-0000-0000-000000000000 (gone), b2000000-0000-0000-0000-000000000000 (refused)"
            )
        );
        assert_eq!(workers_called("mac", &workers).unwrap().len(), 3);
    }
}
