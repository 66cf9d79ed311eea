//! The farm's authority: the key that stands behind every certificate of the farm. It lies in the coordinator's data folder, and nowhere else.

use std::path::{Path, PathBuf};
use std::time::Duration;

use rcgen::{BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyUsagePurpose};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use time::OffsetDateTime;
use wanfarm_types::KeyId;

use crate::key::{Key, KeyError, PublicKey};

/// How far before its issue a certificate is valid: clocks of a farm's machines may be a day off.
const BEFORE: Duration = Duration::from_secs(2 * 24 * 3600);
/// How long the authority's own certificate is valid; nobody who knows the authority by its key looks at it.
const LIFETIME: Duration = Duration::from_secs(20 * 365 * 24 * 3600);
/// The names of its files.
const KEY: &str = "key.pem";
const CERTIFICATE: &str = "certificate.pem";

/// The authority, with its key.
#[derive(Debug)]
pub struct Authority {
    key: Key,
    pem: String,
}

/// The authority cannot be had.
#[derive(Debug, thiserror::Error)]
#[error("the farm's authority in {}: {why}", folder.display())]
pub struct AuthorityError {
    folder: PathBuf,
    why: String,
}

impl Authority {
    /// The one that lies in a folder; `None` when there is none.
    ///
    /// # Errors
    /// When its files cannot be read, or are not of one authority.
    pub fn open(folder: &Path) -> Result<Option<Self>, AuthorityError> {
        let failed = |why: String| AuthorityError { folder: folder.to_owned(), why };
        let Some(key) = Key::read(&folder.join(KEY)).map_err(|error| failed(format!("{KEY}: {error}")))? else {
            return Ok(None);
        };
        let bad = |why: &dyn std::fmt::Display| failed(format!("{CERTIFICATE}: {why}"));
        let pem = std::fs::read_to_string(folder.join(CERTIFICATE)).map_err(|error| bad(&error))?;
        let certificate = CertificateDer::from_pem_slice(pem.as_bytes()).map_err(|error| bad(&error))?;
        if PublicKey::of(&certificate).is_none_or(|public| public != key.public()) {
            return Err(bad(&format!("it is of another key than {KEY}")));
        }
        Ok(Some(Self { key, pem }))
    }

    /// Makes one in a folder. One that lies there is set aside, with `.old` behind its name.
    ///
    /// # Errors
    /// When its files cannot be written.
    pub fn make(folder: &Path) -> Result<Self, AuthorityError> {
        let failed = |why: &dyn std::fmt::Display| AuthorityError { folder: folder.to_owned(), why: why.to_string() };
        let key = Key::draw().map_err(|error| failed(&error))?;
        let issued = parameters(&key).and_then(|of| Ok(of.self_signed(key.pair())?)).map_err(|error| failed(&error))?;
        let pem = issued.pem();
        let written = || -> Result<(), KeyError> {
            if folder.exists() {
                let aside = folder.with_extension("old");
                if aside.exists() {
                    std::fs::remove_dir_all(&aside)?;
                }
                std::fs::rename(folder, &aside)?;
            }
            wanfarm_durable::private_folder(folder)?;
            let path = folder.join(CERTIFICATE);
            wanfarm_durable::write(&path, &path.with_extension("new"), pem.as_bytes())?;
            // Last: with it, the authority is there.
            key.write(&folder.join(KEY))
        };
        written().map_err(|error| failed(&error))?;
        Ok(Self { key, pem })
    }

    /// By which members know it.
    pub fn id(&self) -> KeyId {
        self.key.id()
    }

    /// Its certificate, for programs that know no other way to trust it.
    pub fn pem(&self) -> &str {
        &self.pem
    }

    /// A certificate for somebody's key that names these hosts and addresses, with the authority's own behind it, as PEM.
    ///
    /// # Errors
    /// When the key is of another kind, or a name is none.
    pub fn issue(&self, key: &PublicKey, names: &[String], valid: Duration) -> Result<String, KeyError> {
        self.issue_at(OffsetDateTime::now_utc(), key, names, valid)
    }

    pub(crate) fn issue_at(
        &self,
        now: OffsetDateTime,
        key: &PublicKey,
        names: &[String],
        valid: Duration,
    ) -> Result<String, KeyError> {
        let mut wanted = CertificateParams::new(names)?;
        (wanted.not_before, wanted.not_after) = (now - BEFORE, now + valid);
        wanted.distinguished_name = Default::default();
        wanted.distinguished_name.push(DnType::CommonName, format!("wanfarm {}", key.id().short()));
        wanted.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        wanted.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        wanted.use_authority_key_identifier_extension = true;
        let own = parameters(&self.key)?;
        let issuer = Issuer::from_params(&own, self.key.pair());
        Ok(wanted.signed_by(key, &issuer)?.pem() + &self.pem)
    }
}

/// What stands in the certificate of an authority; the same each time but for the dates.
fn parameters(key: &Key) -> Result<CertificateParams, KeyError> {
    let mut own = CertificateParams::new(Vec::<String>::new())?;
    let now = OffsetDateTime::now_utc();
    (own.not_before, own.not_after) = (now - BEFORE, now + LIFETIME);
    own.distinguished_name = Default::default();
    own.distinguished_name.push(DnType::CommonName, format!("wanfarm authority {}", key.id().short()));
    own.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    own.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    Ok(own)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_authority_is_the_same_after_a_restart_and_a_new_one_sets_it_aside() {
        let data = tempfile::tempdir().unwrap();
        let folder = data.path().join("authority");
        assert!(Authority::open(&folder).unwrap().is_none());
        let first = Authority::make(&folder).unwrap();
        assert_eq!(Authority::open(&folder).unwrap().unwrap().id(), first.id());
        let second = Authority::make(&folder).unwrap();
        assert_ne!(second.id(), first.id());
        assert_eq!(Authority::open(&data.path().join("authority.old")).unwrap().unwrap().id(), first.id());
        Authority::make(&folder).unwrap();
        assert_eq!(Authority::open(&data.path().join("authority.old")).unwrap().unwrap().id(), second.id());
    }

    #[test]
    fn files_of_two_authorities_are_none() {
        let data = tempfile::tempdir().unwrap();
        let [one, other] = ["one", "other"].map(|name| data.path().join(name));
        Authority::make(&one).unwrap();
        Authority::make(&other).unwrap();
        std::fs::copy(one.join(KEY), other.join(KEY)).unwrap();
        let why = Authority::open(&other).unwrap_err().to_string();
        assert!(why.contains("of another key"), "{why}");
        std::fs::remove_file(other.join(CERTIFICATE)).unwrap();
        assert!(Authority::open(&other).unwrap_err().to_string().contains(CERTIFICATE));
    }
}
