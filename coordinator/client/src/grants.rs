//! The list of who may do what, as it is shown.

use serde::Serialize;
use wanfarm_proto::convert::rights;
use wanfarm_proto::v1;
use wanfarm_types::{GrantId, KeyId, Rights};

/// A line of who may do what.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct GrantLine {
    /// Names it.
    pub id: GrantId,
    /// Whose it is.
    pub name: String,
    /// By what they are known.
    pub kind: GrantKind,
    /// What they may do.
    pub rights: Rights,
    /// The key of a member.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<KeyId>,
    /// How many may still join by an invitation.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub uses_left: Option<u32>,
    /// Since when, as RFC 3339.
    pub created: String,
    /// Until when; `None`: until it is revoked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires: Option<String>,
}

/// By what somebody is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum GrantKind {
    /// A key.
    Member,
    /// A token that is shown with each request.
    Bearer,
    /// A token to join with.
    Invitation,
}

impl GrantKind {
    /// Its name for people and in JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::Member => "member",
            Self::Bearer => "bearer",
            Self::Invitation => "invitation",
        }
    }
}

impl TryFrom<v1::Grant> for GrantLine {
    type Error = String;

    fn try_from(wire: v1::Grant) -> Result<Self, String> {
        let kind = match wire.kind() {
            v1::GrantKind::Member => GrantKind::Member,
            v1::GrantKind::Bearer => GrantKind::Bearer,
            v1::GrantKind::Invitation => GrantKind::Invitation,
            v1::GrantKind::Unspecified => return Err("a grant of no kind".to_owned()),
        };
        let rights = rights(&wire.rights).map_err(|error| error.to_string())?;
        let key = Some(wire.key).filter(|key| !key.is_empty()).map(|key| key.parse::<KeyId>());
        let key = key.transpose().map_err(|error| error.to_string())?;
        Ok(Self {
            id: GrantId(wire.id),
            name: wire.name,
            kind,
            rights,
            key,
            uses_left: (kind == GrantKind::Invitation).then_some(wire.uses_left),
            created: wire.created,
            expires: Some(wire.expires).filter(|expires| !expires.is_empty()),
        })
    }
}
