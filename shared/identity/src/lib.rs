//! Who is who on a farm: keys, the farm's authority, the certificates it issues, and TLS among those who have them.
//!
//! A key pair is an identity. The coordinator knows whoever dials it by their key, and keeps who may do what; so what members show it are
//! certificates that they have signed themselves. Workers, which know nobody, know one another and the coordinator by
//! certificates of the farm's *authority*: they are short-lived and renewed over the connection to the coordinator, which alone
//! has the authority's key. Members know the authority by the digest of its public key, and so the coordinator by whatever
//! address they dial.
//!
//! Deliberately not here: sockets (`wanfarm-proto`), and who may do what (`wanfarm-server`).

mod authority;
mod credentials;
mod invitation;
mod key;
mod membership;
mod secret;
mod tls;
mod verify;

pub use authority::{Authority, AuthorityError};
pub use credentials::{Credentials, Farm};
pub use invitation::{BadInvitation, Invitation};
pub use key::{Key, KeyError, PublicKey, worker_id};
pub use membership::{Joined, Membership, MembershipError};
pub use secret::Secret;
pub use tls::{Peer, explain, of_coordinator, of_worker, to};

/// What the coordinator's certificate names, whatever its address.
pub const COORDINATOR: &str = "coordinator.wanfarm.internal";

/// What the certificates of those name who may serve and read tensors: workers and the coordinator.
pub const TENSORS: &str = "tensors.wanfarm.internal";
