//! Who may do what on a farm. Not how somebody shows who they are (`wanfarm-identity`).

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize};

use crate::Digest;

/// What somebody may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
pub enum Access {
    /// Look at jobs, workers and finished files.
    Viewer,
    /// The same, and queue and steer jobs.
    Submitter,
    /// The same, and steer workers, and say who may do what.
    Operator,
    /// Compute for the farm, and read what its workers have made.
    Worker,
}

/// Everything that somebody may do: at least one thing.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
pub struct Rights(BTreeSet<Access>);

/// The public key of somebody, by its BLAKE3 digest. It prints as 64 hexadecimal digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct KeyId(pub Digest);

/// One line of who may do what. Numbered by the coordinator's store, from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct GrantId(pub u64);

/// The text names nothing that anybody may do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is nothing that anybody may do; write viewer, submitter, operator or worker, several with commas")]
pub struct BadRights(String);

impl Access {
    /// All there is.
    pub const ALL: [Self; 4] = [Self::Viewer, Self::Submitter, Self::Operator, Self::Worker];

    /// Its name for people and in JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Submitter => "submitter",
            Self::Operator => "operator",
            Self::Worker => "worker",
        }
    }

    /// True when whoever may do this may do that as well. A worker only computes: what it is lent are no jobs of its own.
    fn includes(self, needed: Self) -> bool {
        self == needed || self != Self::Worker && needed != Self::Worker && self > needed
    }
}

impl Rights {
    /// Everything at once.
    pub fn all() -> Self {
        Self(Access::ALL.into_iter().collect())
    }

    /// These; `None` when there are none.
    pub fn new(rights: impl IntoIterator<Item = Access>) -> Option<Self> {
        let rights: BTreeSet<Access> = rights.into_iter().collect();
        (!rights.is_empty()).then_some(Self(rights))
    }

    /// True when one of them includes what is needed.
    pub fn allow(&self, needed: Access) -> bool {
        self.0.iter().any(|access| access.includes(needed))
    }

    /// Each of them.
    pub fn iter(&self) -> impl Iterator<Item = Access> + '_ {
        self.0.iter().copied()
    }

    /// These and those.
    pub fn with(&self, other: &Self) -> Self {
        Self(self.0.union(&other.0).copied().collect())
    }
}

impl From<Access> for Rights {
    fn from(access: Access) -> Self {
        Self(BTreeSet::from([access]))
    }
}

impl fmt::Display for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl fmt::Display for Rights {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = self.iter().map(Access::name).collect();
        f.write_str(&names.join(","))
    }
}

impl FromStr for Access {
    type Err = BadRights;

    fn from_str(text: &str) -> Result<Self, BadRights> {
        let found = Self::ALL.into_iter().find(|access| access.name() == text.trim());
        found.ok_or_else(|| BadRights(text.to_owned()))
    }
}

impl FromStr for Rights {
    type Err = BadRights;

    fn from_str(text: &str) -> Result<Self, BadRights> {
        text.split(',').map(str::parse).collect::<Result<_, _>>().map(Self)
    }
}

impl<'de> Deserialize<'de> for Rights {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let rights = BTreeSet::deserialize(deserializer)?;
        Self::new(rights).ok_or_else(|| serde::de::Error::custom("no right at all"))
    }
}

impl KeyId {
    /// The first digits, enough for a person to tell keys apart.
    pub fn short(&self) -> String {
        self.0.short()
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for KeyId {
    type Err = <Digest as FromStr>::Err;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse().map(Self)
    }
}

impl fmt::Display for GrantId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_may_do_what_those_below_may_and_a_worker_computes_only() {
        let table = Access::ALL.map(|has| Access::ALL.map(|needed| Rights::from(has).allow(needed)));
        assert_eq!(
            table,
            [
                [true, false, false, false],
                [true, true, false, false],
                [true, true, true, false],
                [false, false, false, true],
            ]
        );
        assert!(Access::ALL.into_iter().all(|needed| Rights::all().allow(needed)));
    }

    #[test]
    fn rights_are_written_with_commas() {
        let rights: Rights = "worker, submitter".parse().unwrap();
        assert_eq!(rights.to_string(), "submitter,worker");
        assert!(rights.allow(Access::Viewer) && rights.allow(Access::Worker) && !rights.allow(Access::Operator));
        for bad in ["", "root", "viewer,", "Worker"] {
            assert!(bad.parse::<Rights>().unwrap_err().to_string().contains("operator"), "{bad}");
        }
        assert_eq!(serde_json::to_string(&rights).unwrap(), r#"["submitter","worker"]"#);
        assert!(serde_json::from_str::<Rights>("[]").is_err());
    }
}
