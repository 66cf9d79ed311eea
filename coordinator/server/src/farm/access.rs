//! Who may do what: what is asked of the driver.

use std::time::Duration;

use wanfarm_identity::Secret;
use wanfarm_proto::convert::rights_to_wire;
use wanfarm_proto::v1;
use wanfarm_types::{Digest, GrantId, KeyId, Rights};

use super::FarmService;
use super::asking::Answer;
use super::wire::refusal;
use crate::access::{GrantRow, Proof};
use crate::requests::Request;
use crate::times::{rfc3339, wall_clock};

impl GrantRow {
    /// As people and programs are told.
    pub(crate) fn told(&self) -> v1::Grant {
        let (kind, key, uses_left) = match self.proof {
            Proof::Key(key) => (v1::GrantKind::Member, key.to_string(), 0),
            Proof::Bearer(_) => (v1::GrantKind::Bearer, String::new(), 0),
            Proof::Invitation { left, .. } => (v1::GrantKind::Invitation, String::new(), left),
        };
        v1::Grant {
            id: self.id.0,
            kind: kind.into(),
            name: self.name.clone(),
            rights: rights_to_wire(&self.rights),
            key,
            uses_left,
            created: rfc3339(self.created).unwrap_or_default(),
            expires: self.expires.and_then(rfc3339).unwrap_or_default(),
        }
    }
}

impl FarmService {
    /// Takes a key in, by the token of an invitation. `by`: who asks.
    ///
    /// # Errors
    /// When the token opens nothing, and the key is not known.
    pub(crate) async fn enrol(&self, key: KeyId, token: Option<Digest>, name: String, by: &str) -> Answer<GrantRow> {
        let by = by.to_owned();
        self.ask(|reply| Request::Enrol { key, token, name, by, reply }).await?.map_err(refusal)
    }

    /// True when somebody is known by a key.
    ///
    /// # Errors
    /// As of [`Self::jobs`].
    pub async fn has_members(&self) -> Answer<bool> {
        Ok(self.grants().await?.iter().any(|grant| matches!(grant.proof, Proof::Key(_))))
    }

    /// Takes a key in, as whoever runs this coordinator says.
    ///
    /// # Errors
    /// When there are as many grants as there may be.
    pub async fn admit(&self, key: KeyId, name: String, rights: Rights) -> Answer<()> {
        self.ask(|reply| Request::Admit { key, name, rights, reply }).await?.map(drop).map_err(refusal)
    }

    /// A token: for so many uses to join with, or, without a number, to be shown with each request. `by`: who asks.
    ///
    /// # Errors
    /// When there are as many grants as there may be.
    pub async fn grant(
        &self,
        name: String,
        rights: Rights,
        uses: Option<u32>,
        valid: Option<Duration>,
        by: &str,
    ) -> Answer<(GrantRow, Secret)> {
        let (token, created) = (Secret::draw(), wall_clock());
        let proof = match uses {
            Some(left) => Proof::Invitation { token: token.digest(), left },
            None => Proof::Bearer(token.digest()),
        };
        let expires = valid.map(|valid| created + valid.as_secs_f64());
        let grant = GrantRow { id: GrantId(0), name, rights, proof, created, expires };
        let by = by.to_owned();
        let grant = self.ask(|reply| Request::Grant { grant, by, reply }).await?.map_err(refusal)?;
        Ok((grant, token))
    }

    /// All grants.
    ///
    /// # Errors
    /// As of [`Self::jobs`].
    pub(crate) async fn grants(&self) -> Answer<Vec<GrantRow>> {
        self.ask(|reply| Request::Grants { reply }).await
    }

    /// Nobody may do anything by this grant any more. `by`: who asks.
    ///
    /// # Errors
    /// When there is no such grant.
    pub(crate) async fn revoke(&self, id: GrantId, by: &str) -> Answer<()> {
        self.ask(|reply| Request::Revoke { id, by: by.to_owned(), reply }).await?.map_err(refusal)
    }
}
