//! Manifests that are read here rather than by a client: the defaults are those of the coordinator, whoever submits. The
//! files that they name were given before, by digest: never files of this machine.

use std::collections::BTreeMap;

use tonic::Status;
use wanfarm_client::Forecast;
use wanfarm_manifest::{Faults, GivenFile, Manifest, Submission, Syntax, Taken, check_submission};
use wanfarm_types::{About, Digest, VideoRequest};

use super::{FarmService, on_a_thread};
use crate::requests::Request;

/// Why a manifest came to nothing.
#[derive(Debug)]
pub enum Refused {
    /// It is not one, or asks for what there is not.
    Faulty(Faults),
    /// The farm does not take it.
    Farm(Status),
}

impl From<Status> for Refused {
    fn from(status: Status) -> Self {
        Self::Farm(status)
    }
}

/// A manifest without faults, as far as its model is known.
#[derive(Debug)]
pub struct Checked {
    manifest: Manifest,
    videos: Vec<VideoRequest>,
    /// Remarks though nothing is wrong.
    pub notes: Vec<String>,
}

impl Checked {
    /// Name of the job.
    pub fn name(&self) -> &str {
        &self.manifest.name
    }

    /// Name of the model.
    pub fn model(&self) -> &str {
        &self.manifest.model
    }

    /// What it says of the job.
    pub fn about(&self) -> &About {
        &self.manifest.about
    }

    /// The job to be queued, under a key of the client's own.
    ///
    /// # Errors
    /// When the key is none.
    pub fn submission(&self, key: String, taken: Taken) -> Result<Submission, Status> {
        let submission = self.manifest.submission(key, taken, self.videos.clone());
        check_submission(&submission).map_err(Status::invalid_argument)?;
        Ok(submission)
    }
}

impl FarmService {
    /// Reads a manifest, and checks it against its model if that is known. `files`: those that it came with, by the names
    /// that it has for them.
    ///
    /// # Errors
    /// All its faults at once.
    pub async fn check_manifest(
        &self,
        syntax: Syntax,
        text: String,
        files: BTreeMap<String, Digest>,
    ) -> Result<Checked, Refused> {
        let given = self.given(files).await?;
        // A large one takes a while, and much memory if it is hostile.
        let _turn = self.checking.acquire().await.map_err(|closed| Status::internal(closed.to_string()))?;
        let parsed = on_a_thread(move || match given.is_empty() {
            true => Manifest::parse("manifest", syntax, &text, None),
            false => Manifest::parse_with("manifest", syntax, &text, given),
        });
        let parsed = parsed.await?;
        let manifest = parsed.map_err(Refused::Faulty)?;
        let model = manifest.model.clone();
        let info = self.ask(|reply| Request::Farm { model, images: Vec::new(), reply }).await?.info;
        let checked = on_a_thread(move || {
            let videos = manifest.check(info.as_ref())?;
            let notes = info.map(|info| manifest.lora_notes(&info)).unwrap_or_default();
            Ok(Checked { manifest, videos, notes })
        });
        checked.await?.map_err(Refused::Faulty)
    }

    /// Where the bytes of files are that came with a manifest. Those that are not here did not come.
    async fn given(&self, files: BTreeMap<String, Digest>) -> Result<BTreeMap<String, GivenFile>, Status> {
        if files.len() > super::MAX_IMAGES {
            return Err(Status::invalid_argument(format!("a job has at most {} files", super::MAX_IMAGES)));
        }
        let asked = files.values().copied().collect();
        let missing = self.ask(|reply| Request::MissingLoras { loras: asked, reply }).await?;
        let here = files.into_iter().filter(|(_, blake3)| !missing.contains(blake3));
        Ok(here.map(|(name, blake3)| (name, GivenFile { path: self.place_of(&blake3), blake3 })).collect())
    }

    /// What a job would take here and now. Nothing is queued.
    ///
    /// # Errors
    /// When its output folder does not answer.
    pub async fn forecast(&self, submission: Submission) -> Result<Forecast, Status> {
        Ok(self.estimate_submission(submission).await?.into())
    }
}
