//! How people name a job, a video and a worker; and who is meant.

use std::str::FromStr;

use wanfarm_types::{JobId, VideoId};

use super::{Failed, client_failed};
use crate::client::{Client, JobView, WorkerView};
use crate::exit::Exit;
use crate::manifest::near;

/// A job by number or name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct WhichJob(String);

/// A job, or one video of it: `17`, `night`, `17/3`, `night/3`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Which {
    job: WhichJob,
    /// Place in the manifest; all of them if absent.
    pub(super) video: Option<u32>,
}

/// The text names no job.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("name a job by its number or name{}, not {text:?}; `coordinator status` lists them", if *.video { ", and a video of it as JOB/INDEX" } else { "" })]
pub(super) struct BadName {
    text: String,
    video: bool,
}

impl FromStr for WhichJob {
    type Err = BadName;

    fn from_str(text: &str) -> Result<Self, BadName> {
        let bad = text.trim().is_empty() || text.contains('/');
        if bad { Err(BadName { text: text.to_owned(), video: false }) } else { Ok(Self(text.to_owned())) }
    }
}

impl FromStr for Which {
    type Err = BadName;

    fn from_str(text: &str) -> Result<Self, BadName> {
        let bad = || BadName { text: text.to_owned(), video: true };
        let (job, video) = match text.split_once('/') {
            None => (text, None),
            Some((job, video)) => (job, Some(video.parse().map_err(|_| bad())?)),
        };
        Ok(Self { job: job.parse().map_err(|_| bad())?, video })
    }
}

impl WhichJob {
    /// Asks the coordinator who is meant: a number is a number, a name is the one job of that name.
    pub(super) async fn find(&self, client: &mut Client) -> Result<JobId, Failed> {
        if let Ok(number) = self.0.parse() {
            return Ok(JobId(number));
        }
        pick_job(&self.0, &client.jobs().await.map_err(client_failed)?)
    }
}

impl Which {
    /// As [`WhichJob::find`].
    pub(super) async fn find(&self, client: &mut Client) -> Result<JobId, Failed> {
        self.job.find(client).await
    }
}

/// `JOB` or `JOB/INDEX`.
pub(super) fn name(job: JobId, video: Option<u32>) -> String {
    video.map_or_else(|| job.to_string(), |index| VideoId { job, index }.to_string())
}

fn pick_job(name: &str, jobs: &[JobView]) -> Result<JobId, Failed> {
    let named: Vec<&JobView> = jobs.iter().filter(|job| job.name == name).collect();
    match named.as_slice() {
        [one] => Ok(JobId(one.job)),
        [] => {
            let near = near(name, jobs.iter().map(|job| job.name.as_str())).unwrap_or_default();
            Err(unknown(format!("there is no job {name:?}; `coordinator status` lists them {near}")))
        }
        several => {
            let numbers = several.iter().map(|job| job.job.to_string()).collect::<Vec<_>>().join(", ");
            Err(unknown(format!("{} jobs are called {name:?}: {numbers}; say which by its number", several.len())))
        }
    }
}

/// The worker of that name, or whose id starts so.
pub(super) fn pick_worker<'w>(name: &str, workers: &'w [WorkerView]) -> Result<&'w WorkerView, Failed> {
    let by_name: Vec<&WorkerView> = workers.iter().filter(|worker| worker.name == name).collect();
    let by_id = || workers.iter().filter(|worker| !name.is_empty() && worker.id.starts_with(&name.to_lowercase()));
    let found = if by_name.is_empty() { by_id().collect() } else { by_name };
    match found.as_slice() {
        [one] => Ok(one),
        [] => {
            let near = near(name, workers.iter().map(|worker| worker.name.as_str())).unwrap_or_default();
            Err(unknown(format!("there is no worker {name:?}; `coordinator workers` lists them {near}")))
        }
        several => {
            let ids = several.iter().map(|worker| worker.id.as_str()).collect::<Vec<_>>().join(", ");
            Err(unknown(format!(
                "{} workers are meant by {name:?}: {ids}; name one by the start of its id",
                several.len()
            )))
        }
    }
}

fn unknown(message: String) -> Failed {
    Failed::new(Exit::Usage, message.trim_end())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job(number: u64, name: &str) -> JobView {
        JobView { job: number, name: name.into(), ..JobView::default() }
    }

    #[test]
    fn names_are_read_as_they_are_printed() {
        let which: Which = "night/3".parse().unwrap();
        assert_eq!((which.job, which.video), (WhichJob("night".into()), Some(3)));
        assert_eq!("17".parse::<Which>().unwrap().video, None);
        for bad in ["", " ", "/3", "night/", "night/x", "night/-1", "a/b/c", "17/99999999999"] {
            assert!(bad.parse::<Which>().is_err(), "{bad}");
        }
        assert!("a/3".parse::<WhichJob>().is_err());
    }

    #[test]
    fn a_name_must_mean_one_job() {
        let jobs = [job(1, "night"), job(2, "day"), job(3, "night")];
        assert_eq!(pick_job("day", &jobs).unwrap(), JobId(2));
        let several = pick_job("night", &jobs).unwrap_err();
        assert_eq!(several.exit(), Exit::Usage);
        assert!(several.to_string().contains("1, 3"), "{several}");
        let none = pick_job("dya", &jobs).unwrap_err().to_string();
        assert!(none.contains("`day`") && none.contains("coordinator status"), "{none}");
    }

    #[test]
    fn a_worker_goes_by_name_or_by_the_start_of_its_id() {
        let worker = |id: &str, name: &str| WorkerView {
            id: id.into(),
            name: name.into(),
            state: "idle".into(),
            detail: None,
            roles: vec![],
            models: vec![],
            device: String::new(),
            memory_bytes: None,
            running: None,
            paces: vec![],
            weights: vec![],
        };
        let workers = [worker("ab12", "mac-1"), worker("ab34", "mac-2"), worker("cd56", "mac-2")];
        assert_eq!(pick_worker("mac-1", &workers).unwrap().id, "ab12");
        assert_eq!(pick_worker("CD", &workers).unwrap().id, "cd56");
        for (name, says) in
            [("mac-2", "ab34, cd56"), ("ab", "ab12, ab34"), ("mac-4", "did you mean"), ("", "no worker")]
        {
            let error = pick_worker(name, &workers).unwrap_err().to_string();
            assert!(error.contains(says), "{error}");
        }
    }
}
