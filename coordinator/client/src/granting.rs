//! Who may do what: joined, asked and changed.

use std::time::Duration;

use tonic::Status;
use wanfarm_proto::convert::{rights, rights_to_wire};
use wanfarm_proto::v1;
use wanfarm_types::{GrantId, Rights};

use super::grants::GrantLine;
use super::{Client, ClientError, stranger};

/// How long a browser is let in that somebody opens.
const OWN_TOKEN: Duration = Duration::from_secs(12 * 3600);

impl Client {
    /// Has the farm take this machine's key in, by a token to join with, or as a member that it knows already: what it may do there,
    /// and the certificate of the farm's authority as PEM.
    ///
    /// # Errors
    /// When the token opens nothing, or the coordinator cannot be reached.
    pub async fn enrol(&mut self, token: Option<&str>, name: &str) -> Result<(Rights, String), ClientError> {
        let request = v1::EnrolRequest { token: token.unwrap_or_default().to_owned(), name: name.to_owned() };
        let reply = self.access.enrol(request).await?.into_inner();
        Ok((rights(&reply.rights).map_err(stranger)?, reply.authority))
    }

    /// A token for a browser of whoever asks, valid for some hours.
    ///
    /// # Errors
    /// When the coordinator refuses it or cannot be reached.
    pub async fn own_token(&mut self, name: &str) -> Result<String, ClientError> {
        let (kind, seconds) = (v1::GrantKind::Bearer.into(), OWN_TOKEN.as_secs());
        let request = v1::GrantRequest { name: name.to_owned(), kind, seconds, ..Default::default() };
        Ok(self.access.grant(request).await?.into_inner().token)
    }

    /// A token for somebody, who may do this: for so many to join with, or, without a number, to be shown with each request.
    ///
    /// # Errors
    /// When the coordinator refuses it or cannot be reached.
    pub async fn grant(
        &mut self,
        name: &str,
        rights: &Rights,
        uses: Option<u32>,
        valid: Option<Duration>,
    ) -> Result<(GrantLine, String), ClientError> {
        let kind = if uses.is_some() { v1::GrantKind::Invitation } else { v1::GrantKind::Bearer };
        let request = v1::GrantRequest {
            name: name.to_owned(),
            rights: rights_to_wire(rights),
            kind: kind.into(),
            uses: uses.unwrap_or(0),
            seconds: valid.map_or(0, |valid| valid.as_secs().max(1)),
        };
        let reply = self.access.grant(request).await?.into_inner();
        let grant = reply.grant.ok_or_else(|| Status::internal("no grant came"))?;
        Ok((grant.try_into().map_err(stranger)?, reply.token))
    }

    /// Who may do what.
    ///
    /// # Errors
    /// When the coordinator refuses it or cannot be reached.
    pub async fn grants(&mut self) -> Result<Vec<GrantLine>, ClientError> {
        let reply = self.access.list_grants(v1::ListGrantsRequest {}).await?.into_inner();
        reply.grants.into_iter().map(|grant| grant.try_into().map_err(stranger)).collect()
    }

    /// Has nobody do anything by this grant any more.
    ///
    /// # Errors
    /// When there is none, or the coordinator cannot be reached.
    pub async fn revoke(&mut self, grant: GrantId) -> Result<(), ClientError> {
        self.access.revoke(v1::RevokeRequest { id: grant.0 }).await?;
        Ok(())
    }
}
