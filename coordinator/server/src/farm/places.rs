//! The places of a submission: what stands there, which names are free, and whether the disks have room.

use std::sync::Arc;

use tokio::sync::oneshot;
use tonic::Status;
use wanfarm_client::DiskShortage;
use wanfarm_manifest::{Submission, Taken};

use super::FarmService;
use crate::disk_space;
use crate::estimate::Space;
use crate::outputs::{self, Look};
use crate::requests::{Places, Request, RequestError};

impl FarmService {
    /// Asks the driver about a submission, with what stands on the disk where its files are to go; again with other
    /// names where those are taken that the disk has free. Tells as well what was known of the places in the end.
    pub(super) async fn with_places<T>(
        &self,
        submission: Submission,
        ask: impl Fn(Submission, Places, oneshot::Sender<Result<T, RequestError>>) -> Request,
    ) -> Result<(Result<T, RequestError>, Places), Status> {
        let submission = Arc::new(submission);
        let mut places = self.look(submission.clone()).await?;
        loop {
            let (asked, known) = (Submission::clone(&submission), places.clone());
            let answer = self.ask(|reply| ask(asked, known, reply)).await?;
            let Err(RequestError::Taken(taken, _)) = &answer else { return Ok((answer, places)) };
            if submission.taken != Taken::NewName {
                return Ok((answer, places));
            }
            let taken: Vec<usize> = taken.iter().map(|taken| taken.index as usize).collect();
            match self.rename(submission.clone(), places.clone(), taken).await? {
                Some(renamed) => places = renamed,
                None => return Ok((answer, places)),
            }
        }
    }

    /// The disks that are too small for what videos need.
    pub(super) async fn shortages(&self, space: Space) -> Result<Vec<DiskShortage>, Status> {
        let (root, data) = (self.output.clone(), self.artifacts.root().to_owned());
        self.looking.at(&self.output, move |_| disk_space::shortages(&space, &root, &data)).await
    }

    /// Looks at the places of a submission.
    async fn look(&self, submission: Arc<Submission>) -> Result<Places, Status> {
        let (root, last_report) = (self.output.clone(), self.last_report);
        // What is left out if it stands there whole is read.
        let looking = if submission.taken == Taken::Skip { self.looking.reading() } else { self.looking.clone() };
        let look = move |seen: &super::Seen| {
            let mut names = submission.videos.iter().map(|video| video.output.clone()).collect();
            let looks = outputs::look(&root, &submission, &mut names, &|| seen.one());
            Places { looks, names, reports: outputs::standing_reports(&root, last_report), last_report }
        };
        looking.at(&self.output, look).await
    }

    /// Finds names for videos whose own are another job's; `None` where none is to be had.
    async fn rename(
        &self,
        submission: Arc<Submission>,
        mut places: Places,
        videos: Vec<usize>,
    ) -> Result<Option<Places>, Status> {
        let root = self.output.clone();
        let rename = move |seen: &super::Seen| {
            for index in videos {
                let name = outputs::free_name(&root, submission.videos.get(index)?, &mut places.names)?;
                *places.looks.get_mut(index)? = Look::Renamed(name);
                seen.one();
            }
            Some(places)
        };
        self.looking.at(&self.output, rename).await
    }
}
