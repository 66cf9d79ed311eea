//! Whether the coordinator is ready, as gRPC's own health service tells it to balancers and probes: what `/readyz` says.

use std::pin::Pin;
use std::time::Duration;

use futures::Stream;
use tokio::time::sleep;
use tonic::{Request, Response, Status};
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_server::{Health, HealthServer};
use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse};
use wanfarm_proto::v1::farm_server::SERVICE_NAME;

use crate::farm::FarmService;

/// How often it is looked for those who watch.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// The service.
#[derive(Debug)]
pub(crate) struct HealthService {
    farm: FarmService,
}

impl HealthService {
    /// The health of this.
    pub(crate) fn new(farm: FarmService) -> HealthServer<Self> {
        HealthServer::new(Self { farm })
    }
}

/// The server as a whole has no name; of its services, that for clients is asked after.
fn is_known(asked: &HealthCheckRequest) -> bool {
    ["", SERVICE_NAME].contains(&asked.service.as_str())
}

async fn status(farm: &FarmService) -> ServingStatus {
    match farm.unready().await {
        None => ServingStatus::Serving,
        Some(_) => ServingStatus::NotServing,
    }
}

fn told(status: ServingStatus) -> HealthCheckResponse {
    HealthCheckResponse { status: status.into() }
}

#[tonic::async_trait]
impl Health for HealthService {
    type WatchStream = Pin<Box<dyn Stream<Item = Result<HealthCheckResponse, Status>> + Send>>;

    async fn check(&self, request: Request<HealthCheckRequest>) -> Result<Response<HealthCheckResponse>, Status> {
        let asked = request.into_inner();
        if !is_known(&asked) {
            return Err(Status::not_found(format!("{:?} is not served here", asked.service)));
        }
        Ok(Response::new(told(status(&self.farm).await)))
    }

    async fn watch(&self, request: Request<HealthCheckRequest>) -> Result<Response<Self::WatchStream>, Status> {
        if !is_known(request.get_ref()) {
            // As the protocol has it: it may become known.
            let unknown = futures::stream::iter([Ok(told(ServingStatus::ServiceUnknown))]);
            let unknown = futures::StreamExt::chain(unknown, futures::stream::pending());
            return Ok(Response::new(Box::pin(unknown)));
        }
        let first = (self.farm.clone(), None);
        let changes = futures::stream::unfold(first, |(farm, mut last)| async move {
            loop {
                let now = status(&farm).await;
                if last.replace(now) != Some(now) {
                    return Some((Ok(told(now)), (farm, last)));
                }
                sleep(LOOK_EVERY).await;
            }
        });
        Ok(Response::new(Box::pin(changes)))
    }
}
