//! What came of a job, as data and as a page.

use wanfarm_types::{JobId, JobReport};

use super::asking::Answer;
use super::wire::refusal;
use super::{FarmService, Seen, files};
use crate::outputs::{self, Stands};
use crate::requests::{Report, Request};

impl FarmService {
    /// What came of a job so far, with the files that are lost.
    ///
    /// # Errors
    /// When there is no such job, or its output folder does not answer.
    pub async fn report(&self, job: JobId) -> Answer<JobReport> {
        let Report { report, files, .. } = self.ask(|reply| Request::Report { job, reply }).await?.map_err(refusal)?;
        let root = files.root.clone();
        let lost = self.looking.at(&root, move |seen| files::lost(&files, seen)).await?;
        Ok(JobReport { lost, ..report })
    }

    /// The same as a page that needs nothing else.
    ///
    /// # Errors
    /// As of [`Self::report`].
    pub async fn report_page(&self, job: JobId) -> Answer<String> {
        let Report { report, files, .. } = self.ask(|reply| Request::Report { job, reply }).await?.map_err(refusal)?;
        let (root, stills) = (files.root.clone(), self.stills.clone());
        let draw = move |seen: &Seen| {
            let report = JobReport { lost: files::lost(&files, seen), ..report };
            outputs::page(&report, &files, &stills.of_job(&files, &|| seen.one()), Stands::Served)
        };
        self.drawing.at(&root, draw).await
    }
}
