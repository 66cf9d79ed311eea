//! Who may do what, and how everybody else is kept out.
//!
//! A request comes over a connection whose other end has shown a key, or it carries a token. Whose they are stands in the list of
//! grants, which are rows; what may be done without either is in `rules`.

mod gate;
mod list;
mod rules;
mod trust;

pub use gate::Caller;
pub(crate) use gate::{Gate, Requests, guard};
pub(crate) use list::SharedAccess;
pub use list::{GrantRow, Proof};
pub(crate) use trust::{RENEWAL, Trust};
pub use trust::{Security, TrustError};
