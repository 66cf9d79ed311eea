//! Manifests that are read here rather than by a client: the defaults are those of the coordinator, whoever submits. The
//! files that they name were given before, by digest: never files of this machine.

use std::collections::BTreeMap;

use tonic::Status;
use wanfarm_client::Forecast;
use wanfarm_manifest::{Draw, Fault, Faults, GivenFile, Manifest, Submission, Syntax, Taken, chains, check_submission};
use wanfarm_proto::convert::digest_field;
use wanfarm_proto::v1;
use wanfarm_types::{About, Digest, VideoRequest};

use super::{FarmService, on_a_thread};
use crate::requests::Request;

/// Most bytes of a manifest: as many as the command line reads.
const MAX_MANIFEST: usize = 16 << 20;

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

    /// Which of its videos start from one another, in words.
    pub fn chains(&self) -> Vec<String> {
        chains::told(&self.videos)
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
        draw: Draw,
    ) -> Result<Checked, Refused> {
        let given = self.given(files).await?;
        // A large one takes a while, and much memory if it is hostile.
        let _turn = self.checking.acquire().await.map_err(|closed| Status::internal(closed.to_string()))?;
        let parsed = on_a_thread(move || match given.is_empty() {
            true => Manifest::parse("manifest", syntax, &text, None),
            false => Manifest::parse_with("manifest", syntax, &text, given),
        });
        let parsed = parsed.await?;
        let mut manifest = parsed.map_err(Refused::Faulty)?;
        manifest.draw = draw;
        let model = manifest.model.clone();
        let info = self.ask(|reply| Request::Farm { model, images: Vec::new(), reply }).await?.info;
        let checked = on_a_thread(move || {
            let videos = manifest.check(info.as_ref())?;
            let notes = info.map(|info| manifest.setting_notes(&info)).unwrap_or_default();
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
        let missing = self.ask(|reply| Request::MissingFiles { files: asked, reply }).await?;
        let here = files.into_iter().filter(|(_, blake3)| !missing.contains(blake3));
        Ok(here.map(|(name, blake3)| (name, GivenFile { path: self.place_of(&blake3), blake3 })).collect())
    }

    /// Reads a manifest from the wire, and queues it or says what it would take; or says what is wrong with it.
    pub(super) async fn submit_text(
        &self,
        wire: v1::SubmitManifestRequest,
        by: &str,
    ) -> Result<v1::SubmitManifestReply, Status> {
        let syntax = match v1::ManifestSyntax::try_from(wire.syntax) {
            Ok(v1::ManifestSyntax::Unspecified | v1::ManifestSyntax::Toml) => Syntax::Toml,
            Ok(v1::ManifestSyntax::Yaml) => Syntax::Yaml,
            Ok(v1::ManifestSyntax::Json) => Syntax::Json,
            Err(_) => {
                return Err(Status::invalid_argument(format!(
                    "syntax {} is none that this version knows",
                    wire.syntax
                )));
            }
        };
        if wire.manifest.len() > MAX_MANIFEST {
            let why = format!("a manifest has at most {} MiB", MAX_MANIFEST >> 20);
            return Err(Status::invalid_argument(why));
        }
        let taken = super::wire::taken(wire.taken)?;
        let digest = |(name, blake3): (String, Vec<u8>)| Ok::<_, Status>((name, digest_field(&blake3)?));
        let files = wire.files.into_iter().map(digest).collect::<Result<_, _>>()?;
        let checked = match self.check_manifest(syntax, wire.manifest, files, Draw::of_key(&wire.client_key)).await {
            Ok(checked) => checked,
            Err(Refused::Farm(status)) => return Err(status),
            Err(Refused::Faulty(faults)) => {
                let missing_files = faults.files().map(str::to_owned).collect();
                let faults = faults.iter().map(fault).collect();
                return Ok(v1::SubmitManifestReply { faults, missing_files, ..Default::default() });
            }
        };
        let submission = checked.submission(wire.client_key, taken)?;
        let reply = v1::SubmitManifestReply { notes: checked.notes.clone(), ..Default::default() };
        if wire.dry_run {
            let estimate = Some(self.estimate_submission(submission).await?);
            return Ok(v1::SubmitManifestReply { estimate, ..reply });
        }
        let (submitted, shortages) = self.submit_job(submission, checked.about().clone(), by).await?;
        Ok(v1::SubmitManifestReply { submitted: Some(super::wire::submitted(submitted, shortages)), ..reply })
    }

    /// What a job would take here and now. Nothing is queued.
    ///
    /// # Errors
    /// When its output folder does not answer.
    pub async fn forecast(&self, submission: Submission) -> Result<Forecast, Status> {
        Ok(self.estimate_submission(submission).await?.into())
    }
}

fn fault(fault: &Fault) -> v1::ManifestFault {
    let Fault { at, key, what, why, help, .. } = fault;
    v1::ManifestFault {
        line: at.as_ref().map(|at| at.line),
        column: at.as_ref().map(|at| at.column),
        key: key.to_string(),
        what: what.to_string(),
        why: why.to_string(),
        help: help.to_string(),
    }
}
