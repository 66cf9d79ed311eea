//! The list of grants: who may do what, and by what they are known.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::sync::watch;
use wanfarm_identity::Secret;
use wanfarm_types::{Digest, GrantId, KeyId, Rights};

use crate::times::wall_clock;

/// One line of the list.
#[derive(Debug, Clone, PartialEq)]
pub struct GrantRow {
    /// Names it.
    pub id: GrantId,
    /// Whose it is, for people.
    pub name: String,
    /// What they may do.
    pub rights: Rights,
    /// By what they are known.
    pub proof: Proof,
    /// Since when, in seconds since 1970.
    pub created: f64,
    /// Until when, likewise; `None`: until it is revoked.
    pub expires: Option<f64>,
}

/// By what somebody is known. Of tokens only the digest is kept.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Proof {
    /// A key: of a member.
    Key(KeyId),
    /// A token that is shown with each request.
    Bearer(Digest),
    /// A token to join with.
    Invitation {
        /// Its digest.
        token: Digest,
        /// How many may still join with it.
        left: u32,
    },
}

impl Proof {
    fn digest(&self) -> Digest {
        match self {
            Self::Key(key) => key.0,
            Self::Bearer(token) | Self::Invitation { token, .. } => *token,
        }
    }
}

/// All grants.
#[derive(Debug, Default)]
pub(crate) struct AccessList {
    grants: BTreeMap<GrantId, GrantRow>,
    by_proof: BTreeMap<Digest, GrantId>,
}

/// The list, as it is read while requests come in, and changed by the driver alone.
#[derive(Debug, Clone, Default)]
pub(crate) struct SharedAccess {
    list: Arc<RwLock<AccessList>>,
    /// Told of each grant that is gone.
    gone: Arc<watch::Sender<u64>>,
}

impl AccessList {
    fn of(&self, proof: Digest, now: f64) -> Option<&GrantRow> {
        let grant = self.grants.get(self.by_proof.get(&proof)?)?;
        grant.expires.is_none_or(|end| now < end).then_some(grant)
    }

    fn insert(&mut self, grant: GrantRow) {
        self.remove(grant.id);
        self.by_proof.insert(grant.proof.digest(), grant.id);
        self.grants.insert(grant.id, grant);
    }

    fn remove(&mut self, id: GrantId) {
        if let Some(old) = self.grants.remove(&id) {
            self.by_proof.remove(&old.proof.digest());
        }
    }
}

impl SharedAccess {
    /// Reads the list. What is done meanwhile must not wait for anything.
    fn read<T>(&self, read: impl FnOnce(&AccessList) -> T) -> T {
        read(&self.list.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Adds a grant, or replaces the one of its id.
    pub(crate) fn insert(&self, grant: GrantRow) {
        self.list.write().unwrap_or_else(PoisonError::into_inner).insert(grant);
    }

    /// Removes a grant.
    pub(crate) fn remove(&self, id: GrantId) {
        self.list.write().unwrap_or_else(PoisonError::into_inner).remove(id);
        self.gone.send_modify(|count| *count += 1);
    }

    /// Resolves when this grant opens nothing any more.
    pub(crate) async fn ended(self, grant: GrantRow) {
        let mut gone = self.gone.subscribe();
        let timed_out = async {
            match grant.expires {
                // Far off is as good as never.
                Some(end) => tokio::time::sleep(Duration::from_secs_f64((end - wall_clock()).clamp(0.0, 1e9))).await,
                None => std::future::pending().await,
            }
        };
        let revoked = async { while self.get(grant.id).is_some() && gone.changed().await.is_ok() {} };
        tokio::select! {
            () = timed_out => {}
            () = revoked => {}
        }
    }

    /// The member with this key. `now` is in seconds since 1970.
    pub(crate) fn member(&self, key: KeyId, now: f64) -> Option<GrantRow> {
        self.read(|list| list.of(key.0, now).filter(|grant| matches!(grant.proof, Proof::Key(_))).cloned())
    }

    /// Whose token this is.
    pub(crate) fn bearer(&self, token: &Secret, now: f64) -> Option<GrantRow> {
        self.read(|list| list.of(token.digest(), now).filter(|grant| matches!(grant.proof, Proof::Bearer(_))).cloned())
    }

    /// The invitation that this token is, if somebody may still join with it.
    pub(crate) fn invitation(&self, token: Digest, now: f64) -> Option<GrantRow> {
        let is_open = |grant: &&GrantRow| matches!(grant.proof, Proof::Invitation { left: 1.., .. });
        self.read(|list| list.of(token, now).filter(is_open).cloned())
    }

    /// One of them.
    pub(crate) fn get(&self, id: GrantId) -> Option<GrantRow> {
        self.read(|list| list.grants.get(&id).cloned())
    }

    /// All of them, in order.
    pub(crate) fn all(&self) -> Vec<GrantRow> {
        self.read(|list| list.grants.values().cloned().collect())
    }

    /// How many there are, and the id of the next.
    pub(crate) fn size(&self) -> (usize, GrantId) {
        self.read(|list| {
            let last = list.grants.keys().next_back().map_or(0, |id| id.0);
            (list.grants.len(), GrantId(last + 1))
        })
    }
}

#[cfg(test)]
mod tests {
    use wanfarm_types::Access;

    use super::*;

    fn grant(id: u64, proof: Proof, expires: Option<f64>) -> GrantRow {
        let (name, rights) = (format!("grant {id}"), Access::Viewer.into());
        GrantRow { id: GrantId(id), name, rights, proof, created: 0.0, expires }
    }

    #[test]
    fn each_is_known_by_what_it_is_and_for_as_long_as_it_is_valid() {
        let (list, token, other) = (SharedAccess::default(), Secret::draw(), Secret::draw());
        let key = KeyId(Digest([1; 32]));
        list.insert(grant(1, Proof::Key(key), None));
        list.insert(grant(2, Proof::Bearer(token.digest()), Some(10.0)));
        list.insert(grant(3, Proof::Invitation { token: other.digest(), left: 1 }, Some(10.0)));
        assert_eq!(list.size(), (3, GrantId(4)));
        let ids = |now| {
            [list.member(key, now), list.bearer(&token, now), list.invitation(other.digest(), now)]
                .map(|grant| grant.map(|grant| grant.id.0))
        };
        assert_eq!(ids(9.0), [Some(1), Some(2), Some(3)]);
        assert_eq!(ids(10.0), [Some(1), None, None], "the time has come");
        assert!(list.bearer(&other, 0.0).is_none(), "what one joins with opens nothing else");
        assert!(list.invitation(token.digest(), 0.0).is_none());
        assert!(list.member(KeyId(token.digest()), 0.0).is_none());
        list.insert(grant(3, Proof::Invitation { token: other.digest(), left: 0 }, None));
        assert!(list.invitation(other.digest(), 0.0).is_none(), "it was used");
        list.remove(GrantId(1));
        assert!(list.member(key, 0.0).is_none());
        assert_eq!(list.all().len(), 2);
    }

    #[tokio::test]
    async fn whoever_waits_for_the_end_of_a_grant_hears_of_it() {
        let list = SharedAccess::default();
        let [lasting, short] = [(1, None), (2, Some(wall_clock()))].map(|(id, expires)| {
            let grant = grant(id, Proof::Bearer(Secret::draw().digest()), expires);
            list.insert(grant.clone());
            grant
        });
        list.clone().ended(short).await;
        let mut waiting = tokio::spawn(list.clone().ended(lasting));
        list.remove(GrantId(2));
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        list.remove(GrantId(1));
        (&mut waiting).await.unwrap();
    }
}
