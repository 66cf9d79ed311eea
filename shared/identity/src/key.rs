//! Key pairs, on the disk and in memory. Of one kind, ECDSA over P-256, which everybody's TLS speaks.

use std::io;
use std::path::Path;
use std::sync::Arc;

use rcgen::{CertificateParams, KeyPair, PKCS_ECDSA_P256_SHA256, PublicKeyData, SignatureAlgorithm};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::server::ParsedCertificate;
use rustls::sign::SigningKey;
use uuid::Builder;
use wanfarm_types::{Digest, KeyId, WorkerId};

/// What comes before the point in the DER of a P-256 public key (RFC 5480, section 2).
const P256: [u8; 26] = [
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce,
    0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
];
/// An uncompressed point.
const POINT: usize = 65;

/// A key pair.
pub struct Key(KeyPair);

/// The public half of somebody's key, as DER of a `SubjectPublicKeyInfo`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicKey(Arc<[u8]>);

/// A key cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The file system refuses.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// The file holds no key, or the system no randomness.
    #[error("{0}")]
    Key(#[from] rcgen::Error),
    /// TLS cannot use it.
    #[error("{0}")]
    Tls(#[from] rustls::Error),
}

impl Key {
    /// A new one.
    ///
    /// # Errors
    /// When the system has no randomness.
    pub fn draw() -> Result<Self, KeyError> {
        Ok(Self(KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?))
    }

    /// The one in a file; `None` when there is no file.
    ///
    /// # Errors
    /// When it cannot be read, or holds no key.
    pub fn read(path: &Path) -> Result<Option<Self>, KeyError> {
        match std::fs::read_to_string(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            text => Ok(Some(Self(KeyPair::from_pem(&text?)?))),
        }
    }

    /// Writes it, for its owner's eyes only.
    ///
    /// # Errors
    /// When the file system refuses.
    pub fn write(&self, path: &Path) -> Result<(), KeyError> {
        let text = self.0.serialize_pem();
        Ok(wanfarm_durable::write_private(path, &path.with_extension("new"), text.as_bytes())?)
    }

    /// Its public half.
    pub fn public(&self) -> PublicKey {
        PublicKey(self.0.subject_public_key_info().into())
    }

    /// Its name.
    pub fn id(&self) -> KeyId {
        self.public().id()
    }

    /// A certificate that it signs itself: it says nothing but the key, and never expires.
    pub(crate) fn own_certificate(&self) -> Result<CertificateDer<'static>, KeyError> {
        Ok(CertificateParams::default().self_signed(&self.0)?.der().clone())
    }

    pub(crate) fn pair(&self) -> &KeyPair {
        &self.0
    }

    pub(crate) fn signing(&self) -> Result<Arc<dyn SigningKey>, KeyError> {
        let der = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(self.0.serialize_der()));
        Ok(rustls::crypto::ring::sign::any_supported_type(&der)?)
    }
}

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Key({})", self.id().short())
    }
}

impl PublicKey {
    /// The key that a certificate is of; `None` when it is no certificate.
    pub fn of(certificate: &CertificateDer<'_>) -> Option<Self> {
        let parsed = ParsedCertificate::try_from(certificate).ok()?;
        Some(Self(parsed.subject_public_key_info().as_ref().into()))
    }

    /// Its name.
    pub fn id(&self) -> KeyId {
        KeyId(Digest(*blake3::hash(&self.0).as_bytes()))
    }

    /// True when the authority can issue a certificate for it.
    pub fn is_of_ours(&self) -> bool {
        self.0.len() == P256.len() + POINT && self.0.starts_with(&P256)
    }
}

impl PublicKeyData for PublicKey {
    fn der_bytes(&self) -> &[u8] {
        self.0.get(P256.len()..).unwrap_or_default()
    }

    fn algorithm(&self) -> &'static SignatureAlgorithm {
        &PKCS_ECDSA_P256_SHA256
    }
}

/// The id of a worker, of all that its machine may run, which has drawn one for itself: nobody with another key has it.
pub fn worker_id(key: &KeyId, drawn: WorkerId) -> WorkerId {
    let mut hasher = blake3::Hasher::new_derive_key("wanfarm worker id");
    hasher.update(&key.0.0).update(drawn.0.as_bytes());
    let mut bytes = [0; 16];
    hasher.finalize_xof().fill(&mut bytes);
    WorkerId(Builder::from_random_bytes(bytes).into_uuid())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_the_same_when_it_is_read_again_and_nobody_else_may_read_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key.pem");
        assert!(Key::read(&path).unwrap().is_none());
        let key = Key::draw().unwrap();
        key.write(&path).unwrap();
        assert_eq!(Key::read(&path).unwrap().unwrap().id(), key.id());
        assert_ne!(Key::draw().unwrap().id(), key.id());
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        }
        std::fs::write(&path, "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n").unwrap();
        assert!(Key::read(&path).is_err());
    }

    #[test]
    fn a_certificate_says_whose_it_is() {
        let key = Key::draw().unwrap();
        let public = PublicKey::of(&key.own_certificate().unwrap()).unwrap();
        assert_eq!(public, key.public());
        assert!(public.is_of_ours());
        assert_eq!(PublicKeyData::subject_public_key_info(&public), PublicKeyData::subject_public_key_info(&key.0));
        assert!(PublicKey::of(&CertificateDer::from(vec![0x30, 0x03, 1, 1, 0])).is_none());
    }

    #[test]
    fn the_id_of_a_worker_belongs_to_a_key() {
        let [one, other] = [1, 2].map(|byte| KeyId(Digest([byte; 32])));
        let drawn = WorkerId(Builder::from_random_bytes([7; 16]).into_uuid());
        assert_eq!(worker_id(&one, drawn), worker_id(&one, drawn));
        assert_ne!(worker_id(&one, drawn), worker_id(&other, drawn));
        assert_ne!(worker_id(&one, drawn), drawn);
    }
}
