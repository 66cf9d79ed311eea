//! Who may do what: what changes it.

use wanfarm_types::{Digest, EventKind, GrantId, KeyId, Rights};

use super::Driver;
use crate::access::{GrantRow, Proof};
use crate::requests::{MAX_GRANTS, RequestError};
use crate::store::{EventRow, Row};
use crate::times::wall_clock;

impl Driver {
    /// Takes a key in, by an invitation. One that is known already gets what the invitation adds; so a member that did not hear
    /// the answer asks again.
    pub(super) fn enrol(&mut self, key: KeyId, token: Option<Digest>, name: String) -> Result<GrantRow, RequestError> {
        let (list, now) = (&self.registry.access, wall_clock());
        let member = list.member(key, now);
        let invitation = token.and_then(|token| list.invitation(token, now));
        match (member, invitation) {
            (None, None) => Err(RequestError::NotInvited),
            (Some(member), None) => Ok(member),
            (Some(member), Some(invitation)) => {
                let rights = member.rights.with(&invitation.rights);
                if rights != member.rights {
                    self.use_up(invitation);
                }
                self.admit_as(GrantRow { rights, name, ..member })
            }
            (None, Some(invitation)) => {
                let rights = invitation.rights.clone();
                self.use_up(invitation);
                self.admit(key, name, rights)
            }
        }
    }

    /// Takes a key in, as whoever runs this coordinator says.
    pub(super) fn admit(&mut self, key: KeyId, name: String, rights: Rights) -> Result<GrantRow, RequestError> {
        let (created, known) = (wall_clock(), self.registry.access.member(key, wall_clock()));
        let member = match known {
            Some(known) => GrantRow { rights: known.rights.with(&rights), name, ..known },
            None => GrantRow { id: self.room()?, name, rights, proof: Proof::Key(key), created, expires: None },
        };
        self.admit_as(member)
    }

    fn admit_as(&mut self, member: GrantRow) -> Result<GrantRow, RequestError> {
        if self.registry.access.get(member.id).as_ref() != Some(&member) {
            self.put(Row::Grant(member.clone()));
            self.note_grant(EventKind::AccessJoined, &member);
        }
        Ok(member)
    }

    /// Adds a token.
    pub(super) fn grant(&mut self, grant: GrantRow) -> Result<GrantRow, RequestError> {
        let grant = GrantRow { id: self.room()?, ..grant };
        self.put(Row::Grant(grant.clone()));
        self.note_grant(EventKind::AccessGranted, &grant);
        Ok(grant)
    }

    /// Nobody may do anything by this grant any more.
    pub(super) fn revoke(&mut self, id: GrantId) -> Result<(), RequestError> {
        let grant = self.registry.access.get(id).ok_or(RequestError::NoSuchGrant(id))?;
        self.put(Row::GrantForgotten(id));
        self.note_grant(EventKind::AccessRevoked, &grant);
        if let Proof::Key(key) = grant.proof {
            for worker in self.sessions.of_member(key) {
                // Its work goes elsewhere when its lease ends; whatever it still says is not heard.
                self.sessions.close(worker);
            }
        }
        Ok(())
    }

    fn use_up(&mut self, invitation: GrantRow) {
        let Proof::Invitation { token, left } = invitation.proof else { return };
        match left.saturating_sub(1) {
            0 => self.put(Row::GrantForgotten(invitation.id)),
            left => self.put(Row::Grant(GrantRow { proof: Proof::Invitation { token, left }, ..invitation })),
        }
    }

    /// The id of the next grant, if there is room for one when those that have ended are gone.
    fn room(&mut self) -> Result<GrantId, RequestError> {
        let now = wall_clock();
        let ended = self.registry.access.all().into_iter().filter(|grant| grant.expires.is_some_and(|end| end <= now));
        for grant in ended.collect::<Vec<_>>() {
            self.put(Row::GrantForgotten(grant.id));
        }
        let (count, next) = self.registry.access.size();
        if count < MAX_GRANTS { Ok(next) } else { Err(RequestError::TooManyGrants) }
    }

    fn note_grant(&mut self, kind: EventKind, grant: &GrantRow) {
        let (name, detail) = (Some(grant.name.clone()), Some(grant.rights.to_string()));
        self.note(EventRow { kind, name, detail, ..EventRow::default() });
    }
}
