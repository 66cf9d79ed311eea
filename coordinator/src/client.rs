//! The farm API from the client's side: submit a job, follow it to its end.

use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Status};
use wanfarm_proto::MAX_MESSAGE_BYTES;
use wanfarm_proto::tensors::root_cause;
use wanfarm_proto::v1::{self, farm_client::FarmClient};
use wanfarm_types::JobId;

use crate::jobs::Submission;

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

    /// Queues a job.
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
