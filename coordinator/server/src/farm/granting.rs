//! The gRPC service: who may do what, asked and changed.

use std::sync::Arc;
use std::time::Duration;

use tonic::{Request, Response, Status};
use wanfarm_identity::Secret;
use wanfarm_proto::convert::{rights, rights_to_wire};
use wanfarm_proto::v1::{self, access_server::Access};
use wanfarm_types::{Access as Right, GrantId, Rights, check_label};

use super::FarmService;
use crate::access::{Caller, Trust};

/// How long a token at most is valid that somebody makes who is no operator: for a browser, until the evening.
const OWN_TOKEN: Duration = Duration::from_secs(12 * 3600);

type Reply<T> = Result<Response<T>, Status>;

/// The service. Where nothing is encrypted there is nobody to be known.
#[derive(Debug, Clone)]
pub(crate) struct AccessService {
    farm: FarmService,
    trust: Option<Arc<Trust>>,
}

impl AccessService {
    /// A service that asks the driver.
    pub(crate) fn new(farm: FarmService, trust: Option<Arc<Trust>>) -> Self {
        Self { farm, trust }
    }

    fn trust(&self) -> Result<&Trust, Status> {
        self.trust.as_deref().ok_or_else(|| {
            Status::failed_precondition(
                "this coordinator encrypts nothing and knows nobody: whoever reaches it may do everything; start it on an \
                 address of the network and without --insecure",
            )
        })
    }
}

fn caller<T>(request: &Request<T>) -> Result<Caller, Status> {
    request.extensions().get().cloned().ok_or_else(|| Status::internal("nobody has looked who asks"))
}

fn name(name: String) -> Result<String, Status> {
    if name.is_empty() {
        return Err(Status::invalid_argument("the message lacks a name"));
    }
    check_label("name", &name).map_err(|error| Status::invalid_argument(error.to_string()))?;
    Ok(name)
}

#[tonic::async_trait]
impl Access for AccessService {
    async fn enrol(&self, request: Request<v1::EnrolRequest>) -> Reply<v1::EnrolReply> {
        let (trust, caller) = (self.trust()?, caller(&request)?);
        let key = caller.key().ok_or_else(|| Status::unauthenticated("a key is needed to join with"))?;
        if !key.is_of_ours() {
            return Err(Status::invalid_argument("a key to join with is one of ECDSA over P-256"));
        }
        let v1::EnrolRequest { token, name: called } = request.into_inner();
        let token = match token.as_str() {
            "" => None,
            token => Some(token.parse::<Secret>().map_err(Status::invalid_argument)?.digest()),
        };
        let member = self.farm.enrol(key.id(), token, name(called)?, caller.name()).await?;
        let reply = v1::EnrolReply { rights: rights_to_wire(&member.rights), authority: trust.pem().to_owned() };
        Ok(Response::new(reply))
    }

    async fn grant(&self, request: Request<v1::GrantRequest>) -> Reply<v1::GrantReply> {
        self.trust()?;
        let by = caller(&request)?;
        let v1::GrantRequest { name: called, rights: wire, kind, uses, seconds } = request.into_inner();
        let own = by.rights().ok_or_else(|| Status::unauthenticated("nobody knows who asks"))?;
        // A browser of theirs computes nothing.
        let rights = match wire.is_empty() {
            true => {
                Rights::new(own.iter().filter(|right| *right != Right::Worker)).unwrap_or_else(|| Right::Viewer.into())
            }
            false => rights(&wire)?,
        };
        let uses = match v1::GrantKind::try_from(kind) {
            Ok(v1::GrantKind::Invitation) => Some(uses.max(1)),
            Ok(v1::GrantKind::Bearer) => None,
            _ => return Err(Status::invalid_argument("a bearer or an invitation can be granted")),
        };
        let is_own = uses.is_none()
            && (1..=OWN_TOKEN.as_secs()).contains(&seconds)
            && rights.iter().all(|right| own.allow(right));
        if !is_own && !own.allow(Right::Operator) {
            return Err(Status::permission_denied(format!(
                "this needs the right `operator`; with `{own}` one makes tokens of those rights, for {} h at most",
                OWN_TOKEN.as_secs() / 3600
            )));
        }
        let valid = (seconds > 0).then(|| Duration::from_secs(seconds));
        let (grant, token) = self.farm.grant(name(called)?, rights, uses, valid, by.name()).await?;
        Ok(Response::new(v1::GrantReply { grant: Some(grant.told()), token: token.reveal().to_owned() }))
    }

    async fn list_grants(&self, _: Request<v1::ListGrantsRequest>) -> Reply<v1::ListGrantsReply> {
        self.trust()?;
        let grants = self.farm.grants().await?.iter().map(|grant| grant.told()).collect();
        Ok(Response::new(v1::ListGrantsReply { grants }))
    }

    async fn revoke(&self, request: Request<v1::RevokeRequest>) -> Reply<v1::RevokeReply> {
        self.trust()?;
        let by = caller(&request)?;
        self.farm.revoke(GrantId(request.into_inner().id), by.name()).await?;
        Ok(Response::new(v1::RevokeReply {}))
    }
}
