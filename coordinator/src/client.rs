//! The farm API from the client's side: submit a job, follow it to its end.

use std::collections::BTreeSet;
use std::path::PathBuf;

use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Status};
use wanfarm_proto::MAX_MESSAGE_BYTES;
use wanfarm_proto::tensors::root_cause;
use wanfarm_proto::v1::{self, farm_client::FarmClient};
use wanfarm_types::JobId;

use crate::jobs::Submission;
use crate::manifest::ImageFile;

/// A connection to a coordinator.
#[derive(Debug, Clone)]
pub struct Client {
    farm: FarmClient<Channel>,
}

/// A request came to nothing.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// Nobody answers at the address.
    #[error(
        "no coordinator answers at {url}: {reason}; start one with `coordinator serve`, or name another with --coordinator"
    )]
    NoConnection {
        /// The address.
        url: String,
        /// What the transport said.
        reason: String,
    },
    /// An image cannot be sent.
    #[error("cannot send the image {}: {why}", path.display())]
    Image {
        /// Where it lies.
        path: PathBuf,
        /// Why.
        why: String,
    },
    /// The coordinator says no.
    #[error("the coordinator refuses: {0}")]
    Refused(String),
    /// The connection broke on the way.
    #[error("the connection to the coordinator broke: {0}; the job goes on without us")]
    Broken(String),
}

impl From<Status> for ClientError {
    fn from(status: Status) -> Self {
        match status.code() {
            Code::InvalidArgument | Code::NotFound | Code::FailedPrecondition | Code::OutOfRange => {
                Self::Refused(status.message().to_owned())
            }
            _ => Self::Broken(status.message().to_owned()),
        }
    }
}

impl Client {
    /// Dials a coordinator.
    ///
    /// # Errors
    /// When nobody answers.
    pub async fn connect(url: &str) -> Result<Self, ClientError> {
        let no = |reason: String| ClientError::NoConnection { url: url.to_owned(), reason };
        let endpoint = Endpoint::from_shared(url.to_owned()).map_err(|error| no(root_cause(&error)))?;
        let endpoint = endpoint.connect_timeout(std::time::Duration::from_secs(10)).tcp_nodelay(true);
        let channel = endpoint.connect().await.map_err(|error| no(root_cause(&error)))?;
        let farm = FarmClient::new(channel)
            .max_decoding_message_size(MAX_MESSAGE_BYTES)
            .max_encoding_message_size(MAX_MESSAGE_BYTES);
        Ok(Self { farm })
    }

    /// Gives the coordinator the images it does not have yet, each once.
    ///
    /// # Errors
    /// When a file is no longer what the manifest was checked with, or the coordinator refuses it.
    pub async fn put_images(&mut self, images: &[ImageFile]) -> Result<(), ClientError> {
        if images.is_empty() {
            return Ok(());
        }
        let digests = images.iter().map(|file| file.image.digest.0.to_vec()).collect();
        let missing = self.farm.missing_images(v1::MissingImagesRequest { digests }).await?.into_inner().digests;
        let mut missing: BTreeSet<Vec<u8>> = missing.into_iter().collect();
        for file in images {
            if missing.remove(file.image.digest.0.as_slice()) {
                self.put_image(file).await?;
            }
        }
        Ok(())
    }

    async fn put_image(&mut self, file: &ImageFile) -> Result<(), ClientError> {
        let unusable = |why: String| ClientError::Image { path: file.path.clone(), why };
        let data = tokio::fs::read(&file.path).await.map_err(|error| unusable(error.to_string()))?;
        if *blake3::hash(&data).as_bytes() != file.image.digest.0 {
            return Err(unusable("it has changed since the manifest was checked; try again".to_owned()));
        }
        self.farm.put_image(v1::PutImageRequest { data }).await?;
        Ok(())
    }

    /// Queues a job. Its images must have been given before.
    ///
    /// # Errors
    /// When the coordinator refuses it or cannot be reached.
    pub async fn submit(&mut self, submission: Submission) -> Result<JobId, ClientError> {
        let request = v1::SubmitRequest {
            client_key: submission.client_key,
            name: submission.name,
            model: submission.model,
            priority: submission.priority,
            videos: submission.videos.into_iter().map(Into::into).collect(),
        };
        Ok(JobId(self.farm.submit(request).await?.into_inner().job))
    }

    /// Follows a job: everything first, then the news, until it has ended.
    ///
    /// # Errors
    /// When there is no such job or the connection breaks.
    pub async fn watch(&mut self, job: JobId) -> Result<tonic::Streaming<v1::JobUpdate>, ClientError> {
        Ok(self.farm.watch(v1::WatchRequest { job: job.0 }).await?.into_inner())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::images::Image;
    use crate::plan::tests::request;
    use crate::server::{self, ServerConfig};
    use wanfarm_types::VideoRequest;

    #[tokio::test]
    async fn images_come_before_the_job_that_names_them() {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("data");
        let config = ServerConfig {
            listen: ([127, 0, 0, 1], 0).into(),
            data: data.clone(),
            output: folder.path().join("output"),
            scheduler: wanfarm_scheduler::Config::default(),
        };
        let coordinator = server::start(config).await.unwrap();
        let mut client = Client::connect(&format!("http://{}", coordinator.address)).await.unwrap();

        let path = folder.path().join("first.png");
        image::RgbImage::new(8, 6).save(&path).unwrap();
        let file = ImageFile { image: Image::read(&std::fs::read(&path).unwrap()).unwrap(), path: path.clone() };
        let digest = file.image.digest;
        let submission = Submission {
            client_key: String::new(),
            name: "n".into(),
            model: "m".into(),
            priority: 50,
            videos: vec![VideoRequest { image: Some(digest), ..request() }],
        };
        let refused = client.submit(submission.clone()).await.unwrap_err();
        assert!(matches!(&refused, ClientError::Refused(why) if why.contains(&digest.to_string())), "{refused}");

        client.put_images(std::slice::from_ref(&file)).await.unwrap();
        let name = digest.to_string();
        let stored = data.join("artifacts").join(&name[..2]).join(&name);
        assert_eq!(std::fs::read(&stored).unwrap(), std::fs::read(&path).unwrap());
        client.submit(submission).await.unwrap();

        std::fs::write(&path, "other bytes").unwrap();
        client.put_images(std::slice::from_ref(&file)).await.expect("what is there is not read again");
        let mut other = file.clone();
        other.image.digest.0[0] ^= 1;
        let changed = client.put_images(&[other]).await.unwrap_err();
        assert!(changed.to_string().contains("it has changed"), "{changed}");
        let no_image = client.farm.put_image(v1::PutImageRequest { data: b"text".to_vec() }).await.unwrap_err();
        assert_eq!(no_image.code(), Code::InvalidArgument);
        let lost = client.farm.missing_images(v1::MissingImagesRequest { digests: vec![vec![0; 3]] }).await;
        assert_eq!(lost.unwrap_err().code(), Code::InvalidArgument);
        coordinator.stop().await;
    }
}
