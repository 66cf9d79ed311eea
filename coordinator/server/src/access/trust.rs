//! The farm's authority at work: certificates for the coordinator and for its workers, renewed long before they end.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use wanfarm_identity::{Authority, AuthorityError, COORDINATOR, Credentials, Farm, Key, KeyError, PublicKey, TENSORS};

/// How long a worker's certificate is valid: nobody knows it by then who has been away for longer.
const OF_WORKER: Duration = Duration::from_secs(3 * 24 * 3600);
/// How long the coordinator's is.
const OF_COORDINATOR: Duration = Duration::from_secs(30 * 24 * 3600);
/// How often both are renewed.
pub(crate) const RENEWAL: Duration = Duration::from_secs(12 * 3600);

/// How a coordinator shows who it is and knows others.
#[derive(Debug, Clone, Default)]
pub struct Security {
    /// Names and addresses of this machine, for browsers.
    pub names: Vec<String>,
    /// Make a new authority, whatever there is: everybody has to learn it then.
    pub new_authority: bool,
}

/// A coordinator cannot show who it is.
#[derive(Debug, thiserror::Error)]
pub enum TrustError {
    /// The authority cannot be read or made.
    #[error(transparent)]
    Authority(#[from] AuthorityError),
    /// There are members, and the authority that they know is gone.
    #[error(
        "the farm has members, who know it by an authority that is not in {0}; put that folder back from a backup, or start \
         with --new-authority and have each of them join again, which takes no new token"
    )]
    Lost(String),
    /// A certificate cannot be made.
    #[error("no certificate can be made: {0}")]
    Key(#[from] KeyError),
}

/// The authority, and what the coordinator shows.
#[derive(Debug)]
pub(crate) struct Trust {
    authority: Authority,
    credentials: Arc<Credentials>,
    names: Vec<String>,
}

impl Trust {
    /// The authority in a folder; without one it is made, unless there are members already.
    pub(crate) fn open(folder: &Path, security: &Security, has_members: bool) -> Result<Arc<Self>, TrustError> {
        let authority = match Authority::open(folder)? {
            Some(authority) if !security.new_authority => authority,
            None if has_members && !security.new_authority => {
                return Err(TrustError::Lost(folder.display().to_string()));
            }
            _ => Authority::make(folder)?,
        };
        let own = [COORDINATOR, TENSORS, "localhost", "127.0.0.1", "::1"].map(str::to_owned);
        let is_name = |name: &String| !name.is_empty() && name.is_ascii() && !name.contains(char::is_whitespace);
        let names = own.into_iter().chain(security.names.iter().filter(|name| is_name(name)).cloned()).collect();
        let credentials = Arc::new(Credentials::new(&Key::draw()?)?);
        let trust = Self { authority, credentials, names };
        trust.renew()?;
        Ok(Arc::new(trust))
    }

    /// What the coordinator shows, and by which authority it knows workers.
    pub(crate) fn farm(&self) -> Farm {
        Farm { credentials: self.credentials.clone(), authority: self.authority.id() }
    }

    /// The authority's own certificate, as PEM.
    pub(crate) fn pem(&self) -> &str {
        self.authority.pem()
    }

    /// A certificate by which others know a worker; `None` when its key is of a kind that nobody here makes.
    pub(crate) fn vouch(&self, worker: &PublicKey) -> Option<String> {
        let issued = worker.is_of_ours().then(|| self.authority.issue(worker, &[TENSORS.to_owned()], OF_WORKER))?;
        issued.inspect_err(|error| tracing::warn!(%error, "no certificate for a worker")).ok()
    }

    fn renew(&self) -> Result<(), KeyError> {
        let issued = self.authority.issue(self.credentials.public(), &self.names, OF_COORDINATOR)?;
        self.credentials.show(&issued)
    }

    /// Keeps the coordinator's certificate valid, for as long as somebody else has the authority.
    pub(crate) async fn keep_valid(trust: std::sync::Weak<Self>) {
        loop {
            tokio::time::sleep(RENEWAL).await;
            let Some(trust) = trust.upgrade() else { return };
            if let Err(error) = trust.renew() {
                tracing::error!(%error, "the coordinator's certificate cannot be renewed");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_authority_that_members_know_is_not_replaced_unasked() {
        let data = tempfile::tempdir().unwrap();
        let folder = data.path().join("authority");
        let usual = Security::default();
        let lost = Trust::open(&folder, &usual, true).unwrap_err().to_string();
        assert!(lost.contains("--new-authority") && !folder.exists(), "{lost}");
        let id = |security: &Security| Trust::open(&folder, security, true).unwrap().farm().authority;
        let first = Trust::open(&folder, &usual, false).unwrap().farm().authority;
        assert_eq!(id(&usual), first);
        let second = id(&Security { new_authority: true, ..usual.clone() });
        assert_ne!(second, first);
        assert_eq!(id(&usual), second);
    }

    #[test]
    fn names_that_no_certificate_can_bear_are_left_out() {
        let data = tempfile::tempdir().unwrap();
        let names = ["studio 1", "stüdio", "", "studio-1", "10.0.0.7"].map(str::to_owned).to_vec();
        let trust = Trust::open(&data.path().join("a"), &Security { names, new_authority: false }, false).unwrap();
        assert!(trust.names.ends_with(&["studio-1".to_owned(), "10.0.0.7".to_owned()]), "{:?}", trust.names);
        assert!(trust.vouch(&Key::draw().unwrap().public()).is_some());
    }
}
